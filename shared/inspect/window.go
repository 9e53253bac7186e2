package inspect

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

// Window is a part of a list. An empty window that is truncated does not mean that nothing matches: the rest was not looked at.
type Window[T any] struct {
	Items     []T    `json:"items"`
	Next      string `json:"next,omitempty"` // where the next window begins; absent in the last one
	Truncated bool   `json:"truncated"`      // the list goes on
}

const (
	// WindowSize applies where no number of items is given.
	WindowSize = 50
	// WindowMost limits how many items a window may have.
	WindowMost = 500
	// jobsSearched limits how many jobs are looked at for one window.
	jobsSearched = 1000
)

// PlaceError says that a window cannot begin at a place.
type PlaceError struct{ Place string }

func (e *PlaceError) Error() string {
	return fmt.Sprintf("%q is no place in this list; begin with its first window", e.Place)
}

// JobSelection says which jobs are wanted. An empty field selects all.
type JobSelection struct {
	Labourer string
	State    ledger.State
}

func (s JobSelection) selects(j ledger.Job) bool {
	return (s.Labourer == "" || j.Labourer == s.Labourer) && (s.State == "" || j.State == s.State)
}

// JobWindow returns the next selected jobs behind a place, the newest first. It looks at up to 1,000 jobs. Each line is as [Reader.JobLine] has it.
func (r *Reader) JobWindow(ctx context.Context, of JobSelection, after string, limit int) (Window[Job], error) {
	out := Window[Job]{Items: []Job{}}
	from, err := r.markOf(ctx, after)
	if err != nil {
		return out, err
	}
	var found []ledger.Job
	left, err := r.walk(ctx, from, false, func(j ledger.Job) (bool, error) {
		if of.selects(j) {
			found = append(found, j)
		}
		return len(found) <= limit, nil
	})
	if err != nil {
		return out, err
	}
	if len(found) > limit {
		found = found[:limit]
		left = found[limit-1].Mark()
	}
	if left != (ledger.Mark{}) {
		out.Next, out.Truncated = "job:"+left.JobID, true
	}
	lines, err := r.JobLines(ctx, found)
	out.Items = append(out.Items, lines...)
	return out, err
}

// markOf returns the mark of a place in a list of jobs: "job:ID", or "" for its begin.
func (r *Reader) markOf(ctx context.Context, place string) (ledger.Mark, error) {
	if place == "" {
		return ledger.Mark{}, nil
	}
	id, is := strings.CutPrefix(place, "job:")
	if !is {
		return ledger.Mark{}, &PlaceError{place}
	}
	j, found, err := r.Jobs.Get(ctx, id)
	if err == nil && !found {
		err = &PlaceError{place}
	}
	return j.Mark(), err
}

// walk visits up to 1,000 jobs behind a mark, or with it, the newest first. It returns the mark of the last one if it did not reach the end.
func (r *Reader) walk(ctx context.Context, from ledger.Mark, with bool, visit func(ledger.Job) (more bool, err error)) (ledger.Mark, error) {
	newest := monthOf(r.Now()).AddDate(0, 1, 0) // clocks differ
	if from != (ledger.Mark{}) {
		newest = monthOf(from.SubmittedAt)
	}
	if with && from != (ledger.Mark{}) {
		j, found, err := r.Jobs.Get(ctx, from.JobID)
		if err != nil {
			return from, err
		}
		if found {
			if more, err := visit(j); err != nil || !more {
				return j.Mark(), err
			}
		}
	}
	searched := 0
	for month := newest; !month.Before(r.oldest()); month = month.AddDate(0, -1, 0) {
		for after := from; ; {
			ids, err := r.Jobs.Recent(ctx, month, after, jobsRead)
			if err != nil {
				return from, err
			}
			records, err := r.Jobs.GetAll(ctx, ids)
			if err != nil {
				return from, err
			}
			for _, j := range records {
				after, from = j.Mark(), j.Mark()
				if more, err := visit(j); err != nil || !more {
					return from, err
				}
			}
			if searched += len(ids); searched >= jobsSearched {
				return from, nil
			}
			if len(ids) < jobsRead || len(records) == 0 {
				break
			}
		}
		from = ledger.Mark{}
	}
	return ledger.Mark{}, nil
}

// oldest returns the month of the oldest jobs that the stack may keep.
func (r *Reader) oldest() time.Time {
	oldest := monthOf(r.Now()).AddDate(0, -1, 0)
	if created := monthOf(r.Created); !r.Created.IsZero() && created.Before(oldest) {
		oldest = created
	}
	return oldest
}

// TaskWindow returns the next selected tasks behind a place: "task:ID", or "" for the begin of the list. The selection names a job, or the status of
// an ended task; then tasks of the newest jobs come first, and up to 1,000 jobs are looked at. It returns a [NotFoundError] for an unknown job or
// labourer.
func (r *Reader) TaskWindow(ctx context.Context, of Selection, after string, limit int) (Window[Sighting], error) {
	c := &census{Reader: r, of: of, places: map[string]snapshot{}, window: limit + 1}
	from, err := c.begin(ctx, after)
	out := Window[Sighting]{Items: []Sighting{}}
	if err != nil {
		return out, err
	}
	visit := func(s Sighting) (bool, error) { //nolint:unparam // it is a Visit
		if len(out.Items) == limit {
			out.Truncated, out.Next = true, "task:"+out.Items[limit-1].Task.ID.String()
			return false, nil
		}
		out.Items = append(out.Items, s)
		return true, nil
	}
	switch {
	case of.Job != "" && of.Status != "" && !of.Status.Ended():
		return out, c.open(ctx, visit)
	case of.Job != "":
		return out, c.eachJob(ctx, func(j ledger.Job) (bool, error) { return c.ofJob(ctx, j, visit) })
	}
	if of.Labourer != "" {
		if err := r.Known(ctx, of.Labourer); err != nil {
			return out, err
		}
	}
	left, err := r.walk(ctx, from, strings.HasPrefix(after, "task:"), func(j ledger.Job) (bool, error) {
		if of.Labourer != "" && j.Labourer != of.Labourer {
			return true, nil
		}
		more, err := c.ofJob(ctx, j, visit)
		c.after = task.ID{}
		return more, err
	})
	if err == nil && left != (ledger.Mark{}) && !out.Truncated {
		out.Truncated, out.Next = true, "job:"+left.JobID
	}
	return out, err
}

// begin finds where a window begins, and returns the mark of the job there.
func (c *census) begin(ctx context.Context, place string) (ledger.Mark, error) {
	name, is := strings.CutPrefix(place, "task:")
	if !is {
		return c.markOf(ctx, place)
	}
	id, err := task.ParseID(name)
	if err != nil {
		return ledger.Mark{}, &PlaceError{place}
	}
	if c.after = id; c.of.Job != "" {
		return ledger.Mark{}, nil
	}
	found, err := c.Tasks.Load(ctx, []task.ID{id})
	if err != nil {
		return ledger.Mark{}, err
	}
	return c.markOf(ctx, "job:"+found[id].JobID)
}

// CountDead returns how many tasks of a job, or of a labourer, can be replayed now. It goes by the counts of jobs, and reads no task.
func (r *Reader) CountDead(ctx context.Context, job, labourer string) (int, error) {
	sum := 0
	add := func(records []ledger.Job) (bool, error) {
		records = slices.DeleteFunc(records, func(j ledger.Job) bool {
			return labourer != "" && j.Labourer != labourer || !j.Revivable() || JobOf(j, nil).Finished() && j.Counts.Dead == 0
		})
		lines, err := r.lines(ctx, records, math.MaxInt, nil)
		for _, line := range lines {
			sum += line.Dead
		}
		return true, err
	}
	if job == "" {
		if err := r.Known(ctx, labourer); err != nil {
			return 0, err
		}
		err := r.EachJob(ctx, add)
		return sum, err
	}
	j, found, err := r.Jobs.Get(ctx, job)
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, NoJob(job)
	}
	_, err = add([]ledger.Job{j})
	return sum, err
}
