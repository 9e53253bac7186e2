package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

const (
	// asideTerm limits how long a withdrawn task is left to its canceller or sweeper. It is longer than either lives.
	asideTerm = time.Minute
	// adoptionMargin ends the first dispatcher's right to start workers this long before another dispatcher may adopt the lease.
	adoptionMargin = 10 * time.Second
)

// Reaped counts the repairs of Reap.
type Reaped struct {
	Expired           int       `json:"expired"`    // attempts closed as lost
	Released          int       `json:"released"`   // tasks that had ended and were still in hand
	Settled           int       `json:"settled"`    // failed tasks that were still to be settled
	Withdrawn         int       `json:"withdrawn"`  // asides whose canceller died
	Unreadable        int       `json:"unreadable"` // lost tasks whose items cannot be decoded: failed for good
	SetAside          int       `json:"set_aside"`  // leases that cannot be decoded and would have ended by now
	Heard             int       `json:"heard"`      // executions that had ended without news of it
	Waiting           int       `json:"waiting"`    // tasks whose time starts again, as their messages are in the target's queue
	Undispatched      []Handout `json:"undispatched"`
	UndispatchedCount int       `json:"undispatched_count"`
	Errors            []string  `json:"errors"` // the first errors; the next reaper tries again
	ErrorCount        int       `json:"error_count"`
}

func (r *Reaped) fail(err error) {
	r.ErrorCount++
	if len(r.Errors) < errorsShown {
		r.Errors = append(r.Errors, err.Error())
	}
}

// Reap closes lost attempts, repairs interrupted work, and returns the leases that are to be dispatched again. An error with one lease, or
// with the withdrawn tasks, is in the output and stops nothing else: the labourer's other tasks must not wait for it.
func (s *Service) Reap(ctx context.Context, id string) (Reaped, error) {
	out := Reaped{Undispatched: []Handout{}, Errors: []string{}}
	l, err := s.labourer(ctx, id)
	if err != nil {
		return out, err
	}
	if out.Withdrawn, err = s.Sweeper.FinishWithdrawn(ctx, id, s.Now().Add(-asideTerm)); err != nil {
		out.fail(err)
	}
	leases, err := s.Control.Leases(ctx, id)
	if err != nil {
		return out, err
	}
	for _, lease := range leases {
		if lease.Unreadable != nil {
			s.reapUnreadable(ctx, l, lease, s.Now(), &out)
		}
	}
	asking := &inquiry{service: s, labourer: l, leases: leases}
	for _, lease := range queue.InOrder(leases) { // tasks are dispatched again in this order
		now := s.Now()
		if !overdue(lease, limits(l), now) {
			continue
		}
		lease, err := s.takeOver(ctx, lease, now, &out)
		if err != nil {
			out.fail(err)
			continue
		}
		if lost := lease.Lost(limits(l), now); !lost.Empty() {
			if err := s.reap(ctx, asking, lease, lost, &out); err != nil {
				out.fail(fmt.Errorf("reaping %s, %w", lease.Item(), err))
			}
		}
	}
	out.UndispatchedCount = len(out.Undispatched)
	return out, nil
}

// takeOver takes over tasks whose dispatcher seems to have died, or which the assistant could not start. It returns the lease as it is stored.
func (s *Service) takeOver(ctx context.Context, lease queue.Lease, now time.Time, out *Reaped) (queue.Lease, error) {
	for range feedTries {
		forsaken := lease.Forsaken(now)
		if forsaken.Empty() {
			return lease, nil
		}
		stored, err := s.Leases.Save(ctx, lease, lease.Marked(forsaken, queue.Undispatched, now))
		if err == nil {
			out.Undispatched = append(out.Undispatched, Handout{Lease: lease.Item(), Tasks: forsaken.String()})
			return stored, nil
		}
		if !errors.Is(err, queue.ErrChanged) {
			return lease, err
		}
		again, found, err := s.Control.Lease(ctx, lease.Labourer, lease.Item())
		if err != nil || !found {
			return queue.Lease{}, err
		}
		lease = again
	}
	return lease, fmt.Errorf("taking over tasks of %s: it changed %d times in between", lease.Item(), feedTries)
}

// reapUnreadable reports a lease that cannot be decoded. It sets the lease aside only after its end: until then its tasks may run.
func (s *Service) reapUnreadable(ctx context.Context, l labourer.Labourer, lease queue.Lease, now time.Time, out *Reaped) {
	out.fail(*lease.Unreadable)
	longest := queue.DispatchTerm + max(l.MaxDuration, lease.MaxDuration) + l.Cooldown
	var err error
	switch from := lease.SetAsideFrom(longest); {
	case from.IsZero():
		err = s.Control.Suspect(ctx, l.ID, lease.Item(), now)
	case now.After(from):
		if err = s.Control.SetAside(ctx, l.ID, lease.Item(), now); err == nil {
			out.SetAside++
		}
	}
	if err != nil && !errors.Is(err, queue.ErrChanged) {
		out.fail(err)
	}
}

// reap ends the lost tasks of a lease. The scavenger settles those that reap closes as expired. A task that was closed before and is still
// held was left by a component that died, so reap releases or settles it.
func (s *Service) reap(ctx context.Context, q *inquiry, l queue.Lease, lost segment.Numbers, out *Reaped) error {
	taken, err := q.taken(ctx, l, lost, s.Now())
	if err != nil {
		return err
	}
	out.Waiting += lost.Minus(taken).Len()
	lost = taken
	found := segment.Numbers{}
	for tasks, err := range s.Tasks.Chunks(ctx, l.Segment, lost) {
		end := task.End{Status: task.Expired, Error: &task.Error{Type: "Expired", Message: q.why(s.Now())}}
		ended := &out.Expired
		if unreadable, other := task.Unreadable(err); len(unreadable) > 0 {
			// Another attempt could not read the task either. The end is written to its item, for when it can be read again.
			out.fail(err)
			tasks, err, ended = unreadable, other, &out.Unreadable
			end = task.End{Status: task.Failed, Permanent: true, Error: &task.Error{Type: "Unreadable", Message: "what is stored of the task cannot be read"}}
		}
		if err == nil {
			err = s.reapChunk(ctx, q, l, tasks, end, ended, out)
		}
		if err != nil {
			return err
		}
		for _, t := range tasks {
			found = found.Union(segment.Of(t.ID.N))
		}
	}
	// Only a damaged table has numbers without a task. They must not hold a slot for ever.
	if ghosts := lost.Minus(found); !ghosts.Empty() {
		return s.leave(ctx, l, segment.Numbers{}, ghosts)
	}
	return nil
}

// reapChunk ends the open tasks among the lost ones and counts them in ended. It repairs the others. The result of an execution that has
// ended becomes its task's result.
func (s *Service) reapChunk(ctx context.Context, q *inquiry, l queue.Lease, tasks []task.Task, end task.End, ended *int, out *Reaped) error {
	end.At = s.Now()
	lost := slices.DeleteFunc(slices.Clone(tasks), func(t task.Task) bool { return t.Status.Terminal() || t.Attempt >= l.AttemptAt(t.ID.N) })
	if end.Status == task.Expired {
		var err error
		if lost, err = q.ends(ctx, l, lost, end.At, out); err != nil {
			return err
		}
	}
	for _, t := range lost {
		end.Attempt, end.DispatchedAt = l.AttemptAt(t.ID.N), l.Hands[t.ID.N].Since
		closed, err := t.Close(end)
		if err != nil {
			continue
		}
		if err := s.Tasks.Save(ctx, t, closed); err != nil && !errors.Is(err, task.ErrStale) {
			return err
		} else if err == nil {
			*ended++
		}
	}
	released, settled, err := s.repair(ctx, l, tasks)
	out.Released += released
	out.Settled += settled
	return err
}

// repair takes the tasks that have reached their end out of the lease, and settles those whose attempt failed before.
func (s *Service) repair(ctx context.Context, l queue.Lease, tasks []task.Task) (released, settled int, err error) {
	var completed, gone segment.Numbers
	var failed []task.Task
	for _, t := range tasks {
		switch {
		case t.Status == task.Completed:
			completed = completed.Union(segment.Of(t.ID.N))
		case t.Status.Terminal():
			gone = gone.Union(segment.Of(t.ID.N))
		case t.Attempt >= l.AttemptAt(t.ID.N):
			failed = append(failed, t)
		}
	}
	released = completed.Union(gone).Len()
	if released > 0 {
		if err := s.leave(ctx, l, completed, gone); err != nil {
			return 0, 0, err
		}
	}
	if len(failed) > 0 {
		if _, err := s.Settler.Settle(ctx, failed); err != nil {
			return released, 0, err
		}
	}
	return released, len(failed), nil
}

// leave takes completed tasks, and tasks that are gone elsewhere, out of a lease, as far as it still has them in hand.
func (s *Service) leave(ctx context.Context, l queue.Lease, completed, gone segment.Numbers) error {
	for range feedTries {
		completed, gone = completed.Intersect(l.InHand()), gone.Intersect(l.InHand())
		if completed.Union(gone).Empty() {
			return nil
		}
		_, err := s.Leases.Save(ctx, l, l.Ended(completed).Without(gone))
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		again, found, err := s.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil || !found || !again.ClaimedAt.Equal(l.ClaimedAt) {
			return err
		}
		l = again
	}
	return fmt.Errorf("taking ended tasks out of %s: it changed %d times in between", l.Item(), feedTries)
}
