// Package scavenger goes on from where attempts and tasks have ended, as the stream of the tasks table tells it.
//
// What failed gets another attempt or dies (package outcome); what reached its end is archived, entered in its job's progress, and
// told. All of it may be done again at any time: a batch of records that fails comes again as a whole, and a record may come twice or a
// day late.
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

// Jobs is the jobs' records and progress.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	Record(ctx context.Context, jobID string, s segment.ID, ends ledger.Ends) (ledger.Progress, error)
	Roll(ctx context.Context, p ledger.Progress, at time.Time) error
}

// Finisher gives jobs their end.
type Finisher interface {
	Finish(ctx context.Context, id string) (bool, error)
}

// Settler settles attempts that ended without success.
type Settler interface {
	Settle(ctx context.Context, ended []task.Task) (outcome.Settled, error)
}

// Payloads is the payloads that are too large for the stream's images.
type Payloads interface {
	// Payload returns task.ErrNoPayload where it is gone.
	Payload(ctx context.Context, of task.Task) ([]byte, error)
	// Ended lets the payload of a task that has reached its end go, after a time.
	Ended(ctx context.Context, of task.Task) error
}

// Store keeps archived files.
type Store interface {
	Put(ctx context.Context, o archive.Object) error
}

// Queue tells whether a labourer has something to start.
type Queue interface {
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
}

// Bus is where facts are told.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Alarm tells a person of tasks that died.
type Alarm interface {
	Died(ctx context.Context, labourer string, tasks []task.Task) error
}

// Service is the scavenger.
type Service struct {
	Settler  Settler
	Jobs     Jobs
	Finisher Finisher
	Payloads Payloads
	Archive  Store
	Queue    Queue
	Bus      Bus
	Alarm    Alarm
	Now      func() time.Time
}

// Summary is what became of a batch, for the log.
type Summary struct {
	Retried, Died, Archived, Finished int
	Unsettled                         map[string]string // labourers whose failed attempts wait until their configuration can be read, and why it can not
	Alarm                             string            // why people could not be told of the dead
}

// Handle works through a batch of tasks as they were after a write, in the order of the stream. An error means that all of it is to come
// again.
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
	// Slots that are free are told of even when something else went wrong: the next try would not find that it freed them.
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
	// The dead are told of when their jobs' progress names them: a replay that answers a TaskDead looks for them there.
	full, err := s.enter(ctx, ended)
	if err != nil {
		return out, err
	}
	if out.Alarm, err = s.mourn(ctx, ended); err != nil {
		return out, err
	}
	out.Finished, err = s.finish(ctx, full)
	return out, err
}

// wake tells the orchestrator of freed slots, where something is due for them.
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

// parallel is how many files or jobs are written at the same time.
const parallel = 8

// largeTogether is how many large payloads, of up to 1 MB each, are in memory at the same time.
const largeTogether = 16

// archive writes the records of ended tasks. The same batch makes the same files.
func (s *Service) archive(ctx context.Context, ended []task.Task) error {
	var part, large []task.Task
	for i, t := range ended {
		if t.Parts > 0 {
			payload, err := s.Payloads.Payload(ctx, t)
			if err != nil && !errors.Is(err, task.ErrNoPayload) { // without it the record says all the rest
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

// mourn tells of the dead, the bus of each and people of each labourer's. That people can not be told holds nothing up: it is not worth
// a batch that comes again and again, and the event has been told.
func (s *Service) mourn(ctx context.Context, ended []task.Task) (alarm string, err error) {
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
		if err := s.Alarm.Died(ctx, labourer, dead[labourer]); err != nil {
			alarm = err.Error()
		}
	}
	return alarm, nil
}

// enter puts ends in their jobs' progress, and returns the jobs of which a segment has come to its end: these may have ended.
func (s *Service) enter(ctx context.Context, ended []task.Task) ([]string, error) {
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
		return s.enterJob(ctx, id, jobs[id])
	})
}

// finish finishes those of these jobs that have ended, and returns how many.
func (s *Service) finish(ctx context.Context, jobs []string) (int, error) {
	finished, err := among(ctx, jobs, s.Finisher.Finish)
	return len(finished), err
}

// among returns those of the jobs for which is is true, asking for several at the same time.
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

// enterJob tells whether a segment of the job has come to its end.
func (s *Service) enterJob(ctx context.Context, id string, segments map[segment.ID]ledger.Ends) (bool, error) {
	job, found, err := s.Jobs.Get(ctx, id)
	if err != nil {
		return false, err
	}
	if !found { // its record has outlived its retention: nobody can ask for its progress any more
		return false, nil
	}
	full := false
	for _, at := range slices.Sorted(maps.Keys(segments)) {
		p, err := s.Jobs.Record(ctx, id, at, segments[at])
		if err != nil {
			return false, err
		}
		// Ends of a job that had this id before are not this one's. It is looked into once a segment, as it takes the ids of all.
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
