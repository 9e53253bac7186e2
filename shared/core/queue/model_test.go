package queue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// table is a control table: each write of an item is conditioned as the adapter's writes are.
type table struct {
	state   queue.State
	leases  map[string]queue.Lease
	entries map[string]queue.Entry
	running map[string]bool // started workers that have not ended, by task and attempt
	ended   map[int]bool
	keys    map[string]int64 // the highest revision that a key has had
	cap     int
}

func newTable(tasks, limit int) *table {
	w := &table{leases: map[string]queue.Lease{}, entries: map[string]queue.Entry{}, running: map[string]bool{}, ended: map[int]bool{}, keys: map[string]int64{}, cap: limit}
	e := entry(noon, segment.Range(0, tasks-1))
	w.entries[e.Item()] = e
	return w
}

func (w *table) save(before, after queue.Lease) bool {
	if now, is := w.leases[before.Item()]; !is || now.Revision != before.Revision {
		return false
	}
	w.put(before.Item(), before.Revision+1, after)
	return true
}

func (w *table) put(key string, revision int64, l queue.Lease) {
	if revision <= w.keys[key] {
		panic(fmt.Sprintf("revision %d of %s began again", revision, key))
	}
	w.keys[key] = revision
	delete(w.leases, key)
	if l.Revision = revision; !l.Empty() {
		w.leases[key] = l
	}
}

// grant writes a grant as the adapter does: what only fills, one by one, and the rest under the fence.
func (w *table) grant(g queue.Grant) (granted []queue.Change) {
	for _, c := range g.Filled {
		if w.save(c.Before, c.After) {
			granted = append(granted, c)
		}
	}
	if !g.Fenced() || w.state.Version != g.State.Version {
		return granted
	}
	for _, c := range g.Changed {
		now, is := w.leases[c.After.Item()]
		if c.New() == is || is && now.Revision != c.Before.Revision {
			return granted
		}
	}
	for _, t := range g.Takings {
		if w.entries[t.Entry.Item()].Tasks != t.Entry.Tasks {
			return granted
		}
	}
	w.state.Version++
	w.state.Pace = g.Pace
	for _, c := range g.Changed {
		w.put(c.After.Item(), max(c.Before.Revision+1, c.After.Revision), c.After)
	}
	for _, t := range g.Takings {
		delete(w.entries, t.Entry.Item())
		if e := t.Entry; !t.Rest.Empty() {
			e.Tasks = t.Rest
			w.entries[e.Item()] = e
		}
	}
	return append(granted, g.Changed...)
}

func (w *table) all() (out []queue.Lease) {
	for _, l := range w.leases {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b queue.Lease) int { return int(a.Revision - b.Revision) })
	return out
}

func (w *table) due() (out []queue.Entry) {
	for _, e := range w.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b queue.Entry) int {
		if a.Item() < b.Item() {
			return -1
		}
		return 1
	})
	return out
}

// process is a component at work: each step is one read or write, and any other process may come between two of them.
type process func(step int) (more bool)

func (w *table) claimer(desired *int, now time.Time) process {
	var state queue.State
	var leases []queue.Lease
	return func(step int) bool {
		switch step {
		case 0:
			state = w.state
		case 1:
			leases = w.all()
		case 2:
			if state.Paused {
				return false
			}
			w.grant(queue.Plan(state, leases, w.due(), queue.Room{Free: *desired - queue.Granted(leases), Slots: *desired, Starts: 3}, now))
		}
		return step < 2
	}
}

// dispatcher starts what is to be dispatched, and notes it afterwards.
func (w *table) dispatcher(pick func(int) int) process {
	var lease queue.Lease
	return func(step int) bool {
		switch step {
		case 0:
			var some []queue.Lease
			for _, l := range w.all() {
				if !l.By(queue.Undispatched).Empty() {
					some = append(some, l)
				}
			}
			if len(some) == 0 {
				return false
			}
			lease = some[pick(len(some))]
		case 1:
			for n := range lease.By(queue.Undispatched).All() {
				w.start(lease, n)
			}
		case 2:
			w.save(lease, lease.Marked(lease.By(queue.Undispatched), queue.Dispatched, noon))
		}
		return step < 2
	}
}

// start starts a worker. A start that comes after its task has left the lease may run beside the cap for a moment: starts are at least once.
func (w *table) start(l queue.Lease, n int) {
	if _, in := w.leases[l.Item()].Hands[n]; in && !w.ended[n] {
		w.running[fmt.Sprint(n)] = true
	}
}

// assistant takes the end of a task that runs: it closes the task, feeds its lease and starts what it fed. The message may come again.
func (w *table) assistant(n int, mark string) process {
	var lease queue.Lease
	var found bool
	var fed segment.Numbers
	return func(step int) bool {
		switch step {
		case 0:
			w.ended[n] = true
			delete(w.running, fmt.Sprint(n))
		case 1:
			found, fed = false, segment.Numbers{}
			for _, l := range w.all() {
				if again := l.By(mark); !again.Empty() {
					fed, lease = again, l
				}
				if _, in := l.Hands[n]; in {
					lease, found = l, true
				}
			}
			return found || !fed.Empty()
		case 2:
			if found {
				after, some := lease.Ended(segment.Of(n)).Feed(queue.MostSlots, mark, noon)
				if !w.save(lease, after) {
					return false // the message comes again
				}
				fed, lease = some, after
			}
		case 3:
			for k := range fed.All() {
				w.start(lease, k)
			}
		}
		return step < 3
	}
}

// revoker lowers slots to what is desired, and moves the version with it.
func (w *table) revoker(desired *int) process {
	var leases []queue.Lease
	return func(step int) bool {
		if step == 0 {
			leases = w.all()
			return true
		}
		for _, c := range queue.Revoke(leases, *desired) {
			if now, is := w.leases[c.Before.Item()]; is && now.Slots > c.After.Slots {
				now.Slots = c.After.Slots
				w.put(c.Before.Item(), now.Revision+1, now)
				w.state.Version++
			}
		}
		return false
	}
}

// returner takes back what waits in a lease.
func (w *table) returner(pick func(int) int) process {
	var lease queue.Lease
	return func(step int) bool {
		if step == 0 {
			some := slices.DeleteFunc(w.all(), func(l queue.Lease) bool { return l.Waiting.Empty() })
			if len(some) == 0 {
				return false
			}
			lease = some[pick(len(some))]
			return true
		}
		e := lease.Returned(lease.Waiting)
		if _, is := w.entries[e.Item()]; !is && w.save(lease, lease.Without(lease.Waiting)) {
			w.entries[e.Item()] = e
		}
		return false
	}
}

// settler puts a failed task in line for another attempt, which here is the same one.
func (w *table) settler(n int) process {
	var lease queue.Lease
	return func(step int) bool {
		if step == 0 {
			l, in := queue.Lease{}, false
			for _, some := range w.all() {
				if _, has := some.Hands[n]; has {
					l, in = some, true
				}
			}
			lease = l
			return in
		}
		e := lease.Returned(segment.Of(n))
		if _, is := w.entries[e.Item()]; is || !w.running[fmt.Sprint(n)] {
			return false
		}
		if w.save(lease, lease.Without(segment.Of(n))) {
			w.entries[e.Item()] = e
			delete(w.running, fmt.Sprint(n))
		}
		return false
	}
}

// check holds the invariants: the cap, one place for each task, and no worker beside its lease.
func (w *table) check(t require.TestingT, tasks int) {
	places := map[int]int{}
	inHand := map[int]bool{}
	granted := 0
	for _, l := range w.leases {
		granted += l.Granted()
		require.LessOrEqual(t, len(l.Hands), queue.MostSlots)
		for n := range l.Held().All() {
			places[n]++
		}
		for n := range l.Hands {
			inHand[n] = true
		}
	}
	for _, e := range w.entries {
		for n := range e.Tasks.All() {
			places[n]++
		}
	}
	require.LessOrEqual(t, granted, w.cap, "the cap")
	for n := range tasks {
		if !w.ended[n] {
			require.Equal(t, 1, places[n], "task %d has one place", n)
		} else {
			require.LessOrEqual(t, places[n], 1, "task %d has ended", n)
		}
		require.False(t, w.running[fmt.Sprint(n)] && !inHand[n], "task %d runs beside its lease", n)
	}
}

// TestG3TheCapHoldsUnderEveryInterleaving: claimers, dispatchers, assistants, revokers and settlers at once, each of which may die or come
// again. Afterwards the rest can always be worked off.
func TestG3TheCapHoldsUnderEveryInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks, limit := rapid.IntRange(1, 9).Draw(t, "tasks"), rapid.IntRange(1, 3).Draw(t, "cap")
		w := newTable(tasks, limit)
		desired := limit
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		type at struct {
			process
			step int
		}
		var busy []*at
		var marks []func() process // of messages, which may come again
		for range rapid.IntRange(20, 120).Draw(t, "moves") {
			switch move := rapid.IntRange(0, 9).Draw(t, "move"); {
			case move == 0:
				busy = append(busy, &at{process: w.claimer(&desired, noon)})
			case move == 1:
				busy = append(busy, &at{process: w.dispatcher(pick)})
			case move == 2 && len(w.running) > 0:
				var some []int
				for n := range tasks {
					if w.running[fmt.Sprint(n)] {
						some = append(some, n)
					}
				}
				n := some[pick(len(some))]
				if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
					busy = append(busy, &at{process: w.settler(n)})
					break
				}
				mark := queue.Mark(fmt.Sprint(n))
				marks = append(marks, func() process { return w.assistant(n, mark) })
				busy = append(busy, &at{process: w.assistant(n, mark)})
			case move == 3 && len(marks) > 0:
				busy = append(busy, &at{process: marks[pick(len(marks))]()})
			case move == 4:
				desired = rapid.IntRange(0, limit).Draw(t, "desired")
				busy = append(busy, &at{process: w.revoker(&desired)})
			case move == 5:
				busy = append(busy, &at{process: w.returner(pick)})
			case len(busy) > 0:
				i := pick(len(busy))
				b := busy[i]
				if b.step++; !b.process(b.step-1) || rapid.IntRange(0, 30).Draw(t, "dies") == 0 {
					busy = slices.Delete(busy, i, i+1)
				}
			}
			w.check(t, tasks)
		}
		desired = limit
		for round := 0; len(w.ended) < tasks || len(w.leases) > 0; round++ {
			require.Less(t, round, 100, "the rest is never worked off: %v %v", w.leases, w.entries)
			run := func(p process) {
				for step := 0; p(step); step++ {
					w.check(t, tasks)
				}
				w.check(t, tasks)
			}
			run(w.claimer(&desired, noon))
			for _, l := range w.all() { // dispatch again all that may never have been started, as redeliveries and the reaper do
				for n := range l.Hands {
					w.start(l, n)
				}
			}
			for n := range tasks {
				if w.running[fmt.Sprint(n)] || w.ended[n] {
					run(w.assistant(n, queue.Mark(fmt.Sprint(n))))
				}
			}
		}
	})
}
