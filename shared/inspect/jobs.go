package inspect

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
)

// Job returns the line of a job, exact to the last counted task, or a [NotFoundError].
func (r *Reader) Job(ctx context.Context, id string) (Job, error) {
	record, found, err := r.Jobs.Get(ctx, id)
	if err != nil {
		return Job{}, err
	}
	if !found {
		return Job{}, NoJob(id)
	}
	return r.line(ctx, record, record.Segments())
}

// exactSegments limits how many segments a job may have for its line in a list to be exact: 64 segments are 16,384 tasks. The line of a larger job
// counts whole segments.
const exactSegments = 64

// JobLine returns the line of a job by its record. It is exact for jobs of up to 16,384 tasks; for larger ones it counts a segment's tasks once
// all of them have ended.
func (r *Reader) JobLine(ctx context.Context, record ledger.Job) (Job, error) {
	return r.line(ctx, record, exactSegments)
}

// line reads the progress of an open job that has at most so many segments.
func (r *Reader) line(ctx context.Context, record ledger.Job, segments int) (Job, error) {
	line := JobOf(record, nil)
	if line.Finished() || record.Segments() > segments {
		return line, nil
	}
	progress, err := r.Jobs.Progress(ctx, record)
	if err != nil {
		return line, err
	}
	return JobOf(record, progress), nil
}

// JobLines returns the lines of jobs in the order of their records, each as [Reader.JobLine] does.
func (r *Reader) JobLines(ctx context.Context, records []ledger.Job) ([]Job, error) {
	lines := make([]Job, len(records))
	err := each(ctx, len(records), func(ctx context.Context, i int) (err error) {
		lines[i], err = r.JobLine(ctx, records[i])
		return err
	})
	return lines, err
}

// jobsRead limits how many jobs EachJob reads at a time.
const jobsRead = 100

// EachJob visits all jobs that the stack keeps, up to 100 at a time and the newest first, until visit returns false or an error. No job is older
// than the stack. It also reads the month to come, because clocks differ.
func (r *Reader) EachJob(ctx context.Context, visit func([]ledger.Job) (more bool, err error)) error {
	now := monthOf(r.Now())
	oldest := now.AddDate(0, -1, 0)
	if created := monthOf(r.Created); !r.Created.IsZero() && created.Before(oldest) {
		oldest = created
	}
	for month := now.AddDate(0, 1, 0); !month.Before(oldest); month = month.AddDate(0, -1, 0) {
		ids, err := r.Jobs.Month(ctx, month)
		if err != nil {
			return err
		}
		for first := 0; first < len(ids); first += jobsRead {
			records, err := r.Jobs.GetAll(ctx, ids[first:min(first+jobsRead, len(ids))])
			if err != nil {
				return err
			}
			if more, err := visit(records); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
