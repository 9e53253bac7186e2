package sosw

import (
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Change is a task that ends when it is published.
type Change struct{ Before, After task.Task }

// Publication says what one transaction makes of stored tasks, in the order of their numbers: the first of them get into queue entries, or end.
type Publication struct {
	Tasks   int // how many, from the first on
	Entries []queue.Entry
	Ended   []Change  // dead, as their attempts are used up; cancelled, as their row was not theirs to take
	Last    time.Time // the latest due time that is not a retry's
}

// Publish decides on tasks of one segment whose numbers follow each other. taken says which rows are marked for them: these tasks are Drover's
// now. The others stay sosw's, and their numbers are spent on cancelled tasks. last is the latest due time published so far; entries of the
// queue are due after it, at least a millisecond apart, and so are claimed in the order of the rows.
func Publish(stored []task.Task, taken map[task.ID]bool, maxAttempts int, now, last time.Time) Publication {
	p := Publication{Last: last}
	for _, t := range stored {
		if len(p.Entries)+len(p.Ended) == task.MostTogether {
			break
		}
		switch {
		case !taken[t.ID]:
			p.end(t, task.Task.Cancel, now)
		case t.Origin.Expired && t.Attempt >= maxAttempts:
			spent := func(t task.Task, at time.Time) (task.Task, error) {
				t.Status = task.Expired
				return t.Kill(at)
			}
			p.end(t, spent, now)
		default:
			p.queue(t, now)
		}
		p.Tasks++
	}
	return p
}

func (p *Publication) end(t task.Task, how func(task.Task, time.Time) (task.Task, error), now time.Time) {
	after, err := how(t, now)
	if err != nil {
		after = t // it has ended already: another run of the move was here
	}
	p.Ended = append(p.Ended, Change{t, after})
}

// queue adds a task to the last entry, or to a new one if it is due at another time or for another attempt.
func (p *Publication) queue(t task.Task, now time.Time) {
	retry := Table(t.Origin.Table) == Retries
	launch := time.Unix(t.Origin.Place, 0).UTC()
	if n := len(p.Entries) - 1; n >= 0 {
		e := &p.Entries[n]
		if e.Attempt == t.Attempt+1 && (retry && e.Due.Equal(launch) || !retry && e.Due.Equal(p.Last)) {
			e.Tasks = e.Tasks.Union(segment.Of(t.ID.N))
			return
		}
	}
	due := launch
	if !retry {
		due = now.UTC().Truncate(time.Millisecond)
		if !due.After(p.Last) {
			due = p.Last.Add(time.Millisecond)
		}
		p.Last = due
	}
	p.Entries = append(p.Entries, queue.Entry{Labourer: t.Labourer, Due: due, Segment: t.ID.Segment, First: t.ID.N, Tasks: segment.Of(t.ID.N), Job: t.JobID, Attempt: t.Attempt + 1})
}
