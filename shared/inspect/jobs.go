package inspect

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
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
	lines, err := r.lines(ctx, []ledger.Job{record}, record.Segments(), nil)
	if err != nil {
		return Job{}, err
	}
	return lines[0], nil
}

// exactSegments limits how many segments a job may have for its line in a list to be exact: 64 segments are 16,384 tasks. The line of a larger job
// counts whole segments.
const exactSegments = 64

// JobLine returns the line of a job by its record. It is exact for jobs of up to 16,384 tasks; for larger ones it counts a segment's tasks once
// all of them have ended.
func (r *Reader) JobLine(ctx context.Context, record ledger.Job) (Job, error) {
	lines, err := r.JobLines(ctx, []ledger.Job{record})
	if err != nil {
		return Job{}, err
	}
	return lines[0], nil
}

// JobLines returns the lines of jobs in the order of their records, each as [Reader.JobLine] does. It reads the leases of each labourer once.
func (r *Reader) JobLines(ctx context.Context, records []ledger.Job) ([]Job, error) {
	return r.lines(ctx, records, exactSegments, nil)
}

// lines returns the lines of jobs, exact for those that have at most so many segments. read has the leases of labourers that were read just now.
func (r *Reader) lines(ctx context.Context, records []ledger.Job, segments int, read map[string]Places) ([]Job, error) {
	lines := make([]Job, len(records))
	exact := func(i int) bool { return !lines[i].Finished() && records[i].Segments() <= segments }
	var labourers []string
	for i, record := range records {
		lines[i] = JobOf(record, nil)
		if _, known := read[record.Labourer]; exact(i) && !known && !slices.Contains(labourers, record.Labourer) {
			labourers = append(labourers, record.Labourer)
		}
	}
	// The leases are read before the progress, see Reader.progress.
	leased := make([]Places, len(labourers))
	if err := each(ctx, len(labourers), func(ctx context.Context, i int) error {
		leases, err := r.Control.Leases(ctx, labourers[i])
		leased[i] = PlacesOf(leases, nil)
		return err
	}); err != nil {
		return nil, err
	}
	places := maps.Clone(read)
	if places == nil {
		places = map[string]Places{}
	}
	for i, id := range labourers {
		places[id] = leased[i]
	}
	err := each(ctx, len(records), func(ctx context.Context, i int) error {
		if !exact(i) {
			return nil
		}
		progress, err := r.progress(ctx, records[i], places[records[i].Labourer])
		if err == nil {
			lines[i] = JobOf(records[i], progress)
		}
		return err
	})
	return lines, err
}

// progress returns the progress of a job up to the last completion: what is entered, and what was completed under leases and is not entered yet.
// The leases have to be read before: what was completed under a lease is entered before the lease goes.
func (r *Reader) progress(ctx context.Context, j ledger.Job, leased Places) ([]ledger.Progress, error) {
	progress, err := r.Jobs.Progress(ctx, j)
	if err != nil {
		return nil, err
	}
	progress = slices.Clone(progress)
	done := leased.Done(j.ID)
	for i, p := range progress {
		progress[i] = completed(p, done[p.Segment])
		delete(done, p.Segment)
	}
	for _, id := range slices.Sorted(maps.Keys(done)) {
		progress = append(progress, completed(ledger.Progress{JobID: j.ID, Segment: id}, done[id]))
	}
	return j.Own(progress), nil
}

// completed returns the progress of a segment with these completions, of which it may have some.
func completed(p ledger.Progress, numbers segment.Numbers) ledger.Progress {
	more := numbers.Minus(ledger.Numbers(p.Completed))
	p.Completed = slices.AppendSeq(slices.Clone(p.Completed), more.All())
	return p
}

// jobsRead limits how many jobs EachJob reads at a time.
const jobsRead = 100

// EachJob visits all jobs that the stack keeps, up to 100 at a time and the newest first, until visit returns false or an error. No job is older
// than the stack. It also reads the month to come, because clocks differ.
func (r *Reader) EachJob(ctx context.Context, visit func([]ledger.Job) (more bool, err error)) error {
	now := monthOf(r.Now())
	for month := now.AddDate(0, 1, 0); !month.Before(r.oldest()); month = month.AddDate(0, -1, 0) {
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
