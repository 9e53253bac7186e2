package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
)

// Control stores the queue, from which tasks are withdrawn, and the leases.
type Control interface {
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	Withdraw(ctx context.Context, e queue.Entry, numbers segment.Numbers, now time.Time) (queue.Aside, error)
}

// Leases withdraws tasks that wait in leases.
type Leases interface {
	SetWaitingAside(ctx context.Context, l queue.Lease, numbers segment.Numbers, now time.Time) error
}

// Asides cancels withdrawn tasks.
type Asides interface {
	FinishWithdrawn(ctx context.Context, labourer string, before time.Time) (finished int, err error)
}

// Undo gives back to sosw those moved tasks of a labourer whose workers Drover has never started, and returns how many. It withdraws them,
// cancels them, and then restores their rows: a task that is interrupted in between is cancelled, and the next undo restores its row. Tasks that
// have begun stay Drover's.
func (s Service) Undo(ctx context.Context, l labourer.Labourer, about sosw.Labourer) (int, error) {
	job, found, err := s.Jobs.Get(ctx, JobOf(l.ID))
	if err != nil || !found {
		return 0, err
	}
	if !job.Cancelling && job.State != ledger.Cancelled { // finish what an interrupted move has begun, so that every marked row has a task of the job
		if _, err := s.Move(ctx, l, about, nil, func(int) {}); err != nil {
			return 0, err
		}
		if job, found, err = s.Jobs.Get(ctx, JobOf(l.ID)); err != nil || !found {
			return 0, err
		}
	}
	if err := s.withdraw(ctx, job); err != nil {
		return 0, err
	}
	if err := s.finishWithdrawn(ctx, job.Labourer); err != nil {
		return 0, err
	}
	return s.giveBack(ctx, job)
}

// finishWithdrawn cancels all tasks of a labourer that are withdrawn.
func (s Service) finishWithdrawn(ctx context.Context, labourer string) error {
	for {
		finished, err := s.Asides.FinishWithdrawn(ctx, labourer, s.Now().Add(time.Minute))
		if err != nil || finished == 0 {
			return err
		}
	}
}

// withdraw takes the job's tasks that have not begun out of the queue and out of the leases in which they wait.
func (s Service) withdraw(ctx context.Context, job ledger.Job) error {
	for range tries {
		raced := false
		race := func(err error) error {
			if errors.Is(err, queue.ErrChanged) {
				raced = true
				return nil
			}
			return err
		}
		entries, err := s.Control.Queue(ctx, job.Labourer)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Job != job.ID || e.Tried {
				continue
			}
			numbers, err := s.unbegun(ctx, e.Segment, e.Tasks, e.Attempt)
			if err != nil {
				return err
			}
			if numbers.Empty() {
				continue
			}
			_, err = s.Control.Withdraw(ctx, e, numbers, s.Now())
			if err := race(err); err != nil {
				return err
			}
		}
		leases, err := s.Control.Leases(ctx, job.Labourer)
		if err != nil {
			return err
		}
		for _, lease := range leases {
			if lease.Job != job.ID || lease.Tried {
				continue
			}
			numbers, err := s.unbegun(ctx, lease.Segment, lease.Waiting, lease.Attempt)
			if err != nil {
				return err
			}
			if numbers.Empty() {
				continue
			}
			err = s.Leases.SetWaitingAside(ctx, lease, numbers, s.Now())
			if err := race(err); err != nil {
				return err
			}
		}
		if !raced {
			return nil
		}
	}
	return fmt.Errorf("withdrawing the tasks of job %s: they changed %d times in between; pause labourer %s first", job.ID, tries, job.Labourer)
}

// unbegun returns those of these tasks for which this attempt is the first since they were moved.
func (s Service) unbegun(ctx context.Context, at segment.ID, numbers segment.Numbers, attempt int) (segment.Numbers, error) {
	var out segment.Numbers
	stored, err := s.stored(ctx, at, numbers)
	for n, t := range stored {
		if t.Origin != nil && t.Origin.Attempts+1 == attempt && t.Life == 0 {
			out = out.Union(segment.Of(n))
		}
	}
	return out, err
}

// giveBack restores the rows of all cancelled tasks of the job. In a cancelled job these are also stored tasks that were never published.
func (s Service) giveBack(ctx context.Context, job ledger.Job) (int, error) {
	total := 0
	for ordinal := range job.Segments() + 1 {
		grown := job
		grown.Total = (ordinal + 1) * segment.Size
		at, numbers := grown.SegmentAt(ordinal)
		stored, err := s.stored(ctx, at, numbers)
		if err != nil {
			return total, err
		}
		var back []task.Task
		for n, t := range stored {
			if ordinal*segment.Size+n >= job.Total { // it was never published, and never will be
				if job.State != ledger.Cancelled && !job.Cancelling {
					continue
				}
				t.Status = task.Cancelled
			}
			back = append(back, t)
		}
		n, err := s.restore(ctx, back)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
