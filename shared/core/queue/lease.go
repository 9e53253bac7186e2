package queue

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// MostSlots limits the slots of one lease. With so many tasks in hand its item has less than 1 KB, which is one write unit.
const MostSlots = 40

// Lease is on tasks of one segment, which it was granted for one attempt. Some are in hand: started, or about to be. Some wait for a slot of the
// lease. Some have failed and wait for the time of their next attempt. The others were completed under it. A task that goes elsewhere (back to the
// queue, to its death or cancellation) leaves the lease.
//
// A lease is stored until no task of it is in hand or waits for anything. Every write of it is conditioned on the revision that was read, and raises the
// revision, except heartbeats and revocations: see dynamo.Control.
type Lease struct {
	Labourer string
	Segment  segment.ID
	Attempt  int
	First    int // as in Entry: part of the key
	// Revision counts the writes. It starts at a value that no earlier lease under the key has reached.
	Revision int64
	Job      string // as in Entry
	Tasks    segment.Numbers
	Waiting  segment.Numbers
	Hands    map[int]Hand // the tasks in hand
	// Retries are the tasks whose attempt failed here and whose next attempt is to start here. Until then they take no slot.
	Retries map[int]Retry
	Slots   int // how many tasks may be in hand, 0 to MostSlots
	// Ordered says that the target keeps the order of its starts. See [Lease.Feed].
	Ordered bool

	Due         time.Time     // of the entry: the place of the tasks in the queue if they return to it
	ClaimedAt   time.Time     // when the lease was made, to the millisecond
	FeedUntil   time.Time     // the assistant feeds the lease until then; zero: for ever
	MaxDuration time.Duration // as in Entry
	Lasts       time.Duration // how long a task in hand may take, by its labourer when the lease was made; 0: by its labourer now
	Tried       bool          // as in Entry
	Misfires    int           // as in Entry

	// Unreadable is not nil for a lease that cannot be decoded. Such a lease has no segment and no attempt, so it matches no task. Its tasks
	// count as taken slots: as many as can be read, or one if no number can.
	Unreadable *Unreadable
}

// Hand is a task in hand.
type Hand struct {
	Since   time.Time // when its time began: its grant, feed or dispatch, or the check that found its message in the target's queue
	By      string    // Undispatched, Dispatched, or the Mark of the message that fed the task
	Heard   time.Time // its last heartbeat; zero: none
	Asked   string    // what the last check of the target's queue found: StillWaiting or TakenLate; empty: there was none
	Attempt int       // 0: the lease's
}

// Retry is a task that waits for its next attempt.
type Retry struct {
	Due     time.Time // to the millisecond
	Attempt int       // the next
}

// MostRetries limits the tasks of a lease that wait for their next attempt. With so many of them its item has 1 KB more.
const MostRetries = 80

// What a hand says about the start of its worker, and about its message in a queue.
const (
	Undispatched = "u" // the worker is to be started by the orchestrator
	Dispatched   = "d" // the orchestrator has started the worker
	StillWaiting = "w" // no worker had received the message
	TakenLate    = "t" // a worker had received the message, perhaps just then
)

// Mark identifies the message that fed a task, in 8 characters.
func Mark(message string) string {
	sum := sha256.Sum256([]byte(message))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// Item returns the lease's sort key.
func (l Lease) Item() string {
	if l.Unreadable != nil {
		return l.Unreadable.Item
	}
	return LeasePrefix(l.Segment) + fmt.Sprintf("%d#%03d", l.Attempt, l.First)
}

// LeaseName names a lease.
type LeaseName struct{ Labourer, Item string }

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

// InHand returns the tasks that are started, or about to be.
func (l Lease) InHand() segment.Numbers {
	var s segment.Numbers
	for n := range l.Hands {
		s = s.Union(segment.Of(n))
	}
	return s
}

// Held returns the tasks that are in hand, wait, or are to be tried again.
func (l Lease) Held() segment.Numbers { return l.Idle().Union(l.InHand()) }

// Idle returns the tasks that wait for a slot or for their next attempt.
func (l Lease) Idle() segment.Numbers {
	s := l.Waiting
	for n := range l.Retries {
		s = s.Union(segment.Of(n))
	}
	return s
}

// AttemptAt returns the attempt at a task for which the lease holds it.
func (l Lease) AttemptAt(n int) int {
	if again, waits := l.Retries[n]; waits {
		return again.Attempt
	}
	return cmp.Or(l.Hands[n].Attempt, l.Attempt)
}

// For returns the tasks that the lease holds for an attempt.
func (l Lease) For(attempt int) segment.Numbers {
	held := l.Held()
	for n := range held.All() {
		if l.AttemptAt(n) != attempt {
			held = held.Minus(segment.Of(n))
		}
	}
	return held
}

// ByAttempt returns tasks that the lease holds in groups of the same attempt, the lowest attempt first.
func (l Lease) ByAttempt(numbers segment.Numbers) []segment.Numbers {
	of := map[int]segment.Numbers{}
	for n := range numbers.All() {
		of[l.AttemptAt(n)] = of[l.AttemptAt(n)].Union(segment.Of(n))
	}
	var out []segment.Numbers
	for _, attempt := range slices.Sorted(maps.Keys(of)) {
		out = append(out, of[attempt])
	}
	return out
}

// Unmoved returns those of these tasks which the lease has in hand for the same attempt as it had before.
func (l Lease) Unmoved(before Lease, numbers segment.Numbers) segment.Numbers {
	for n := range numbers.All() {
		if _, in := l.Hands[n]; !in || l.AttemptAt(n) != before.AttemptAt(n) {
			numbers = numbers.Minus(segment.Of(n))
		}
	}
	return numbers
}

// Done returns the tasks that were completed under the lease.
func (l Lease) Done() segment.Numbers { return l.Tasks.Minus(l.Held()) }

// Empty reports whether no task is in hand and none waits for anything. An empty lease is not stored: the write that empties a lease removes it.
func (l Lease) Empty() bool { return l.Held().Empty() }

// Usable returns how many tasks may be in hand by the lease's slots: fewer than its slots if fewer tasks are left.
func (l Lease) Usable() int { return min(l.Slots, len(l.Hands)+l.Waiting.Len()) }

// Granted returns the slots that the lease takes of its labourer's cap: those that may be in hand, or more if more still are.
func (l Lease) Granted() int {
	if l.Unreadable != nil {
		return l.Tasks.Len()
	}
	return max(len(l.Hands), l.Usable())
}

// Running returns how many tasks are in hand. A lease that cannot be decoded counts with all its tasks.
func (l Lease) Running() int {
	if l.Unreadable != nil {
		return l.Tasks.Len()
	}
	return len(l.Hands)
}

// Granted returns the slots that leases take of their labourer's cap.
func Granted(leases []Lease) int {
	n := 0
	for _, l := range leases {
		n += l.Granted()
	}
	return n
}

// Running returns how many tasks are in hand in leases.
func Running(leases []Lease) int {
	n := 0
	for _, l := range leases {
		n += l.Running()
	}
	return n
}

// Waiting returns how many tasks wait in leases.
func Waiting(leases []Lease) int {
	n := 0
	for _, l := range leases {
		n += l.Waiting.Len()
	}
	return n
}

// Retries returns how many tasks wait in leases for their next attempt.
func Retries(leases []Lease) int {
	n := 0
	for _, l := range leases {
		n += len(l.Retries)
	}
	return n
}

// Resting reports whether nothing of leases is in hand, and nothing waits for a slot. Tasks may wait for the time of their next attempt.
func Resting(leases []Lease, now time.Time) bool {
	return Running(leases)+Waiting(leases)+Ripe(leases, now) == 0
}

// Ripe returns how many tasks wait in leases for a next attempt that is due.
func Ripe(leases []Lease, now time.Time) int {
	n := 0
	for _, l := range leases {
		n += len(l.ripe(now))
	}
	return n
}

// Holding returns the lease that has this attempt at a task in hand, if there is one.
func Holding(leases []Lease, id task.ID, attempt int) (Lease, bool) {
	for _, l := range leases {
		if _, in := l.Hands[id.N]; in && l.Segment == id.Segment && l.AttemptAt(id.N) == attempt {
			return l, true
		}
	}
	return Lease{}, false
}

// Keeping returns the lease in which this attempt at a task waits, if there is one.
func Keeping(leases []Lease, id task.ID, attempt int) (Lease, bool) {
	for _, l := range leases {
		if l.Segment == id.Segment && l.Idle().Contains(id.N) && l.AttemptAt(id.N) == attempt {
			return l, true
		}
	}
	return Lease{}, false
}

// Ended returns the lease after tasks of it were completed.
func (l Lease) Ended(numbers segment.Numbers) Lease {
	l.Waiting = l.Waiting.Minus(numbers)
	l.Hands, l.Retries = maps.Clone(l.Hands), maps.Clone(l.Retries)
	for n := range numbers.All() {
		delete(l.Hands, n)
		delete(l.Retries, n)
	}
	return l
}

// Postponed returns the lease after the attempt at a task that it has in hand has failed and the next was set to start here.
func (l Lease) Postponed(n int, due time.Time) Lease {
	again := Retry{Due: truncated(due), Attempt: l.AttemptAt(n) + 1}
	l = l.Ended(segment.Of(n))
	if l.Retries == nil {
		l.Retries = map[int]Retry{}
	}
	l.Retries[n] = again
	return l
}

// ripe returns the tasks whose next attempt is due, in the order of their times.
func (l Lease) ripe(now time.Time) []int {
	var out []int
	for n, again := range l.Retries {
		if !again.Due.After(now) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Or(l.Retries[a].Due.Compare(l.Retries[b].Due), a-b) })
	return out
}

// Without returns the lease after tasks have left it.
func (l Lease) Without(numbers segment.Numbers) Lease {
	gone := numbers.Intersect(l.Held())
	l = l.Ended(gone)
	l.Tasks = l.Tasks.Minus(gone)
	return l
}

// Feed returns the lease after tasks have taken its free slots, and these tasks: first those that wait, then those whose next attempt is due. Their time
// begins now.
//
// A retry that waits for its time takes no slot of the labourer's cap, so others may have its slot by now. Therefore retries take slots only as far as
// the lease was granted no fewer before, which granted says.
//
// A lease of a target that keeps an order is not fed before every task in hand is known to be started: a task that is fed would overtake one
// that is still to be started. So the assistant notes the starts afterwards, with [Lease.Noted], and feeds the slots that became free meanwhile
// in the same write.
func (l Lease) Feed(granted int, by string, now time.Time) (Lease, segment.Numbers) {
	if l.Ordered && l.Starting() {
		return l, segment.Numbers{}
	}
	return l.feed(granted, by, now)
}

// Starting reports whether a task in hand is not known to be started.
func (l Lease) Starting() bool {
	for _, h := range l.Hands {
		if h.By != Dispatched {
			return true
		}
	}
	return false
}

// feed feeds the lease whatever its order.
func (l Lease) feed(granted int, by string, now time.Time) (Lease, segment.Numbers) {
	fed := l.Waiting.First(max(l.Slots-len(l.Hands), 0))
	again := l.ripe(now)
	again = again[:min(len(again), max(min(l.Slots, granted)-len(l.Hands)-fed.Len(), 0))]
	if fed.Empty() && len(again) == 0 {
		return l, fed
	}
	l.Waiting = l.Waiting.Minus(fed)
	hands := make(map[int]Hand, len(l.Hands)+fed.Len()+len(again))
	maps.Copy(hands, l.Hands)
	for n := range fed.All() {
		hands[n] = Hand{Since: truncated(now), By: by}
	}
	l.Retries = maps.Clone(l.Retries)
	for _, n := range again {
		hands[n] = Hand{Since: truncated(now), By: by, Attempt: l.Retries[n].Attempt}
		delete(l.Retries, n)
		fed = fed.Union(segment.Of(n))
	}
	l.Hands = hands
	return l, fed
}

// Hungry reports whether a task waits for a slot that is free, and may take it.
func (l Lease) Hungry() bool {
	return l.Unreadable == nil && !l.Waiting.Empty() && len(l.Hands) < l.Slots && !(l.Ordered && l.Starting())
}

// MayFeed reports whether the assistant may feed the lease now.
func (l Lease) MayFeed(now time.Time) bool { return l.FeedUntil.IsZero() || !now.After(l.FeedUntil) }

// Marked returns the lease after tasks that it has in hand were marked. Their time begins at since.
func (l Lease) Marked(numbers segment.Numbers, by string, since time.Time) Lease {
	l.Hands = maps.Clone(l.Hands)
	for n := range numbers.All() {
		if h, in := l.Hands[n]; in {
			h.By, h.Since = by, truncated(since)
			l.Hands[n] = h
		}
	}
	return l
}

// Noted returns the lease after it was noted that tasks that it has in hand are started. Their time goes on.
func (l Lease) Noted(numbers segment.Numbers) Lease {
	l.Hands = maps.Clone(l.Hands)
	for n := range numbers.All() {
		if h, in := l.Hands[n]; in {
			h.By = Dispatched
			l.Hands[n] = h
		}
	}
	return l
}

// By returns the tasks in hand with a mark.
func (l Lease) By(mark string) segment.Numbers {
	var s segment.Numbers
	for n, h := range l.Hands {
		if h.By == mark {
			s = s.Union(segment.Of(n))
		}
	}
	return s
}

// Asked returns the lease after a check of the target's queue has found messages of tasks in hand. The time of these tasks starts again.
func (l Lease) Asked(waiting, taken segment.Numbers, now time.Time) Lease {
	l.Hands = maps.Clone(l.Hands)
	for n, h := range l.Hands {
		switch {
		case waiting.Contains(n):
			h.Since, h.Asked = truncated(now), StillWaiting
		case taken.Contains(n):
			h.Since, h.Asked = truncated(now), TakenLate
		default:
			continue
		}
		l.Hands[n] = h
	}
	return l
}

// Returned returns the entry of tasks that go back to the queue for the same attempt, which is the same for all of them, just before their old place.
// A worker may run a task that was in hand nevertheless.
func (l Lease) Returned(numbers segment.Numbers) Entry {
	return Entry{Labourer: l.Labourer, Due: l.Due.Add(-time.Millisecond), Segment: l.Segment, First: numbers.Min(), Tasks: numbers, Job: l.Job,
		Attempt: l.attemptOf(numbers), MaxDuration: l.MaxDuration, Tried: l.Tried || !numbers.Intersect(l.InHand()).Empty(), Misfires: l.Misfires}
}

// Next returns the entry of tasks for their next attempt. All of them have failed in the same one.
func (l Lease) Next(numbers segment.Numbers, due time.Time) Entry {
	return Entry{Labourer: l.Labourer, Due: due, Segment: l.Segment, First: numbers.Min(), Tasks: numbers, Job: l.Job, Attempt: l.attemptOf(numbers) + 1,
		MaxDuration: l.MaxDuration}
}

// attemptOf returns the attempt for which the lease holds these tasks, the same for all of them. Some may have left it since they were chosen, and say nothing.
func (l Lease) attemptOf(numbers segment.Numbers) int {
	if held := numbers.Intersect(l.Held()); !held.Empty() {
		numbers = held
	}
	return l.AttemptAt(numbers.Min())
}

// MisfiresMost limits how many starts of one task may fail while its target can be reached.
const MisfiresMost = 5

// Suspected returns the entry of tasks that could not be started: every other task failed just before, or others started at the same time. They
// keep their place in the queue, and the next probes take other tasks if they can.
func (l Lease) Suspected(numbers segment.Numbers) Entry {
	e := l.Returned(numbers)
	e.Misfires = max(e.Misfires, 1)
	return e
}

// Misfired returns the entry of a task that could not be started although its target can be reached. If apart is set, the task waits, and not
// its labourer: for 30 s at first, twice as long each time, for 5 minutes at most. Otherwise it keeps its place in the queue.
func (l Lease) Misfired(n int, apart bool, now time.Time) Entry {
	e := l.Returned(segment.Of(n))
	e.Misfires++
	if apart {
		e.Due = truncated(now.Add(doubled(e.Misfires)))
	}
	return e
}

// DispatchTerm limits how long a granted task is left to its dispatcher. It is longer than a dispatcher lives.
const DispatchTerm = 45 * time.Second

// Forsaken returns the tasks that were to be dispatched more than [DispatchTerm] ago. The assistant also leaves tasks so that it could not start.
//
// In an ordered lease a fed task belongs to them until its start is noted: nothing behind it starts before, and the message that fed it may come
// no more. If it was started after all, the target drops the second message by its deduplication id for five minutes; later it runs again (G4).
func (l Lease) Forsaken(now time.Time) segment.Numbers {
	var s segment.Numbers
	for n, h := range l.Hands {
		unstarted := h.By == Undispatched || l.Ordered && h.By != Dispatched
		if unstarted && now.Sub(h.Since) > DispatchTerm {
			s = s.Union(segment.Of(n))
		}
	}
	return s
}

// Limits are the times after which a running task counts as lost.
type Limits struct {
	MaxDuration time.Duration
	Cooldown    time.Duration
	Heartbeat   time.Duration // longest time between heartbeats; 0: no heartbeats are expected
}

// Of returns how long a task of the lease may run.
func (by Limits) Of(l Lease) time.Duration {
	if l.MaxDuration > 0 {
		return l.MaxDuration
	}
	return by.MaxDuration
}

// Lasts returns how long a task of the lease is in hand before it counts as lost: what it may run, and the cooldown.
func (by Limits) Lasts(l Lease) time.Duration { return by.Of(l) + by.Cooldown }

// EndOf returns when a task in hand counts as lost: its time is over, or an expected heartbeat is overdue. A heartbeat starts a task's whole
// time again. The zero time: never, as the task's worker is not started yet.
func (l Lease) EndOf(n int, by Limits) time.Time {
	h := l.Hands[n]
	if h.By == Undispatched {
		return time.Time{}
	}
	heard := later(h.Since, h.Heard)
	lasts := l.Lasts
	if lasts == 0 {
		lasts = by.Lasts(l)
	}
	end := heard.Add(lasts)
	if by.Heartbeat > 0 && heard.Add(by.Heartbeat).Before(end) {
		end = heard.Add(by.Heartbeat)
	}
	return end
}

// Lost returns the tasks in hand that count as lost now.
func (l Lease) Lost(by Limits, now time.Time) segment.Numbers {
	var lost segment.Numbers
	for n := range l.Hands {
		if end := l.EndOf(n, by); !end.IsZero() && now.After(end) {
			lost = lost.Union(segment.Of(n))
		}
	}
	return lost
}

// SetAsideFrom returns the time at which an unreadable lease stops holding slots and is set aside: the time at which it was first seen plus
// longest, which limits the duration of a task in hand. It is zero if the lease was not seen before.
func (l Lease) SetAsideFrom(longest time.Duration) time.Time {
	if l.Unreadable.Since.IsZero() {
		return time.Time{}
	}
	return l.Unreadable.Since.Add(longest)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func truncated(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// InOrder returns leases by their places in the queue: the lease with the tasks that were due first comes first. It leaves out those that
// cannot be read.
func InOrder(leases []Lease) []Lease {
	places := make([]place, 0, len(leases))
	for i := range leases {
		if l := &leases[i]; l.Unreadable == nil {
			places = append(places, place{l, l.Held().Min()})
		}
	}
	slices.SortStableFunc(places, place.compare)
	out := make([]Lease, len(places))
	for i, p := range places {
		out[i] = *p.lease
	}
	return out
}

// place holds the place in the queue of some tasks of a lease, which is that of the first of them.
type place struct {
	lease *Lease
	first int
}

// compare compares the places of tasks of two leases. The keys of leases say nothing about their order.
func (a place) compare(b place) int {
	return cmp.Or(a.lease.Due.Compare(b.lease.Due), strings.Compare(string(a.lease.Segment), string(b.lease.Segment)), a.lease.Attempt-b.lease.Attempt, a.first-b.first)
}
