// Package replay brings dead tasks back to life: by name, by job, or by labourer.
//
// A life begins with one transaction: the task opens, an entry queues it, and the job's totals have one dead less. A replay is known by its
// id with the time at which it began, and takes in only who had died by then: so it may be delivered any number of times, also after
// its tasks have died again.
package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
)

// Jobs is the jobs' records and progress.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	GetAll(ctx context.Context, ids []string) ([]ledger.Job, error)
	Month(ctx context.Context, month time.Time) ([]string, error)
	Progress(ctx context.Context, job ledger.Job) ([]ledger.Progress, error)
}

// Tasks is the tasks.
type Tasks interface {
	Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error)
}

// Store is where replays are remembered and lives begin.
type Store interface {
	Begin(ctx context.Context, id string, now time.Time) (time.Time, error)
	Revive(ctx context.Context, job ledger.Job, p ledger.Progress, dead []task.Task, entry queue.Entry) error
}

// Bus is where facts are told.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Service replays.
type Service struct {
	Jobs      Jobs
	Tasks     Tasks
	Store     Store
	Bus       Bus
	Now       func() time.Time
	Retention time.Duration // how far back jobs are looked for
}

// Command is the detail of a ReplayTasks.
type Command struct {
	ReplayID string   `json:"replay_id"`
	Tasks    []string `json:"tasks"`
	JobID    string   `json:"job_id"`
	Labourer string   `json:"labourer"`
}

// Replay carries out a ReplayTasks. *event.Refused: it says neither which tasks, nor which job or labourer, or names what does not exist.
func (s Service) Replay(ctx context.Context, e event.Envelope) error {
	var c Command
	if err := json.Unmarshal(e.Detail, &c); err != nil {
		return &event.Refused{Reason: fmt.Sprintf("the replay can not be read: %v", err)}
	}
	began, err := s.Store.Begin(ctx, cmp.Or(c.ReplayID, e.ID), s.Now())
	if err != nil {
		return err
	}
	switch {
	case len(c.Tasks) > 0:
		return s.tasks(ctx, c.Tasks, began)
	case c.JobID != "":
		_, found, err := s.Jobs.Get(ctx, c.JobID)
		if err == nil && !found {
			err = &event.Refused{Reason: fmt.Sprintf("job_id: there is no job %q", c.JobID)}
		}
		if err != nil {
			return err
		}
		return s.job(ctx, c.JobID, nil, began)
	case c.Labourer != "":
		return s.labourer(ctx, c.Labourer, began)
	}
	return &event.Refused{Reason: "tasks: it is missing; tasks, job_id or labourer would be right"}
}

// tasks replays tasks by name. Those that do not exist, or are not dead, are passed over.
func (s Service) tasks(ctx context.Context, names []string, began time.Time) error {
	var ids []task.ID
	for _, name := range names {
		id, err := task.ParseID(name)
		if err != nil {
			return &event.Refused{Reason: "tasks: " + err.Error()}
		}
		ids = append(ids, id)
	}
	found, err := s.Tasks.Load(ctx, ids)
	if err != nil {
		return err
	}
	wanted := map[string]map[segment.ID]segment.Numbers{}
	for id, t := range found {
		if wanted[t.JobID] == nil {
			wanted[t.JobID] = map[segment.ID]segment.Numbers{}
		}
		wanted[t.JobID][id.Segment] = wanted[t.JobID][id.Segment].Union(segment.Of(id.N))
	}
	for _, job := range slices.Sorted(maps.Keys(wanted)) {
		if err := s.job(ctx, job, wanted[job], began); err != nil {
			return err
		}
	}
	return nil
}

func (s Service) labourer(ctx context.Context, labourer string, began time.Time) error {
	now := s.Now().UTC()
	for month := now; !month.Before(now.Add(-s.Retention).AddDate(0, -1, 0)); month = month.AddDate(0, -1, 1-month.Day()) {
		ids, err := s.Jobs.Month(ctx, month)
		if err != nil {
			return err
		}
		jobs, err := s.Jobs.GetAll(ctx, ids)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.Labourer == labourer {
				if err := s.job(ctx, j.ID, nil, began); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// atOnce is how many lives begin in one transaction, which takes 100 items.
const atOnce = 90

// tries is how often a lost race is run again.
const tries = 10

// job replays the dead of a job; wanted narrows it to some of them.
func (s Service) job(ctx context.Context, id string, wanted map[segment.ID]segment.Numbers, began time.Time) error {
	revived := false
	for lost := 0; lost < tries; {
		job, found, err := s.Jobs.Get(ctx, id)
		if err != nil || !found {
			return err
		}
		progress, err := s.Jobs.Progress(ctx, job)
		if err != nil {
			return err
		}
		raced, moved := false, false
		for _, p := range progress {
			numbers := ledger.Numbers(minus(p.Dead, p.Replayed))
			if wanted != nil {
				numbers = numbers.Intersect(wanted[p.Segment])
			}
			more, again, err := s.segment(ctx, id, p, numbers, began)
			if err != nil {
				return err
			}
			revived, raced, moved = revived || more, raced || again, moved || more
		}
		if raced && !moved {
			lost++
		}
		if raced {
			continue
		}
		if !revived {
			return nil
		}
		return s.Bus.Publish(ctx, event.TasksDue("replay/"+id, job.Labourer))
	}
	return fmt.Errorf("replaying job %s: it changed %d times in between", id, tries)
}

// segment replays the dead of one segment. raced: something was not as it was read; read again.
func (s Service) segment(ctx context.Context, jobID string, p ledger.Progress, numbers segment.Numbers, began time.Time) (revived, raced bool, err error) {
	tasks, err := s.Tasks.Range(ctx, p.Segment, numbers)
	if err != nil {
		return false, false, err
	}
	// Those who are alike go into one entry.
	var part []task.Task
	var set segment.Numbers
	for _, t := range tasks {
		alike := len(part) == 0 || part[0].Attempt == t.Attempt && part[0].MaxDuration == t.MaxDuration
		if t.Status == task.Dead && t.JobID == jobID && !t.ClosedAt.After(began) && alike && len(part) < atOnce {
			part, set = append(part, t), set.Union(segment.Of(t.ID.N))
		}
	}
	if len(part) == 0 {
		return false, false, nil
	}
	job, found, err := s.Jobs.Get(ctx, jobID)
	if err != nil || !found || job.State != ledger.Completed && job.State != ledger.Scheduled || job.Cancelling {
		return false, false, err // gone, cancelled, or not through with its creation
	}
	err = s.Store.Revive(ctx, job, p, part, queue.Entry{Labourer: job.Labourer, Due: s.Now().UTC().Truncate(time.Millisecond), Segment: p.Segment,
		First: set.Min(), Tasks: set, Attempt: part[0].Attempt + 1, MaxDuration: part[0].MaxDuration})
	if err != nil && !errors.Is(err, ledger.ErrChanged) {
		return false, false, err
	}
	// There may be more of them. The progress has changed with the transaction, so it has to be read again.
	return err == nil, true, nil
}

func minus(a, b []int) []int {
	var out []int
	for _, n := range a {
		if !slices.Contains(b, n) {
			out = append(out, n)
		}
	}
	return out
}
