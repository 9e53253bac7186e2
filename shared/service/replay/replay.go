// Package replay revives dead tasks: by name, by job, or by labourer.
//
// A life begins with one transaction: it reopens the task, queues it with an entry, and subtracts one from the job's dead. A replay is
// identified by its id and records the time at which it began. It revives only tasks that had died by then, so it may be delivered any
// number of times, also after its tasks have died again. A replay that names tasks begins after all of their deaths that it finds, however
// the clocks of the functions that recorded them differ from its own. It walks months, jobs and segments in a stable order. When time is up,
// it is handed on with its position.
package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Jobs reads the records and the progress of jobs.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	GetAll(ctx context.Context, ids []string) ([]ledger.Job, error)
	Month(ctx context.Context, month time.Time) ([]string, error)
	Progress(ctx context.Context, job ledger.Job) ([]ledger.Progress, error)
	ProgressIn(ctx context.Context, jobID string, s segment.ID) (ledger.Progress, error)
}

// Tasks reads tasks.
type Tasks interface {
	// Heads returns each task with its job, status and time of end, and without its payload: the payloads of any number of tasks exceed a
	// function's memory.
	Heads(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
}

// Store remembers replays and begins lives.
type Store interface {
	Begin(ctx context.Context, id string, now time.Time) (time.Time, error)
	Revive(ctx context.Context, job ledger.Job, p ledger.Progress, dead []task.Task, entry queue.Entry) error
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Service replays tasks.
type Service struct {
	Jobs      Jobs
	Tasks     Tasks
	Store     Store
	Bus       Bus
	Now       func() time.Time
	Retention time.Duration // how far back to look for jobs
}

// Command holds the detail of a ReplayTasks.
type Command struct {
	ReplayID string   `json:"replay_id"`
	Tasks    []string `json:"tasks,omitempty"`
	JobID    string   `json:"job_id,omitempty"`
	Labourer string   `json:"labourer,omitempty"`
	From     Place    `json:"from,omitzero"` // for a replay of a job or a labourer that was handed on
}

// Place is a position from which a replay continues: all before it is done. Months are in descending order, jobs and segments in the order
// of their ids.
type Place struct {
	Month   string     `json:"month,omitempty"` // as 2006-01; only for a replay of a labourer's jobs
	Job     string     `json:"job,omitempty"`
	Segment segment.ID `json:"segment,omitempty"` // the last segment of the job that is done
}

// errLate reports that time is up.
var errLate = errors.New("time is up")

// run is one invocation of the service.
type run struct {
	service Service
	began   time.Time
	late    func() bool
	from    Place
	at      Place
	left    []string // named tasks that remain when time is up
}

// Replay executes a ReplayTasks until late returns true; rest is then the command for the remaining work. The error is *event.Refused if the
// command names neither tasks, a job nor a labourer, or names something that does not exist.
func (s Service) Replay(ctx context.Context, e event.Envelope, late func() bool) (rest *event.Envelope, err error) {
	var c Command
	if err := exact.Decode(e.Detail, &c); err != nil {
		return nil, &event.Refused{Reason: fmt.Sprintf("the replay cannot be read: %v", err)}
	}
	id := cmp.Or(c.ReplayID, e.ID)
	if len(id) > event.MaxID {
		return nil, &event.Refused{Reason: fmt.Sprintf("replay_id: it has %d bytes; want at most %d", len(id), event.MaxID)}
	}
	if len(c.Tasks) > 0 && c.JobID != "" || c.Labourer != "" && (len(c.Tasks) > 0 || c.JobID != "") {
		return nil, &event.Refused{Reason: "tasks, job_id and labourer: more than one of them is given; want exactly one"}
	}
	named, err := s.named(ctx, c.Tasks)
	if err != nil {
		return nil, err
	}
	at := s.Now()
	for _, t := range named {
		if t.Status == task.Dead && t.ClosedAt.After(at) { // by the clock of another function, which may be ahead
			at = t.ClosedAt
		}
	}
	began, err := s.Store.Begin(ctx, id, at)
	if err != nil {
		return nil, err
	}
	r := &run{service: s, began: began, late: late, from: c.From, at: c.From}
	if err := r.carryOut(ctx, c, named); !errors.Is(err, errLate) {
		return nil, err
	}
	if len(c.Tasks) > 0 {
		c.Tasks = r.left // the command must not grow: it may already be as large as a message
	} else {
		c.From = r.at
	}
	e.Detail, err = json.Marshal(c)
	return &e, err
}

// named reads the tasks of these names. The result leaves out those that do not exist.
func (s Service) named(ctx context.Context, names []string) (map[task.ID]task.Task, error) {
	if len(names) == 0 {
		return nil, nil
	}
	ids := make([]task.ID, len(names))
	for i, name := range names {
		id, err := task.ParseID(name)
		if err != nil {
			return nil, &event.Refused{Reason: "tasks: " + err.Error()}
		}
		ids[i] = id
	}
	return s.Tasks.Heads(ctx, ids)
}

func (r *run) carryOut(ctx context.Context, c Command, named map[task.ID]task.Task) error {
	switch {
	case len(c.Tasks) > 0:
		return r.tasks(ctx, c.Tasks, named)
	case c.JobID != "":
		_, found, err := r.service.Jobs.Get(ctx, c.JobID)
		if err == nil && !found {
			err = &event.Refused{Reason: fmt.Sprintf("job_id: there is no job %.140q", c.JobID)}
		}
		if err != nil {
			return err
		}
		return r.job(ctx, "", c.JobID, nil)
	case c.Labourer != "":
		return r.labourer(ctx, c.Labourer)
	}
	return &event.Refused{Reason: "tasks: it is missing; want tasks, job_id or labourer"}
}

// tasks replays tasks by name. It skips those that are not dead.
func (r *run) tasks(ctx context.Context, names []string, named map[task.ID]task.Task) error {
	wanted := map[string]map[segment.ID]segment.Numbers{}
	for id, t := range named {
		if wanted[t.JobID] == nil {
			wanted[t.JobID] = map[segment.ID]segment.Numbers{}
		}
		wanted[t.JobID][id.Segment] = wanted[t.JobID][id.Segment].Union(segment.Of(id.N))
	}
	for _, job := range slices.Sorted(maps.Keys(wanted)) {
		err := r.job(ctx, "", job, wanted[job])
		if errors.Is(err, errLate) {
			for _, name := range names {
				id, err := task.ParseID(name)
				t, exists := named[id]
				if err == nil && exists && (t.JobID > job || t.JobID == job && id.Segment > r.at.Segment) {
					r.left = append(r.left, name)
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// together counts the job records read at once.
const together = 100

func (r *run) labourer(ctx context.Context, labourer string) error {
	now := r.service.Now().UTC()
	for at := now; !at.Before(now.Add(-r.service.Retention).AddDate(0, -1, 0)); at = at.AddDate(0, -1, 1-at.Day()) {
		month := at.Format("2006-01")
		if r.from.Month != "" && month > r.from.Month {
			continue
		}
		ids, err := r.service.Jobs.Month(ctx, at)
		if err != nil {
			return err
		}
		if month == r.from.Month {
			ids = slices.DeleteFunc(ids, func(id string) bool { return id < r.from.Job })
		}
		slices.Sort(ids)
		for some := range slices.Chunk(ids, together) {
			if r.reach(month, some[0]); r.late() {
				return errLate
			}
			jobs, err := r.service.Jobs.GetAll(ctx, some)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				if j.Labourer != labourer || j.State == ledger.Completed && j.Counts.Dead == 0 {
					continue
				}
				if err := r.job(ctx, month, j.ID, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// reach records that all jobs before this one are done.
func (r *run) reach(month, job string) {
	r.at = Place{Month: month, Job: job}
	if month == r.from.Month && job == r.from.Job {
		r.at = r.from
	}
}

// job replays the dead tasks of a job, or those among wanted. It wakes the orchestrator even if only some tasks are revived, and again if
// they were revived before: the replay that revived them may have died before it woke the orchestrator.
func (r *run) job(ctx context.Context, month, id string, wanted map[segment.ID]segment.Numbers) error {
	r.reach(month, id)
	job, found, err := r.service.Jobs.Get(ctx, id)
	if err != nil || !found || !job.Revivable() {
		return err
	}
	progress, err := r.service.Jobs.Progress(ctx, job)
	if err != nil {
		return err
	}
	labourer, back := job.Labourer, false
	for _, p := range progress {
		back = back || len(p.Replayed) > 0
		if p.Segment <= r.at.Segment {
			continue
		}
		numbers := segment.Range(0, segment.Size-1)
		if wanted != nil {
			numbers = wanted[p.Segment]
		}
		var more int
		more, job, err = r.segment(ctx, job, p, numbers)
		back = back || more > 0
		if err != nil || !job.Revivable() {
			break
		}
		r.at.Segment = p.Segment
	}
	if !back {
		return err
	}
	if told := r.service.Bus.Publish(ctx, event.TasksDue("replay/"+id, labourer)); told != nil {
		return told
	}
	return err
}

// tries limits how often a lost race is retried.
const tries = 10

// segment replays the dead tasks among these numbers of one segment, part by part. It returns how many it revived, and the job as it then
// is.
func (r *run) segment(ctx context.Context, job ledger.Job, p ledger.Progress, wanted segment.Numbers) (revived int, _ ledger.Job, err error) {
	for range tries {
		var some int
		some, job, p, err = r.revive(ctx, job, p, wanted)
		revived += some
		if !errors.Is(err, ledger.ErrChanged) {
			return revived, job, err
		}
		// Another component changed the job or the segment.
		now, found, err := r.service.Jobs.Get(ctx, job.ID)
		if err != nil {
			return revived, job, err
		}
		if job = now; !found || !job.Revivable() {
			return revived, job, nil
		}
		if p, err = r.service.Jobs.ProgressIn(ctx, job.ID, p.Segment); err != nil {
			return revived, job, err
		}
	}
	return revived, job, fmt.Errorf("replaying job %s: segment %s changed %d times in between", job.ID, p.Segment, tries)
}

// revive revives the dead tasks among these numbers of one segment. It stops with ledger.ErrChanged if another component changed something
// since it was read. It returns how many tasks it revived, and the job and the progress as they then are.
func (r *run) revive(ctx context.Context, job ledger.Job, p ledger.Progress, wanted segment.Numbers) (revived int, _ ledger.Job, _ ledger.Progress, _ error) {
	for tasks, err := range r.service.Tasks.Chunks(ctx, p.Segment, ledger.Numbers(p.StillDead()).Intersect(wanted)) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return revived, job, p, err
		}
		// Reviving a task does not need its unreadable parts; the orchestrator reports what is wrong with it.
		dead := slices.DeleteFunc(append(tasks, unreadable...), func(t task.Task) bool {
			return t.Status != task.Dead || t.JobID != job.ID || t.ClosedAt.After(r.began)
		})
		for len(dead) > 0 {
			if r.late() {
				return revived, job, p, errLate
			}
			if job.State == ledger.Completed {
				// The component that ended the job may have died before it published the end, and once the job runs again no other component
				// publishes it.
				if err := r.service.Bus.Publish(ctx, event.JobEnded(job.Totals(), false)); err != nil {
					return revived, job, p, err
				}
			}
			part := alike(dead)
			if err := r.service.Store.Revive(ctx, job, p, part, r.entry(job, part)); err != nil {
				return revived, job, p, err
			}
			revived += len(part)
			job, p = job.Revived(), p.Revived(lives(part))
			dead = slices.DeleteFunc(dead, func(t task.Task) bool { return slices.Contains(p.Replayed, ledger.Life(t.ID.N, t.Life)) })
		}
	}
	return revived, job, p, nil
}

// alike returns as many of the tasks as fit into one entry and one transaction.
func alike(tasks []task.Task) []task.Task {
	var part []task.Task
	for _, t := range tasks {
		if t.Attempt == tasks[0].Attempt && t.MaxDuration == tasks[0].MaxDuration {
			part = append(part, t)
		}
	}
	return task.Together(part)
}

func (r *run) entry(job ledger.Job, part []task.Task) queue.Entry {
	var set segment.Numbers
	for _, t := range part {
		set = set.Union(segment.Of(t.ID.N))
	}
	e := queue.Entry{Labourer: job.Labourer, Due: r.service.Now().UTC().Truncate(time.Millisecond), Segment: part[0].ID.Segment, First: set.Min(),
		Tasks: set, Attempt: part[0].Attempt + 1, MaxDuration: part[0].MaxDuration}
	if !job.Shares() {
		e.Job = job.ID
	}
	return e
}

func lives(tasks []task.Task) []int {
	out := make([]int, len(tasks))
	for i, t := range tasks {
		out[i] = ledger.Life(t.ID.N, t.Life)
	}
	return out
}
