package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
	"github.com/drover-run/drover/shared/view"
)

// standstill is a job that does not get on by itself: what it waits for was given up, after many tries, and lies among the dead letters.
type standstill struct {
	job       ledger.Job
	abandoned bool        // its tasks are being created, and nobody is at it
	uncounted []task.Task // tasks that ended a while ago, by which its counts would get on
}

func (s standstill) still() bool { return s.abandoned || len(s.uncounted) > 0 }

// why is for people.
func (s standstill) why() string {
	var reasons []string
	if s.abandoned {
		reasons = append(reasons, fmt.Sprintf("nobody creates its tasks any more, %d of %d segments are there", s.job.Cursor, s.job.Segments()))
	}
	if n := len(s.uncounted); n > 0 && view.JobOf(s.job, nil).Finished() {
		reasons = append(reasons, "it has ended, and is told of again")
	} else if n > 0 {
		reasons = append(reasons, fmt.Sprintf("%d tasks ended more than %s ago and are not counted", n, overdue))
	}
	return fmt.Sprintf("job %s: %s", s.job.ID, strings.Join(reasons, "; "))
}

// secondLook is how long a job is nobody's at most while one scheduler hands it on to the next.
const secondLook = 5 * time.Second

// standstills finds the jobs that stand still among all that have not ended, or among those that are named. Of a finished one that is named it
// takes the last task, by which its end is told again.
func (s *shell) standstills(ctx context.Context, st *stack, names []string) ([]standstill, error) {
	c := &census{stack: st, now: s.now, places: map[string]snapshot{}}
	if len(names) > 0 {
		named, err := st.records(ctx, names)
		if err != nil {
			return nil, err
		}
		for i, j := range named {
			switch j.State {
			case "":
				return nil, noJob(names[i])
			case ledger.Rejected:
				return nil, fmt.Errorf("job %s was rejected: there is nothing of it that could get on", j.ID)
			}
		}
		found, err := c.standstills(ctx, named)
		if err != nil {
			return nil, err
		}
		return s.lookAgain(ctx, st, found)
	}
	over := func(j ledger.Job) bool { return j.State == "" || view.JobOf(j, nil).Finished() }
	var found []standstill
	if err := st.eachJob(ctx, s.now(), func(listed []ledger.Job) (bool, error) {
		var ids []string
		for _, j := range listed {
			if !over(j) {
				ids = append(ids, j.ID)
			}
		}
		open, err := st.records(ctx, ids)
		if err != nil {
			return false, err
		}
		still, err := c.standstills(ctx, slices.DeleteFunc(open, over))
		found = append(found, still...)
		return true, err
	}); err != nil {
		return nil, err
	}
	return s.lookAgain(ctx, st, found)
}

// records are those of jobs, strongly consistent; empty where there is none.
func (s *stack) records(ctx context.Context, ids []string) ([]ledger.Job, error) {
	out := make([]ledger.Job, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, id := range ids {
		g.Go(func() (err error) {
			out[i], _, err = s.jobs.Get(ctx, id)
			return err
		})
	}
	return out, g.Wait()
}

// lookAgain leaves out jobs that were only between two schedulers.
func (s *shell) lookAgain(ctx context.Context, st *stack, found []standstill) ([]standstill, error) {
	waited := false
	var still []standstill
	for _, one := range found {
		if one.abandoned && one.job.OwnedUntil.IsZero() {
			if !waited {
				if err := s.wait(ctx, secondLook); err != nil {
					return nil, err
				}
				waited = true
			}
			now, _, err := st.jobs.Get(ctx, one.job.ID)
			if err != nil {
				return nil, err
			}
			one.abandoned = now.State == one.job.State && now.Cursor == one.job.Cursor && now.OwnedUntil.IsZero()
		}
		if one.still() {
			still = append(still, one)
		}
	}
	return still, nil
}

// standstills are those among some jobs that stand still.
func (c *census) standstills(ctx context.Context, jobs []ledger.Job) ([]standstill, error) {
	underWay := map[string]map[segment.ID]segment.Numbers{}
	for _, j := range jobs {
		places, err := c.placesOf(ctx, j.Labourer)
		if err != nil {
			return nil, err
		}
		underWay[j.Labourer] = places.places.Segments()
	}
	each := make([]standstill, len(jobs))
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, j := range jobs {
		g.Go(func() (err error) {
			each[i], err = c.standstill(reading, j, underWay[j.Labourer])
			return err
		})
	}
	err := g.Wait()
	return slices.DeleteFunc(each, func(one standstill) bool { return !one.still() }), err
}

// standstill looks at one job. underWay is which tasks of its labourer are held by leases or wait in the queue.
func (c *census) standstill(ctx context.Context, j ledger.Job, underWay map[segment.ID]segment.Numbers) (one standstill, err error) {
	one.job = j
	before := c.now().Add(-late) // a message that came back is taken up by then
	one.abandoned = j.State == ledger.Scheduling && !j.Cancelling && j.SubmittedAt.Before(before) && j.OwnedUntil.Before(before)
	one.uncounted, err = c.uncounted(ctx, j, underWay)
	return one, err
}

// uncounted are tasks of a job that reached their end a while ago, and of which the stream has to tell again for the job to get on: those that
// are in no progress; where all of a segment are, but not in the job's totals, the last of them; where the totals are whole, the last of the job.
// It reads the progress, and the tasks for which neither that nor underWay accounts; that was read before is no matter, as who ended only now is left out.
func (c *census) uncounted(ctx context.Context, j ledger.Job, underWay map[segment.ID]segment.Numbers) ([]task.Task, error) {
	progress, err := c.jobs.Progress(ctx, j)
	if err != nil {
		return nil, err
	}
	counted := map[segment.ID]ledger.Progress{}
	for _, p := range progress {
		counted[p.Segment] = p
	}
	parts := published(j)
	var out []task.Task
	for i, p := range parts {
		is := counted[p.segment]
		missing := p.numbers
		for _, status := range []view.Status{view.Completed, view.Dead, view.Cancelled} {
			missing = missing.Minus(endedAs(is, status))
		}
		switch {
		case !missing.Empty() && !view.JobOf(j, nil).Finished():
			ended, err := c.endedOf(ctx, j, part{p.segment, missing.Minus(underWay[p.segment])})
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

// endedOf are those tasks that reached their end a while ago. Those that only wait to be deleted are left out: what counted them may be deleted
// already.
func (c *census) endedOf(ctx context.Context, j ledger.Job, p part) ([]task.Task, error) {
	tasks, err := c.tasks.Range(ctx, p.segment, p.numbers)
	if err != nil {
		return nil, err
	}
	now, days := c.now(), retentionDays(c.Parameters["RetentionDays"])
	var out []task.Task
	for _, t := range tasks {
		if t.JobID == j.ID && t.Status.Terminal() && t.ClosedAt.Before(now.Add(-overdue)) && t.ClosedAt.AddDate(0, 0, days).After(now) {
			out = append(out, t)
		}
	}
	return out, nil
}

// retentionDays is for how many days the tables keep what has ended, by the stack's parameter.
func retentionDays(parameter string) int {
	if days, err := strconv.Atoi(parameter); err == nil {
		return days
	}
	return defaultRetention
}
