// Package queue holds tasks while they wait and while they run: each is in exactly one queue entry, or in exactly one lease.
//
// An entry says "these tasks of this segment are due from then on". A lease says which of its tasks are in hand, which wait, and how many may
// be in hand at once. The orchestrator grants leases; the worker assistant feeds them: a task that waits takes the slot of one that has ended. A task
// that failed waits there for its next attempt, if that comes soon.
// The sum of the leases' granted slots is what a labourer's cap bounds. No counter is stored, so none can drift.
//
//	entry ──grant──► lease: waits ──feed──► in hand ──completed──► done under the lease
//	  ▲                 │                   │  ▲ │
//	  │                 │            failed ▼  │ │
//	  │                 │                retries │
//	  └─────────────────┴── withdrawn, failed ───┘   out of the lease and queued again in one transaction
package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
)

// ErrChanged says that the condition of a write no longer holds: another writer was first. Read again and decide anew.
var ErrChanged = errors.New("changed by another writer in the meantime")

// Entry holds the tasks of one segment that may be handed out from a time on.
type Entry struct {
	Labourer    string
	Due         time.Time // to the millisecond
	Segment     segment.ID
	First       int // the lowest number when the entry was written: part of its key, also after tasks were taken
	Tasks       segment.Numbers
	Job         string        // the job of all these tasks; empty if several jobs share the segment
	Attempt     int           // the attempt that handing out these tasks starts
	Tried       bool          // this attempt was handed to the target before and returned: a worker may run it nevertheless
	Misfires    int           // failed starts of each of its tasks while their target could be reached; also 1 if that is unknown
	MaxDuration time.Duration // the job's; 0: the labourer's
	Unreadable  *Unreadable   // not nil: the entry cannot be decoded, and has no tasks
}

// Aside holds tasks that were withdrawn from an entry because their job is being cancelled. It exists until they are cancelled.
type Aside struct {
	Entry
	Since time.Time // when they were withdrawn
}

// Item returns the entry's sort key: by due time, then by segment and number, the order of dispatch (G6).
func (e Entry) Item() string {
	if e.Unreadable != nil {
		return e.Unreadable.Item
	}
	return fmt.Sprintf("queue#%013d#%s#%03d", e.Due.UnixMilli(), e.Segment, e.First)
}

// Look holds the first items of a labourer's partition, from one cheap read.
type Look struct {
	Asides []Aside
	Leases []Lease
	Due    []Entry
}

// State fences the claims of a labourer, and says whether its owner has paused it.
type State struct {
	Version int // 0: no state is stored yet
	Paused  bool
	Pause   Pause // of a paused labourer
	Pin     *Pin  // nil: the cap is not pinned
	Hold    Hold
	Trouble *Trouble
	Pace    Pace
}

// Pause records a labourer's pause, as far as it is known: the person and the time.
type Pause struct {
	By string    `json:"by,omitempty"` // a person, or an identity of AWS
	At time.Time `json:"at,omitzero"`
}

// Hold names the execution that is about to claim, or has claimed and is dispatching. The zero Hold belongs to no execution.
type Hold struct {
	By    string    `json:"by"`    // the execution
	Until time.Time `json:"until"` // other executions yield until then
}

// HoldTerm limits how long other executions yield to a grant whose workers are being started.
const HoldTerm = 10 * time.Second

// KeepsOff reports whether this execution has to yield now. An execution never yields to its own hold: if it does not know whether its write
// succeeded, it tries again.
func (h Hold) KeepsOff(execution string, now time.Time) bool {
	return h.By != execution && h.Until.After(now)
}

// Trouble says why the last dispatch could not reach the target.
type Trouble struct {
	Error string    `json:"error"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`           // when the next dispatch may try
	Since time.Time `json:"since,omitzero"`  // the first of these failures in a row
	Times int       `json:"times,omitempty"` // dispatches in a row that could not reach the target; 0: it answers, and throttles
}

// Troubled returns the trouble after another dispatch that could not reach the target. before is the state's trouble, nil for none. The
// target rests for 30 s at first, twice as long each time, for 5 minutes at most.
func Troubled(before *Trouble, reason string, now time.Time) *Trouble {
	t := Trouble{Error: reason, At: now, Since: now, Times: 1}
	if before != nil && before.Times > 0 {
		t.Since, t.Times = before.Since, before.Times+1
	}
	t.Until = now.Add(doubled(t.Times))
	return &t
}

const (
	firstHold = 30 * time.Second
	lastHold  = 5 * time.Minute
)

// doubled returns the pause after so many failures in a row.
func doubled(times int) time.Duration {
	return min(firstHold<<min(times-1, 8), lastHold)
}

// Probing reports whether only one task may start, to find out whether the target can be reached again.
func (s State) Probing() bool { return s.Trouble != nil && s.Trouble.Times > 0 }
