// Package scavenger processes the ends of attempts and tasks, which the stream of the tasks table delivers.
//
// A failed attempt leads to another attempt or to the task's death (package outcome). A task that has ended is archived, recorded in its
// job's progress, and published. All of this may be repeated at any time: the stream redelivers a failed batch as a whole, and a record may
// come twice or a day late.
package scavenger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
)

// Jobs stores the records and the progress of jobs.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Record(ctx context.Context, jobID string, s segment.ID, ends ledger.Ends) (ledger.Progress, error)
	Roll(ctx context.Context, p ledger.Progress, at time.Time) error
}

// Finisher ends jobs.
type Finisher interface {
	Finish(ctx context.Context, id string) (bool, error)
}

// Settler settles attempts that ended without success.
type Settler interface {
	Settle(ctx context.Context, ended []task.Task) (outcome.Settled, error)
}

// Payloads stores payloads that are too large for the stream's images.
type Payloads interface {
	// Payload returns task.ErrNoPayload if the payload is gone.
	Payload(ctx context.Context, of task.Task) ([]byte, error)
	// Ended lets the payload of an ended task expire.
	Ended(ctx context.Context, of task.Task) error
}

// Store keeps archived files.
type Store interface {
	Put(ctx context.Context, o archive.Object) error
}

// Queue reads the entries of a labourer that are due.
type Queue interface {
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Pager notifies people of tasks that died.
type Pager interface {
	Died(ctx context.Context, labourer string, tasks []task.Task) error
}

// Service implements the scavenger.
type Service struct {
	Settler  Settler
	Jobs     Jobs
	Finisher Finisher
	Payloads Payloads
	Archive  Store
	Queue    Queue
	Bus      Bus
	Pager    Pager
	Now      func() time.Time
}

// Summary counts what a batch led to, for the log.
type Summary struct {
	Retried, Died, Archived, Finished int
	Unsettled                         map[string]string // labourers whose configuration cannot be read, each with the reason; their failed attempts wait
	Alarm                             string            // why the pager could not notify people of the dead tasks
}

// Add adds what another part of the batch led to.
func (s *Summary) Add(other Summary) {
	s.Retried += other.Retried
	s.Died += other.Died
	s.Archived += other.Archived
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
		case t.Status.Terminal():
			ended = append(ended, t)
		case t.Status == task.Failed || t.Status == task.Expired:
			failed = append(failed, t)
		}
	}
	settled, err := s.Settler.Settle(ctx, failed)
	out.Retried, out.Died, out.Unsettled = settled.Retried, settled.Dead, settled.Unreadable
	// Wake the orchestrator for freed slots even after an error: the next delivery would not find that it freed them.
	if err := errors.Join(err, s.wake(ctx, invocation, settled.Freed)); err != nil {
		return out, err
	}
	if len(ended) == 0 {
		return out, nil
	}
	if err := s.archive(ctx, ended); err != nil {
		return out, err
	}
	out.Archived = len(ended)
	// Deaths are published after their jobs' progress records them: a replay that reacts to a TaskDead looks for the task there.
	full, err := s.record(ctx, ended)
	if err != nil {
		return out, err
	}
	if out.Alarm, err = s.publishDeaths(ctx, ended); err != nil {
		return out, err
	}
	out.Finished, err = s.finish(ctx, full)
	return out, err
}

// wake wakes the orchestrator for labourers with freed slots and due entries.
func (s *Service) wake(ctx context.Context, invocation string, labourers []string) error {
	var due []string
	for _, l := range labourers {
		entries, err := s.Queue.Due(ctx, l, s.Now(), 1)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			due = append(due, l)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return s.Bus.Publish(ctx, event.TasksDue(invocation, due...))
}

// parallel limits how many files or jobs are written at once.
const parallel = 8

// largeTogether limits how many large payloads, of up to 1 MB each, are in memory at once.
const largeTogether = 16

// archive writes the records of ended tasks. The same batch writes the same files.
func (s *Service) archive(ctx context.Context, ended []task.Task) error {
	var part, large []task.Task
	for i, t := range ended {
		if t.Parts > 0 {
			payload, err := s.Payloads.Payload(ctx, t)
			if err != nil && !errors.Is(err, task.ErrNoPayload) { // the record is complete but for the payload
				return err
			}
			if t.Payload = payload; err == nil {
				large = append(large, t)
			}
		}
		part = append(part, t)
		if i+1 < len(ended) && (t.Parts == 0 || len(large)%largeTogether != 0) {
			continue
		}
		if err := s.put(ctx, part); err != nil {
			return err
		}
		part = nil
	}
	for _, t := range large {
		if err := s.Payloads.Ended(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) put(ctx context.Context, ended []task.Task) error {
	objects, err := archive.Objects(ended)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, o := range objects {
		g.Go(func() error { return s.Archive.Put(ctx, o) })
	}
	return g.Wait()
}

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
		ends[t.Status] = append(ends[t.Status], ledger.Life(t.ID.N, t.Life))
	}
	return among(ctx, slices.Sorted(maps.Keys(jobs)), func(ctx context.Context, id string) (bool, error) {
		return s.recordJob(ctx, id, jobs[id])
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

// recordJob records the ends of a job and reports whether all tasks of one of its segments have ended.
func (s *Service) recordJob(ctx context.Context, id string, segments map[segment.ID]ledger.Ends) (bool, error) {
	job, found, err := s.Jobs.Get(ctx, id)
	if err != nil {
		return false, err
	}
	if !found { // the record has expired: its progress is no longer readable
		return false, nil
	}
	full := false
	for _, at := range slices.Sorted(maps.Keys(segments)) {
		p, err := s.Jobs.Record(ctx, id, at, segments[at])
		if err != nil {
			return false, err
		}
		// Ends of an earlier job with this id do not count. The check runs only for full segments, because it needs the ids of all tasks.
		if p.Counts().Sum() < job.SizeOf(at) || len(job.Own([]ledger.Progress{p})) == 0 {
			continue
		}
		full = true
		if p.Counts() == p.Rolled {
			continue
		}
		if err := s.Jobs.Roll(ctx, p, s.Now()); err != nil && !errors.Is(err, ledger.ErrChanged) {
			return false, err
		}
	}
	return full, nil
}
