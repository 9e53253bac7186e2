// Package cancellation cancels jobs: queued and waiting tasks are cancelled, running ones may finish.
//
// The canceller marks the job's record first, which stops its creation. It then withdraws entries from the queue, so that they cannot be
// claimed, cancels their tasks, and forgets what it withdrew. An interrupted cancellation therefore leaves each task either in an entry or
// aside. A task that is queued again later, because its attempt failed or could not be started, is not started any more: the component that
// queues it reads its job afterwards and sweeps it. The orchestrator finishes asides whose canceller or sweeper was interrupted.
package cancellation

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
	Withdraw(ctx context.Context, e queue.Entry, numbers segment.Numbers, now time.Time) (queue.Aside, error)
	Withdrawn(ctx context.Context, labourer string) ([]queue.Aside, error)
	SetAside(ctx context.Context, labourer, item string, now time.Time) error
	Forget(ctx context.Context, aside queue.Aside) error
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error
}

// Tasks stores the tasks to cancel.
type Tasks interface {
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
	Save(ctx context.Context, before, after task.Task) error
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
	Tasks    Tasks
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
		// This also happens when no task runs any more: the canceller that freed the slots may have died before it woke the orchestrator.
		if err := s.Bus.Publish(ctx, event.TasksDue("CancelJob/"+job.ID, job.Labourer)); err != nil {
			return err
		}
	}
	_, err := s.Finisher.Finish(ctx, job.ID)
	return err
}

// Sweep cancels those of these tasks that are queued and whose jobs are being cancelled. It leaves the other queued tasks of such a job to
// the canceller: there may be a million of them. It costs one read per job.
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

// sweep cancels those of these tasks of a job that are queued.
func (s Service) sweep(ctx context.Context, job ledger.Job, mine map[segment.ID]segment.Numbers, late func() bool) error {
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
		if err := g.Wait(); err != nil {
			return err
		}
		if !raced.Load() {
			return s.cancelWithdrawn(ctx, job.Labourer, mine, late)
		}
	}
	return fmt.Errorf("withdrawing job %s from the queue: the queue changed %d times in between", job.ID, tries)
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

func (s Service) cancelWithdrawn(ctx context.Context, labourer string, mine map[segment.ID]segment.Numbers, late func() bool) error {
	aside, err := s.Control.Withdrawn(ctx, labourer)
	if err != nil {
		return err
	}
	for _, e := range aside {
		if e.Tasks.Intersect(mine[e.Segment]).Empty() {
			continue
		}
		if late() {
			return errLate
		}
		if err := s.cancelAside(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s Service) cancelAside(ctx context.Context, a queue.Aside) error {
	if err := s.cancel(ctx, a.Segment, a.Tasks); err != nil {
		return err
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

// writers limits how many tasks are cancelled at once.
const writers = 16

// cancel ends these tasks. It reads a task again that changes between the read and the write: the lease or aside that holds the tasks may go
// only after all of them have ended.
func (s Service) cancel(ctx context.Context, at segment.ID, numbers segment.Numbers) error {
	for range tries {
		stale, err := s.cancelOnce(ctx, at, numbers)
		if err != nil || stale.Empty() {
			return err
		}
		numbers = stale
	}
	return fmt.Errorf("cancelling tasks %s of segment %s: they changed %d times in between", numbers, at, tries)
}

// cancelOnce cancels the tasks and returns those that changed since they were read.
func (s Service) cancelOnce(ctx context.Context, at segment.ID, numbers segment.Numbers) (stale segment.Numbers, err error) {
	for tasks, err := range s.Tasks.Chunks(ctx, at, numbers) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return stale, err
		}
		changed, err := s.save(ctx, append(tasks, unreadable...)) // cancelling a task does not need its unreadable parts
		if stale = stale.Union(changed); err != nil {
			return stale, err
		}
	}
	return stale, nil
}

// save cancels tasks that were read, several at once, and returns those that have changed since.
func (s Service) save(ctx context.Context, tasks []task.Task) (stale segment.Numbers, err error) {
	changed := make([]bool, len(tasks))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i, before := range tasks {
		after, err := before.Cancel(s.Now())
		if err != nil {
			continue // the task has already ended
		}
		g.Go(func() error {
			err := s.Tasks.Save(ctx, before, after)
			changed[i] = errors.Is(err, task.ErrStale)
			if changed[i] {
				return nil
			}
			return err
		})
	}
	err = g.Wait()
	for i, t := range tasks {
		if changed[i] {
			stale = stale.Union(segment.Of(t.ID.N))
		}
	}
	return stale, err
}

// force also cancels running tasks and frees their slots. Later reports of their workers change nothing.
func (s Service) force(ctx context.Context, job ledger.Job, late func() bool) error {
	leases, err := s.Control.Leases(ctx, job.Labourer)
	if err != nil {
		return err
	}
	mine := numbersOf(job)
	for _, l := range leases {
		numbers := l.Held().Intersect(mine[l.Segment])
		if numbers.Empty() {
			continue
		}
		if late() {
			return errLate
		}
		if err := s.cancel(ctx, l.Segment, numbers); err != nil {
			return err
		}
		if err := s.Control.Release(ctx, l, numbers); err != nil {
			return err
		}
	}
	return nil
}
