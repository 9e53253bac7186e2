// Package queue is where a task is while it waits and while it runs: in exactly one queue entry, or in exactly one lease.
//
// An entry says "these tasks of this segment are due from then on"; a lease says "these were handed out, until then". The leases
// are the count of running tasks: running = Σ (tasks − released). Nothing is counted up or down, so no count can drift, and
// releasing a task twice is releasing it once.
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

// ErrChanged says that what a write was conditioned on is no longer so: somebody else was first. Read again and decide anew.
var ErrChanged = errors.New("changed by somebody else in the meantime")

// Entry is the tasks of one segment that may be handed out from a time on.
type Entry struct {
	Labourer    string
	Due         time.Time // to the millisecond
	Segment     segment.ID
	First       int // the lowest number when the entry was put: part of its key, though the tasks may have become fewer
	Tasks       segment.Numbers
	Attempt     int           // the attempt that handing out these tasks starts
	Tried       bool          // this attempt was handed to the target before and came back: a worker may have it all the same
	Misfires    int           // how often the task could not be started while its target could be reached; 1 also where that is not known
	MaxDuration time.Duration // the job's own; 0: the labourer's
	Unreadable  *Unreadable   // not nil: it cannot be decoded, and has no tasks
}

// Aside is tasks that were withdrawn from an entry because their job is being cancelled. It is kept until they are cancelled.
type Aside struct {
	Entry
	Since time.Time // when they were withdrawn
}

// Item is the entry's sort key: by due time, then by segment and number, which is the order of handing out (G6).
func (e Entry) Item() string {
	if e.Unreadable != nil {
		return e.Unreadable.Item
	}
	return fmt.Sprintf("queue#%013d#%s#%03d", e.Due.UnixMilli(), e.Segment, e.First)
}

// Lease is the tasks of one segment that were handed out together.
type Lease struct {
	Labourer string
	Segment  segment.ID
	Attempt  int
	First    int // as in Entry: part of the key
	// Claim tells this lease from others under its key: it is the version of the labourer's state that the claim made. Versions never begin
	// again, so no lease that had the key before, or gets it later, has the same. Every write of a lease is conditioned on it.
	Claim    int
	Tasks    segment.Numbers
	Released segment.Numbers

	Due          time.Time // of the entry: where the tasks stand in line, should they have to go back
	ClaimedAt    time.Time
	DispatchedAt time.Time // zero until every worker was started
	ExpiresAt    time.Time // what is not closed by then is lost
	MaxDuration  time.Duration
	WaitedAt     time.Time         // when its tasks were given their time anew, as they had messages in their target's queue; zero: never
	Waiting      segment.Numbers   // those of them that no worker had taken then
	Tried        bool              // as in Entry
	Misfires     int               // as in Entry
	Heard        map[int]time.Time // the last heartbeat of a task, where one came

	// Unreadable is not nil for a lease that cannot be decoded. Such a lease has no segment and no attempt, so that it is no task's. Its tasks
	// are the slots that it counts for: as many as can be read, and one where no number can.
	Unreadable *Unreadable
}

// Item is the lease's sort key.
func (l Lease) Item() string {
	if l.Unreadable != nil {
		return l.Unreadable.Item
	}
	return LeasePrefix(l.Segment) + fmt.Sprintf("%d#%03d", l.Attempt, l.First)
}

// SetAsideFrom returns the time from which on a lease that cannot be read holds no slots any more: it is set aside then. It is the lease's end
// where that can be read, else the longest a lease lasts after it was first seen; zero where neither is known. A heartbeat gives it its time
// anew, as it does to any lease. longest is how long a lease of its labourer lasts.
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

// LeasedSegment returns the segment of the lease with this sort key; ok is false when it is no key of a lease.
func LeasedSegment(item string) (at segment.ID, ok bool) {
	parts := strings.Split(item, "#")
	if len(parts) != 4 || parts[0] != "lease" {
		return "", false
	}
	return segment.ID(parts[1]), true
}

// LeasePrefix is what the keys of all leases on a segment begin with.
func LeasePrefix(s segment.ID) string { return "lease#" + string(s) + "#" }

// Held is what of the lease still counts as running.
func (l Lease) Held() segment.Numbers { return l.Tasks.Minus(l.Released) }

// Look is what a labourer's partition shows at a glance.
type Look struct {
	Asides []Aside
	Leases []Lease
	Due    []Entry
}

// Running is how many tasks the leases hold.
func Running(leases []Lease) int {
	n := 0
	for _, l := range leases {
		n += l.Held().Len()
	}
	return n
}

// Holding is the lease that holds this attempt at a task, if there is one.
func Holding(leases []Lease, id task.ID, attempt int) (Lease, bool) {
	for _, l := range leases {
		if l.Segment == id.Segment && l.Attempt == attempt && l.Held().Contains(id.N) {
			return l, true
		}
	}
	return Lease{}, false
}

// State is what fences the claims of a labourer, and what its owner has said of it.
type State struct {
	Version int // 0: no state has been written yet
	Paused  bool
	Hold    Hold
	Trouble *Trouble
}

// Hold is who is about to claim, or has claimed and comes back when it has dispatched. The zero Hold is nobody's.
type Hold struct {
	By    string    // the execution
	Until time.Time // others give way until then
}

// KeepsOff tells whether this execution has to give way now. Nobody gives way to himself: who does not know whether he came to hold a
// labourer tries again.
func (h Hold) KeepsOff(execution string, now time.Time) bool {
	return h.By != execution && h.Until.After(now)
}

// Trouble is why the last dispatch could not reach the target.
type Trouble struct {
	Error string    `json:"error"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`           // when it is tried again
	Since time.Time `json:"since,omitzero"`  // when the target was reached last, as far as is known: the first of these failures
	Times int       `json:"times,omitempty"` // dispatches in a row that could not reach it; 0: it answers, and has too much to do
}

// Troubled returns the trouble after another dispatch that could not reach the target: before is what the state says, nil for none. The
// target is left alone for 30 s, twice as long each time, for 5 minutes at most.
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

// doubled returns how long to leave alone what failed so many times in a row.
func doubled(times int) time.Duration {
	return min(firstHold<<min(times-1, 8), lastHold)
}

// Probing tells whether one task is to find out whether the target can be reached again.
func (s State) Probing() bool { return s.Trouble != nil && s.Trouble.Times > 0 }

// Taking is a part, or the whole, of an entry, and the lease that takes its place.
type Taking struct {
	Entry Entry
	Rest  segment.Numbers // what stays in the entry; empty: the entry goes
	Lease Lease
}

// Term is how long a lease on tasks with this limit of their own lasts from the moment of its claim.
type Term func(maxDuration time.Duration) time.Duration

// Take decides which of the due entries are taken for the free slots, in the entries' order. state is what the claim is conditioned on.
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

// Probe decides which one of the due tasks finds out whether the target can be reached again: at first the foremost, which keeps the order.
// As the cause of the trouble may lie with the tasks that failed, it is then one that has not misfired, if there is one, by turns the
// foremost of these and the hindmost, which may well be of another job. state is a probing one, and what the claim is conditioned on.
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
	case len(fresh) == 0: // each of them by turns
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

// MisfiresMost is how many starts of one task may fail while its target can be reached.
const MisfiresMost = 5

// Suspected returns the entry of a task that could not be started, nor could any other just before: it stays where it was in line, and is
// not the next to find out whether the target can be reached.
func (l Lease) Suspected(n int) Entry {
	e := l.Returned(segment.Of(n))
	e.Misfires = max(e.Misfires, 1)
	return e
}

// Misfired returns the entry of a task that could not be started although its target can be reached. apart: it waits, and not its labourer,
// for 30 s and twice as long each time, for 5 minutes at most; else it stays where it was in line.
func (l Lease) Misfired(n int, apart bool, now time.Time) Entry {
	e := l.Returned(segment.Of(n))
	e.Misfires++
	if apart {
		e.Due = now.Add(doubled(e.Misfires)).Truncate(time.Millisecond)
	}
	return e
}

// Returned returns the entry of tasks that go back in line for the same attempt, just before where they stood.
func (l Lease) Returned(numbers segment.Numbers) Entry {
	return Entry{Labourer: l.Labourer, Due: l.Due.Add(-time.Millisecond), Segment: l.Segment, First: numbers.Min(), Tasks: numbers,
		Attempt: l.Attempt, MaxDuration: l.MaxDuration, Tried: true, Misfires: l.Misfires}
}

// DispatchTerm is how long a claimed lease is left to its dispatcher. It is longer than a dispatcher lives.
const DispatchTerm = 45 * time.Second

// Undispatched reports whether the lease was claimed more than [DispatchTerm] ago and is still not noted as dispatched.
func (l Lease) Undispatched(now time.Time) bool {
	return l.DispatchedAt.IsZero() && now.Sub(l.ClaimedAt) > DispatchTerm
}

// Losing is what makes a running task a lost one.
type Losing struct {
	MaxDuration time.Duration
	Cooldown    time.Duration
	Heartbeat   time.Duration // longest silence; 0: silence means nothing
}

// Lost is the tasks of a lease that count as lost now: whose time is over, or, where heartbeats are asked for, who were silent for too
// long. A heartbeat gives a task its whole time anew. Tasks whose dispatch is not known to have happened are lost only with the lease.
func (l Lease) Lost(by Losing, now time.Time) segment.Numbers {
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

// Backlog is what is in the queue that is a labourer's target.
type Backlog struct {
	Waiting   int           // messages that no worker has taken, or that are to be taken again
	Taken     int           // messages that a worker has taken and not deleted: they come again, should it die
	Retention time.Duration // after which the queue removes a message
	Unknown   string        // why the queue could not be asked; empty: it was
}

// Standing is which tasks of a lease still have a message in the queue.
type Standing struct{ Waiting, Taken segment.Numbers }

// Standings returns where the tasks of leases stand, by the leases' items. As a queue hands out its oldest messages first, or nearly so, the
// tasks that were dispatched last are those that wait, and the next are those that a worker has taken. A task of which a heartbeat came has
// been taken, and tells by itself how it stands. No task that is older than the queue keeps messages has one.
func (b Backlog) Standings(leases []Lease, now time.Time) map[string]Standing {
	newest := slices.Clone(leases)
	slices.SortStableFunc(newest, func(x, y Lease) int { return y.DispatchedAt.Compare(x.DispatchedAt) })
	out := map[string]Standing{}
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
		s.Waiting, b.Waiting = last(quiet, b.Waiting)
		s.Taken, b.Taken = last(quiet.Minus(s.Waiting), b.Taken)
		out[l.Item()] = s
	}
	return out
}

// last returns the k highest numbers, and how many are left of k.
func last(numbers segment.Numbers, k int) (segment.Numbers, int) {
	high := numbers.Minus(numbers.First(max(numbers.Len()-k, 0)))
	return high, k - high.Len()
}

// Kept returns which of the lost tasks of a lease are not to be closed as lost. A task that waits is no attempt yet. One that a worker has
// taken may have been taken late, as far as is known when it is looked at first, or when it waited at the last look: it gets its time once
// more.
func (s Standing) Kept(l Lease, lost segment.Numbers) segment.Numbers {
	late := s.Taken
	if !l.WaitedAt.IsZero() {
		late = late.Intersect(l.Waiting)
	}
	return s.Waiting.Union(late).Intersect(lost)
}
