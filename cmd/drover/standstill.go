package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

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
	var found []standstill
	look := func(id string) error {
		one, err := c.standstill(ctx, id)
		if err == nil && one.still() {
			found = append(found, one)
		}
		return err
	}
	if len(names) > 0 {
		for _, id := range names {
			if err := look(id); err != nil {
				return nil, err
			}
		}
	} else if err := st.eachJob(ctx, s.now(), func(records []ledger.Job) (bool, error) {
		for _, j := range records {
			if view.JobOf(j, nil).Finished() {
				continue
			}
			if err := look(j.ID); err != nil {
				return false, err
			}
		}
		return true, nil
	}); err != nil {
		return nil, err
	}
	return s.lookAgain(ctx, st, found)
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

// standstill looks at one job, which has to be there.
func (c *census) standstill(ctx context.Context, id string) (standstill, error) {
	j, found, err := c.jobs.Get(ctx, id)
	if err != nil {
		return standstill{}, err
	}
	if !found {
		return standstill{}, noJob(id)
	}
	one := standstill{job: j}
	if j.State == ledger.Rejected {
		return one, nil
	}
	before := c.now().Add(-late) // a message that came back is taken up by then
	one.abandoned = j.State == ledger.Scheduling && !j.Cancelling && j.SubmittedAt.Before(before) && j.OwnedUntil.Before(before)
	one.uncounted, err = c.uncounted(ctx, j)
	return one, err
}

// uncounted are tasks of a job that reached their end a while ago, and of which the stream has to tell again for the job to get on: those that
// are in no progress; where all of a segment are, but not in the job's totals, the last of them; where the totals are whole, the last of the job.
// It reads the progress, and the tasks that neither that nor a lease or the queue accounts for.
func (c *census) uncounted(ctx context.Context, j ledger.Job) ([]task.Task, error) {
	progress, err := c.jobs.Progress(ctx, j)
	if err != nil {
		return nil, err
	}
	counted := map[segment.ID]ledger.Progress{}
	for _, p := range progress {
		counted[p.Segment] = p
	}
	places, err := c.placesOf(ctx, j.Labourer)
	if err != nil {
		return nil, err
	}
	underWay := places.places.Segments()
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
