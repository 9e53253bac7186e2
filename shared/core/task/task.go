// Package task is one unit of work and what may become of it.
//
// A task is written twice on its way: when it is created, and when an attempt at it ends. In between it is not touched: that it
// waits, or runs, is said by the queue entry or the lease (package queue) that holds its number.
//
//	         created
//	            │            who closes an attempt        who goes on from there
//	┌────►  (no status)  ──► completed   worker assistant   scavenger: archive          terminal
//	│           │        ──► failed      worker assistant   scavenger: retry or dead
//	│           │        ──► expired     orchestrator       scavenger: retry or dead
//	│           └────────►   cancelled   scheduler          scavenger: archive          terminal
//	│   failed, expired  ──► dead        scavenger          scavenger: archive, TaskDead terminal
//	└── failed, expired: the next attempt, by a queue entry; the item stays as it is
//	└── dead: replay (the status is taken off; a new life begins)
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
)

// ID is where a task is kept, and so its name: "<segment>.<number>".
type ID struct {
	Segment segment.ID
	N       int
}

// String is the form in which the id is handed to workers and people.
func (id ID) String() string { return string(id.Segment) + "." + strconv.Itoa(id.N) }

// ParseID reads a task id. The error names the text.
func ParseID(text string) (ID, error) {
	seg, number, found := strings.Cut(text, ".")
	n, err := strconv.Atoi(number)
	if !found || !segment.ID(seg).Valid() || err != nil || n < 0 || n >= segment.Size || strconv.Itoa(n) != number {
		return ID{}, fmt.Errorf("task id %.80q is not of the form <segment>.<number>", text)
	}
	return ID{segment.ID(seg), n}, nil
}

// Status is how the last attempt at a task ended, or how the task did. The zero value is a task of which no attempt has ended.
type Status string

// See the package's picture for who sets which.
const (
	Open      Status = ""
	Completed Status = "completed"
	Failed    Status = "failed"
	Expired   Status = "expired"
	Dead      Status = "dead"
	Cancelled Status = "cancelled"
)

// Terminal tells whether nothing comes after it (but a replay, for the dead).
func (s Status) Terminal() bool { return s == Completed || s == Dead || s == Cancelled }

// Error is why an attempt failed, as the worker told it or as Drover found out.
type Error struct {
	Type    string `json:"type"`
	Message string `json:"message,omitempty"`
}

// Attempt is one start of a task and its end. Times are to the millisecond.
type Attempt struct {
	Attempt      int        `json:"attempt"`
	DispatchedAt *time.Time `json:"dispatched_at,omitempty"`
	ClosedAt     *time.Time `json:"closed_at,omitempty"`
	Status       Status     `json:"status"`
	Error        *Error     `json:"error,omitempty"`
}

// Task is a task as it is stored.
type Task struct {
	ID        ID
	Labourer  string
	JobID     string
	Payload   json.RawMessage // a JSON object: the attributes that the worker gets at the top level
	Parts     int             // how many items beside its own hold the payload, where it is large; a stream's image has it not
	CreatedAt time.Time

	MaxAttempts int           // the job's own limit; 0: the labourer's
	MaxDuration time.Duration // the job's own; 0: the labourer's
	Qualifier   string        // alias or version of the Lambda function that the job asked for

	Status   Status
	Attempt  int // how many attempts have ended
	ClosedAt time.Time
	Attempts []Attempt
	Result   json.RawMessage
	Stats    json.RawMessage

	Permanent  bool          // the last failure must not be retried
	RetryAfter time.Duration // what the worker asked the retry to wait; 0: nothing

	Life        int // 0, and one more with every replay
	LifeAttempt int // attempts that had ended when this life began: max_attempts counts from there
}

// ErrStale says that an end belongs to an attempt that is not the current one; it must change nothing.
var ErrStale = errors.New("not the task's current attempt")

// ErrNoPayload says that parts of a task's payload are gone.
var ErrNoPayload = errors.New("parts of the payload are gone")

// End is the end of an attempt.
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

// Close is the task after an attempt at it ended. ErrStale: the attempt is not the one that is to end now, or the task has
// reached its end already.
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

// messagesKept is how many bytes of errors' messages are kept of all attempts together. An item of DynamoDB takes 400 KB, payload and result
// among them: were there no bound, a task that fails for the thousandth time could not be closed any more, nor could it expire.
const messagesKept = 64 << 10

// bounded is the attempts with the messages of the newest of them; of the older ones the types stay.
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

// Kill is the task after its last attempt turned out to be the last. ErrStale: it is not waiting for that decision.
func (t Task) Kill(at time.Time) (Task, error) {
	if t.Status != Failed && t.Status != Expired {
		return t, ErrStale
	}
	t.Status, t.ClosedAt = Dead, at
	return t, nil
}

// Cancel is the task after its job was cancelled before an attempt at it could run. ErrStale: it has reached its end already.
func (t Task) Cancel(at time.Time) (Task, error) {
	if t.Status.Terminal() {
		return t, ErrStale
	}
	t.Status, t.ClosedAt = Cancelled, at
	return t, nil
}

// Revive is a dead task at the beginning of its next life. ErrStale: it is not dead.
func (t Task) Revive() (Task, error) {
	if t.Status != Dead {
		return t, ErrStale
	}
	t.Status, t.ClosedAt, t.Permanent, t.RetryAfter = Open, time.Time{}, false, 0
	t.Life, t.LifeAttempt = t.Life+1, t.Attempt
	return t, nil
}

// Size returns how many bytes the task takes at most where it is stored, which may compress its texts.
func (t Task) Size() int {
	const each = 200 // the rest of the item, and of an attempt
	size := each + len(t.Payload) + len(t.Result) + len(t.Stats)
	for _, a := range t.Attempts {
		size += each
		if a.Error != nil {
			size += len(a.Error.Type) + len(a.Error.Message)
		}
	}
	return size
}

// MostTogether and MostBytesTogether are how many tasks, and how many bytes of them, one transaction writes: DynamoDB takes 100 items of
// 4 MB in all, and lease, entry and records are among them.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const (
	MostTogether      = 90
	MostBytesTogether = 7 << 19 // 3.5 MB
)

// Together returns the first tasks that go into one transaction: at least one, where there is one.
func Together(tasks []Task) []Task {
	bytes := 0
	for i, t := range tasks {
		if bytes += t.Size(); i == MostTogether || i > 0 && bytes > MostBytesTogether {
			return tasks[:i]
		}
	}
	return tasks
}

// Failures is how many attempts of the task's present life have ended without success.
func (t Task) Failures() int { return t.Attempt - t.LifeAttempt }

// LastError is the error of the last attempt, nil when it had none.
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
