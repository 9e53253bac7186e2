package outcome

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
)

// Jobs stores the jobs' records.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Finish(ctx context.Context, job ledger.Job, state ledger.State, at time.Time) error
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Finisher finishes jobs.
type Finisher struct {
	Jobs Jobs
	Bus  Bus
	Now  func() time.Time
}

// Finish ends a job if no task of it is open, and publishes the end. If the job has ended before, Finish publishes the end again under the
// same id, as the component that ended it may have died first. done reports whether the job has ended.
func (f Finisher) Finish(ctx context.Context, id string) (done bool, err error) {
	job, found, err := f.Jobs.Get(ctx, id)
	if err != nil || !found || job.Open() > 0 || job.State == ledger.Rejected {
		return false, err
	}
	if job.State == ledger.Scheduled || job.State == ledger.Scheduling {
		state, at := ledger.Completed, f.Now().UTC().Truncate(time.Millisecond)
		if job.Cancelling {
			state = ledger.Cancelled
		}
		err := f.Jobs.Finish(ctx, job, state, at)
		if err != nil && !errors.Is(err, ledger.ErrChanged) {
			return false, fmt.Errorf("finishing job %s, %w", id, err)
		}
		// Read again also after a successful write: the event says what is stored.
		if job, found, err = f.Jobs.Get(ctx, id); err != nil || !found || job.Open() > 0 || job.FinishedAt.IsZero() {
			return false, err
		}
	}
	return true, f.Bus.Publish(ctx, event.JobEnded(job.Totals(), job.State == ledger.Cancelled))
}
