// Package progress enters the ends of tasks in the progress of their jobs, and finishes jobs.
//
// A completion is known first to the lease under which it happened. It is entered with all others of the lease when the lease ends: one write
// for some sixty tasks. If these are all tasks of the job, the same write ends it. Ends that a lease does not know are entered from the stream:
// deaths, cancellations, and completions in segments that several jobs share.
package progress

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Jobs stores the records and the progress of jobs.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Complete(ctx context.Context, job ledger.Job, at time.Time) error
	Record(ctx context.Context, jobID string, s segment.ID, ends ledger.Ends) (ledger.Progress, error)
	Roll(ctx context.Context, p ledger.Progress, at time.Time) error
}

// Finisher ends jobs.
type Finisher interface {
	Finish(ctx context.Context, id string) (bool, error)
}

// Service enters ends. Entering an end again changes nothing.
type Service struct {
	Jobs     Jobs
	Finisher Finisher
	Now      func() time.Time
}

// Enter enters the completions of a lease, and finishes its job if they were the last ends. It does nothing for a lease on tasks of several
// jobs.
func (s Service) Enter(ctx context.Context, l queue.Lease) error {
	done := l.Done()
	if l.Job == "" || done.Empty() {
		return nil
	}
	ends := ledger.Ends{}
	for n := range done.All() {
		ends.Add(n, 0, task.Completed)
	}
	full, err := s.Record(ctx, l.Job, map[segment.ID]ledger.Ends{l.Segment: ends})
	if err == nil && full {
		_, err = s.Finisher.Finish(ctx, l.Job)
	}
	return err
}

// Record enters ends of a job's tasks and reports whether all tasks of one of these segments have ended: then the job may have ended.
func (s Service) Record(ctx context.Context, id string, segments map[segment.ID]ledger.Ends) (bool, error) {
	job, found, err := s.Jobs.Get(ctx, id)
	if err != nil {
		return false, err
	}
	if !found { // the record has expired: its progress is no longer readable
		return false, nil
	}
	whole, err := s.complete(ctx, job, segments)
	if err != nil || whole {
		return whole, err
	}
	full := false
	for _, at := range slices.Sorted(maps.Keys(segments)) {
		p, err := s.Jobs.Record(ctx, id, at, segments[at])
		if err != nil {
			return false, err
		}
		// Ends of an earlier job with this id do not count. The check runs only for full segments, because it needs the ids of all tasks.
		if p.Counts().Sum() < job.SizeOf(at) || len(job.Own([]ledger.Progress{p})) == 0 {
			continue
		}
		full = true
		if p.Counts() == p.Rolled {
			continue
		}
		if err := s.Jobs.Roll(ctx, p, s.Now()); err != nil && !errors.Is(err, ledger.ErrChanged) {
			return false, err
		}
	}
	return full, nil
}

// complete enters ends that are the completions of all tasks of a job, by one write, which ends the job. It returns true if the job has ended in
// this way, now or before: another component may have died before it published the end.
func (s Service) complete(ctx context.Context, job ledger.Job, segments map[segment.ID]ledger.Ends) (bool, error) {
	for at, ends := range segments {
		switch {
		case len(job.Own([]ledger.Progress{{Segment: at}})) == 0:
			continue
		case job.Whole:
			return true, nil
		case !job.EndsBy(at, ends):
			return false, nil
		}
		err := s.Jobs.Complete(ctx, job, s.Now().UTC().Truncate(time.Millisecond))
		if !errors.Is(err, ledger.ErrChanged) {
			return err == nil, err
		}
		again, found, err := s.Jobs.Get(ctx, job.ID)
		return found && again.Whole, err
	}
	return false, nil
}
