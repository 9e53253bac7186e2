package queue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

func TestG6ALeaseOfATargetThatKeepsAnOrderIsFedOnceAllStartsAreNoted(t *testing.T) {
	l := started(noon, 0, 1, 2)
	l.Tasks, l.Waiting = segment.Range(0, 5), segment.Range(3, 5)
	ended := l.Ended(segment.Of(0))
	for name, c := range map[string]struct {
		by  string // of task 1
		fed segment.Numbers
	}{
		"it is to be dispatched":          {queue.Undispatched, segment.Numbers{}},
		"a message has fed it":            {queue.Mark("m"), segment.Numbers{}},
		"it is known that it was started": {queue.Dispatched, segment.Of(3)},
	} {
		t.Run(name, func(t *testing.T) {
			ordered := ended.Marked(segment.Of(1), c.by, noon)
			ordered.Ordered = true
			require.Equal(t, c.by != queue.Dispatched, ordered.Starting())
			require.Equal(t, !c.fed.Empty(), ordered.Hungry())

			_, fed := ordered.Feed(queue.MostSlots, queue.Mark("n"), noon)
			require.Equal(t, c.fed, fed)
			_, fed = ordered.Noted(segment.Of(1, 7)).Feed(queue.MostSlots, queue.Mark("n"), noon)
			require.Equal(t, segment.Of(3), fed)
			require.Equal(t, c.by, ordered.Hands[1].By, "the lease that was read does not change")
			require.Equal(t, ordered.Hands[1].Since, ordered.Noted(segment.Of(1)).Hands[1].Since, "its time goes on")

			ordered.Ordered = false
			require.True(t, ordered.Hungry())
			_, fed = ordered.Feed(queue.MostSlots, queue.Mark("n"), noon)
			require.Equal(t, segment.Of(3), fed, "other targets keep no order")
		})
	}
}

func TestG6NothingIsGrantedBehindAStartThatIsUnderWay(t *testing.T) {
	starting := started(noon, 0, 1).Marked(segment.Of(1), queue.Undispatched, noon)
	other := started(noon, 7)
	other.First, other.Tasks, other.Waiting, other.Slots, other.FeedUntil = 7, segment.Range(7, 9), segment.Of(8, 9), 2, noon
	leases, entries := []queue.Lease{starting, other}, []queue.Entry{entry(noon, segment.Range(20, 30))}
	room := queue.Room{Free: 5, Slots: 9, Starts: 500, FeedUntil: noon.Add(90 * time.Second), Ordered: true}
	require.True(t, queue.Starting(leases))
	troubled := queue.State{Version: 1, Trouble: &queue.Trouble{Times: 1}}

	g := queue.Plan(queue.State{Version: 1}, leases, entries, room, noon)

	require.False(t, g.Fenced())
	require.Zero(t, g.Starting())
	require.Len(t, g.Filled, 1, "the feeding is renewed nevertheless")
	require.Equal(t, room.FeedUntil, g.Filled[0].After.FeedUntil)
	require.Zero(t, queue.Probe(troubled, leases, entries, room, noon).Starting())
	noted := []queue.Lease{starting.Noted(segment.Of(1)), other}
	require.Positive(t, queue.Plan(queue.State{Version: 1}, noted, entries, room, noon).Starting())
	require.Equal(t, 1, queue.Probe(troubled, noted, entries, room, noon).Starting())
	room.Ordered = false
	require.Positive(t, queue.Plan(queue.State{Version: 1}, leases, entries, room, noon).Starting(), "other targets keep no order")
}

// TestG6SlotsGoToWhatWasDueFirst: whether it waits in a lease or in the queue.
func TestG6SlotsGoToWhatWasDueFirst(t *testing.T) {
	early, late := started(noon, 0), started(noon, 50)
	early.Tasks, early.Waiting = segment.Range(0, 2), segment.Range(1, 2)
	late.First, late.Due, late.Tasks, late.Waiting = 50, noon.Add(time.Minute), segment.Range(50, 59), segment.Range(51, 59)
	between := entry(noon.Add(time.Second), segment.Of(20, 21))
	between.Attempt = 2
	now := noon.Add(time.Hour)
	for free, want := range map[int][]segment.Numbers{
		1: {segment.Of(1)},
		3: {segment.Range(1, 2), segment.Of(20)},
		5: {segment.Range(1, 2), segment.Of(20, 21), segment.Of(51)},
	} {
		g := queue.Plan(queue.State{Version: 1, Pace: queue.Pace{Rate: 1}}, []queue.Lease{late, early}, []queue.Entry{between},
			queue.Room{Free: free, Slots: 20, Starts: 500}, now)

		changes := g.Changes()
		queue.SortChanges(changes)
		var got []segment.Numbers
		for _, c := range changes {
			got = append(got, c.Started())
		}
		require.Equal(t, want, got, "%d slots", free)
	}
}

// TestG6NoEntryOvertakesOneThatAGrantCannotTakeWhole: a transaction has room for 45 leases.
func TestG6NoEntryOvertakesOneThatAGrantCannotTakeWhole(t *testing.T) {
	raised := started(noon, 250)
	raised.First, raised.Attempt, raised.Waiting, raised.Tasks = 250, 60, segment.Of(251), segment.Of(250, 251)
	var entries []queue.Entry
	for n := range 43 {
		e := entry(noon, segment.Of(n))
		e.Attempt = 1 + n
		entries = append(entries, e)
	}
	large, behind := entry(noon, segment.Range(100, 199)), entry(noon, segment.Of(200)) // the last could join the first lease
	large.Attempt = 50
	entries = append(entries, large, behind)

	g := queue.Plan(queue.State{Version: 1}, []queue.Lease{raised}, entries, queue.Room{Free: 500, Slots: 500, Starts: 500}, noon)

	require.Len(t, g.Changed, 45)
	require.Equal(t, 1+43+queue.MostSlots, g.Starting())
	require.Len(t, g.Takings, 44)
	require.Equal(t, large.Item(), g.Takings[43].Entry.Item())
	require.False(t, g.Takings[43].Rest.Empty())
}

// TestG6WhatCameBackIsGrantedBeforeWhatWaits: to a target that keeps an order, and none of it waits in a second lease. It joins no lease that was
// made when the target kept none.
func TestG6WhatCameBackIsGrantedBeforeWhatWaits(t *testing.T) {
	l := started(noon.Add(time.Minute), 40)
	l.Due, l.First, l.Tasks, l.Waiting = noon.Add(time.Minute), 40, segment.Range(40, 49), segment.Range(41, 49)
	old := started(noon, 3)
	back := entry(noon, segment.Range(10, 19))

	g := queue.Plan(queue.State{Version: 1}, []queue.Lease{l, old}, []queue.Entry{back}, queue.Room{Free: 2, Slots: 9, Starts: 500, Ordered: true}, noon.Add(time.Hour))

	require.Len(t, g.Changes(), 1)
	require.True(t, g.Changed[0].New())
	require.True(t, g.Changed[0].After.Ordered)
	require.Equal(t, segment.Of(10, 11), g.Changed[0].After.Tasks)
	require.Equal(t, segment.Of(10, 11), g.Changed[0].Started())
}

// TestG8ATaskThatWaitsInALeaseIsTheProbe: of a labourer whose slots all belong to leases, or nothing of which is due.
func TestG8ATaskThatWaitsInALeaseIsTheProbe(t *testing.T) {
	l := queue.Lease{Labourer: "f", Segment: seg, Attempt: 1, Tasks: segment.Range(0, 4), Waiting: segment.Range(0, 4), Due: noon}
	due := []queue.Entry{entry(noon, segment.Range(20, 29))}
	state := queue.State{Version: 1, Trouble: &queue.Trouble{Times: 3}}
	for name, c := range map[string]struct {
		slots, free int
		entries     []queue.Entry
		fenced      bool
	}{
		"its lease has slots":                    {3, 0, nil, false},
		"and tasks are due for which is no slot": {3, 0, due, false},
		"its lease has none":                     {0, 2, nil, true},
		"and it was due before others":           {0, 2, due, true},
	} {
		t.Run(name, func(t *testing.T) {
			l.Slots = c.slots

			g := queue.Probe(state, []queue.Lease{l}, c.entries, queue.Room{Free: c.free, Slots: 3, Starts: 500}, noon)

			require.Equal(t, c.fenced, g.Fenced())
			require.Len(t, g.Changes(), 1)
			require.Equal(t, segment.Of(0), g.Changes()[0].Started())
			require.Empty(t, g.Takings)
		})
	}
}

// TestG8ARetryIsTheProbeByTurns: those that could not be started are in the queue again, and were due before it.
func TestG8ARetryIsTheProbeByTurns(t *testing.T) {
	l := retrying(segment.Numbers{}, 7)
	suspects := []queue.Entry{entry(noon.Add(-time.Minute), segment.Of(20))}
	suspects[0].Misfires = 1
	probed := map[segment.Numbers]int{}
	for times := range 10 {
		state := queue.State{Version: 1, Trouble: &queue.Trouble{Times: times + 1}}

		g := queue.Probe(state, []queue.Lease{l}, suspects, queue.Room{Free: 3, Slots: 3, Starts: 500}, noon.Add(time.Minute))

		require.Len(t, g.Changes(), 1)
		probed[g.Changes()[0].Started()]++
	}
	require.Equal(t, map[segment.Numbers]int{segment.Of(7): 5, segment.Of(20): 5}, probed)
}

func TestG8AProbeOfADueTaskHasALeaseOfItsOwn(t *testing.T) {
	running := started(noon, 0)
	state := queue.State{Version: 1, Trouble: &queue.Trouble{Times: 1}}

	g := queue.Probe(state, []queue.Lease{running}, []queue.Entry{entry(noon, segment.Range(5, 9))}, queue.Room{Free: 3, Slots: 4, Starts: 500}, noon)

	require.Len(t, g.Changes(), 1)
	require.True(t, g.Changed[0].New(), "although it could join the lease that runs")
	require.Equal(t, segment.Of(5), g.Changed[0].After.Tasks)
	require.Equal(t, segment.Range(6, 9), g.Takings[0].Rest)
}

// TestG6TasksOfATargetThatKeepsAnOrderStartInTheirOrder: while the labourer's cap changes, tasks end, and tasks that wait return to the queue.
func TestG6TasksOfATargetThatKeepsAnOrderStartInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const all = segment.Size
		var entries []queue.Entry
		for from := 0; from < all; {
			to := min(from+rapid.IntRange(1, 150).Draw(t, "tasks"), all)
			entries = append(entries, entry(noon.Add(time.Duration(from)*time.Millisecond), segment.Range(from, to-1)))
			from = to
		}
		leases := map[string]queue.Lease{}
		sorted := func() []queue.Lease {
			var out []queue.Lease
			for _, l := range leases {
				out = append(out, l)
			}
			return queue.InOrder(out)
		}
		var order []int
		start := func(numbers segment.Numbers) {
			for n := range numbers.All() {
				order = append(order, n)
			}
		}
		store := func(l queue.Lease) {
			if leases[l.Item()] = l; l.Empty() {
				delete(leases, l.Item())
			}
		}
		now, version := noon.Add(time.Hour), 1
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Second)
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				limit := rapid.IntRange(0, 70).Draw(t, "cap")
				for _, c := range queue.Revoke(sorted(), limit) {
					store(c.After)
				}
				g := queue.Plan(queue.State{Version: version}, sorted(), entries, queue.Room{Free: max(limit-queue.Granted(sorted()), 0), Slots: limit,
					Starts: rapid.IntRange(1, 100).Draw(t, "starts"), Ordered: true}, now)
				version++
				changes := g.Changes()
				queue.SortChanges(changes)
				for _, c := range changes {
					start(c.Started())
					store(c.After.Noted(c.After.InHand()))
				}
				for _, taken := range g.Takings {
					i := slices.IndexFunc(entries, func(e queue.Entry) bool { return e.Item() == taken.Entry.Item() })
					if entries[i].Tasks = taken.Rest; taken.Rest.Empty() {
						entries = slices.Delete(entries, i, i+1)
					}
				}
			case 2: // the labourer is paused, or a start fails
				for _, l := range sorted() {
					if back := l.Waiting; !back.Empty() {
						entries = append(entries, l.Returned(back))
						slices.SortFunc(entries, func(a, b queue.Entry) int { return a.Due.Compare(b.Due)*1000 + a.First - b.First })
						store(l.Without(back))
					}
				}
			default:
				for _, l := range sorted() {
					for n := range l.InHand().All() {
						if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
							var fed segment.Numbers
							l, fed = l.Ended(segment.Of(n)).Feed(queue.MostSlots, queue.Mark("m"), now)
							start(fed)
							l = l.Noted(fed)
						}
					}
					store(l)
				}
			}
			require.True(t, slices.IsSorted(order), "%v", order)
			waits := 0
			for _, l := range leases {
				if !l.Waiting.Empty() {
					waits++
				}
			}
			require.LessOrEqual(t, waits, 1)
		}
	})
}
