package view

import (
	"encoding/json"
	"time"

	"github.com/drover-run/drover/shared/archive"
	"github.com/drover-run/drover/shared/task"
)

// Task is the line of a task.
type Task struct {
	TaskID    string     `json:"task_id"`
	JobID     string     `json:"job_id"`
	Labourer  string     `json:"labourer_id"`
	Status    Status     `json:"status"`
	Attempt   int        `json:"attempt"` // that which runs, else that which ended last; 0: none has begun
	CreatedAt time.Time  `json:"created_at"`
	ClosedAt  *time.Time `json:"closed_at,omitempty"` // when the task, not only an attempt at it, reached its end
}

// Attempt is one start of a task.
type Attempt struct {
	Attempt      int         `json:"attempt"`
	DispatchedAt *time.Time  `json:"dispatched_at,omitempty"` // absent while a worker is about to be started
	ClosedAt     *time.Time  `json:"closed_at,omitempty"`
	Status       string      `json:"status"` // completed, failed, expired; running
	Error        *task.Error `json:"error,omitempty"`
}

// Detail is a task, whole.
type Detail struct {
	Task
	Payload    json.RawMessage `json:"payload"`
	Attempts   []Attempt       `json:"attempts"`
	Result     json.RawMessage `json:"result,omitempty"`
	Stats      json.RawMessage `json:"stats,omitempty"`
	WaitingFor string          `json:"waiting_for,omitempty"`
	Life       int             `json:"life,omitempty"`      // how often it was replayed
	ReplayOf   int             `json:"replay_of,omitempty"` // the attempt with which its former life ended
	Archived   bool            `json:"archived,omitempty"`  // it has left the table; this is its record in the archive
}

// TaskOf is the line of a task at a time.
func TaskOf(t task.Task, p Place, now time.Time) Task {
	line := Task{TaskID: t.ID.String(), JobID: t.JobID, Labourer: t.Labourer, Status: StatusOf(t, p, now), Attempt: t.Attempt,
		CreatedAt: t.CreatedAt.UTC()}
	if line.Status == Running {
		line.Attempt = p.Lease.Attempt
	}
	if line.Status.Ended() && !t.ClosedAt.IsZero() {
		at := t.ClosedAt.UTC()
		line.ClosedAt = &at
	}
	return line
}

// DetailOf is all of a task at a time. waiting says why it is not further, see [WaitingFor].
func DetailOf(t task.Task, p Place, waiting string, now time.Time) Detail {
	d := Detail{Task: TaskOf(t, p, now), Payload: t.Payload, Attempts: attempts(t.Attempts), Result: t.Result, Stats: t.Stats,
		WaitingFor: waiting, Life: t.Life, ReplayOf: t.LifeAttempt}
	if d.Status != Running {
		return d
	}
	running := Attempt{Attempt: p.Lease.Attempt, Status: string(Running)}
	if !p.Lease.DispatchedAt.IsZero() {
		at := p.Lease.DispatchedAt.UTC()
		running.DispatchedAt = &at
	}
	d.Attempts = append(d.Attempts, running)
	return d
}

// Archived is a task by its record in the archive.
func Archived(r archive.Record) Detail {
	return Detail{Task: Task{TaskID: r.TaskID, JobID: r.JobID, Labourer: r.Labourer, Status: Status(r.Status), Attempt: r.Attempt,
		CreatedAt: r.CreatedAt, ClosedAt: r.ClosedAt}, Payload: r.Payload, Attempts: attempts(r.Attempts), Result: r.Result, Stats: r.Stats,
		Life: r.Life, ReplayOf: r.ReplayOf, Archived: true}
}

func attempts(of []task.Attempt) []Attempt {
	out := make([]Attempt, len(of))
	for i, a := range of {
		out[i] = Attempt{Attempt: a.Attempt, DispatchedAt: a.DispatchedAt, ClosedAt: a.ClosedAt, Status: string(a.Status), Error: a.Error}
	}
	return out
}
