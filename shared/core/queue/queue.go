// Package queue holds tasks while they wait and while they run: each is in exactly one queue entry, or in exactly one lease.
//
// An entry says "these tasks of this segment are due from then on"; a lease says "these were handed out, until then". The leases give the
// count of running tasks: running = Σ (tasks − released). No counter is stored, so none can drift, and releasing a task twice has the effect
// of releasing it once.
//
//	entry ──claim──► lease ──released, completed──► (gone)
//	  ▲                 │
//	  └─────settle──────┘   failed or expired with attempts left: released and queued again in one transaction
package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
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
	Attempt     int           // the attempt that handing out these tasks starts
	Tried       bool          // this attempt was handed to the target before and returned: a worker may run it nevertheless
	Misfires    int           // failed starts of the task while its target could be reached; also 1 if that is unknown
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

// Lease holds the tasks of one segment that were handed out together.
type Lease struct {
	Labourer string
	Segment  segment.ID
	Attempt  int
	First    int // as in Entry: part of the key
	// Claim tells this lease from others under its key: it is the version of the labourer's state that the claim wrote. Versions only grow, so
	// no earlier or later lease under the key has the same. Every write of a lease is conditioned on it.
	Claim    int
	Tasks    segment.Numbers
	Released segment.Numbers

	Due          time.Time // of the entry: the place of the tasks in the queue if they return to it
	ClaimedAt    time.Time
	DispatchedAt time.Time // zero until all workers are started
	ExpiresAt    time.Time // tasks that are not closed by then are lost
	MaxDuration  time.Duration
	WaitedAt     time.Time         // when the time of its tasks started again, as they had messages in the target's queue; zero: never
	Waiting      segment.Numbers   // the tasks that no worker had taken at WaitedAt
	Tried        bool              // as in Entry
	Misfires     int               // as in Entry
	Heard        map[int]time.Time // the last heartbeat of each task that sent one

	// Unreadable is not nil for a lease that cannot be decoded. Such a lease has no segment and no attempt, so it matches no task. Its tasks
	// count as taken slots: as many as can be read, or one if no number can.
	Unreadable *Unreadable
}

// Item returns the lease's sort key.
func (l Lease) Item() string {
	if l.Unreadable != nil {
		return l.Unreadable.Item
	}
	return LeasePrefix(l.Segment) + fmt.Sprintf("%d#%03d", l.Attempt, l.First)
}

// SetAsideFrom returns the time at which an unreadable lease stops holding slots and is set aside. That is the lease's end if it can be read,
// else the time at which it was first seen plus longest, or zero if neither is known. A heartbeat extends it by longest, as for any lease;
// longest limits the duration of a lease of the labourer.
func (l Lease) SetAsideFrom(longest time.Duration) time.Time {
	end := l.ExpiresAt
	if end.IsZero() && !l.Unreadable.Since.IsZero() {
		end = l.Unreadable.Since.Add(longest)
	}
	if end.IsZero() {
		return end
	}
	for _, at := range l.Heard {
		end = later(end, at.Add(longest))
	}
	return end
}

// LeasedSegment returns the segment of the lease with this sort key; ok is false if it is not the key of a lease.
func LeasedSegment(item string) (at segment.ID, ok bool) {
	parts := strings.Split(item, "#")
	if len(parts) != 4 || parts[0] != "lease" {
		return "", false
	}
	return segment.ID(parts[1]), true
}

// LeasePrefix returns the prefix of the sort keys of all leases on a segment.
func LeasePrefix(s segment.ID) string { return "lease#" + string(s) + "#" }

// Held returns the tasks of the lease that still count as running.
func (l Lease) Held() segment.Numbers { return l.Tasks.Minus(l.Released) }

// Look holds the first items of a labourer's partition, from one cheap read.
type Look struct {
	Asides []Aside
	Leases []Lease
	Due    []Entry
}

// Running returns the number of tasks that the leases hold.
func Running(leases []Lease) int {
	n := 0
	for _, l := range leases {
		n += l.Held().Len()
	}
	return n
}

// Holding returns the lease that holds this attempt at a task, if there is one.
func Holding(leases []Lease, id task.ID, attempt int) (Lease, bool) {
	for _, l := range leases {
		if l.Segment == id.Segment && l.Attempt == attempt && l.Held().Contains(id.N) {
			return l, true
		}
	}
	return Lease{}, false
}

// State fences the claims of a labourer, and says whether its owner has paused it.
type State struct {
	Version int // 0: no state is stored yet
	Paused  bool
	Hold    Hold
	Trouble *Trouble
}

// Hold names the execution that is about to claim, or has claimed and is dispatching. The zero Hold belongs to no execution.
type Hold struct {
	By    string    // the execution
	Until time.Time // other executions yield until then
}

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

// Taking is a part, or the whole, of an entry, and the lease that takes its place.
type Taking struct {
	Entry Entry
	Rest  segment.Numbers // the tasks that stay in the entry; empty: the entry is deleted
	Lease Lease
}

// Term returns the duration of a lease from its claim on. maxDuration is the job's limit; 0 means the labourer's.
type Term func(maxDuration time.Duration) time.Duration

// Take decides which of the due entries fill the free slots, in the entries' order. The claim is conditioned on state.
func Take(state State, entries []Entry, free int, now time.Time, term Term) []Taking {
	var out []Taking
	for _, e := range entries {
		if free <= 0 {
			break
		}
		if e.Due.After(now) || e.Tasks.Empty() {
			continue
		}
		taken := e.Tasks.First(free)
		free -= taken.Len()
		out = append(out, Taking{Entry: e, Rest: e.Tasks.Minus(taken), Lease: Lease{
			Labourer: e.Labourer, Segment: e.Segment, Attempt: e.Attempt, First: taken.Min(), Claim: state.Version + 1, Tasks: taken, Due: e.Due,
			ClaimedAt: now, ExpiresAt: now.Add(term(e.MaxDuration)), MaxDuration: e.MaxDuration,
			Tried: e.Tried, Misfires: e.Misfires,
		}})
	}
	return out
}

// Probe decides which one of the due tasks finds out whether the target can be reached again. At first it is the foremost, which keeps the
// order. As the tasks that failed may be the cause of the trouble, later probes take a task that has not misfired, if there is one: by turns
// the foremost and the hindmost of these, which may belong to another job. The claim is conditioned on state, which is probing.
func Probe(state State, entries []Entry, now time.Time, term Term) []Taking {
	due := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Due.After(now) || e.Tasks.Empty() })
	if len(due) == 0 {
		return nil
	}
	times := state.Trouble.Times
	fresh := slices.DeleteFunc(slices.Clone(due), func(e Entry) bool { return e.Misfires > 0 })
	entry, at := due[0], 0
	switch {
	case times < 2:
	case len(fresh) == 0: // each task in turn
		n := 0
		for _, e := range due {
			n += e.Tasks.Len()
		}
		for at = times % n; at >= entry.Tasks.Len(); entry = due[0] {
			at -= entry.Tasks.Len()
			due = due[1:]
		}
	case times%2 == 0:
		entry = fresh[0]
	default:
		entry = fresh[len(fresh)-1]
		at = entry.Tasks.Len() - 1
	}
	one := entry
	one.Tasks = entry.Tasks.Minus(entry.Tasks.First(at)).First(1)
	taken := Take(state, []Entry{one}, 1, now, term)
	taken[0].Entry, taken[0].Rest = entry, entry.Tasks.Minus(one.Tasks)
	return taken
}

// MisfiresMost limits how many starts of one task may fail while its target can be reached.
const MisfiresMost = 5

// Suspected returns the entry of a task that could not be started, like every other task just before it. It keeps its place in the queue, and
// the next probe takes another task if it can.
func (l Lease) Suspected(n int) Entry {
	e := l.Returned(segment.Of(n))
	e.Misfires = max(e.Misfires, 1)
	return e
}

// Misfired returns the entry of a task that could not be started although its target can be reached. If apart is set, the task waits, and not
// its labourer: for 30 s at first, twice as long each time, for 5 minutes at most. Otherwise it keeps its place in the queue.
func (l Lease) Misfired(n int, apart bool, now time.Time) Entry {
	e := l.Returned(segment.Of(n))
	e.Misfires++
	if apart {
		e.Due = now.Add(doubled(e.Misfires)).Truncate(time.Millisecond)
	}
	return e
}

// Returned returns the entry of tasks that go back to the queue for the same attempt, just before their old place.
func (l Lease) Returned(numbers segment.Numbers) Entry {
	return Entry{Labourer: l.Labourer, Due: l.Due.Add(-time.Millisecond), Segment: l.Segment, First: numbers.Min(), Tasks: numbers,
		Attempt: l.Attempt, MaxDuration: l.MaxDuration, Tried: true, Misfires: l.Misfires}
}

// DispatchTerm limits how long a claimed lease is left to its dispatcher. It is longer than a dispatcher lives.
const DispatchTerm = 45 * time.Second

// Undispatched reports whether the lease was claimed more than [DispatchTerm] ago and is still not marked as dispatched.
func (l Lease) Undispatched(now time.Time) bool {
	return l.DispatchedAt.IsZero() && now.Sub(l.ClaimedAt) > DispatchTerm
}

// Limits are the times after which a running task counts as lost.
type Limits struct {
	MaxDuration time.Duration
	Cooldown    time.Duration
	Heartbeat   time.Duration // longest time between heartbeats; 0: no heartbeats are expected
}

// Lost returns the tasks of a lease that count as lost now: their time is over, or an expected heartbeat is overdue. A heartbeat starts a
// task's whole time again. Tasks of a lease that is not marked as dispatched are lost only when the lease ends.
func (l Lease) Lost(by Limits, now time.Time) segment.Numbers {
	limit := by.MaxDuration
	if l.MaxDuration > 0 {
		limit = l.MaxDuration
	}
	var lost segment.Numbers
	for n := range l.Held().All() {
		end := l.ExpiresAt
		begun := l.DispatchedAt
		heard, spoke := l.Heard[n]
		if !spoke && l.WaitedAt.After(begun) {
			begun = l.WaitedAt
			end = later(end, begun.Add(limit+by.Cooldown))
		}
		if spoke && heard.Add(limit+by.Cooldown).After(end) {
			end = heard.Add(limit + by.Cooldown)
		}
		if by.Heartbeat > 0 && !l.DispatchedAt.IsZero() {
			last := begun
			if spoke && heard.After(last) {
				last = heard
			}
			if silent := last.Add(by.Heartbeat); silent.Before(end) {
				end = silent
			}
		}
		if now.After(end) {
			lost = lost.Union(segment.Of(n))
		}
	}
	return lost
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Backlog holds the counts of the queue that is a labourer's target.
type Backlog struct {
	Waiting   int           // messages that no worker has taken, or that are visible again
	Taken     int           // messages that a worker has taken and not deleted: the queue redelivers them if it dies
	Retention time.Duration // the time after which the queue deletes a message
	Unknown   string        // why the queue could not be read; empty: it was read
}

// Standing holds the tasks of a lease that still have a message in the queue.
type Standing struct{ Waiting, Taken segment.Numbers }

// Standings returns the standings of leases, by the leases' items. A queue hands out its oldest messages first, or nearly so: the tasks that
// were dispatched last still wait, and the ones before them are taken by workers. A task that has sent a heartbeat is taken, and its
// heartbeats decide about it. A task that is older than the queue's retention has no message.
func (b Backlog) Standings(leases []Lease, now time.Time) map[string]Standing {
	newest := slices.Clone(leases)
	slices.SortStableFunc(newest, func(x, y Lease) int { return y.DispatchedAt.Compare(x.DispatchedAt) })
	out := map[string]Standing{}
	waiting, taken := b.Waiting, b.Taken
	for _, l := range newest {
		if l.DispatchedAt.IsZero() || now.Sub(l.DispatchedAt) > b.Retention {
			continue
		}
		var quiet segment.Numbers
		for n := range l.Held().All() {
			if _, spoke := l.Heard[n]; !spoke {
				quiet = quiet.Union(segment.Of(n))
			}
		}
		var s Standing
		s.Waiting, waiting = last(quiet, waiting)
		s.Taken, taken = last(quiet.Minus(s.Waiting), taken)
		out[l.Item()] = s
	}
	return out
}

// last returns the k highest numbers, and how many of k remain.
func last(numbers segment.Numbers, k int) (segment.Numbers, int) {
	high := numbers.Minus(numbers.First(max(numbers.Len()-k, 0)))
	return high, k - high.Len()
}

// Kept returns the lost tasks of a lease that must not be closed as lost. A task that waits is not an attempt yet. A task that a worker has
// taken may have been taken late, if this is the first check or if the task waited at the last check: its time starts once more.
func (s Standing) Kept(l Lease, lost segment.Numbers) segment.Numbers {
	late := s.Taken
	if !l.WaitedAt.IsZero() {
		late = late.Intersect(l.Waiting)
	}
	return s.Waiting.Union(late).Intersect(lost)
}
