// Package scavenger processes the ends of attempts and tasks, which the stream of the tasks table delivers.
//
// A failed attempt leads to another attempt or to the task's death (package outcome). The end of a task is recorded in its job's progress, and
// a death is published. Completions of which a lease knows do not come here: they are recorded when the lease ends (package leasing). All of
// this may be repeated at any time: the stream redelivers a failed batch as a whole, and a record may come twice or a day late.
package scavenger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
)

// Progress records the ends of tasks.
type Progress interface {
	// Record reports whether all tasks of one of these segments have ended: then the job may have ended.
	Record(ctx context.Context, jobID string, segments map[segment.ID]ledger.Ends) (bool, error)
}

// Finisher ends jobs.
type Finisher interface {
	Finish(ctx context.Context, id string) (bool, error)
}

// Settler settles attempts that ended without success.
type Settler interface {
	Settle(ctx context.Context, ended []task.Task) (outcome.Settled, error)
}

// Queue reads what waits for free slots of a labourer.
type Queue interface {
	// Remains reports whether an entry of the queue is due. If none is, it reads the leases after that.
	Remains(ctx context.Context, labourer string, now time.Time) (due bool, leases []queue.Lease, err error)
}

// Recorder counts the ends of turns of workflows' runs.
type Recorder interface {
	Record(ctx context.Context, ended []task.Task) error
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Pager notifies people of tasks that died.
type Pager interface {
	Died(ctx context.Context, labourer string, tasks []task.Task) error
}

// Gauge is told of labourers that come to rest: nothing is due, and nothing in hand.
type Gauge interface {
	Rested(ctx context.Context, labourers ...string)
}

// Service implements the scavenger.
type Service struct {
	Gauge    Gauge
	Settler  Settler
	Progress Progress
	Finisher Finisher
	Turns    Recorder
	Queue    Queue
	Bus      Bus
	Pager    Pager
	Now      func() time.Time
}

// Summary counts what a batch led to, for the log, which has no zeros.
type Summary struct {
	Retried  int `json:",omitzero"`
	Died     int `json:",omitzero"`
	Recorded int `json:",omitzero"`
	Finished int `json:",omitzero"`

	Unsettled map[string]string `json:",omitzero"` // labourers whose configuration cannot be read, each with the reason; their failed attempts wait
	Alarm     string            `json:",omitzero"` // why the pager could not notify people of the dead tasks
}

// Add adds what another part of the batch led to.
func (s *Summary) Add(other Summary) {
	s.Retried += other.Retried
	s.Died += other.Died
	s.Recorded += other.Recorded
	s.Finished += other.Finished
	if s.Unsettled == nil {
		s.Unsettled = other.Unsettled
	} else {
		maps.Copy(s.Unsettled, other.Unsettled)
	}
	if other.Alarm != "" {
		s.Alarm = other.Alarm
	}
}

// Handle processes a chunk of a batch (see [task.Chunks]): tasks as they were after a write, in the order of the stream. After an error the
// whole batch must be redelivered.
func (s *Service) Handle(ctx context.Context, invocation string, tasks []task.Task) (Summary, error) {
	var out Summary
	var failed, ended []task.Task
	for _, t := range tasks {
		switch {
		case t.Status == task.Completed && !t.Shared && t.Turn == "": // its lease records it
		case t.Status.Terminal():
			ended = append(ended, t)
		case t.Status == task.Failed || t.Status == task.Expired:
			failed = append(failed, t)
		}
	}
	settled, err := s.Settler.Settle(ctx, failed)
	out.Retried, out.Died, out.Unsettled = settled.Retried, settled.Dead, settled.Unreadable
	// Wake the orchestrator for freed slots even after an error: the next delivery would not find that it freed them.
	if err := errors.Join(err, s.wake(ctx, invocation, settled)); err != nil {
		return out, err
	}
	if len(ended) == 0 {
		return out, nil
	}
	// Deaths are published after their jobs' progress records them: a replay that reacts to a TaskDead looks for the task there.
	full, err := s.record(ctx, ofJobs(ended))
	if err != nil {
		return out, err
	}
	if turns := ofRuns(ended); len(turns) > 0 {
		if err := s.Turns.Record(ctx, turns); err != nil {
			return out, err
		}
	}
	out.Recorded = len(ended)
	if out.Alarm, err = s.publishDeaths(ctx, ended); err != nil {
		return out, err
	}
	out.Finished, err = s.finish(ctx, full)
	return out, err
}

// wake wakes the orchestrator for labourers whose free slots can be filled: tasks wait in the leases that have the slots, or are due, or wait in
// other leases or are to be tried again there, and these get more slots.
func (s *Service) wake(ctx context.Context, invocation string, settled outcome.Settled) error {
	var fillable []string
	for _, l := range settled.Freed {
		waits, err := slices.Contains(settled.Hungry, l), error(nil)
		if !waits {
			waits, err = s.waits(ctx, l)
		}
		if err != nil {
			return err
		}
		if waits {
			fillable = append(fillable, l)
		}
	}
	if len(fillable) == 0 {
		return nil
	}
	return s.Bus.Publish(ctx, event.TasksDue(invocation, fillable...))
}

// waits reports whether tasks of a labourer are due, or wait in any lease for slots.
func (s *Service) waits(ctx context.Context, labourer string) (bool, error) {
	due, leases, err := s.Queue.Remains(ctx, labourer, s.Now())
	if err != nil || due {
		return due, err
	}
	if queue.Resting(leases, s.Now()) {
		s.Gauge.Rested(ctx, labourer)
	}
	return queue.Waiting(leases)+queue.Ripe(leases, s.Now()) > 0, nil
}

// parallel limits how many jobs are written at once.
const parallel = 8

// publishDeaths publishes each death and notifies people, once per labourer. A failed notification is logged and is no error: redelivering the batch
// is not worth it, and the event is published.
func (s *Service) publishDeaths(ctx context.Context, ended []task.Task) (alarm string, err error) {
	dead := map[string][]task.Task{}
	var facts []event.Fact
	for _, t := range ended {
		if t.Status != task.Dead {
			continue
		}
		dead[t.Labourer] = append(dead[t.Labourer], t)
		var why event.TaskError
		if e := t.LastError(); e != nil {
			why = event.TaskError{Type: e.Type, Message: e.Message}
		}
		facts = append(facts, event.TaskDead(t.ID.String(), t.Life, t.JobID, t.Labourer, t.Attempt, why))
	}
	if err := s.Bus.Publish(ctx, facts...); err != nil {
		return "", err
	}
	for _, labourer := range slices.Sorted(maps.Keys(dead)) {
		if err := s.Pager.Died(ctx, labourer, dead[labourer]); err != nil {
			alarm = err.Error()
		}
	}
	return alarm, nil
}

// record records ends in the progress of their jobs. It returns the jobs that have a segment whose tasks have all ended: these jobs may have
// ended.
func (s *Service) record(ctx context.Context, ended []task.Task) ([]string, error) {
	jobs := map[string]map[segment.ID]ledger.Ends{}
	for _, t := range ended {
		if jobs[t.JobID] == nil {
			jobs[t.JobID] = map[segment.ID]ledger.Ends{}
		}
		ends := jobs[t.JobID][t.ID.Segment]
		if ends == nil {
			ends = ledger.Ends{}
			jobs[t.JobID][t.ID.Segment] = ends
		}
		ends.Add(t.ID.N, t.Life, t.Status)
	}
	return among(ctx, slices.Sorted(maps.Keys(jobs)), func(ctx context.Context, id string) (bool, error) {
		return s.Progress.Record(ctx, id, jobs[id])
	})
}

// finish ends those of these jobs whose tasks have all ended, and returns how many.
func (s *Service) finish(ctx context.Context, jobs []string) (int, error) {
	finished, err := among(ctx, jobs, s.Finisher.Finish)
	return len(finished), err
}

// among returns those of the jobs for which is returns true. It asks for several at once.
func among(ctx context.Context, jobs []string, is func(context.Context, string) (bool, error)) ([]string, error) {
	found := make([]bool, len(jobs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, id := range jobs {
		g.Go(func() (err error) {
			found[i], err = is(ctx, id)
			return err
		})
	}
	err := g.Wait()
	var out []string
	for i, id := range jobs {
		if found[i] {
			out = append(out, id)
		}
	}
	return out, err
}

// ofJobs returns the tasks that jobs asked for.
func ofJobs(ended []task.Task) []task.Task {
	return slices.DeleteFunc(slices.Clone(ended), func(t task.Task) bool { return t.Turn != "" })
}

// ofRuns returns the tasks that are turns of workflows' runs.
func ofRuns(ended []task.Task) []task.Task {
	return slices.DeleteFunc(slices.Clone(ended), func(t task.Task) bool { return t.Turn == "" })
}
