package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

const (
	// lastRound ends an execution's claims. After this round the state machine hands the labourer over to another execution.
	lastRound = 20
	// claimLimit limits how many tasks one claim takes: as many as a dispatcher can start in its time.
	claimLimit = 500
)

// Claimed says which leases Claim wrote, and why it took no more.
type Claimed struct {
	Claimed int      `json:"claimed"`
	Leases  []string `json:"leases"`
	Reason  string   `json:"reason"`
}

// Claim moves as many due tasks to leases as may start. Only one execution at a time reaches the transaction. It keeps its hold of the
// labourer until it has dispatched; the others yield. This misses no wake, as the claimer reads everything again after ending its hold: here
// if it took nothing, else in Assess. So its next claim fills all slots that become free in the meantime together.
func (s *Service) Claim(ctx context.Context, execution, id string, round int) (Claimed, error) {
	out := Claimed{Leases: []string{}}
	l, err := s.labourer(ctx, id)
	if err != nil {
		return out, err
	}
	h := s.hold(execution, id)
	for range tries {
		err := h.approach(ctx)
		if errors.Is(err, queue.ErrChanged) {
			out.Reason = "another execution holds the labourer"
			return out, nil
		}
		if err != nil {
			return out, err
		}
		taken, reason, err := s.claim(ctx, h, l)
		out.Reason = reason
		if errors.As(err, new(*unheardError)) {
			return out, err // the transaction may still be under way, so the hold has to expire by itself
		}
		if err != nil {
			return out, errors.Join(err, h.depart(ctx))
		}
		for _, t := range taken {
			out.Claimed += t.Lease.Tasks.Len()
			out.Leases = append(out.Leases, t.Lease.Item())
		}
		if out.Claimed > 0 && round >= lastRound {
			return out, h.depart(ctx) // another execution goes on from here
		}
		if out.Claimed > 0 {
			return out, nil
		}
		k, err := s.departAndRead(ctx, h)
		if err != nil {
			return out, err
		}
		l = k.labourer
		start, reason := k.decide(s.Now())
		if out.Reason = reason; !start {
			return out, nil
		}
	}
	return out, nil
}

// unheardError says that a claim was sent, and that its outcome is unknown.
type unheardError struct{ err error }

func (e *unheardError) Error() string { return e.err.Error() }
func (e *unheardError) Unwrap() error { return e.err }

// claim takes the tasks that may start. Its transaction extends the hold as well, and the hold ends only after the transaction has returned.
// Several reads during a transaction may see one of its writes and not yet another, so a claimer that saw only the new version would count
// none of the new leases (G3). Version and hold share one item, which every read sees whole.
func (s *Service) claim(ctx context.Context, h hold, l labourer.Labourer) ([]queue.Taking, string, error) {
	k, err := s.read(ctx, h, l)
	if err != nil {
		return nil, "", err
	}
	now := s.Now()
	start, reason := k.decide(now)
	if !start {
		return nil, reason, nil
	}
	// The attempts' time begins with their dispatch, which sets a new end of the lease. If the dispatcher dies, another one has to adopt the lease
	// before it ends, or attempts that never began would be lost.
	lasts := func(own time.Duration) time.Duration { return 2*queue.DispatchTerm + term(l, own) }
	takings := queue.Take(k.state, k.entries, min(k.assessment.Free, claimLimit), now, lasts)
	if k.state.Probing() {
		takings = queue.Probe(k.state, k.entries, now, lasts)
	}
	takings = queue.Apart(takings, k.leases)
	err = h.claim(ctx, k.state, takings, now)
	if errors.Is(err, queue.ErrChanged) {
		return nil, "the labourer was claimed for, paused or resumed in the meantime", nil
	}
	if err != nil {
		return nil, reason, &unheardError{err}
	}
	return takings, reason, nil
}
