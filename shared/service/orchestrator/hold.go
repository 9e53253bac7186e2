package orchestrator

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
)

// hold is an execution's lock of a labourer. A claimer takes it before the transaction, and ends it only after the transaction has returned.
// Of many executions at once one writes a transaction, and the others yield.
//
// Several reads during a transaction may see one of its writes and not yet another, so a claimer that saw only the new version would count
// none of the new leases (G3). Version and lock share one item, which every read sees whole: that claimer sees the lock, and yields.
//
// The lock carries the name of the execution, so an execution never yields to its own. It keeps the lock from its claim until it has dispatched.
// If the lock expires and another execution takes it, the first one yields. If the same step runs twice under one name, the state's version
// keeps the two apart.
type hold struct {
	control   Control
	now       func() time.Time
	execution string
	labourer  string
}

func (s *Service) hold(execution, labourer string) hold {
	return hold{control: s.Control, now: s.Now, execution: execution, labourer: labourer}
}

// approach takes or extends the lock before a grant. It fails with queue.ErrChanged while another execution has it.
func (h hold) approach(ctx context.Context, now time.Time) error {
	return h.control.Approach(ctx, h.labourer, now, h.from(now))
}

// grant writes what changes under the fence, and extends the lock in the same transaction. It fails with queue.ErrChanged if the state
// has changed since it was read.
func (h hold) grant(ctx context.Context, g queue.Grant, now time.Time) error {
	return h.control.Grant(ctx, h.labourer, g, h.from(now))
}

func (h hold) from(now time.Time) queue.Hold {
	return queue.Hold{By: h.execution, Until: now.Add(queue.HoldTerm)}
}

// depart ends the lock. The caller reads the labourer again afterwards, or another execution does, as others may have yielded.
func (h hold) depart(ctx context.Context) error {
	return h.control.Depart(ctx, h.labourer, h.execution)
}
