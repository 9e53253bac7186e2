package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
	"github.com/drover-run/drover/shared/view"
)

// census goes through tasks. No index lists them: a job's record says which segments they lie in, its progress which have ended and how,
// and leases and entries which have not. So each question reads about as much as it has answers, and nothing scans a table.
type census struct {
	*stack
	now func() time.Time

	job, labourer string      // only tasks of; "": of all
	status        view.Status // only tasks that stand there; "": wherever

	places map[string]snapshot // by labourer
}

// snapshot is where the tasks of a labourer were at a time.
type snapshot struct {
	places view.Places
	at     time.Time
}

// sight is a task and what held it, and when both were looked at.
type sight struct {
	task  task.Task
	place view.Place
	at    time.Time
}

func (s sight) line() view.Task { return view.TaskOf(s.task, s.place, s.at) }

// visit gets each task that was asked for; more is false when it wants no further one.
type visit func(sight) (more bool, err error)

// each goes through the tasks that are asked for: those of the newest jobs first, but those that have not ended in the order of segments
// when they alone are asked for. An unknown job or labourer is an error.
func (c *census) each(ctx context.Context, see visit) error {
	c.places = map[string]snapshot{}
	if c.status != "" && !c.status.Ended() {
		return c.open(ctx, see)
	}
	found := false
	err := c.eachJob(ctx, func(j ledger.Job) (bool, error) {
		found = true
		return c.ofJob(ctx, j, see)
	})
	if err == nil && !found && c.labourer != "" {
		err = c.known(ctx, c.labourer)
	}
	return err
}

// eachJob goes through the jobs that are asked for.
func (c *census) eachJob(ctx context.Context, see func(ledger.Job) (more bool, err error)) error {
	if c.job != "" {
		j, found, err := c.jobs.Get(ctx, c.job)
		if err != nil {
			return err
		}
		if !found {
			return noJob(c.job)
		}
		if c.labourer != "" && j.Labourer != c.labourer {
			return c.known(ctx, c.labourer)
		}
		_, err = see(j)
		return err
	}
	return c.stack.eachJob(ctx, c.now(), func(records []ledger.Job) (bool, error) {
		for _, j := range records {
			if c.labourer != "" && j.Labourer != c.labourer {
				continue
			}
			if more, err := see(j); err != nil || !more {
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

// ofJob goes through the tasks of one job.
func (c *census) ofJob(ctx context.Context, j ledger.Job, see visit) (bool, error) {
	if j.State == ledger.Rejected {
		return true, nil
	}
	if c.status != "" && view.JobOf(j, nil).Finished() && countOf(j.Counts, c.status) == 0 {
		return true, nil
	}
	parts := published(j)
	// The progress is written some time after the tasks themselves: where it is not final yet, a job's tasks are looked at themselves, as far
	// as they are not too many.
	if c.status != "" && (view.JobOf(j, nil).Finished() || len(parts) > exactSegments) {
		progress, err := c.jobs.Progress(ctx, j)
		if err != nil {
			return false, err
		}
		ended := map[segment.ID]segment.Numbers{}
		for _, p := range progress {
			ended[p.Segment] = endedAs(p, c.status)
		}
		for i := range parts {
			parts[i].numbers = parts[i].numbers.Intersect(ended[parts[i].segment])
		}
	}
	return c.through(ctx, parts, j.Labourer, func(s sight) (bool, error) {
		if s.task.JobID != j.ID {
			return true, nil
		}
		return see(s)
	})
}

func countOf(c ledger.Counts, status view.Status) int {
	switch status {
	case view.Completed:
		return c.Completed
	case view.Dead:
		return c.Dead
	default:
		return c.Cancelled
	}
}

// endedAs is which tasks of a segment have come to this end, and to no later one.
func endedAs(p ledger.Progress, status view.Status) segment.Numbers {
	switch status {
	case view.Completed:
		return ledger.Numbers(p.Completed)
	case view.Dead:
		return ledger.Numbers(p.StillDead())
	default:
		return ledger.Numbers(p.Cancelled)
	}
}

// published is where the tasks of a job lie that have been created.
func published(j ledger.Job) []part {
	var parts []part
	for ordinal := range min(j.Cursor, j.Segments()) {
		id, numbers := j.SegmentAt(ordinal)
		parts = append(parts, part{id, numbers})
	}
	return parts
}

// open goes through the tasks that stand in leases and entries.
func (c *census) open(ctx context.Context, see visit) error {
	labourers := []string{c.labourer}
	var mine map[segment.ID]segment.Numbers
	switch {
	case c.job != "":
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
	case c.labourer == "":
		all, err := c.registry.All(ctx, false)
		if err != nil {
			return err
		}
		labourers = slices.Sorted(maps.Keys(all.Labourers))
	default:
		if err := c.known(ctx, c.labourer); err != nil {
			return err
		}
	}
	for _, l := range labourers {
		places, err := c.placesOf(ctx, l)
		if err != nil {
			return err
		}
		segments := places.places.Segments()
		var parts []part
		for _, id := range slices.Sorted(maps.Keys(segments)) {
			numbers := segments[id]
			if mine != nil {
				numbers = numbers.Intersect(mine[id])
			}
			parts = append(parts, part{id, numbers})
		}
		more, err := c.through(ctx, parts, l, see)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// through reads tasks, some segments at a time, and hands on those that stand where it was asked for.
func (c *census) through(ctx context.Context, parts []part, labourer string, see visit) (bool, error) {
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.numbers.Empty() })
	for some := range slices.Chunk(parts, readers) {
		// Before the tasks: one that moves on in between is seen with its newer item, which tells.
		places := snapshot{at: c.now()}
		if labourer != "" && c.mayBeOpen() {
			var err error
			if places, err = c.placesOf(ctx, labourer); err != nil {
				return false, err
			}
		}
		read := make([][]task.Task, len(some))
		g, reading := errgroup.WithContext(ctx)
		for i, p := range some {
			g.Go(func() (err error) {
				read[i], err = c.tasks.Range(reading, p.segment, p.numbers)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return false, err
		}
		for _, tasks := range read {
			for _, t := range tasks {
				s := sight{t, places.places.Of(t), c.now()}
				if !c.asksFor(s) {
					continue
				}
				if more, err := see(s); err != nil || !more {
					return false, err
				}
			}
		}
	}
	return true, nil
}

func (c *census) mayBeOpen() bool { return c.status == "" || !c.status.Ended() }

func (c *census) asksFor(s sight) bool {
	return (c.job == "" || s.task.JobID == c.job) && (c.status == "" || view.StatusOf(s.task, s.place, s.at) == c.status)
}

// lasting is how long a labourer's leases and entries are used before they are read again.
const lasting = 2 * time.Second

func (c *census) placesOf(ctx context.Context, labourer string) (snapshot, error) {
	if known, ok := c.places[labourer]; ok && c.now().Sub(known.at) < lasting {
		return known, nil
	}
	now := c.now()
	leases, err := c.control.Leases(ctx, labourer)
	if err != nil {
		return snapshot{}, err
	}
	entries, err := c.control.Queue(ctx, labourer)
	if err != nil {
		return snapshot{}, fmt.Errorf("looking for the tasks of labourer %s, %w", labourer, err)
	}
	taken := snapshot{view.PlacesOf(leases, entries), now}
	c.places[labourer] = taken
	return taken, nil
}
