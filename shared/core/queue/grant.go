package queue

import (
	"math/bits"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
)

// Grant holds what a claim writes. Leases that get tasks or slots change together with the state's version; leases that only fill the slots that
// they have change each by itself.
type Grant struct {
	State   State // as it was read; its version fences the grant
	Pace    Pace  // as it is after the grant
	Filled  []Change
	Changed []Change // raised and extended leases, and new ones
	Takings []Taking
}

// Change is a lease before and after. The Before of a new lease has no tasks.
type Change struct{ Before, After Lease }

// New reports whether the change makes a lease.
func (c Change) New() bool { return c.Before.Tasks.Empty() }

// Started returns the tasks that the change takes in hand, for an attempt that was not in hand before.
func (c Change) Started() segment.Numbers {
	return c.After.InHand().Minus(c.After.Unmoved(c.Before, c.Before.InHand()))
}

// Retried returns the tasks whose next attempt the change sets to start in the lease.
func (c Change) Retried() segment.Numbers {
	var s segment.Numbers
	for n, again := range c.After.Retries {
		if c.Before.Retries[n] != again {
			s = s.Union(segment.Of(n))
		}
	}
	return s
}

// Written returns the lease as it is stored after the change.
func (c Change) Written() Lease {
	l := c.After
	if !c.New() {
		l.Revision = c.Before.Revision + 1
	}
	return l
}

// SortChanges sorts changes by the places in the queue of the tasks that they take in hand.
func SortChanges(changes []Change) {
	slices.SortStableFunc(changes, func(a, b Change) int {
		return place{&a.After, a.Started().Min()}.compare(place{&b.After, b.Started().Min()})
	})
}

// Taking is a part, or the whole, of an entry that goes to leases.
type Taking struct {
	Entry Entry
	Rest  segment.Numbers // the tasks that stay in the entry; empty: the entry is deleted
}

// Fenced reports whether the grant needs the state's version.
func (g Grant) Fenced() bool { return len(g.Changed) > 0 }

// Changes returns all changes.
func (g Grant) Changes() []Change { return append(slices.Clone(g.Filled), g.Changed...) }

// Starting returns how many tasks the grant takes in hand.
func (g Grant) Starting() int {
	n := 0
	for _, c := range g.Changes() {
		n += c.Started().Len()
	}
	return n
}

// Room holds what a grant may use.
type Room struct {
	Free      int       // slots that the labourer's cap leaves
	Slots     int       // all slots of the labourer
	Starts    int       // tasks that a dispatcher can start in its time
	FeedUntil time.Time // of the leases that change; zero: for ever
	Ordered   bool      // the target keeps the order of its starts
	Limits    Limits    // of the labourer now: leases that are made keep them
}

// changesMost limits the leases of one grant, and takingsMost its entries: a transaction takes 100 items.
const (
	changesMost = 45
	takingsMost = 45
)

// Plan decides what a claim grants: first the free slots of leases fill with tasks that wait in them; then free slots of the labourer go, in due
// order, to leases in which tasks still wait, or are to be tried again by now, and to due entries. The tasks of an entry extend a lease on the
// same segment for the same attempt if nothing waits there any more, or form new leases. The state is read before the leases, and these before
// the entries.
//
// A target that keeps an order gets nothing while a task in hand is not known to be started, and tasks wait in one lease at most: what is
// granted or fed later would overtake them.
func Plan(state State, leases []Lease, entries []Entry, room Room, now time.Time) Grant {
	p := newPlanner(state, leases, room, now)
	left := 0
	for _, l := range leases {
		left += len(l.Hands) + l.Waiting.Len()
	}
	p.Pace = state.Pace.Seen(left, now)
	if state.Trouble != nil { // what could not be started has returned to the queue
		p.Pace = state.Pace.Resumed(left, now)
	}
	p.fillAll()
	behind := p.lines() // those that come after the entries so far
	for _, e := range entries {
		if !e.due(now) {
			continue
		}
		for len(behind) > 0 && !behind[0].due.After(e.Due) {
			p.raise(behind[0])
			if room.Ordered && !behind[0].of.After.Waiting.Empty() {
				return p.grant()
			}
			behind = behind[1:]
		}
		if p.room.Free <= 0 || p.room.Starts <= 0 || len(p.Takings) == takingsMost {
			break
		}
		if !p.take(e) {
			break
		}
	}
	for _, l := range behind {
		p.raise(l)
	}
	return p.grant()
}

func (e Entry) due(now time.Time) bool {
	return !e.Due.After(now) && !e.Tasks.Empty() && e.Unreadable == nil
}

// Starting reports whether a task that leases have in hand is not known to be started.
func Starting(leases []Lease) bool { return slices.ContainsFunc(leases, Lease.Starting) }

// staleness bounds how much earlier than it could the feeding of a lease may end before it is renewed.
const staleness = 30 * time.Second

// Feeds reports whether the assistant may start tasks of the lease as others end: tasks that wait, or retries in the slots of those in hand.
func (l Lease) Feeds() bool {
	return !l.Waiting.Empty() || len(l.Retries) > 0 && len(l.Hands) > 0
}

// Stale reports whether the assistant may feed tasks that wait in the lease, or retries as its tasks end, until a time that is to be renewed.
// The argument is how long it may feed by the newest assessment; zero: for ever.
func (l Lease) Stale(until time.Time) bool {
	if l.Unreadable != nil || !l.Feeds() || l.FeedUntil.Equal(until) {
		return false
	}
	return until.IsZero() || l.FeedUntil.IsZero() || until.Sub(l.FeedUntil) >= staleness
}

type planner struct {
	Grant
	room    Room
	now     time.Time
	all     []Lease
	changes []*planned
}

// planned is a change under way. fenced says that the lease takes more of the labourer's slots than before.
type planned struct {
	Change
	fenced bool
}

func newPlanner(state State, leases []Lease, room Room, now time.Time) *planner {
	if room.Ordered && Starting(leases) {
		room.Free, room.Starts = 0, 0
	}
	return &planner{Grant: Grant{State: state, Pace: state.Pace}, room: room, now: now, all: leases}
}

// grant returns the changes, those that need the fence apart. It renews the feeding of leases in which tasks wait.
func (p *planner) grant() Grant {
	for _, c := range p.changes {
		stale := c.After.Stale(p.room.FeedUntil)
		if stale {
			c.After.FeedUntil = p.room.FeedUntil
		}
		switch {
		case c.fenced:
			p.Changed = append(p.Changed, c.Change)
		case stale || !c.Started().Empty():
			p.Filled = append(p.Filled, c.Change)
		}
	}
	return p.Grant
}

// waits reports whether tasks wait in a lease after the changes.
func (p *planner) waits() bool {
	return slices.ContainsFunc(p.changes, func(c *planned) bool { return !c.After.Waiting.Empty() })
}

// fillAll fills the free slots of all leases.
func (p *planner) fillAll() {
	for _, l := range InOrder(p.all) {
		c := &planned{Change: Change{Before: l, After: l}}
		p.changes = append(p.changes, c)
		p.fill(c)
	}
}

// line is a line of tasks in a lease that lack slots: those that wait, or those whose next attempt is due.
type line struct {
	of      *planned
	due     time.Time
	retries bool
}

// lines returns the lines of all leases, by their places in the queue.
func (p *planner) lines() []line {
	var out []line
	for _, c := range p.changes {
		if !c.After.Waiting.Empty() {
			out = append(out, line{of: c, due: c.After.Due})
		}
		if again := c.After.ripe(p.now); len(again) > 0 {
			out = append(out, line{of: c, due: c.After.Retries[again[0]].Due, retries: true})
		}
	}
	slices.SortStableFunc(out, func(a, b line) int { return a.due.Compare(b.due) })
	return out
}

// raise gives a lease more slots for a line of tasks.
func (p *planner) raise(l line) {
	c, length := l.of, l.of.After.Waiting.Len()
	if l.retries {
		length = len(c.After.ripe(p.now))
	}
	slots := min(p.room.Free, p.room.Starts, length, MostSlots-len(c.After.Hands))
	if slots <= 0 || !c.fenced && p.changed() >= changesMost {
		return
	}
	c.After.Slots = len(c.After.Hands) + slots
	c.fenced = true
	p.room.Free -= slots
	p.fill(c)
}

// fill takes waiting tasks in hand, as many as may start.
func (p *planner) fill(c *planned) {
	whole := c.After
	short := whole
	short.Slots = min(whole.Slots, len(whole.Hands)+max(p.room.Starts, 0))
	granted := short.Slots
	if !c.fenced {
		granted = c.Before.Granted()
	}
	filled, fed := short.feed(granted, Undispatched, p.now)
	filled.Slots = whole.Slots
	if !fed.Empty() {
		filled.FeedUntil = p.room.FeedUntil
	}
	c.After = filled
	p.room.Starts -= fed.Len()
	p.Pace.Left += len(whole.Retries) - len(filled.Retries)
}

func (p *planner) changed() int {
	n := 0
	for _, c := range p.changes {
		if c.fenced {
			n++
		}
	}
	return n
}

// take moves tasks of an entry to leases: to each as many as its slots work off in the time that a grant covers. Slots that it will soon have count
// too. It reports whether none are left in the entry.
func (p *planner) take(e Entry) (whole bool) {
	slots, rest := min(p.room.Free, p.room.Starts, e.Tasks.Len()), e.Tasks
	for slots > 0 && !rest.Empty() {
		// Tasks may wait in one lease only of a target that keeps an order. That lease could not use more slots than these.
		alone := p.room.Ordered && (p.room.Slots > MostSlots || p.waits())
		c := p.leaseFor(e)
		if c == nil {
			break
		}
		some := min(slots, rest.Len(), c.After.room())
		depth := some
		if !alone {
			depth = p.Pace.Depth(p.soon(c), p.room.Slots)
			if slots == some && rest.Len() <= depth+depth/2 { // what would be left is not worth a grant of its own
				depth = rest.Len()
			}
		}
		tasks := rest.First(max(some, min(depth, rest.Len()*some/slots))) // every slot gets its share
		slots, rest = slots-some, rest.Minus(tasks)
		p.extend(c, e, tasks, some)
	}
	if rest != e.Tasks {
		p.Takings = append(p.Takings, Taking{Entry: e, Rest: rest})
	}
	return rest.Empty()
}

// soon returns how many slots a lease will have if it gets what is free: also those that other leases give up as their tasks end, because none wait in them.
func (p *planner) soon(c *planned) int {
	slots := len(c.After.Hands) + p.room.Free
	for _, other := range p.changes {
		if other != c && other.After.Waiting.Empty() {
			slots += len(other.After.Hands)
		}
	}
	return min(slots, MostSlots)
}

// leaseFor returns a lease that the tasks of an entry may join: one that has none waiting, or a new one. It returns nil if the transaction is
// full.
func (p *planner) leaseFor(e Entry) *planned {
	full := p.changed() >= changesMost
	for _, c := range p.changes {
		if l := c.After; (c.fenced || !full) && l.Ordered == p.room.Ordered && l.Lasts == p.lasts(e) && l.joins(e) {
			return c
		}
	}
	if full {
		return nil
	}
	c := &planned{Change: Change{After: Lease{Labourer: e.Labourer, Segment: e.Segment, Attempt: e.Attempt, First: -1, Revision: firstRevision(p.State),
		Job: e.Job, Due: e.Due, ClaimedAt: truncated(p.now), MaxDuration: e.MaxDuration, Lasts: p.lasts(e), Tried: e.Tried, Misfires: e.Misfires, Ordered: p.room.Ordered}},
		fenced: true}
	p.changes = append(p.changes, c)
	return c
}

// lasts returns how long a task of an entry may take, by the labourer's settings now.
func (p *planner) lasts(e Entry) time.Duration {
	return p.room.Limits.Lasts(Lease{MaxDuration: e.MaxDuration})
}

// joins reports whether tasks of an entry may be added to the lease.
func (l Lease) joins(e Entry) bool {
	return l.Segment == e.Segment && l.Attempt == e.Attempt && l.Job == e.Job && l.MaxDuration == e.MaxDuration && l.Tried == e.Tried &&
		l.Misfires == 0 && e.Misfires == 0 && l.Waiting.Empty() && l.room() > 0
}

// room returns how many more tasks may join a lease: each retry keeps a place, as it may get no slot in another lease.
func (l Lease) room() int { return MostSlots - len(l.Hands) - len(l.Retries) }

// extend adds tasks to a lease, and slots for them.
func (p *planner) extend(c *planned, e Entry, tasks segment.Numbers, slots int) {
	c.fenced = true
	c.After.Tasks = c.After.Tasks.Union(tasks)
	c.After.Waiting = tasks
	c.After.Slots = len(c.After.Hands) + slots
	c.After.FeedUntil = p.room.FeedUntil
	if e.Due.Before(c.After.Due) { // tasks that return must not meet what is left of their entry under its key
		c.After.Due = e.Due
	}
	if c.After.First < 0 {
		c.After.First = p.apart(c.After, tasks.Min())
	}
	p.Pace.Left += tasks.Len()
	p.room.Free -= slots
	p.fill(c)
}

// apart returns a number for the key of a new lease by which it differs from all others. Tasks that were returned from a lease, for the same
// attempt, can be granted while the rest of that lease still runs.
func (p *planner) apart(l Lease, first int) int {
	taken := map[string]bool{}
	for _, other := range p.all {
		taken[other.Item()] = true
	}
	for _, c := range p.changes {
		if c.After.First >= 0 {
			taken[c.After.Item()] = true
		}
	}
	l.First = first
	// Each lease with a conflicting key holds a task that no other lease holds, so there are fewer of them than numbers.
	for n := 0; taken[l.Item()]; n++ {
		l.First = n
	}
	return l.First
}

// firstRevision returns the revision of leases that a claim makes. Versions only grow, and no lease is written a million times.
func firstRevision(s State) int64 { return int64(s.Version+1) << 20 }

// Probe decides which one of the due tasks finds out whether the target can be reached again. At first it is the foremost, which keeps the
// order. As the tasks that failed may be the cause of the trouble, later probes take a task that has not misfired, if there is one: by turns
// the foremost and another of these, which may belong to another job: the hindmost, the middle one, and so on.
//
// A task that waits in a lease is the probe if it is before them, or has a slot, or if they have none. If it fails, those that wait behind it
// return, and are due. A task in a lease whose next attempt is due is the probe if it is before them, or by turns.
func Probe(state State, leases []Lease, entries []Entry, room Room, now time.Time) Grant {
	due := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return !e.due(now) })
	room.Free, room.Starts = min(room.Free, 1), min(room.Starts, 1)
	p := newPlanner(state, leases, room, now)
	p.fillAll()
	for _, l := range p.lines() {
		if len(due) == 0 || !l.due.After(due[0].Due) || l.retries && state.Trouble.Times%2 == 1 {
			p.raise(l)
		}
	}
	if len(due) == 0 || p.room.Free <= 0 || p.room.Starts <= 0 || p.room.Ordered && p.waits() {
		return p.grant()
	}
	p.changes = nil // the probe joins no lease: what it finds out is about its own
	entry, at := suspect(due, state.Trouble.Times)
	one := entry
	one.Tasks = entry.Tasks.Minus(entry.Tasks.First(at)).First(1)
	_ = p.take(one)
	p.Takings = []Taking{{Entry: entry, Rest: entry.Tasks.Minus(one.Tasks)}}
	return p.grant()
}

// suspect returns the entry of the task that probes after so many failures in a row, and how many of the entry's tasks come before it.
func suspect(due []Entry, times int) (entry Entry, at int) {
	fresh := slices.DeleteFunc(slices.Clone(due), func(e Entry) bool { return e.Misfires > 0 })
	switch {
	case times < 2:
		return due[0], 0
	case len(fresh) == 0:
		return taskAt(due, times%tasksIn(due)) // each in turn
	case times%2 == 0:
		return fresh[0], 0
	}
	return taskAt(fresh, spread(times/2, tasksIn(fresh)))
}

// spread returns a place among n for the k-th try, from 1 on: the last, the middle, the quarters, the eighths between them, and so on.
func spread(k, n int) int {
	if k == 1 {
		return n - 1
	}
	return int(uint64(bits.Reverse32(uint32(k-1))) * uint64(n) >> 32)
}

func tasksIn(entries []Entry) int {
	n := 0
	for _, e := range entries {
		n += e.Tasks.Len()
	}
	return n
}

// taskAt returns the entry of the task with so many before it in all entries, and how many come before it in its entry.
func taskAt(entries []Entry, at int) (Entry, int) {
	for at >= entries[0].Tasks.Len() {
		at, entries = at-entries[0].Tasks.Len(), entries[1:]
	}
	return entries[0], at
}

// Revoke returns the leases that lose slots, so that no more tasks than desired are in hand once those that are now have ended: the last in
// due order lose theirs first. A revocation never takes a task out of hand.
func Revoke(leases []Lease, desired int) []Change {
	over := -desired
	for _, l := range leases {
		if l.Unreadable != nil {
			over += l.Granted()
		} else {
			over += l.Usable()
		}
	}
	if over <= 0 {
		return nil
	}
	var out []Change
	for _, l := range slices.Backward(InOrder(leases)) {
		fewer := min(over, l.Usable())
		if fewer <= 0 {
			continue
		}
		over -= fewer
		after := l
		after.Slots = l.Usable() - fewer
		out = append(out, Change{l, after})
	}
	return out
}
