package inspect

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
)

// Query says which records of the archive are wanted. An empty field selects all.
type Query struct {
	Job      string
	Labourer string
	Status   Status    // of a task that has ended
	From, To time.Time // the first and the last day (UTC) on which the tasks ended; see [Reader.Settled] for zero times
}

// defaultDays says how many days a query without days and without a known job goes back, today included.
const defaultDays = 7

// Settled returns the query with the days that it reads. The tasks of a job that the stack still knows ended between its begin and its end, and belong to
// its labourer; of another query without days it is the last seven.
func (r *Reader) Settled(ctx context.Context, q Query) (Query, error) {
	today := dayOf(r.Now())
	from, to := today.AddDate(0, 0, 1-defaultDays), today.AddDate(0, 0, 1) // clocks differ
	if q.Job != "" {
		j, found, err := r.Jobs.Get(ctx, q.Job)
		if err != nil {
			return q, err
		}
		if found && j.State != ledger.Rejected {
			from = dayOf(j.SubmittedAt)
			if q.Labourer == "" {
				q.Labourer = j.Labourer
			}
			if JobOf(j, nil).Finished() {
				to = dayOf(j.FinishedAt).AddDate(0, 0, 1)
			}
		}
	}
	if !q.To.IsZero() {
		to = q.To
		from = earlier(from, to)
	}
	if !q.From.IsZero() {
		from = q.From
	}
	q.From, q.To = from, to
	return q, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// filesAhead says how many files of the archive are read before they are needed. Each has the records of a batch of the stream: some megabytes at most.
const filesAhead = 4

// EachArchived visits the records of the archive that a query selects: labourer by labourer, and of each day by day. In memory are the four files that come
// next, a record at a time, and of a day the identities of the records that were visited: a record may lie in several files, and is visited once. It
// returns a [NotFoundError] if nothing was ever archived of the query's labourer, and it is not applied either.
func (r *Reader) EachArchived(ctx context.Context, q Query, visit func(archive.Record) (more bool, err error)) error {
	q, err := r.Settled(ctx, q)
	if err != nil {
		return err
	}
	labourers, err := r.archivedLabourers(ctx, q.Labourer)
	if err != nil {
		return err
	}
	for _, labourer := range labourers {
		for day := q.From; !day.After(q.To); day = day.AddDate(0, 0, 1) {
			files, err := r.Archive.List(ctx, archive.Prefix(labourer, day))
			if err != nil {
				return err
			}
			if more, err := r.eachRecord(ctx, files, q, visit); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// archivedLabourers returns the labourers of which something was archived, also those that are no longer applied; only the one that is asked for, if any is.
func (r *Reader) archivedLabourers(ctx context.Context, asked string) ([]string, error) {
	folders, err := r.Archive.Folders(ctx, archive.Root+asked)
	if err != nil {
		return nil, err
	}
	var labourers []string
	for _, folder := range folders {
		if id := archive.LabourerOf(folder); asked == "" || id == asked {
			labourers = append(labourers, id)
		}
	}
	if asked != "" && len(labourers) == 0 {
		return nil, r.Known(ctx, asked)
	}
	return labourers, nil
}

// eachRecord visits the selected records of the files of a labourer's day.
func (r *Reader) eachRecord(ctx context.Context, files []string, q Query, visit func(archive.Record) (bool, error)) (more bool, err error) {
	seed, seen := maphash.MakeSeed(), map[uint64]bool{}
	for some := range slices.Chunk(files, filesAhead) {
		bodies := make([][]byte, len(some))
		if err := each(ctx, len(some), func(ctx context.Context, i int) (err error) {
			bodies[i], err = r.Archive.Get(ctx, some[i])
			return err
		}); err != nil {
			return false, err
		}
		for i, body := range bodies {
			for record, err := range archive.Records(body) {
				if err != nil {
					return false, fmt.Errorf("file %s: %w", some[i], err)
				}
				if !q.selects(record) {
					continue
				}
				key := maphash.String(seed, fmt.Sprintf("%s/%d", record.TaskID, record.Life))
				if seen[key] {
					continue
				}
				seen[key] = true
				if more, err := visit(record); err != nil || !more {
					return false, err
				}
			}
		}
	}
	return true, nil
}

func (q Query) selects(r archive.Record) bool {
	return (q.Job == "" || r.JobID == q.Job) && (q.Status == "" || Status(r.Status) == q.Status)
}
