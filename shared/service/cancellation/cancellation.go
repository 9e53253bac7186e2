// Package cancellation cancels jobs: queued and waiting tasks are cancelled, running ones may finish.
//
// The canceller marks the job's record first, which stops its creation. It then withdraws the job's tasks from where they wait, so that they
// cannot be started, cancels them, and forgets what it withdrew. An interrupted cancellation therefore leaves each task either where it waited
// or aside. The orchestrator finishes asides whose canceller or sweeper was interrupted.
//
// Tasks move while the canceller works. A claim takes them from an entry to a lease, and a lease takes them in hand, where they run and may finish, or
// fail and wait there for their next attempt. So the canceller reads the entries first and the leases afterwards: a task that is in neither when it is
// read has been taken in hand or has gone back, from a lease to an entry. The component that puts tasks back (as their attempt failed, or could not be
// started) reads their job after it has written the entry, and sweeps them. So does the scavenger after it has found a task that waits in its lease for
// its next attempt. The canceller marks the job before it reads, so one of the two sees the other. It reads the entries once more in the end, as the
// component that puts back what waits in a lease may die before it sweeps.
package cancellation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Jobs stores the records of jobs.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Cancel(ctx context.Context, job ledger.Job) error
}

// Control stores the queue from which tasks are withdrawn, and the leases.
type Control interface {
	State(ctx context.Context, labourer string) (queue.State, error)
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	Withdraw(ctx context.Context, e queue.Entry, numbers segment.Numbers, now time.Time) (queue.Aside, error)
	Withdrawn(ctx context.Context, labourer string) ([]queue.Aside, error)
	SetAside(ctx context.Context, labourer, item string, now time.Time) error
	Forget(ctx context.Context, aside queue.Aside) error
}

// Leases takes tasks out of leases. queue.ErrChanged: the lease has changed since it was read, and nothing was written.
type Leases interface {
	Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error)
	SetWaitingAside(ctx context.Context, l queue.Lease, numbers segment.Numbers, now time.Time) error
}

// Progress enters completions in the progress of their job.
type Progress interface {
	Enter(ctx context.Context, l queue.Lease) error
}

// Tasks stores the tasks to cancel.
type Tasks interface {
	// Rewrite writes what change returns, and returns the numbers of the tasks that have changed since it read them, and that it did not write.
	// change sees a task without its payload. It returns false for a task that stays as it is.
	Rewrite(ctx context.Context, s segment.ID, numbers segment.Numbers, change func(task.Task) (task.Task, bool)) (stale segment.Numbers, err error)
}

// Finisher ends jobs.
type Finisher interface {
	Finish(ctx context.Context, id string) (bool, error)
}

// Bus wakes the orchestrator.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Service cancels jobs.
type Service struct {
	Jobs     Jobs
	Control  Control
	Leases   Leases
	Tasks    Tasks
	Progress Progress
	Finisher Finisher
	Bus      Bus // not for Sweep
	Now      func() time.Time
}

// tries limits how often a lost race is retried.
const tries = 10

// errLate reports that time is up.
var errLate = errors.New("time is up")

// never is for sweeps, which have no deadline of their own.
func never() bool { return false }

// Cancel executes a CancelJob until late returns true. rest is then the command for the remaining work: the same command, because finished
// work has left the queue. The error is *event.Refused if the command names no existing job.
func (s Service) Cancel(ctx context.Context, e event.Envelope, late func() bool) (rest *event.Envelope, err error) {
	err = s.cancelJob(ctx, e, late)
	if errors.Is(err, errLate) {
		return &e, nil
	}
	return nil, err
}

func (s Service) cancelJob(ctx context.Context, e event.Envelope, late func() bool) error {
	var detail struct {
		JobID string `json:"job_id"`
		Force bool   `json:"force"`
	}
	if err := exact.Decode(e.Detail, &detail); err != nil {
		return &event.Refused{Reason: err.Error()}
	}
	if detail.JobID == "" {
		return &event.Refused{Reason: "job_id: it is missing; want the id of the job to cancel"}
	}
	for range tries {
		job, found, err := s.Jobs.Get(ctx, detail.JobID)
		if err != nil {
			return err
		}
		if !found {
			return &event.Refused{Reason: fmt.Sprintf("job_id: there is no job %.140q", detail.JobID)}
		}
		if job.State == ledger.Completed || job.State == ledger.Rejected {
			return nil // the job has ended; there is nothing to cancel
		}
		if !job.Cancelling && job.State != ledger.Cancelled {
			err := s.Jobs.Cancel(ctx, job)
			if errors.Is(err, ledger.ErrChanged) {
				continue
			}
			if err != nil {
				return err
			}
		}
		return s.carryOut(ctx, job, detail.Force, late)
	}
	return fmt.Errorf("cancelling job %s: it changed %d times in between", detail.JobID, tries)
}

func (s Service) carryOut(ctx context.Context, job ledger.Job, force bool, late func() bool) error {
	if err := s.sweep(ctx, job, numbersOf(job), late); err != nil {
		return err
	}
	if force {
		if err := s.force(ctx, job, late); err != nil {
			return err
		}
	}
	// Slots that tasks of the job were to take, or had taken, are free for others. This is published also if there are none: the canceller
	// that freed them may have died before it woke the orchestrator.
	if err := s.Bus.Publish(ctx, event.TasksDue("CancelJob/"+job.ID, job.Labourer)); err != nil {
		return err
	}
	_, err := s.Finisher.Finish(ctx, job.ID)
	return err
}

// Sweep cancels those of these tasks that are queued, or wait in leases, and whose jobs are being cancelled. It leaves the other tasks of such
// a job to the canceller: there may be a million of them. It costs one read per job.
func (s Service) Sweep(ctx context.Context, tasks []task.Task) error {
	jobs := map[string]map[segment.ID]segment.Numbers{}
	for _, t := range tasks {
		if jobs[t.JobID] == nil {
			jobs[t.JobID] = map[segment.ID]segment.Numbers{}
		}
		jobs[t.JobID][t.ID.Segment] = jobs[t.JobID][t.ID.Segment].Union(segment.Of(t.ID.N))
	}
	for _, id := range slices.Sorted(maps.Keys(jobs)) {
		job, found, err := s.Jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		if found && (job.Cancelling || job.State == ledger.Cancelled) {
			if err := s.sweep(ctx, job, jobs[id], never); err != nil {
				return err
			}
		}
	}
	return nil
}

// withdrawers limits how many entries are withdrawn at once. They share a partition, which bears some 250 withdrawals a second.
const withdrawers = 4

// sweep cancels those of these tasks of a job that are queued, and those that wait in leases: see the package for the order.
func (s Service) sweep(ctx context.Context, job ledger.Job, mine map[segment.ID]segment.Numbers, late func() bool) error {
	if err := s.withdrawQueued(ctx, job, mine, late); err != nil {
		return err
	}
	if err := s.withdrawWaiting(ctx, job, mine, late); err != nil {
		return err
	}
	if err := s.withdrawQueued(ctx, job, mine, late); err != nil {
		return err
	}
	return s.cancelWithdrawn(ctx, job.Labourer, mine, late)
}

// withdrawQueued withdraws tasks from the entries. It ends with a read of the entries all of whose tasks of the job it has withdrawn.
func (s Service) withdrawQueued(ctx context.Context, job ledger.Job, mine map[segment.ID]segment.Numbers, late func() bool) error {
	for range tries {
		entries, err := s.Control.Queue(ctx, job.Labourer)
		if err != nil {
			return err
		}
		var raced atomic.Bool
		g, withdrawing := errgroup.WithContext(ctx)
		g.SetLimit(withdrawers)
		for _, e := range entries {
			numbers := e.Tasks.Intersect(mine[e.Segment])
			if numbers.Empty() {
				continue
			}
			g.Go(func() error {
				if late() {
					return errLate
				}
				_, err := s.Control.Withdraw(withdrawing, e, numbers, s.Now())
				if errors.Is(err, queue.ErrChanged) {
					raced.Store(true)
					return nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil || !raced.Load() {
			return err
		}
	}
	return fmt.Errorf("withdrawing job %s from the queue: the queue changed %d times in between", job.ID, tries)
}

// withdrawWaiting withdraws tasks that wait in leases, for a slot or for their next attempt. A read may see half of a claim: the entries are gone, and
// the lease is not there yet. The claim's lock says so. It outlasts the claim, so while a labourer is locked its leases are read several times.
func (s Service) withdrawWaiting(ctx context.Context, job ledger.Job, mine map[segment.ID]segment.Numbers, late func() bool) error {
	raced := false
	for range tries {
		leases, err := s.Control.Leases(ctx, job.Labourer)
		if err != nil {
			return err
		}
		raced = false
		for _, l := range leases {
			numbers := l.Idle().Intersect(mine[l.Segment])
			if numbers.Empty() {
				continue
			}
			if late() {
				return errLate
			}
			err := s.Leases.SetWaitingAside(ctx, l, numbers, s.Now())
			if raced = raced || errors.Is(err, queue.ErrChanged); err != nil && !errors.Is(err, queue.ErrChanged) {
				return err
			}
		}
		state, err := s.Control.State(ctx, job.Labourer)
		if err != nil || !raced && !state.Hold.Until.After(s.Now()) {
			return err
		}
	}
	if raced {
		return fmt.Errorf("withdrawing job %s from leases: they changed %d times in between", job.ID, tries)
	}
	return nil
}

// numbersOf returns the job's numbers in each of its segments. Unpublished segments hold nothing that could be queued.
func numbersOf(job ledger.Job) map[segment.ID]segment.Numbers {
	out := make(map[segment.ID]segment.Numbers, job.Segments())
	for ordinal := range job.Segments() {
		id, numbers := job.SegmentAt(ordinal)
		out[id] = numbers
	}
	return out
}

// finishers limits how many asides are cancelled at once.
const finishers = 2

func (s Service) cancelWithdrawn(ctx context.Context, labourer string, mine map[segment.ID]segment.Numbers, late func() bool) error {
	aside, err := s.Control.Withdrawn(ctx, labourer)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(finishers)
	for _, e := range aside {
		if e.Tasks.Intersect(mine[e.Segment]).Empty() {
			continue
		}
		g.Go(func() error {
			if late() {
				return errLate
			}
			return s.cancelAside(ctx, e)
		})
	}
	return g.Wait()
}

// cancelAside cancels withdrawn tasks and removes the aside. A worker may have completed one of them, if it was started before and the task
// then returned to the queue. No lease knows of that completion, so it is entered here.
func (s Service) cancelAside(ctx context.Context, a queue.Aside) error {
	completed, err := s.cancel(ctx, a.Segment, a.Tasks)
	if err != nil {
		return err
	}
	if !completed.Empty() {
		if err := s.Progress.Enter(ctx, queue.Lease{Job: a.Job, Segment: a.Segment, Tasks: completed}); err != nil {
			return err
		}
	}
	return s.Control.Forget(ctx, a)
}

// mostAsides limits how many asides FinishWithdrawn finishes in one call: with 256 tasks each, a few seconds of writes.
const mostAsides = 20

// FinishWithdrawn cancels the tasks of a labourer that were withdrawn before a given time: their canceller or sweeper was interrupted. It
// finishes up to [mostAsides] asides and returns how many. The stream delivers the cancelled tasks, so that their jobs end. An error in one
// aside does not stop the others. An aside that cannot be decoded is reported in the error and set aside: its tasks are no longer queued.
func (s Service) FinishWithdrawn(ctx context.Context, labourer string, before time.Time) (finished int, err error) {
	asides, err := s.Control.Withdrawn(ctx, labourer)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, a := range asides {
		if a.Unreadable != nil {
			errs = append(errs, *a.Unreadable, s.Control.SetAside(ctx, labourer, a.Item(), s.Now()))
			continue
		}
		if !a.Since.Before(before) || finished == mostAsides {
			continue
		}
		if err := s.cancelAside(ctx, a); err != nil {
			errs = append(errs, err)
			continue
		}
		finished++
	}
	return finished, errors.Join(errs...)
}

// cancel ends these tasks, and returns those that had completed before. It reads a task again that changes between the read and the write: the
// lease or aside that holds the tasks may go only after all of them have ended.
func (s Service) cancel(ctx context.Context, at segment.ID, numbers segment.Numbers) (completed segment.Numbers, err error) {
	for range tries {
		stale, done, err := s.cancelOnce(ctx, at, numbers)
		completed = completed.Union(done)
		if err != nil || stale.Empty() {
			return completed, err
		}
		numbers = stale
	}
	return completed, fmt.Errorf("cancelling tasks %s of segment %s: they changed %d times in between", numbers, at, tries)
}

// cancelOnce cancels the tasks. It returns those that changed since they were read, and those that had completed.
func (s Service) cancelOnce(ctx context.Context, at segment.ID, numbers segment.Numbers) (stale, completed segment.Numbers, err error) {
	now := s.Now()
	stale, err = s.Tasks.Rewrite(ctx, at, numbers, func(t task.Task) (task.Task, bool) {
		if t.Status == task.Completed {
			completed = completed.Union(segment.Of(t.ID.N))
		}
		cancelled, err := t.Cancel(now)
		return cancelled, err == nil // otherwise the task has already ended
	})
	return stale, completed, err
}

// force also cancels running tasks and frees their slots. Later reports of their workers change nothing. The tasks end before they leave their
// lease: in the other order a task would be lost if the canceller died in between.
func (s Service) force(ctx context.Context, job ledger.Job, late func() bool) error {
	mine := numbersOf(job)
	for range tries {
		leases, err := s.Control.Leases(ctx, job.Labourer)
		if err != nil {
			return err
		}
		raced := false
		for _, l := range leases {
			numbers := l.Held().Intersect(mine[l.Segment])
			if numbers.Empty() {
				continue
			}
			if late() {
				return errLate
			}
			completed, err := s.cancel(ctx, l.Segment, numbers)
			if err != nil {
				return err
			}
			_, err = s.Leases.Save(ctx, l, l.Ended(completed).Without(numbers))
			if raced = raced || errors.Is(err, queue.ErrChanged); err != nil && !errors.Is(err, queue.ErrChanged) {
				return err
			}
		}
		if !raced {
			return nil
		}
	}
	return fmt.Errorf("taking job %s out of leases: they changed %d times in between", job.ID, tries)
}
