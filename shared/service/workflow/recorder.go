package workflow

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Ends holds the numbers of a stage's turns whose tasks have ended.
type Ends struct{ Completed, Dead segment.Numbers }

// Counter stores the ends of turns.
type Counter interface {
	// Keep stores the details of turns of a run.
	Keep(ctx context.Context, run string, details []flow.Detail) error
	// Count adds ends to a stage's progress, and returns that with the turns whose error is fatal. ErrChanged: the stage is gone.
	Count(ctx context.Context, run string, at flow.Place, ends Ends) (flow.Progress, segment.Numbers, error)
}

// Waker has the service look at a run.
type Waker interface {
	Look(ctx context.Context, run string) error
}

// Recorder counts the ends of turns, which the stream of the tasks table delivers.
type Recorder struct {
	Counter Counter
	Waker   Waker
}

// stage names a stage of a run.
type stage struct {
	run string
	at  flow.Place
}

func (s stage) compare(other stage) int {
	return cmp.Or(cmp.Compare(s.run, other.run), cmp.Compare(s.at.Ordinal(), other.at.Ordinal()))
}

// Record counts tasks of turns that have ended, and wakes the runs that may have something to do. It may be repeated. A turn's details are stored
// before it is counted, so a reader that finds it in the count finds them too. A cancelled task counts for nothing: its run gave the turn up before.
func (r Recorder) Record(ctx context.Context, ended []task.Task) error {
	stages := map[stage][]task.Task{}
	for _, t := range ended {
		at, err := flow.ParsePlace(t.Turn)
		if err != nil || t.Status == task.Cancelled {
			continue
		}
		stages[stage{t.JobID, at}] = append(stages[stage{t.JobID, at}], t)
	}
	woken := map[string]bool{}
	for _, s := range slices.SortedFunc(maps.Keys(stages), stage.compare) {
		decided, err := r.count(ctx, s, stages[s])
		if err != nil {
			return err
		}
		if decided {
			woken[s.run] = true
		}
	}
	for _, run := range slices.Sorted(maps.Keys(woken)) {
		if err := r.Waker.Look(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

func (r Recorder) count(ctx context.Context, s stage, tasks []task.Task) (bool, error) {
	var details []flow.Detail
	var ends Ends
	for _, t := range tasks {
		details = append(details, Detail(t, s.at))
		if t.Status == task.Completed {
			ends.Completed = ends.Completed.Union(segment.Of(t.ID.N))
		} else {
			ends.Dead = ends.Dead.Union(segment.Of(t.ID.N))
		}
	}
	if err := r.Counter.Keep(ctx, s.run, details); err != nil {
		return false, err
	}
	p, fatal, err := r.Counter.Count(ctx, s.run, s.at, ends)
	if errors.Is(err, ErrChanged) {
		return false, nil // the run's record has expired
	}
	return err == nil && p.Decided(fatal), err
}

// Detail returns what is kept of a turn, from its task.
func Detail(t task.Task, at flow.Place) flow.Detail {
	d := flow.Detail{Place: at, Number: t.ID.N, TaskID: t.ID.String(), Attempts: t.Attempt, FinishedAt: t.ClosedAt}
	if len(t.Attempts) > 0 && t.Attempts[0].DispatchedAt != nil {
		d.StartedAt = *t.Attempts[0].DispatchedAt
	}
	if t.Status == task.Completed {
		d.Result = t.Result
	} else if e := t.LastError(); e != nil {
		d.Message = flow.Bounded(e.Type, e.Message)
	}
	return d
}
