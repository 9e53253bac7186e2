package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// putBack returns the tasks that were not started to the queue. A task that may itself be the cause gets an entry of its own.
func (s *Service) putBack(ctx context.Context, r *dispatchReport, f fate) error {
	back := r.unseen
	for _, b := range r.back {
		switch blamed := f.blames(r.lease); {
		case b.throttled() || b.unsent() || !blamed && f.troubled > 1:
			back = back.Union(segment.Of(b.task.ID.N))
		case !f.reached:
			if err := s.requeue(ctx, r.lease, r.lease.Suspected(b.task.ID.N)); err != nil {
				return err
			}
		default:
			failed, err := s.misfire(ctx, r.lease, b, blamed || f.started > 0, r.at)
			if err != nil {
				return err
			}
			if failed {
				r.failed++
			}
		}
	}
	return s.giveBack(ctx, r.lease, back)
}

// misfire returns a task to the queue that could not be started although its target can be reached. If apart is set, the task waits, and not
// its labourer. The entry carries the number of misfires to the next lease, so counting costs no write. At queue.MisfiresMost the cause lies
// with the task, and its attempt fails: then misfire returns true.
func (s *Service) misfire(ctx context.Context, l queue.Lease, b unstarted, apart bool, at time.Time) (bool, error) {
	if l.Misfires+1 < queue.MisfiresMost {
		return false, s.requeue(ctx, l, l.Misfired(b.task.ID.N, apart, at))
	}
	for tasks, err := range s.Tasks.Chunks(ctx, l.Segment, segment.Of(b.task.ID.N)) {
		if err != nil {
			return false, err
		}
		for _, t := range tasks {
			return true, s.fail(ctx, t, l, at, &Refusal{Type: "Unstartable", Retryable: true, Reason: fmt.Sprintf(
				"its start failed %d times while others of its labourer could be started: %v", queue.MisfiresMost, b.err)})
		}
	}
	return false, nil
}

// GiveBack returns claimed tasks to the queue that were not dispatched, after a dispatcher failed altogether. It returns their number.
func (s *Service) GiveBack(ctx context.Context, execution, id string, items []string) (int, error) {
	given := 0
	for _, item := range items {
		lease, found, err := s.Control.Lease(ctx, id, item)
		if err != nil {
			return given, err
		}
		if found && lease.DispatchedAt.IsZero() && !lease.Held().Empty() {
			if err := s.giveBack(ctx, lease, lease.Held()); err != nil {
				return given, err
			}
			given += lease.Held().Len()
			lease.Released = lease.Tasks
		}
		if err := s.sweepReturned(ctx, item, lease); err != nil {
			return given, err
		}
	}
	return given, s.hold(execution, id).depart(ctx)
}

// giveBack moves tasks from a lease back to the queue, for the same attempt, just before their old place. A canceller of their jobs may miss
// them there, so the caller sweeps them afterwards.
func (s *Service) giveBack(ctx context.Context, l queue.Lease, numbers segment.Numbers) error {
	if numbers.Empty() {
		return nil
	}
	return s.requeue(ctx, l, l.Returned(numbers))
}

// requeue moves those tasks of an entry that the lease still holds from the lease to the queue.
func (s *Service) requeue(ctx context.Context, l queue.Lease, e queue.Entry) error {
	for range tries {
		e.Tasks = e.Tasks.Intersect(l.Held())
		if e.Tasks.Empty() {
			return nil
		}
		e.First = e.Tasks.Min()
		err := s.Control.Requeue(ctx, l, e)
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		again, found, err := s.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil || !found || again.Claim != l.Claim || !again.ClaimedAt.Equal(l.ClaimedAt) || !again.DispatchedAt.Equal(l.DispatchedAt) {
			return err // the lease is gone, replaced, adopted or dispatched: its tasks may run
		}
		l = again
	}
	return nil // the lease changes too fast: it is adopted later, like any undispatched lease
}

// sweepReturned sweeps the tasks that this lease, which may be gone by now, has returned to the queue: the dispatcher that returned them may
// have died before it read their jobs. It makes no request for a lease that has returned nothing.
func (s *Service) sweepReturned(ctx context.Context, item string, l queue.Lease) error {
	at, numbers := l.Segment, l.Released
	if at == "" {
		gone, ok := queue.LeasedSegment(item)
		if !ok {
			return nil
		}
		at, numbers = gone, segment.Range(0, segment.Size-1)
	}
	if numbers.Empty() {
		return nil
	}
	var open []task.Task // without their payloads and results
	for tasks, err := range s.Tasks.Chunks(ctx, at, numbers) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return err
		}
		for _, t := range append(tasks, unreadable...) {
			if !t.Status.Terminal() {
				open = append(open, task.Task{ID: t.ID, JobID: t.JobID, Labourer: t.Labourer})
			}
		}
	}
	return s.Sweeper.Sweep(ctx, open)
}
