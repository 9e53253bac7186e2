package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/target"
)

// putBack returns the tasks that were not started to the queue. A task that may itself be the cause gets an entry of its own. Several of them
// share one if others of the dispatch started: later probes and grants treat them apart from the others. The tasks that wait in the lease
// return too if the target is in trouble, so that a probe finds them, or keeps an order that they must not overtake. They return before the
// suspected task, so that nothing behind it is granted if the dispatcher dies in between.
func (s *Service) putBack(ctx context.Context, r *dispatchReport, f fate) error {
	back, suspects := r.unseen, segment.Numbers{}
	waiting := r.lease.Ordered && !r.unstarted().Empty()
	var causes []target.Unstarted
	for _, b := range r.back {
		waiting = waiting || !b.Throttled() && !b.Unsent()
		several := f.troubled > 1 && !f.blames(r.lease)
		switch {
		case several && f.started > 0 && !r.lease.Ordered && !b.Throttled() && !b.Unsent():
			suspects = suspects.Union(segment.Of(b.Task.ID.N))
		case several || b.Throttled() || b.Unsent():
			back = back.Union(segment.Of(b.Task.ID.N))
		default:
			causes = append(causes, b)
		}
	}
	if waiting {
		back = back.Union(r.lease.Waiting)
	}
	for _, some := range r.lease.ByAttempt(back) {
		if err := s.putBackAs(ctx, r, r.lease.Returned(some)); err != nil {
			return err
		}
	}
	for _, some := range r.lease.ByAttempt(suspects) {
		if err := s.putBackAs(ctx, r, r.lease.Suspected(some)); err != nil {
			return err
		}
	}
	for _, b := range causes {
		if !f.reached {
			if err := s.putBackAs(ctx, r, r.lease.Suspected(segment.Of(b.Task.ID.N))); err != nil {
				return err
			}
			continue
		}
		failed, err := s.misfire(ctx, r, b, f.blames(r.lease) || f.started > 0 && !r.lease.Ordered)
		if err != nil {
			return err
		}
		if failed {
			r.failed++
		}
	}
	return nil
}

func (s *Service) putBackAs(ctx context.Context, r *dispatchReport, e queue.Entry) error {
	lease, returned, err := s.requeue(ctx, r.lease, e)
	r.lease, r.returned = lease, r.returned.Union(returned)
	return err
}

// misfire returns a task to the queue that could not be started although its target can be reached. If apart is set, the task waits, and not
// its labourer. The entry carries the number of misfires to the next lease, so counting costs no write. At queue.MisfiresMost the cause lies
// with the task, and its attempt fails: then misfire returns true.
func (s *Service) misfire(ctx context.Context, r *dispatchReport, b target.Unstarted, apart bool) (bool, error) {
	if r.lease.Misfires+1 < queue.MisfiresMost {
		return false, s.putBackAs(ctx, r, r.lease.Misfired(b.Task.ID.N, apart, r.at))
	}
	for tasks, err := range s.Tasks.Chunks(ctx, r.lease.Segment, segment.Of(b.Task.ID.N)) {
		if err != nil {
			return false, err
		}
		for _, t := range tasks {
			return true, s.Launcher.Fail(ctx, t, r.lease, r.at, &target.Refusal{Type: "Unstartable", Retryable: true, Reason: fmt.Sprintf(
				"its start failed %d times while others of its labourer could be started: %v", queue.MisfiresMost, b.Err)})
		}
	}
	return false, nil
}

// GiveBack returns tasks to the queue that were not dispatched, after a dispatcher failed altogether, and those that wait behind them in their
// lease. It returns the number of all these tasks.
func (s *Service) GiveBack(ctx context.Context, execution, id string, handouts []Handout) (int, error) {
	given := 0
	for _, h := range handouts {
		lease, numbers, _, err := s.handedOut(ctx, id, h)
		if err != nil {
			return given, err
		}
		back := numbers.Intersect(lease.By(queue.Undispatched))
		if !back.Empty() {
			back = back.Union(lease.Waiting)
			for _, some := range lease.ByAttempt(back) {
				stored, returned, err := s.requeue(ctx, lease, lease.Returned(some))
				if err != nil {
					return given, err
				}
				lease, given = stored, given+returned.Len()
			}
		}
		if err := s.sweepTasks(ctx, lease.Segment, numbers.Union(back)); err != nil {
			return given, err
		}
	}
	return given, s.hold(execution, id).depart(ctx)
}

// requeue moves the tasks of an entry from the lease to the queue, if they are where they were when the lease was read: in hand for the same attempt
// and not started, or waiting. It returns the lease as it is stored, and the tasks that it moved. A canceller of their jobs may miss them there, so the
// caller sweeps them afterwards.
func (s *Service) requeue(ctx context.Context, l queue.Lease, e queue.Entry) (queue.Lease, segment.Numbers, error) {
	waiting, unstarted := l.Waiting, l.By(queue.Undispatched)
	for range feedTries {
		e.Tasks = e.Tasks.Intersect(l.Waiting.Intersect(waiting).Union(l.By(queue.Undispatched).Intersect(unstarted)))
		if e.Tasks.Empty() {
			return l, segment.Numbers{}, nil
		}
		e.First = e.Tasks.Min()
		stored, err := s.Leases.Requeue(ctx, l, e)
		if err == nil {
			return stored, e.Tasks, nil
		}
		if !errors.Is(err, queue.ErrChanged) {
			return l, segment.Numbers{}, err
		}
		again, found, err := s.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil || !found || !again.ClaimedAt.Equal(l.ClaimedAt) {
			return l, segment.Numbers{}, err // the lease is gone, or another one
		}
		unstarted = again.Unmoved(l, unstarted.Intersect(again.InHand()))
		l = again
	}
	return l, segment.Numbers{}, nil // the lease changes too fast: its tasks are taken over later, like any that were not dispatched
}

// sweepTasks sweeps tasks that may be in the queue while their jobs are being cancelled. Those that have ended are swept too: an ended task can be
// in the queue if the answer to its start was lost.
func (s *Service) sweepTasks(ctx context.Context, at segment.ID, numbers segment.Numbers) error {
	if numbers.Empty() {
		return nil
	}
	var all []task.Task // without their payloads and results
	for tasks, err := range s.Tasks.Chunks(ctx, at, numbers) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return err
		}
		for _, t := range append(tasks, unreadable...) {
			all = append(all, task.Task{ID: t.ID, JobID: t.JobID, Labourer: t.Labourer})
		}
	}
	return s.Sweeper.Sweep(ctx, all)
}
