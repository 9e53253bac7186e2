// Package task defines one unit of work and its states.
//
// Drover writes a task when it creates it, and when an attempt ends. In between the task does not change: the queue entry or the lease (package queue)
// that holds its number shows whether it waits or runs.
//
//	         created
//	            │            closed by          then
//	┌────►  (no status)  ──► completed   worker assistant   archiver archives           terminal
//	│           │        ──► failed      worker assistant   scavenger retries or kills
//	│           │        ──► expired     orchestrator       scavenger retries or kills
//	│           └────────►   cancelled   scheduler          archiver archives           terminal
//	│   failed, expired  ──► dead        scavenger          TaskDead; archiver archives terminal
//	└── failed, expired: a queue entry leads to the next attempt; the item stays
//	└── dead: a replay removes the status and begins a new life
package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/trace"
)

// ID names a task by its place in the table: "<segment>.<number>".
type ID struct {
	Segment segment.ID
	N       int
}

// String returns the id in the form that workers and people see.
func (id ID) String() string { return string(id.Segment) + "." + strconv.Itoa(id.N) }

// ParseID reads a task id. The error quotes the text.
func ParseID(text string) (ID, error) {
	seg, number, found := strings.Cut(text, ".")
	n, err := strconv.Atoi(number)
	if !found || !segment.ID(seg).Valid() || err != nil || n < 0 || n >= segment.Size || strconv.Itoa(n) != number {
		return ID{}, fmt.Errorf("task id %.80q does not have the form <segment>.<number>", text)
	}
	return ID{segment.ID(seg), n}, nil
}

// Status holds how the last attempt of a task ended, or how the task itself ended. The zero value means that no attempt has ended.
type Status string

// The package's figure shows which component sets each status.
const (
	Open      Status = ""
	Completed Status = "completed"
	Failed    Status = "failed"
	Expired   Status = "expired"
	Dead      Status = "dead"
	Cancelled Status = "cancelled"
)

// Terminal reports whether the status is final. A dead task can still be replayed.
func (s Status) Terminal() bool { return s == Completed || s == Dead || s == Cancelled }

// Error holds why an attempt failed, as reported by the worker or found by Drover.
type Error struct {
	Type    string `json:"type"`
	Message string `json:"message,omitempty"`
}

// Attempt holds one start of a task and its end. Times have millisecond precision.
type Attempt struct {
	Attempt      int        `json:"attempt"`
	DispatchedAt *time.Time `json:"dispatched_at,omitempty"`
	ClosedAt     *time.Time `json:"closed_at,omitempty"`
	Status       Status     `json:"status"`
	Error        *Error     `json:"error,omitempty"`
}

// Task holds a task as stored.
type Task struct {
	ID        ID
	Labourer  string
	JobID     string
	Payload   json.RawMessage // a JSON object with the top-level attributes that the worker gets
	CreatedAt time.Time
	Due       time.Time // when a new task is due, if after CreatedAt; not stored
	Shared    bool      // several jobs share the task's segment: its completion is entered in its job's progress from the stream

	// Parts counts the items of a payload that lies apart from the task's own item, 0 for one that does not. They are kept until PayloadUntil, and a
	// stream's image does not contain them.
	Parts        int
	PayloadUntil time.Time
	Bundle       string // names the item that the payload shares with those of other tasks, Parts is 1 then; "": its items are its own

	MaxAttempts int           // the job's own limit; 0 for the labourer's
	MaxDuration time.Duration // the job's own; 0 for the labourer's
	Qualifier   string        // alias or version of the Lambda function that the job asks for
	Trace       trace.Context // the job's; of a turn, the run's, and not stored

	// Turn names the stage of a workflow's run that the task belongs to; "" for a job's task. JobID then has the run's id, the number of the task
	// is the plugin's in that stage, and the payload is made when the task is handed out.
	Turn string
	// Group names the message group of a FIFO target, for a task whose payload was made; "": the labourer's rule. It is not stored.
	Group string
	// Moe says that the payload was made for a plugin of moe's orchestrator. It is not stored.
	Moe bool

	// Origin names the row of a sosw's table that the task was moved from; nil for all other tasks.
	Origin *Origin

	Status   Status
	Attempt  int // number of attempts that have ended
	ClosedAt time.Time
	Attempts []Attempt
	Result   json.RawMessage
	Stats    json.RawMessage

	Permanent  bool          // the last failure must not be retried
	RetryAfter time.Duration // how long the worker wants the retry to wait; 0 for no wish

	Life        int // starts at 0; every replay adds 1
	LifeAttempt int // attempts that had ended when this life began; max_attempts does not count them
}

// Origin holds where a task was before it was moved from a sosw.
type Origin struct {
	TaskID   string `json:"task_id"`            // sosw's id, which workers get as sosw_task_id
	Table    string `json:"table"`              // as package sosw names it
	Place    int64  `json:"place"`              // the row's place in the table's index: a greenfield, or a time in seconds since 1970
	Attempts int    `json:"attempts,omitempty"` // attempts that ended in sosw
	Expired  bool   `json:"expired,omitempty"`  // the last of them ended by its time
}

// ErrStale reports that an end belongs to another attempt than the current one. It must change nothing.
var ErrStale = errors.New("not the task's current attempt")

// ErrNoPayload reports that a payload that lay apart from its task is gone, or damaged.
var ErrNoPayload = errors.New("its payload cannot be read")

// End describes how an attempt ended.
type End struct {
	Attempt      int
	Status       Status // Completed, Failed or Expired
	DispatchedAt time.Time
	At           time.Time
	Error        *Error
	Result       json.RawMessage
	Stats        json.RawMessage
	Permanent    bool
	RetryAfter   time.Duration
}

// Close returns the task after the end of an attempt. ErrStale: the attempt is not the current one, or the task has already ended.
func (t Task) Close(end End) (Task, error) {
	if t.Status.Terminal() || end.Attempt != t.Attempt+1 {
		return t, ErrStale
	}
	t.Status, t.Attempt, t.ClosedAt = end.Status, end.Attempt, end.At
	t.Attempts = bounded(append(slices.Clip(t.Attempts), Attempt{
		Attempt: end.Attempt, DispatchedAt: moment(end.DispatchedAt), ClosedAt: moment(end.At), Status: end.Status, Error: end.Error,
	}))
	t.Result, t.Stats, t.Permanent, t.RetryAfter = end.Result, end.Stats, end.Permanent, end.RetryAfter
	return t, nil
}

// messagesKept limits the bytes of error messages of all attempts. A DynamoDB item has at most 400 KB, including payload and result. Without a limit, a
// task that fails for the thousandth time could be neither closed nor expired.
const messagesKept = 64 << 10

// bounded returns the attempts, of which only the newest keep their error messages. The older ones keep the types of their errors.
func bounded(attempts []Attempt) []Attempt {
	kept := 0
	for i := range slices.Backward(attempts) {
		e := attempts[i].Error
		if e == nil {
			continue
		}
		if kept += len(e.Message); kept > messagesKept && e.Message != "" {
			attempts[i].Error = &Error{Type: e.Type}
		}
	}
	return attempts
}

// Kill returns the task as dead, after its last allowed attempt. ErrStale: its last attempt has neither failed nor expired.
func (t Task) Kill(at time.Time) (Task, error) {
	if t.Status != Failed && t.Status != Expired {
		return t, ErrStale
	}
	t.Status, t.ClosedAt = Dead, at
	return t, nil
}

// Cancel returns the task as cancelled, before another attempt could run. ErrStale: the task has already ended.
func (t Task) Cancel(at time.Time) (Task, error) {
	if t.Status.Terminal() {
		return t, ErrStale
	}
	t.Status, t.ClosedAt = Cancelled, at
	return t, nil
}

// Revive returns a dead task at the beginning of its next life. ErrStale: the task is not dead.
func (t Task) Revive() (Task, error) {
	if t.Status != Dead {
		return t, ErrStale
	}
	t.Status, t.ClosedAt, t.Permanent, t.RetryAfter = Open, time.Time{}, false, 0
	t.Life, t.LifeAttempt = t.Life+1, t.Attempt
	return t, nil
}

// Size returns an upper limit of the bytes that the task takes in storage, which may compress its texts.
func (t Task) Size() int {
	const each = 200 // bytes for the rest of the item, and for each attempt
	size := each + len(t.Trace.Parent()) + len(t.Trace.State) + len(t.Payload) + len(t.Result) + len(t.Stats)
	for _, a := range t.Attempts {
		size += each
		if a.Error != nil {
			size += len(a.Error.Type) + len(a.Error.Message)
		}
	}
	return size
}

// MostTogether and MostBytesTogether limit the tasks, and their bytes, that one transaction writes. DynamoDB accepts 100 items and 4 MB in total,
// including the lease, the queue entry and records.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const (
	MostTogether      = 90
	MostBytesTogether = 7 << 19 // 3.5 MB
)

// Together returns the first tasks that fit in one transaction: at least one, if there is one.
func Together(tasks []Task) []Task {
	bytes := 0
	for i, t := range tasks {
		if bytes += t.Size(); i == MostTogether || i > 0 && bytes > MostBytesTogether {
			return tasks[:i]
		}
	}
	return tasks
}

// Failures returns the number of attempts of the task's current life that ended without success.
func (t Task) Failures() int { return t.Attempt - t.LifeAttempt }

// LastError returns the error of the last attempt, or nil if it had none.
func (t Task) LastError() *Error {
	if len(t.Attempts) == 0 {
		return nil
	}
	return t.Attempts[len(t.Attempts)-1].Error
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
