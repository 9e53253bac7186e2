package inspect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// NotDeadError says why a task cannot be replayed: it is not dead, or its job keeps it dead.
type NotDeadError struct{ Reason string }

func (e *NotDeadError) Error() string { return e.Reason }

// DeadNamed returns the named tasks, each once. It returns an error when one of them is not dead, or belongs to a job whose dead stay dead.
func (r *Reader) DeadNamed(ctx context.Context, ids []task.ID) ([]task.Task, error) {
	var unique []task.ID
	for _, id := range ids {
		if !slices.Contains(unique, id) {
			unique = append(unique, id)
		}
	}
	found, err := r.Tasks.Load(ctx, unique)
	if err != nil {
		return nil, err
	}
	var dead []task.Task
	for _, id := range unique {
		t, ok := found[id]
		switch {
		case !ok:
			return nil, &NotFoundError{"task", id.String()}
		case t.Status != task.Dead:
			return nil, &NotDeadError{fmt.Sprintf("task %s is not dead (see drover task %s): only dead tasks are replayed", id, id)}
		}
		dead = append(dead, t)
	}
	return dead, r.awaitCounts(ctx, dead)
}

// Dead returns the dead tasks of a job or a labourer that can be replayed.
func (r *Reader) Dead(ctx context.Context, job, labourer string) ([]task.Task, error) {
	var dead []task.Task
	revivable := map[string]bool{}
	err := r.EachTask(ctx, Selection{Job: job, Labourer: labourer, Status: Dead}, func(one Sighting) (bool, error) {
		id := one.Task.JobID
		can, known := revivable[id]
		if !known {
			record, found, err := r.Jobs.Get(ctx, id)
			if err != nil {
				return false, err
			}
			can = found && record.Revivable()
			revivable[id] = can
		}
		if can {
			dead = append(dead, one.Task)
		}
		return true, nil
	})
	if err == nil && len(dead) > 0 {
		err = r.awaitCounts(ctx, dead)
	}
	return dead, err
}

const (
	// countReads limits how often the progress is read until it counts a death. After that the death is taken as counted.
	countReads = 20
	// countPause separates two such reads.
	countPause = 500 * time.Millisecond
)

// awaitCounts waits until the deaths of tasks are counted, a moment after the tasks died: only then can they be replayed.
func (r *Reader) awaitCounts(ctx context.Context, dead []task.Task) error {
	byJob := map[string][]task.Task{}
	for _, t := range dead {
		byJob[t.JobID] = append(byJob[t.JobID], t)
	}
	for _, id := range slices.Sorted(maps.Keys(byJob)) {
		tasks := byJob[id]
		record, found, err := r.Jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		if !found || !record.Revivable() {
			return &NotDeadError{fmt.Sprintf("task %s stays dead: its job %s is %s", tasks[0].ID, id, standing(record, found))}
		}
		for read := 1; ; read++ {
			counted, err := r.deathsCounted(ctx, record)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(tasks, func(t task.Task) bool { return !counted[t.ID.Segment].Contains(t.ID.N) }) || read > countReads {
				break
			}
			if err := r.Wait(ctx, countPause); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reader) deathsCounted(ctx context.Context, j ledger.Job) (map[segment.ID]segment.Numbers, error) {
	progress, err := r.Jobs.Progress(ctx, j)
	counted := map[segment.ID]segment.Numbers{}
	for _, p := range progress {
		counted[p.Segment] = endedAs(p, Dead)
	}
	return counted, err
}

func standing(j ledger.Job, found bool) string {
	switch {
	case !found:
		return "no longer stored"
	case j.Cancelling:
		return "being cancelled"
	}
	return string(j.State)
}
