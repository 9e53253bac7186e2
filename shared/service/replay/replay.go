// Package replay brings dead tasks back to life: by name, by job, or by labourer.
//
// A life begins with one transaction: the task opens, an entry queues it, and the job's totals have one dead less. A replay is known by its
// id with the time at which it began, and takes in only what had died by then: so it may be delivered any number of times, also after
// its tasks have died again. One that names tasks begins after all of these deaths that it finds, however the clocks of those that wrote
// them differ from its own. It goes through months, jobs and segments in an order that stays, and when its time is over it is handed on
// with how far it has come.
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

// Jobs is the jobs' records and progress.
type Jobs interface {
	Get(ctx context.Context, id string) (ledger.Job, bool, error)
	GetAll(ctx context.Context, ids []string) ([]ledger.Job, error)
	Month(ctx context.Context, month time.Time) ([]string, error)
	Progress(ctx context.Context, job ledger.Job) ([]ledger.Progress, error)
	ProgressIn(ctx context.Context, jobID string, s segment.ID) (ledger.Progress, error)
}

// Tasks is the tasks.
type Tasks interface {
	// Heads returns the job, the status and the time of the end of each; the payloads of any number of tasks are more than a function's memory.
	Heads(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
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
	Tasks    []string `json:"tasks,omitempty"`
	JobID    string   `json:"job_id,omitempty"`
	Labourer string   `json:"labourer,omitempty"`
	From     Place    `json:"from,omitzero"` // of one of a job or a labourer that was handed on
}

// Place is where a replay goes on; what lies before it is done. Months are in falling order, jobs and segments by their ids.
type Place struct {
	Month   string     `json:"month,omitempty"` // as 2006-01; only where the jobs of a labourer are replayed
	Job     string     `json:"job,omitempty"`
	Segment segment.ID `json:"segment,omitempty"` // the last one of the job that is done
}

// errLate says that the time is over.
var errLate = errors.New("the time is over")

// run is one invocation of the service.
type run struct {
	Service
	began time.Time
	late  func() bool
	from  Place
	at    Place
	left  []string // of tasks that were named, those that are not through when the time is over
}

// Replay carries out a ReplayTasks until late says that the time is over; rest is the command for what is left then. *event.Refused: it says
// neither which tasks, nor which job or labourer, or names what does not exist.
func (s Service) Replay(ctx context.Context, e event.Envelope, late func() bool) (rest *event.Envelope, err error) {
	var c Command
	if err := exact.Decode(e.Detail, &c); err != nil {
		return nil, &event.Refused{Reason: fmt.Sprintf("the replay cannot be read: %v", err)}
	}
	id := cmp.Or(c.ReplayID, e.ID)
	if len(id) > event.MaxID {
		return nil, &event.Refused{Reason: fmt.Sprintf("replay_id: it has %d bytes; at most %d would be right", len(id), event.MaxID)}
	}
	if len(c.Tasks) > 0 && c.JobID != "" || c.Labourer != "" && (len(c.Tasks) > 0 || c.JobID != "") {
		return nil, &event.Refused{Reason: "tasks, job_id and labourer: more than one of them is given; one would be right"}
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
	r := &run{Service: s, began: began, late: late, from: c.From, at: c.From}
	if err := r.carryOut(ctx, c, named); !errors.Is(err, errLate) {
		return nil, err
	}
	if len(c.Tasks) > 0 {
		c.Tasks = r.left // the command becomes shorter: it may be as large as a message already
	} else {
		c.From = r.at
	}
	e.Detail, err = json.Marshal(c)
	return &e, err
}

// named reads the tasks of these names. Those that do not exist are missing in the answer.
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
		_, found, err := r.Jobs.Get(ctx, c.JobID)
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
	return &event.Refused{Reason: "tasks: it is missing; tasks, job_id or labourer would be right"}
}

// tasks replays tasks by name. Those that are not dead are passed over.
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

// together is how many jobs' records are read at once.
const together = 100

func (r *run) labourer(ctx context.Context, labourer string) error {
	now := r.Now().UTC()
	for at := now; !at.Before(now.Add(-r.Retention).AddDate(0, -1, 0)); at = at.AddDate(0, -1, 1-at.Day()) {
		month := at.Format("2006-01")
		if r.from.Month != "" && month > r.from.Month {
			continue
		}
		ids, err := r.Jobs.Month(ctx, at)
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
			jobs, err := r.Jobs.GetAll(ctx, some)
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

// reach notes that all before a job is done.
func (r *run) reach(month, job string) {
	r.at = Place{Month: month, Job: job}
	if month == r.from.Month && job == r.from.Job {
		r.at = r.from
	}
}

// job replays the dead of a job; wanted narrows it to some of them. The orchestrator is told of them also when not all come back, and again when
// they came back before: who brought them may have died before he told.
func (r *run) job(ctx context.Context, month, id string, wanted map[segment.ID]segment.Numbers) error {
	r.reach(month, id)
	job, found, err := r.Jobs.Get(ctx, id)
	if err != nil || !found || !job.Revivable() {
		return err
	}
	progress, err := r.Jobs.Progress(ctx, job)
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
	if told := r.Bus.Publish(ctx, event.TasksDue("replay/"+id, labourer)); told != nil {
		return told
	}
	return err
}

// tries is how often a lost race is run again.
const tries = 10

// segment replays the dead among these numbers of one segment, part by part. It returns how many came back, and the job as it is then.
func (r *run) segment(ctx context.Context, job ledger.Job, p ledger.Progress, wanted segment.Numbers) (revived int, _ ledger.Job, err error) {
	for range tries {
		var some int
		some, job, p, err = r.revive(ctx, job, p, wanted)
		revived += some
		if !errors.Is(err, ledger.ErrChanged) {
			return revived, job, err
		}
		// Something is not as it was read.
		now, found, err := r.Jobs.Get(ctx, job.ID)
		if err != nil {
			return revived, job, err
		}
		if job = now; !found || !job.Revivable() {
			return revived, job, nil
		}
		if p, err = r.Jobs.ProgressIn(ctx, job.ID, p.Segment); err != nil {
			return revived, job, err
		}
	}
	return revived, job, fmt.Errorf("replaying job %s: segment %s changed %d times in between", job.ID, p.Segment, tries)
}

// revive brings back the dead among these numbers of one segment until something is not as it was read: ledger.ErrChanged. It returns how many
// came back, and the job and the progress as they are then.
func (r *run) revive(ctx context.Context, job ledger.Job, p ledger.Progress, wanted segment.Numbers) (revived int, _ ledger.Job, _ ledger.Progress, _ error) {
	for tasks, err := range r.Tasks.Chunks(ctx, p.Segment, ledger.Numbers(p.StillDead()).Intersect(wanted)) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return revived, job, p, err
		}
		// What cannot be read of a task is not needed to bring it back; the orchestrator says of it what is wrong.
		dead := slices.DeleteFunc(append(tasks, unreadable...), func(t task.Task) bool {
			return t.Status != task.Dead || t.JobID != job.ID || t.ClosedAt.After(r.began)
		})
		for len(dead) > 0 {
			if r.late() {
				return revived, job, p, errLate
			}
			if job.State == ledger.Completed {
				// The component that ended the job may have died before it told, and no other tells of that end once the job runs again.
				if err := r.Bus.Publish(ctx, event.JobEnded(job.Totals(), false)); err != nil {
					return revived, job, p, err
				}
			}
			part := alike(dead)
			if err := r.Store.Revive(ctx, job, p, part, r.entry(job, part)); err != nil {
				return revived, job, p, err
			}
			revived += len(part)
			job, p = job.Revived(), p.Revived(lives(part))
			dead = slices.DeleteFunc(dead, func(t task.Task) bool { return slices.Contains(p.Replayed, ledger.Life(t.ID.N, t.Life)) })
		}
	}
	return revived, job, p, nil
}

// alike returns as many of the tasks as go into one entry and one transaction.
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
	return queue.Entry{Labourer: job.Labourer, Due: r.Now().UTC().Truncate(time.Millisecond), Segment: part[0].ID.Segment, First: set.Min(),
		Tasks: set, Attempt: part[0].Attempt + 1, MaxDuration: part[0].MaxDuration}
}

func lives(tasks []task.Task) []int {
	out := make([]int, len(tasks))
	for i, t := range tasks {
		out[i] = ledger.Life(t.ID.N, t.Life)
	}
	return out
}
