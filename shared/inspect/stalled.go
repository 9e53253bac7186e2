package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Stalled is a job that makes no progress by itself: what it waits for was given up after many tries and lies in a dead letter queue.
type Stalled struct {
	Job       ledger.Job
	Abandoned bool        // its tasks are not all created, and no scheduler works on it
	Uncounted []task.Task // ended tasks that the stream has to report again for the job's counts to go on
}

func (s Stalled) stalled() bool { return s.Abandoned || len(s.Uncounted) > 0 }

// Why returns the reasons for people.
func (s Stalled) Why() string {
	var reasons []string
	if s.Abandoned {
		reasons = append(reasons, fmt.Sprintf("no scheduler creates its tasks any more, %d of %d segments exist", s.Job.Cursor, s.Job.Segments()))
	}
	if n := len(s.Uncounted); n > 0 && JobOf(s.Job, nil).Finished() {
		reasons = append(reasons, "it has ended, and its end is reported again")
	} else if n > 0 {
		reasons = append(reasons, fmt.Sprintf("%s ended more than %s ago and %s not counted", Count(n, "task"), Grace, Plural(n, "is", "are")))
	}
	return fmt.Sprintf("job %s: %s", s.Job.ID, strings.Join(reasons, "; "))
}

const (
	// Late is after how long a message, or a record of the stream, has waited too long. A message that came back is received again by then.
	Late = 5 * time.Minute
	// handOver limits how long a job has no scheduler while one scheduler hands it to the next.
	handOver = 5 * time.Second
)

// Stalled returns the stalled jobs among all open jobs or, where ids are given, among those. For a finished job that is named it returns the
// last task, by which the job's end is reported again. A job that was rejected is an error, and an unknown one a [NotFoundError].
func (r *Reader) Stalled(ctx context.Context, ids ...string) ([]Stalled, error) {
	c := &census{Reader: r, places: map[string]snapshot{}}
	if len(ids) > 0 {
		named, err := r.records(ctx, ids)
		if err != nil {
			return nil, err
		}
		for i, j := range named {
			switch j.State {
			case "":
				return nil, NoJob(ids[i])
			case ledger.Rejected:
				return nil, fmt.Errorf("job %s was rejected: it has no tasks to go on with", j.ID)
			}
		}
		found, err := c.stalled(ctx, named)
		if err != nil {
			return nil, err
		}
		return r.confirm(ctx, found)
	}
	over := func(j ledger.Job) bool { return j.State == "" || JobOf(j, nil).Finished() }
	var found []Stalled
	if err := r.EachJob(ctx, func(listed []ledger.Job) (bool, error) {
		var ids []string
		for _, j := range listed {
			if !over(j) {
				ids = append(ids, j.ID)
			}
		}
		open, err := r.records(ctx, ids)
		if err != nil {
			return false, err
		}
		some, err := c.stalled(ctx, slices.DeleteFunc(open, over))
		found = append(found, some...)
		return true, err
	}); err != nil {
		return nil, err
	}
	return r.confirm(ctx, found)
}

// records reads the records of jobs, strongly consistent; an unknown job has an empty one.
func (r *Reader) records(ctx context.Context, ids []string) ([]ledger.Job, error) {
	out := make([]ledger.Job, len(ids))
	err := each(ctx, len(ids), func(ctx context.Context, i int) (err error) {
		out[i], _, err = r.Jobs.Get(ctx, ids[i])
		return err
	})
	return out, err
}

// confirm leaves out jobs that were only between two schedulers.
func (r *Reader) confirm(ctx context.Context, found []Stalled) ([]Stalled, error) {
	waited := false
	var stalled []Stalled
	for _, one := range found {
		if one.Abandoned && one.Job.OwnedUntil.IsZero() {
			if !waited {
				if err := r.Wait(ctx, handOver); err != nil {
					return nil, err
				}
				waited = true
			}
			now, _, err := r.Jobs.Get(ctx, one.Job.ID)
			if err != nil {
				return nil, err
			}
			one.Abandoned = now.State == one.Job.State && now.Cursor == one.Job.Cursor && now.OwnedUntil.IsZero()
		}
		if one.stalled() {
			stalled = append(stalled, one)
		}
	}
	return stalled, nil
}

// stalled returns the stalled ones of some jobs.
func (c *census) stalled(ctx context.Context, jobs []ledger.Job) ([]Stalled, error) {
	places := map[string]Places{}
	for _, j := range jobs {
		taken, err := c.placesOf(ctx, j.Labourer)
		if err != nil {
			return nil, err
		}
		places[j.Labourer] = taken.Places
	}
	out := make([]Stalled, len(jobs))
	err := each(ctx, len(jobs), func(ctx context.Context, i int) (err error) {
		out[i], err = c.examine(ctx, jobs[i], places[jobs[i].Labourer])
		return err
	})
	return slices.DeleteFunc(out, func(one Stalled) bool { return !one.stalled() }), err
}

// examine examines one job. places are those of its labourer.
func (c *census) examine(ctx context.Context, j ledger.Job, places Places) (one Stalled, err error) {
	one.Job = j
	before := c.Now().Add(-Late)
	one.Abandoned = j.State == ledger.Scheduling && !j.Cancelling && j.SubmittedAt.Before(before) && j.OwnedUntil.Before(before)
	one.Uncounted, err = c.uncounted(ctx, j, places)
	return one, err
}

// uncounted returns the tasks of a job that ended a while ago and that the stream has to report again for the job to go on: those that are in
// no progress; where the progress of a segment is whole but the job's totals lack it, the segment's last one; where the totals are whole, the
// job's last one. It reads the progress, and the tasks for which neither the progress nor the places account: a task may be queued or in a lease,
// or was completed under a lease, which enters it when it goes. Both may have been read earlier: tasks that ended only now are left out.
func (c *census) uncounted(ctx context.Context, j ledger.Job, places Places) ([]task.Task, error) {
	progress, err := c.Jobs.Progress(ctx, j)
	if err != nil {
		return nil, err
	}
	counted := map[segment.ID]ledger.Progress{}
	for _, p := range progress {
		counted[p.Segment] = p
	}
	underWay, done := places.Segments(), places.Done(j.ID)
	parts := published(j)
	var out []task.Task
	for i, p := range parts {
		is := counted[p.segment]
		missing := p.numbers
		for _, status := range []Status{Completed, Dead, Cancelled} {
			missing = missing.Minus(endedAs(is, status))
		}
		switch {
		case !missing.Empty() && !JobOf(j, nil).Finished():
			ended, err := c.endedOf(ctx, j, part{p.segment, missing.Minus(underWay[p.segment]).Minus(done[p.segment])})
			if err != nil {
				return nil, err
			}
			out = append(out, ended...)
		case missing.Empty() && (is.Counts() != is.Rolled || j.Open() == 0 && i == len(parts)-1):
			ended, err := c.endedOf(ctx, j, p)
			if err != nil {
				return nil, err
			}
			if len(ended) == p.numbers.Len() { // else the last one has ended only now
				out = append(out, ended[0])
			}
		}
	}
	return out, nil
}

// endedOf returns those tasks that ended a while ago. It leaves out tasks that only wait to be deleted: the progress that counted them may be
// deleted already.
func (c *census) endedOf(ctx context.Context, j ledger.Job, p part) ([]task.Task, error) {
	tasks, err := c.Tasks.Range(ctx, p.segment, p.numbers)
	if err != nil {
		return nil, err
	}
	now := c.Now()
	return slices.DeleteFunc(tasks, func(t task.Task) bool {
		recent, outlived := !t.ClosedAt.Before(now.Add(-Grace)), !t.ClosedAt.AddDate(0, 0, c.RetentionDays).After(now)
		return t.JobID != j.ID || !t.Status.Terminal() || recent || outlived
	}), nil
}
