package sosw

import (
	"cmp"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/task"
)

// State says what a row is, and so what becomes of it.
type State string

// Queued, Retry and Expired rows are moved. All others stay where they are.
const (
	Queued     State = "queued"     // waits in the queue
	Retry      State = "retry"      // waits for another attempt
	Expired    State = "expired"    // was invoked, and its time is over: the attempt has failed
	Running    State = "running"    // was invoked and may still run
	Completed  State = "completed"  // its worker has reported; sosw archives it
	Scavenging State = "scavenging" // sosw's scavenger, which is live, is about to take it
	Moved      State = "moved"      // is Drover's already
	Unreadable State = "unreadable" // is quarantined
)

// Movable reports whether a row in this state becomes Drover's.
func (s State) Movable() bool { return s == Queued || s == Retry || s == Expired }

// Labourer holds what the states of a labourer's rows depend on.
type Labourer struct {
	Lease time.Duration // after an invocation, a task that has not reported has failed
	// Scavenged says that sosw's scavenger may be at work. It moves rows without conditions, so rows that it may take are left to it.
	Scavenged bool
}

// reach says how long before its time a live scavenger might take a row: two of its runs, and clocks that differ.
const reach = 3 * time.Minute

// StateOf returns the state of a row at a time.
func (l Labourer) StateOf(r Row, now time.Time) State {
	switch {
	case r.MovedTo != "":
		return Moved
	case r.Completed:
		return Completed
	case r.Problem != "":
		return Unreadable
	case r.Table == Retries:
		if l.Scavenged && r.Place <= now.Add(reach).Unix() {
			return Scavenging
		}
		return Retry
	case r.Place < now.Unix():
		return Queued
	case r.Place >= now.Add(InvocationDelta-l.Lease).Unix():
		return Running
	case l.Scavenged:
		return Scavenging
	}
	return Expired
}

// Sort puts rows in the order in which they are moved: the queue in sosw's order, then expired attempts, then retries by their times. Rows
// with one greenfield, which a lagging index led sosw to give, are in the order of their creation.
func (l Labourer) Sort(rows []Row, now time.Time) {
	rank := map[State]int{Queued: 0, Expired: 1, Retry: 2}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(rank[l.StateOf(a, now)], rank[l.StateOf(b, now)]), cmp.Compare(a.Place, b.Place), a.CreatedAt.Compare(b.CreatedAt),
			cmp.Compare(a.TaskID, b.TaskID))
	})
}

// Task returns the task that a movable row becomes. Its earlier attempts count: the next one has the next number.
func (r Row) Task(id task.ID, jobID string, state State) task.Task {
	t := task.Task{ID: id, Labourer: r.Labourer, JobID: jobID, Payload: r.Payload, CreatedAt: r.CreatedAt, Attempt: r.Attempts,
		Origin: &task.Origin{TaskID: r.TaskID, Table: string(r.Table), Place: r.Place, Attempts: r.Attempts, Expired: state == Expired}}
	for n := range r.Attempts {
		a := task.Attempt{Attempt: n + 1, Status: task.Failed, Error: &task.Error{Type: "Sosw", Message: "the attempt ended in sosw, which keeps no reason"}}
		if state == Expired && n == r.Attempts-1 {
			began := time.Unix(r.Place, 0).Add(-InvocationDelta).UTC()
			a.Status, a.DispatchedAt = task.Expired, &began
		}
		t.Attempts = append(t.Attempts, a)
	}
	return t
}

// KeyOf returns the row that a task was moved from.
func KeyOf(t task.Task) Key {
	return Key{Table: Table(t.Origin.Table), TaskID: t.Origin.TaskID, Labourer: t.Labourer}
}
