package inspect

import (
	"encoding/json"
	"time"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// Task is a line: a task in a few words.
type Task struct {
	TaskID    string     `json:"task_id"`
	JobID     string     `json:"job_id"`
	Labourer  string     `json:"labourer_id"`
	Status    Status     `json:"status"`
	Attempt   int        `json:"attempt"` // the running one, else the one that ended last; 0: none has begun
	CreatedAt time.Time  `json:"created_at"`
	ClosedAt  *time.Time `json:"closed_at,omitempty"` // when the task, not only an attempt, reached its end
}

// Attempt is one start of a task.
type Attempt struct {
	Attempt      int         `json:"attempt"`
	DispatchedAt *time.Time  `json:"dispatched_at,omitempty"` // absent while the orchestrator has not started the worker
	ClosedAt     *time.Time  `json:"closed_at,omitempty"`
	Status       string      `json:"status"` // completed, failed, expired; running
	Error        *task.Error `json:"error,omitempty"`
}

// Detail is all about a task.
type Detail struct {
	Task
	Payload    json.RawMessage `json:"payload"`
	Attempts   []Attempt       `json:"attempts"`
	Result     json.RawMessage `json:"result,omitempty"`
	Stats      json.RawMessage `json:"stats,omitempty"`
	WaitingFor string          `json:"waiting_for,omitempty"`
	Life       int             `json:"life,omitempty"`      // how many times it was replayed
	ReplayOf   int             `json:"replay_of,omitempty"` // the last attempt of its former life
	SoswTaskID string          `json:"sosw_task_id,omitempty"`
	Archived   bool            `json:"archived,omitempty"` // it has left the table, and this is its record in the archive
}

// TaskOf returns the line of a task at a time.
func TaskOf(t task.Task, p Place, now time.Time) Task {
	line := Task{TaskID: t.ID.String(), JobID: t.JobID, Labourer: t.Labourer, Status: StatusOf(t, p, now), Attempt: t.Attempt,
		CreatedAt: t.CreatedAt.UTC()}
	if line.Status == Running {
		line.Attempt = p.Attempt
	}
	if line.Status.Ended() && !t.ClosedAt.IsZero() {
		at := t.ClosedAt.UTC()
		line.ClosedAt = &at
	}
	return line
}

// DetailOf returns all about a task at a time. waiting says what it waits for, see [WaitingFor].
func DetailOf(t task.Task, p Place, waiting string, now time.Time) Detail {
	d := Detail{Task: TaskOf(t, p, now), Payload: t.Payload, Attempts: attempts(t.Attempts), Result: t.Result, Stats: t.Stats,
		WaitingFor: waiting, Life: t.Life, ReplayOf: t.LifeAttempt}
	if t.Origin != nil {
		d.SoswTaskID = t.Origin.TaskID
	}
	if d.Status != Running {
		return d
	}
	running := Attempt{Attempt: p.Attempt, Status: string(Running)}
	if p.Hand.By != queue.Undispatched {
		at := p.Hand.Since.UTC()
		running.DispatchedAt = &at
	}
	d.Attempts = append(d.Attempts, running)
	return d
}

// Archived returns all about a task by its record in the archive.
func Archived(r archive.Record) Detail {
	return Detail{Task: Task{TaskID: r.TaskID, JobID: r.JobID, Labourer: r.Labourer, Status: Status(r.Status), Attempt: r.Attempt,
		CreatedAt: r.CreatedAt, ClosedAt: r.ClosedAt}, Payload: r.Payload, Attempts: attempts(r.Attempts), Result: r.Result, Stats: r.Stats,
		Life: r.Life, ReplayOf: r.ReplayOf, SoswTaskID: r.SoswTaskID, Archived: true}
}

func attempts(of []task.Attempt) []Attempt {
	out := make([]Attempt, len(of))
	for i, a := range of {
		out[i] = Attempt{Attempt: a.Attempt, DispatchedAt: a.DispatchedAt, ClosedAt: a.ClosedAt, Status: string(a.Status), Error: a.Error}
	}
	return out
}
