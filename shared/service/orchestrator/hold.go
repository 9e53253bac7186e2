package orchestrator

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
)

// claimTerm limits how long other executions yield to one that is about to claim, or that has claimed and is dispatching.
const claimTerm = 10 * time.Second

// hold is an execution's lock of a labourer. Other executions yield to it, which saves transactions that would fail. It does not keep the
// cap: the version of the labourer's state does.
//
// The lock carries the name of the execution, so an execution never yields to its own. It keeps the lock from its first claim until it has
// dispatched and found nothing more to start. If the lock expires and another execution takes it, the first one yields. If the same step runs
// twice under one name, the state's version keeps the two apart.
type hold struct {
	control   Control
	now       func() time.Time
	execution string
	labourer  string
}

func (s *Service) hold(execution, labourer string) hold {
	return hold{control: s.Control, now: s.Now, execution: execution, labourer: labourer}
}

// approach takes or extends the lock before a claim. It fails with queue.ErrChanged while another execution has it.
func (h hold) approach(ctx context.Context) error {
	now := h.now()
	return h.control.Approach(ctx, h.labourer, now, h.from(now))
}

// claim makes the takings, and extends the lock in the same transaction. It fails with queue.ErrChanged if the state has changed since it was read.
func (h hold) claim(ctx context.Context, state queue.State, takings []queue.Taking, now time.Time) error {
	return h.control.Claim(ctx, h.labourer, state, takings, h.from(now))
}

// depart ends the lock. The caller reads the labourer again afterwards, or another execution does, as others may have yielded.
func (h hold) depart(ctx context.Context) error {
	return h.control.Depart(ctx, h.labourer, h.execution)
}

// yields reports whether another execution has the lock.
func (h hold) yields(state queue.State, now time.Time) bool {
	return state.Hold.KeepsOff(h.execution, now)
}

func (h hold) from(now time.Time) queue.Hold {
	return queue.Hold{By: h.execution, Until: now.Add(claimTerm)}
}
