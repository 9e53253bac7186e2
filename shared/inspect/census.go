package inspect

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Selection says which tasks are wanted. An empty field selects all.
type Selection struct {
	Job      string
	Labourer string
	Status   Status
}

// Sighting is a task with what held it at a time.
type Sighting struct {
	Task  task.Task
	Place Place
	At    time.Time
}

// Line returns the line of the task.
func (s Sighting) Line() Task { return TaskOf(s.Task, s.Place, s.At) }

// Visit receives the tasks one by one. It returns false to end the reading.
type Visit func(Sighting) (more bool, err error)

// EachTask visits the selected tasks: those of the newest jobs first or, where the status is one of an open task, in the order of segments. It
// returns a [NotFoundError] for an unknown job or labourer.
//
// No index lists tasks. A job's record says in which segments they lie, its progress and the leases which have ended and how, leases and entries
// which have not. So a selection reads about as much as it finds, and nothing scans a table.
func (r *Reader) EachTask(ctx context.Context, of Selection, visit Visit) error {
	c := &census{Reader: r, of: of, places: map[string]snapshot{}}
	if of.Status != "" && !of.Status.Ended() {
		return c.open(ctx, visit)
	}
	found := false
	err := c.eachJob(ctx, func(j ledger.Job) (bool, error) {
		found = true
		return c.ofJob(ctx, j, visit)
	})
	if err == nil && !found && of.Labourer != "" {
		err = r.Known(ctx, of.Labourer)
	}
	return err
}

// census is one reading of tasks.
type census struct {
	*Reader
	of     Selection
	places map[string]snapshot // by labourer

	// A census for a window of a list reads few tasks at a time, and always goes by the progress. It begins behind a task of the job that it visits
	// first.
	window int     // how many tasks are read at a time; 0: it is no window
	after  task.ID // the zero ID: it begins with the first task
}

// snapshot says where the tasks of a labourer were at a time.
type snapshot struct {
	Places
	at time.Time
}

// eachJob visits the selected jobs.
func (c *census) eachJob(ctx context.Context, visit func(ledger.Job) (more bool, err error)) error {
	if c.of.Job != "" {
		j, found, err := c.Jobs.Get(ctx, c.of.Job)
		if err != nil {
			return err
		}
		if !found {
			return NoJob(c.of.Job)
		}
		if c.of.Labourer != "" && j.Labourer != c.of.Labourer {
			return c.Known(ctx, c.of.Labourer)
		}
		_, err = visit(j)
		return err
	}
	return c.EachJob(ctx, func(records []ledger.Job) (bool, error) {
		for _, j := range records {
			if c.of.Labourer != "" && j.Labourer != c.of.Labourer {
				continue
			}
			if more, err := visit(j); err != nil || !more {
				return false, err
			}
		}
		return true, nil
	})
}

// part is some tasks of a segment.
type part struct {
	segment segment.ID
	numbers segment.Numbers
}

// ofJob visits the selected tasks of one job.
func (c *census) ofJob(ctx context.Context, j ledger.Job, visit Visit) (bool, error) {
	if j.State == ledger.Rejected {
		return true, nil
	}
	finished := JobOf(j, nil).Finished()
	if c.of.Status != "" && finished && countOf(j.Counts, c.of.Status) == 0 {
		return true, nil
	}
	parts := published(j)
	// The progress is written after the tasks. While it is not final, the tasks themselves are read, unless they are too many.
	if c.of.Status != "" && (finished || len(parts) > exactSegments || c.window > 0) {
		var leased snapshot
		if !finished {
			var err error
			if leased, err = c.placesOf(ctx, j.Labourer); err != nil {
				return false, err
			}
		}
		progress, err := c.progress(ctx, j, leased.Places)
		if err != nil {
			return false, err
		}
		ended := map[segment.ID]segment.Numbers{}
		for _, p := range progress {
			ended[p.Segment] = endedAs(p, c.of.Status)
		}
		for i := range parts {
			parts[i].numbers = parts[i].numbers.Intersect(ended[parts[i].segment])
		}
	}
	return c.read(ctx, parts, j.Labourer, func(s Sighting) (bool, error) {
		if s.Task.JobID != j.ID {
			return true, nil
		}
		return visit(s)
	})
}

func countOf(c ledger.Counts, status Status) int {
	switch status {
	case Completed:
		return c.Completed
	case Dead:
		return c.Dead
	default:
		return c.Cancelled
	}
}

// endedAs returns the tasks of a segment whose last end was this one.
func endedAs(p ledger.Progress, status Status) segment.Numbers {
	switch status {
	case Completed:
		return ledger.Numbers(p.Completed)
	case Dead:
		return ledger.Numbers(p.StillDead())
	default:
		return ledger.Numbers(p.Cancelled)
	}
}

// published returns where the created tasks of a job lie.
func published(j ledger.Job) []part {
	var parts []part
	for ordinal := range min(j.Cursor, j.Segments()) {
		id, numbers := j.SegmentAt(ordinal)
		parts = append(parts, part{id, numbers})
	}
	return parts
}

// open visits the selected tasks that leases and entries hold.
func (c *census) open(ctx context.Context, visit Visit) error {
	labourers := []string{c.of.Labourer}
	var mine map[segment.ID]segment.Numbers
	switch {
	case c.of.Job != "":
		mine = map[segment.ID]segment.Numbers{}
		if err := c.eachJob(ctx, func(j ledger.Job) (bool, error) {
			labourers = []string{j.Labourer}
			for _, p := range published(j) {
				mine[p.segment] = p.numbers
			}
			return true, nil
		}); err != nil {
			return err
		}
	case c.of.Labourer == "":
		var err error
		if labourers, _, err = c.Registry.Names(ctx); err != nil {
			return err
		}
	default:
		if err := c.Known(ctx, c.of.Labourer); err != nil {
			return err
		}
	}
	for _, l := range labourers {
		places, err := c.placesOf(ctx, l)
		if err != nil {
			return err
		}
		segments := places.Segments()
		var parts []part
		for _, id := range slices.Sorted(maps.Keys(segments)) {
			numbers := segments[id]
			if mine != nil {
				numbers = numbers.Intersect(mine[id])
			}
			parts = append(parts, part{id, numbers})
		}
		more, err := c.read(ctx, parts, l, visit)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// read reads tasks, some segments at a time, and visits those that are selected.
func (c *census) read(ctx context.Context, parts []part, labourer string, visit Visit) (bool, error) {
	parts = c.behind(slices.DeleteFunc(parts, func(p part) bool { return p.numbers.Empty() }))
	for some := range c.steps(parts) {
		// Places are read before tasks: if a task moves on in between, its newer item says so.
		places := snapshot{at: c.Now()}
		if labourer != "" && (c.of.Status == "" || !c.of.Status.Ended()) {
			var err error
			if places, err = c.placesOf(ctx, labourer); err != nil {
				return false, err
			}
		}
		tasks := make([][]task.Task, len(some))
		if err := each(ctx, len(some), func(ctx context.Context, i int) (err error) {
			tasks[i], err = c.tasksOf(ctx, some[i])
			return err
		}); err != nil {
			return false, err
		}
		for _, t := range slices.Concat(tasks...) {
			s := Sighting{t, places.Of(t), c.Now()}
			if !c.selects(s) {
				continue
			}
			if more, err := visit(s); err != nil || !more {
				return false, err
			}
		}
	}
	return true, nil
}

// sparse says from which share of a segment's tasks on, one in so many, they are read one by one, and not with all between them.
const sparse = 4

// tasksOf reads the tasks of a part, in the order of their numbers.
func (c *census) tasksOf(ctx context.Context, p part) ([]task.Task, error) {
	if span := p.numbers.Max() - p.numbers.Min() + 1; p.numbers.Len()*sparse > span {
		return c.Tasks.Range(ctx, p.segment, p.numbers)
	}
	ids := make([]task.ID, 0, p.numbers.Len())
	for n := range p.numbers.All() {
		ids = append(ids, task.ID{Segment: p.segment, N: n})
	}
	found, err := c.Tasks.Load(ctx, ids)
	var out []task.Task
	for _, id := range ids {
		if t, is := found[id]; is {
			out = append(out, t)
		}
	}
	return out, err
}

// behind returns the parts without what is before the place where a window begins. Only the first reading has such a place.
func (c *census) behind(parts []part) []part {
	if c.after == (task.ID{}) {
		return parts
	}
	at := slices.IndexFunc(parts, func(p part) bool { return p.segment == c.after.Segment })
	if at < 0 {
		return parts
	}
	rest := slices.Clone(parts[at:])
	rest[0].numbers = rest[0].numbers.Minus(segment.Range(0, c.after.N))
	c.after = task.ID{}
	return slices.DeleteFunc(rest, func(p part) bool { return p.numbers.Empty() })
}

// steps yields the parts that are read at the same time: of a window as many tasks as it may read, else those of some segments.
func (c *census) steps(parts []part) iter.Seq[[]part] {
	if c.window == 0 {
		return slices.Chunk(parts, concurrentReads)
	}
	return func(yield func([]part) bool) {
		for len(parts) > 0 {
			var some []part
			for room := c.window; room > 0 && len(parts) > 0 && len(some) < concurrentReads; {
				now := part{parts[0].segment, parts[0].numbers.First(room)}
				some, room = append(some, now), room-now.numbers.Len()
				if parts[0].numbers = parts[0].numbers.Minus(now.numbers); parts[0].numbers.Empty() {
					parts = parts[1:]
				}
			}
			if !yield(some) {
				return
			}
		}
	}
}

func (c *census) selects(s Sighting) bool {
	return (c.of.Job == "" || s.Task.JobID == c.of.Job) && (c.of.Status == "" || StatusOf(s.Task, s.Place, s.At) == c.of.Status)
}

// placesAge limits how old a labourer's leases and entries may be before they are read again.
const placesAge = 2 * time.Second

func (c *census) placesOf(ctx context.Context, labourer string) (snapshot, error) {
	if known, ok := c.places[labourer]; ok && c.Now().Sub(known.at) < placesAge {
		return known, nil
	}
	now := c.Now()
	leases, err := c.Control.Leases(ctx, labourer)
	if err != nil {
		return snapshot{}, err
	}
	entries, err := c.Control.Queue(ctx, labourer)
	if err != nil {
		return snapshot{}, fmt.Errorf("looking for the tasks of labourer %s, %w", labourer, err)
	}
	taken := snapshot{PlacesOf(leases, entries), now}
	c.places[labourer] = taken
	return taken, nil
}
