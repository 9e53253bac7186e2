package queue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// started returns a lease with tasks in hand since a time.
func started(since time.Time, numbers ...int) queue.Lease {
	l := queue.Lease{Labourer: "f", Segment: seg, Attempt: 1, First: segment.Of(numbers...).Min(), Revision: 1 << 20, Tasks: segment.Of(numbers...), Slots: len(numbers),
		Due: noon, ClaimedAt: noon, Hands: map[int]queue.Hand{}}
	for _, n := range numbers {
		l.Hands[n] = queue.Hand{Since: since, By: queue.Dispatched}
	}
	return l
}

func TestATaskThatWaitsTakesTheSlotOfOneThatEnds(t *testing.T) {
	l := started(noon, 0, 1)
	l.Tasks, l.Waiting = segment.Range(0, 4), segment.Range(2, 4)

	after, fed := l.Ended(segment.Of(1)).Feed(queue.MostSlots, queue.Mark("m"), noon.Add(time.Second))

	require.Equal(t, segment.Of(2), fed, "the first that waits")
	require.Equal(t, segment.Of(0, 2), after.InHand())
	require.Equal(t, segment.Of(2), after.By(queue.Mark("m")))
	require.Equal(t, segment.Of(3, 4), after.Waiting)
	require.Equal(t, segment.Of(1), after.Done())
	require.Equal(t, queue.Hand{Since: noon.Add(time.Second), By: queue.Mark("m")}, after.Hands[2])
	require.Equal(t, segment.Of(0, 1), l.InHand(), "the lease that was read does not change")
}

// retrying returns a lease of four slots with tasks in hand, of which others have failed and wait for their second attempts, due a second from noon
// on, one each second.
func retrying(hands segment.Numbers, failed ...int) queue.Lease {
	l := started(noon, slices.Collect(hands.All())...)
	l.Slots = 4
	for i, n := range failed {
		l.Hands[n] = queue.Hand{Since: noon, By: queue.Dispatched}
		l.Tasks = l.Tasks.Union(segment.Of(n))
		l = l.Postponed(n, noon.Add(time.Duration(i+1)*time.Second))
	}
	return l
}

func TestAFailedTaskWaitsInItsLeaseForItsNextAttempt(t *testing.T) {
	l := retrying(segment.Of(0, 1), 7)

	require.Equal(t, map[int]queue.Retry{7: {Due: noon.Add(time.Second), Attempt: 2}}, l.Retries)
	require.Equal(t, segment.Of(0, 1), l.InHand())
	require.Equal(t, segment.Of(0, 1, 7), l.Held())
	require.True(t, l.Done().Empty())
	require.Equal(t, 2, l.Granted(), "it takes no slot")
	require.False(t, l.Ended(segment.Of(0, 1)).Empty())
	require.True(t, l.Ended(segment.Of(0, 1, 7)).Empty())
	require.Equal(t, segment.Of(7), l.For(2))
	require.Equal(t, []segment.Numbers{segment.Of(0, 1), segment.Of(7)}, l.ByAttempt(l.Held()))
	require.Equal(t, 2, l.Returned(segment.Of(7)).Attempt)
	_, keeps := queue.Keeping([]queue.Lease{l}, task.ID{Segment: seg, N: 7}, 2)
	require.True(t, keeps)
}

// TestG3ARetryTakesTheSlotOfATaskThatEndsInItsLease, and no more: others may have the slots that its lease does not use.
func TestG3ARetryTakesTheSlotOfATaskThatEndsInItsLease(t *testing.T) {
	l := retrying(segment.Of(0, 1), 7, 8, 9)

	after, fed := l.Ended(segment.Of(0)).Feed(l.Granted(), queue.Mark("m"), noon.Add(2*time.Second))

	require.Equal(t, segment.Of(7), fed, "the first that is due; the second has no slot, the third is not due")
	require.Equal(t, queue.Hand{Since: noon.Add(2 * time.Second), By: queue.Mark("m"), Attempt: 2}, after.Hands[7])
	require.Equal(t, l.Granted(), after.Granted())
	require.Len(t, after.Retries, 2)
	require.Equal(t, 3, after.Postponed(7, noon).Retries[7].Attempt)
	require.Equal(t, 2, after.Next(segment.Of(1), noon).Attempt)
	require.Equal(t, 3, after.Next(segment.Of(7), noon).Attempt)
	_, none := l.Feed(l.Granted(), queue.Mark("m"), noon.Add(time.Hour))
	require.True(t, none.Empty())
	require.Len(t, l.Retries, 3, "the lease that was read does not change")
}

func TestWhatWaitsIsFedBeforeRetries(t *testing.T) {
	l := retrying(segment.Of(0, 1, 2, 3), 7)
	l.Waiting = segment.Of(5)

	after, fed := l.Ended(segment.Of(0, 1)).Feed(l.Granted(), queue.Mark("m"), noon.Add(time.Hour))

	require.Equal(t, segment.Of(5, 7), fed)
	require.Empty(t, after.Retries)
}

// TestRetriesThatAreDueAreGrantedSlotsInTheOrderOfTheirTimes, between entries that were due before and after them.
func TestRetriesThatAreDueAreGrantedSlotsInTheOrderOfTheirTimes(t *testing.T) {
	l := retrying(segment.Of(0), 7, 8, 9)
	entries := []queue.Entry{entry(noon.Add(-time.Minute), segment.Of(20)), entry(noon.Add(90*time.Second), segment.Of(30))}
	for free, want := range []segment.Numbers{segment.Of(), segment.Of(20), segment.Of(20, 7), segment.Of(20, 7, 8), segment.Of(20, 7, 8)} {
		g := queue.Plan(queue.State{Version: 1}, []queue.Lease{l}, entries, queue.Room{Free: free, Slots: 9, Starts: 500}, noon.Add(2*time.Second))

		var started segment.Numbers
		for _, c := range g.Changes() {
			started = started.Union(c.Started())
		}
		require.Empty(t, g.Filled)
		require.Equal(t, want, started, "%d free", free)
	}
	g := queue.Plan(queue.State{Version: 1}, []queue.Lease{l}, nil, queue.Room{Free: 9, Slots: 9, Starts: 500}, noon)
	require.Empty(t, g.Changes(), "none is due")
}

// TestG8ARetryKeepsAPlaceInItsLease: tasks of the queue that join the lease leave it one, as it gets no slot in another.
func TestG8ARetryKeepsAPlaceInItsLease(t *testing.T) {
	l := retrying(segment.Range(0, 36), 50, 51)
	room := queue.Room{Free: 60, Slots: 100, Starts: 500}

	g := queue.Plan(queue.State{Version: 1}, []queue.Lease{l}, []queue.Entry{entry(noon, segment.Range(60, 69))}, room, noon)

	require.Equal(t, segment.Of(60), g.Changed[0].Started(), "one more, as two retries wait")
	require.Len(t, g.Changed[0].After.Hands, queue.MostSlots-2)
	again := queue.Plan(queue.State{Version: 2}, []queue.Lease{g.Changed[0].After, g.Changed[1].After}, nil, room, noon.Add(time.Hour))
	require.Equal(t, segment.Of(50, 51), again.Changed[0].Started())
}

// TestRetriesThatWaitAreNoPartOfThePace: nothing is left of a labourer that rests but for them, so its pace stays what it was at least.
func TestRetriesThatWaitAreNoPartOfThePace(t *testing.T) {
	state := queue.State{Version: 1, Pace: queue.Pace{Left: 100, At: noon, Rate: 600}}

	g := queue.Plan(state, []queue.Lease{retrying(segment.Numbers{}, 7)}, nil, queue.Room{Free: 9, Slots: 9, Starts: 500}, noon.Add(10*time.Minute))

	require.Equal(t, queue.Pace{Left: 1, At: noon.Add(10 * time.Minute), Rate: 600}, g.Pace, "and one is in hand now")
}

func TestG4AStartIsNotedForTheAttemptThatWasStarted(t *testing.T) {
	read := started(noon, 0, 1)
	again, _ := retrying(segment.Of(1), 0).Feed(queue.MostSlots, queue.Undispatched, noon.Add(time.Hour))

	require.Equal(t, segment.Of(1), again.Unmoved(read, segment.Of(0, 1, 2)))
	require.Equal(t, segment.Of(0), queue.Change{Before: read, After: again}.Started())
	require.Equal(t, segment.Of(0), queue.Change{Before: read, After: retrying(segment.Of(1), 0)}.Retried())
}

func TestATaskThatGoesElsewhereIsNotDone(t *testing.T) {
	l := started(noon, 0, 1, 2)
	l.Tasks, l.Waiting = segment.Range(0, 4), segment.Of(3, 4)

	after := l.Ended(segment.Of(0)).Without(segment.Of(0, 1, 3))

	require.Equal(t, segment.Of(0), after.Done(), "what was completed stays completed")
	require.Equal(t, segment.Of(2, 4), after.Held())
	require.Equal(t, segment.Of(0, 2, 4), after.Tasks)
	require.True(t, after.Ended(segment.Of(2, 4)).Empty())
}

func TestG3GrantedSlotsAreThoseThatMayBeInHand(t *testing.T) {
	for name, c := range map[string]struct{ hands, waiting, slots, granted, usable int }{
		"all slots are in use":               {2, 5, 2, 2, 2},
		"a slot is free and tasks wait":      {1, 5, 2, 2, 2},
		"fewer tasks are left than slots":    {1, 0, 5, 1, 1},
		"slots were revoked while tasks ran": {4, 3, 1, 4, 1},
		"all slots were revoked":             {0, 3, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := queue.Lease{Slots: c.slots, Hands: map[int]queue.Hand{}}
			for n := range c.hands {
				l.Hands[n] = queue.Hand{}
			}
			if c.waiting > 0 {
				l.Waiting = segment.Range(100, 99+c.waiting)
			}
			require.Equal(t, c.granted, l.Granted())
			require.Equal(t, c.usable, l.Usable())
			require.Equal(t, c.hands, queue.Running([]queue.Lease{l}))
			require.Equal(t, c.waiting, queue.Waiting([]queue.Lease{l}))
		})
	}
	unreadable := queue.Lease{Tasks: segment.Of(1, 2), Unreadable: &queue.Unreadable{}}
	require.Equal(t, 2, queue.Granted([]queue.Lease{unreadable}))
	require.Equal(t, 2, queue.Running([]queue.Lease{unreadable}))
}

func TestALeaseIsFoundByTheAttemptThatItHolds(t *testing.T) {
	l := started(noon, 3)
	l.Tasks, l.Waiting = segment.Of(1, 3, 4), segment.Of(4)
	leases := []queue.Lease{l}
	at := func(n int) task.ID { return task.ID{Segment: seg, N: n} }
	for _, c := range []struct {
		n, attempt       int
		holding, keeping bool
	}{{3, 1, true, false}, {4, 1, false, true}, {1, 1, false, false}, {3, 2, false, false}, {9, 1, false, false}} {
		_, holding := queue.Holding(leases, at(c.n), c.attempt)
		_, keeping := queue.Keeping(leases, at(c.n), c.attempt)
		require.Equal(t, c.holding, holding, c)
		require.Equal(t, c.keeping, keeping, c)
	}
	_, other := queue.Holding(leases, task.ID{Segment: "ponmlkjihgfedcba", N: 3}, 1)
	require.False(t, other)
}

// TestWhenARunningTaskIsLost counts in minutes since noon, when the task was started.
func TestWhenARunningTaskIsLost(t *testing.T) {
	limits := queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 2 * time.Minute}
	beats := queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 2 * time.Minute, Heartbeat: 3 * time.Minute}
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		hand   queue.Hand
		own    time.Duration
		by     queue.Limits
		minute int // the last in which the task is not lost; 0: it never is
	}{
		"at the end of its time":                  {queue.Hand{By: queue.Dispatched}, 0, limits, 12},
		"fed by a message":                        {queue.Hand{By: queue.Mark("m")}, 0, limits, 12},
		"its job has another limit":               {queue.Hand{By: queue.Dispatched}, time.Hour, limits, 62},
		"a heartbeat starts its time again":       {queue.Hand{By: queue.Dispatched, Heard: at(7)}, 0, limits, 19},
		"without the heartbeat that is expected":  {queue.Hand{By: queue.Dispatched}, 0, beats, 3},
		"with the last heartbeat":                 {queue.Hand{By: queue.Dispatched, Heard: at(7)}, 0, beats, 10},
		"before its worker is started":            {queue.Hand{By: queue.Undispatched}, 0, limits, 0},
		"not even by a heartbeat that is missing": {queue.Hand{By: queue.Undispatched}, 0, beats, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.hand.Since = noon
			l := queue.Lease{Hands: map[int]queue.Hand{5: c.hand, 6: {By: queue.Undispatched}}, MaxDuration: c.own}
			if c.minute == 0 {
				require.Empty(t, l.Lost(c.by, noon.Add(1000*time.Hour)))
				return
			}
			require.Empty(t, l.Lost(c.by, at(c.minute)))
			require.Equal(t, segment.Of(5), l.Lost(c.by, at(c.minute).Add(time.Millisecond)))
			require.Equal(t, at(c.minute), l.EndOf(5, c.by))
		})
	}
}

func TestATaskIsForsakenOnceItsDispatcherCannotLive(t *testing.T) {
	l := started(noon, 1, 2).Marked(segment.Of(2), queue.Undispatched, noon)
	require.Empty(t, l.Forsaken(noon.Add(queue.DispatchTerm)))
	require.Equal(t, segment.Of(2), l.Forsaken(noon.Add(queue.DispatchTerm+1)))
	require.Equal(t, segment.Of(1, 2), l.Marked(segment.Of(1, 7), queue.Undispatched, time.Unix(0, 0)).Forsaken(noon.Add(time.Hour)), "what was left, whatever the clock says")
}

// TestG8AFedTaskOfAnOrderedLeaseIsForsakenUntilItsStartIsNoted: it holds up all that wait behind it.
func TestG8AFedTaskOfAnOrderedLeaseIsForsakenUntilItsStartIsNoted(t *testing.T) {
	fed := started(noon, 1, 2).Marked(segment.Of(2), queue.Mark("message"), noon)
	late := noon.Add(queue.DispatchTerm + 1)
	require.Empty(t, fed.Forsaken(late), "without an order nothing waits for it")

	fed.Ordered = true

	require.Empty(t, fed.Forsaken(noon.Add(queue.DispatchTerm)))
	require.Equal(t, segment.Of(2), fed.Forsaken(late))
	require.Empty(t, fed.Noted(segment.Of(2)).Forsaken(late))
}

// TestTasksOfAQueueThatNoWorkerHasReceivedAreKept: the newest messages wait, and the ones before them are taken.
func TestTasksOfAQueueThatNoWorkerHasReceivedAreKept(t *testing.T) {
	old, young := started(noon, 0, 1), started(noon.Add(time.Minute), 7, 8)
	young.First = 7
	young.Hands[8] = queue.Hand{Since: noon.Add(time.Minute), By: queue.Dispatched, Heard: noon.Add(2 * time.Minute)}
	now := noon.Add(time.Hour)
	b := queue.Backlog{Waiting: 1, Taken: 1, Retention: 2 * time.Hour}

	s := b.Standings([]queue.Lease{old, young}, now)

	require.Equal(t, queue.Standing{Waiting: segment.Of(7)}, s[young.Item()], "a task with a heartbeat is taken")
	require.Equal(t, queue.Standing{Taken: segment.Of(1)}, s[old.Item()])
	require.Equal(t, queue.Standing{Taken: segment.Of(1)}, s[old.Item()].Kept(old, segment.Of(0, 1)), "it may have been taken late")
	again := old.Asked(segment.Numbers{}, segment.Of(1), now)
	require.Equal(t, queue.Hand{Since: now, By: queue.Dispatched, Asked: queue.TakenLate}, again.Hands[1])
	require.Empty(t, s[old.Item()].Kept(again, segment.Of(0, 1)).Taken, "but not twice")
	require.Equal(t, segment.Of(1), s[old.Item()].Kept(again.Asked(segment.Of(1), segment.Numbers{}, now), segment.Of(1)).Taken, "unless it waited since")
	b.Retention = time.Minute
	require.Empty(t, b.Standings([]queue.Lease{old, young}, now)[old.Item()].Taken, "the queue has deleted its message")
}

func TestG6TasksReturnJustBeforeTheirOldPlace(t *testing.T) {
	l := started(noon, 4, 5)
	l.Tasks, l.Waiting, l.Job, l.MaxDuration = segment.Range(4, 6), segment.Of(6), "nightly", time.Hour
	want := queue.Entry{Labourer: "f", Due: noon.Add(-time.Millisecond), Segment: seg, First: 6, Tasks: segment.Of(6), Job: "nightly", Attempt: 1, MaxDuration: time.Hour}

	require.Equal(t, want, l.Returned(segment.Of(6)), "no worker was started")
	want.Tasks, want.First, want.Tried = segment.Of(4, 6), 4, true
	require.Equal(t, want, l.Returned(segment.Of(4, 6)))
	want = queue.Entry{Labourer: "f", Due: noon.Add(time.Hour), Segment: seg, First: 5, Tasks: segment.Of(5), Job: "nightly", Attempt: 2, MaxDuration: time.Hour}
	require.Equal(t, want, l.Next(segment.Of(5), noon.Add(time.Hour)))
}

// TestG1ATaskReturnsForItsAttemptAlthoughAnotherIsGone: one that was chosen with it has left the lease since.
func TestG1ATaskReturnsForItsAttemptAlthoughAnotherIsGone(t *testing.T) {
	l := queue.Lease{Segment: "s", Attempt: 1, Tasks: segment.Range(0, 9), Slots: 2,
		Hands: map[int]queue.Hand{4: {Since: noon, By: queue.Undispatched, Attempt: 3}, 7: {Since: noon, By: queue.Dispatched}}}

	require.Equal(t, 3, l.Returned(segment.Of(2, 4)).Attempt)
	require.Equal(t, 4, l.Next(segment.Of(2, 4), noon).Attempt)
	require.Equal(t, 1, l.Returned(segment.Of(2)).Attempt, "none of them is held")
}

func TestMarksTellMessagesApart(t *testing.T) {
	again := queue.Mark("a")
	require.Len(t, again, 8)
	require.NotEqual(t, queue.Mark("a"), queue.Mark("b"))
	require.Equal(t, again, queue.Mark("a"))
}

func TestUnreadableLeasesAreSetAsideAfterTheirEnd(t *testing.T) {
	l := queue.Lease{Unreadable: &queue.Unreadable{}}
	require.Zero(t, l.SetAsideFrom(time.Hour))
	l.Unreadable.Since = noon
	require.Equal(t, noon.Add(time.Hour), l.SetAsideFrom(time.Hour))
}

func TestThePaceIsWhatIsSeenToEnd(t *testing.T) {
	var p queue.Pace
	p = p.Seen(0, noon)
	require.Zero(t, p.Rate)
	require.Equal(t, 60, p.Depth(10, 10), "nothing is known yet")
	require.Equal(t, 60, p.Depth(1, 10), "nothing is known yet, and few slots")
	require.Equal(t, 120, p.Depth(20, 20), "nothing is known yet, and many slots")
	p.Left = 40 // granted

	p = p.Seen(40, noon.Add(time.Second))
	require.Equal(t, queue.Pace{Left: 40, At: noon}, p, "nothing has ended: the observation goes on")
	p = p.Seen(10, noon.Add(30*time.Second))
	require.Equal(t, queue.Pace{Left: 10, At: noon.Add(30 * time.Second), Rate: 60}, p)
	require.Equal(t, 60, p.Depth(1, 10), "ten minutes' work of one slot of ten, where that is no more than sixty tasks")
	require.Equal(t, 30, p.Depth(1, 20), "of one slot of twenty")
	require.Equal(t, 160, queue.Pace{Rate: 20}.Depth(20, 20), "eight tasks for each slot, where they take no more than ten minutes")
	require.Equal(t, 100, queue.Pace{Rate: 10}.Depth(20, 20), "ten minutes' work")
	require.Equal(t, 60, queue.Pace{Rate: 1}.Depth(20, 20), "three tasks for each slot at least")
	require.Equal(t, 900, queue.Pace{Rate: 900}.Depth(20, 20), "a minute's work")

	require.Equal(t, 40.0, p.Seen(0, noon.Add(90*time.Second)).Rate+p.Seen(5, noon.Add(90*time.Second)).Rate-52.5, "half of the newest observation, and no slower after a rest")
	require.Equal(t, 60.0, p.Seen(0, noon.Add(9000*time.Second)).Rate)
	require.Equal(t, queue.Pace{Left: 50, At: noon.Add(time.Hour), Rate: 60}, p.Seen(50, noon.Add(time.Hour)))
}

// TestTasksThatCouldNotBeStartedCountAsNoPace: they have left their leases, for the queue.
func TestTasksThatCouldNotBeStartedCountAsNoPace(t *testing.T) {
	for name, trouble := range map[string]queue.Trouble{
		"throttled":   {Error: "too many requests", Until: noon},
		"unreachable": {Error: "it is down", Until: noon, Times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			state := queue.State{Version: 4, Trouble: &trouble, Pace: queue.Pace{Left: 40, At: noon.Add(-time.Second)}}
			plan := queue.Plan
			if state.Probing() {
				plan = queue.Probe
			}

			g := plan(state, nil, []queue.Entry{entry(noon, segment.Range(0, 39))}, queue.Room{Free: 1, Slots: 1, Starts: 500}, noon)

			require.Zero(t, g.Pace.Rate)
			require.Equal(t, 1, g.Starting())
		})
	}
}

// TestG1PlansLoseAndDuplicateNoTask, and take no slot that is not free.
func TestG1PlansLoseAndDuplicateNoTask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []queue.Entry
		var leases []queue.Lease
		next := 0
		some := func(label string, most int) segment.Numbers {
			n := rapid.IntRange(0, min(most, segment.Size-next)).Draw(t, label)
			next += n
			return segment.Range(next-n, next-1)
		}
		for range rapid.IntRange(0, 3).Draw(t, "leases") {
			l := queue.Lease{Labourer: "f", Segment: seg, Attempt: 1, First: next, Revision: 7, Due: noon, Hands: map[int]queue.Hand{}, Slots: rapid.IntRange(0, 40).Draw(t, "slots")}
			for n := range some("hands", 40).All() {
				l.Hands[n] = queue.Hand{By: queue.Dispatched, Since: noon}
			}
			l.Waiting = some("waiting", 60)
			l.Retries = map[int]queue.Retry{}
			for n := range some("retries", 20).All() {
				l.Retries[n] = queue.Retry{Due: noon.Add(time.Duration(rapid.IntRange(-2, 1).Draw(t, "again"))*time.Minute + time.Second), Attempt: 2}
			}
			l.Tasks = l.Held()
			if !l.Empty() {
				leases = append(leases, l)
			}
		}
		for range rapid.IntRange(0, 4).Draw(t, "entries") {
			if numbers := some("tasks", 120); !numbers.Empty() {
				entries = append(entries, entry(noon.Add(time.Duration(rapid.IntRange(-2, 1).Draw(t, "due"))*time.Minute), numbers))
			}
		}
		state := queue.State{Version: 3, Pace: queue.Pace{Rate: rapid.Float64Range(0, 500).Draw(t, "rate"), At: noon}}
		room := queue.Room{Free: rapid.IntRange(0, 100).Draw(t, "free"), Slots: 100, Starts: rapid.IntRange(1, 200).Draw(t, "starts")}

		g := queue.Plan(state, leases, entries, room, noon)

		before, after := segment.Numbers{}, segment.Numbers{}
		more, startedNow := 0, 0
		keys := map[string]bool{}
		for _, l := range leases {
			keys[l.Item()] = true
		}
		for _, c := range g.Changes() {
			require.LessOrEqual(t, len(c.After.Hands), queue.MostSlots)
			require.LessOrEqual(t, c.After.Slots, queue.MostSlots)
			require.True(t, c.After.Done().Empty())
			more += c.After.Granted() - c.Before.Granted()
			startedNow += c.Started().Len()
			require.True(t, before.Intersect(c.Before.Held()).Empty())
			require.True(t, after.Intersect(c.After.Held()).Empty(), "no task is in two leases")
			before, after = before.Union(c.Before.Held()), after.Union(c.After.Held())
			if c.New() {
				require.False(t, keys[c.After.Item()], "a new lease has a key of its own")
				require.Greater(t, c.After.Revision, int64(3<<20))
				require.Equal(t, c.After.Item(), c.Written().Item())
			}
			keys[c.After.Item()] = true
		}
		for _, c := range g.Filled {
			require.Equal(t, c.Before.Slots, c.After.Slots)
			require.Equal(t, c.Before.Granted(), c.After.Granted(), "what only fills takes no slot")
		}
		for _, c := range g.Changes() {
			for n, again := range c.Before.Retries {
				hand, begun := c.After.Hands[n]
				require.True(t, !begun || !again.Due.After(noon) && hand.Attempt == again.Attempt, "G10")
				require.True(t, begun || c.After.Retries[n] == again)
			}
		}
		taken := segment.Numbers{}
		for _, e := range g.Takings {
			require.False(t, e.Entry.Due.After(noon))
			require.True(t, e.Rest.Minus(e.Entry.Tasks).Empty())
			taken = taken.Union(e.Entry.Tasks.Minus(e.Rest))
		}
		require.Equal(t, before.Union(taken), after)
		require.LessOrEqual(t, more, room.Free, "G3")
		require.LessOrEqual(t, startedNow, room.Starts)
		require.LessOrEqual(t, len(g.Changed)+len(g.Takings)+1, 100, "one transaction")
		if due := g.Starting() < min(room.Free, room.Starts); due && len(g.Takings) < len(entries) {
			for _, e := range entries {
				require.True(t, e.Due.After(noon) || e.Tasks.Intersect(taken) == e.Tasks, "a slot stays free only if nothing is due")
			}
		}
	})
}

func TestAnEntryGoesToAsManyLeasesAsItsSlotsNeed(t *testing.T) {
	g := queue.Plan(queue.State{Version: 1, Pace: queue.Pace{Rate: 18}}, nil, []queue.Entry{entry(noon, segment.Range(0, 255))}, queue.Room{Free: 60, Slots: 60, Starts: 500}, noon)

	require.Len(t, g.Changed, 2)
	require.Equal(t, 60, g.Starting())
	first, second := g.Changed[0].After, g.Changed[1].After
	require.Equal(t, 40, first.Slots)
	require.Equal(t, 120, first.Tasks.Len(), "ten minutes' work of two thirds of the slots")
	require.Equal(t, 20, second.Slots)
	require.Equal(t, 60, second.Tasks.Len())
	require.Equal(t, segment.Range(180, 255), g.Takings[0].Rest)
	require.Equal(t, 180, g.Pace.Left)
}

func TestALeaseThatRunsDryIsExtendedFromItsSegment(t *testing.T) {
	l := started(noon, 0, 1, 2)
	l.Slots = 4
	more := entry(noon.Add(-time.Second), segment.Range(10, 40))

	g := queue.Plan(queue.State{Version: 1, Pace: queue.Pace{Rate: 1.6}}, []queue.Lease{l}, []queue.Entry{more}, queue.Room{Free: 1, Slots: 4, Starts: 500}, noon)

	require.Len(t, g.Changed, 1)
	after := g.Changed[0].After
	require.False(t, g.Changed[0].New())
	require.Equal(t, l.Item(), after.Item())
	require.Equal(t, 4, after.Slots)
	require.Equal(t, segment.Of(0, 1, 2, 10), after.InHand())
	require.Equal(t, segment.Range(11, 25), after.Waiting, "ten minutes' work of the lease's slots")
	require.Equal(t, more.Due, after.Due, "tasks that return come before what is left of their entry")
	require.Equal(t, segment.Range(26, 40), g.Takings[0].Rest)
}

// TestALeaseTakesTasksForTheSlotsThatItWillSoonHave: those of leases in which no tasks wait come to it as their tasks end.
func TestALeaseTakesTasksForTheSlotsThatItWillSoonHave(t *testing.T) {
	other := func(hands int, waiting segment.Numbers) queue.Lease {
		l := queue.Lease{Segment: "other", Attempt: 1, Tasks: segment.Range(0, hands-1).Union(waiting), Waiting: waiting, Slots: hands, Due: noon, Hands: map[int]queue.Hand{}}
		for n := range hands {
			l.Hands[n] = queue.Hand{Since: noon, By: queue.Dispatched}
		}
		return l
	}
	for name, c := range map[string]struct {
		other queue.Lease
		rate  float64
		want  int
	}{
		"none waits in the other":           {other(10, segment.Numbers{}), 120, 120},
		"some wait in the other":            {other(10, segment.Range(50, 90)), 120, 60},
		"more slots than a lease has":       {other(39, segment.Numbers{}), 10.25, 120},
		"none waits, and tasks take an age": {other(10, segment.Numbers{}), 0.1, 36},
	} {
		t.Run(name, func(t *testing.T) {
			first := entry(noon.Add(-time.Second), segment.Range(0, 255))
			room := queue.Room{Free: 2, Slots: 2 + len(c.other.Hands), Starts: 500}

			g := queue.Plan(queue.State{Version: 1, Pace: queue.Pace{Rate: c.rate}}, []queue.Lease{c.other}, []queue.Entry{first}, room, noon)

			require.Len(t, g.Changed, 1)
			require.Equal(t, 2, g.Changed[0].After.Slots)
			require.Equal(t, c.want, g.Changed[0].After.Tasks.Len())
		})
	}
}

// TestAGrantLeavesNoRemainderThatIsNotWorthAnother.
func TestAGrantLeavesNoRemainderThatIsNotWorthAnother(t *testing.T) {
	for due, want := range map[int]int{100: 100, 150: 150, 151: 100} {
		room := queue.Room{Free: 10, Slots: 10, Starts: 500}

		g := queue.Plan(queue.State{Version: 1, Pace: queue.Pace{Rate: 100}}, nil, []queue.Entry{entry(noon, segment.Range(0, due-1))}, room, noon)

		require.Equal(t, want, g.Changed[0].After.Tasks.Len(), due)
	}
}

// TestG6NoTaskWaitsInALeaseOfAnOrderedTargetThatOneLeaseDoesNotServe: also not a few that remain of an entry.
func TestG6NoTaskWaitsInALeaseOfAnOrderedTargetThatOneLeaseDoesNotServe(t *testing.T) {
	before := started(noon, 0, 1)
	before.Segment, before.Ordered, before.Slots = "other", true, 2
	before.Tasks, before.Waiting = segment.Range(0, 9), segment.Range(2, 9)
	for name, c := range map[string]struct {
		leases []queue.Lease
		slots  int
		due    time.Time
	}{
		"more slots than a lease has": {nil, queue.MostSlots + 1, noon},
		"tasks wait in another lease": {[]queue.Lease{before}, 6, before.Due.Add(-time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			room := queue.Room{Free: 4, Slots: c.slots, Starts: 500, Ordered: true}

			g := queue.Plan(queue.State{Version: 1}, c.leases, []queue.Entry{entry(c.due, segment.Range(0, 4))}, room, noon)

			require.Len(t, g.Changed, 1)
			require.Equal(t, segment.Range(0, 3), g.Changed[0].After.Tasks)
			require.Empty(t, g.Changed[0].After.Waiting)
			require.Equal(t, segment.Of(4), g.Takings[0].Rest)
		})
	}
}

func TestWhatOnlyFillsNeedsNoFence(t *testing.T) {
	l := started(noon, 0)
	l.Slots, l.Waiting, l.Tasks = 2, segment.Of(5, 6), segment.Of(0, 5, 6)

	g := queue.Plan(queue.State{Version: 1}, []queue.Lease{l}, nil, queue.Room{Slots: 2, Starts: 500}, noon)

	require.False(t, g.Fenced())
	require.Len(t, g.Filled, 1)
	require.Equal(t, segment.Of(5), g.Filled[0].Started())
	require.Equal(t, segment.Of(5), g.Filled[0].After.By(queue.Undispatched))
}

// TestTheFeedingOfALeaseIsRenewedForItsRetries while tasks of it run: these are the only ones whose slots retries take.
func TestTheFeedingOfALeaseIsRenewedForItsRetries(t *testing.T) {
	l := retrying(segment.Of(0), 7)
	l.FeedUntil = noon
	require.True(t, l.Stale(noon.Add(time.Minute)))
	require.False(t, retrying(segment.Of(0)).Stale(noon.Add(time.Minute)))
	require.False(t, l.Ended(segment.Of(0)).Stale(noon.Add(time.Minute)))
}

func TestTheFeedingOfALeaseIsRenewed(t *testing.T) {
	l := started(noon, 0)
	l.Waiting, l.Tasks, l.FeedUntil = segment.Of(5), segment.Of(0, 5), noon.Add(30*time.Second)
	room := queue.Room{Slots: 1, Starts: 500, FeedUntil: noon.Add(90 * time.Second)}

	g := queue.Plan(queue.State{Version: 1}, []queue.Lease{l}, nil, room, noon)

	require.Len(t, g.Filled, 1)
	require.Equal(t, room.FeedUntil, g.Filled[0].After.FeedUntil)
	require.Zero(t, g.Starting())
	require.False(t, g.Filled[0].After.Stale(room.FeedUntil.Add(29*time.Second)), "not at each look")
	require.True(t, l.MayFeed(noon.Add(30*time.Second)))
	require.False(t, l.MayFeed(noon.Add(31*time.Second)))
	require.True(t, l.Stale(time.Time{}), "the labourer has no metrics any more")
}

func TestRevocationTakesSlotsFromTheLastInLine(t *testing.T) {
	front, back := started(noon, 0, 1), started(noon, 7, 8)
	back.First, back.Due, back.Slots, back.Waiting, back.Tasks = 7, noon.Add(time.Minute), 4, segment.Of(9), segment.Of(7, 8, 9)
	leases := []queue.Lease{back, front}

	require.Empty(t, queue.Revoke(leases, 5))
	got := queue.Revoke(leases, 3)
	require.Len(t, got, 1)
	require.Equal(t, 1, got[0].After.Slots, "two in hand, and one of them may be followed by another task")
	got = queue.Revoke(leases, 0)
	require.Len(t, got, 2)
	require.Equal(t, back.Item(), got[0].After.Item())
	require.Zero(t, got[0].After.Slots+got[1].After.Slots)
	require.Equal(t, back.InHand(), got[0].After.InHand(), "what runs may end")
	require.Empty(t, queue.Revoke([]queue.Lease{got[0].After, got[1].After}, 0), "once")
}

// TestALeaseKeepsTheTimeOfItsTasks, also if the labourer's is changed while they run: their workers were told a deadline.
func TestALeaseKeepsTheTimeOfItsTasks(t *testing.T) {
	short := queue.Limits{MaxDuration: time.Minute, Cooldown: time.Minute}
	room := queue.Room{Free: 2, Slots: 2, Starts: 500, Limits: short}
	g := queue.Plan(queue.State{Version: 1}, nil, []queue.Entry{entry(noon, segment.Of(0))}, room, noon)
	l := g.Changed[0].After.Marked(segment.Of(0), queue.Dispatched, noon)

	long := queue.Limits{MaxDuration: time.Hour, Cooldown: time.Minute}
	require.Equal(t, noon.Add(2*time.Minute), l.EndOf(0, long))

	room.Limits = long
	g = queue.Plan(queue.State{Version: 2}, []queue.Lease{l}, []queue.Entry{entry(noon, segment.Of(1))}, room, noon)
	require.True(t, g.Changed[0].New(), "tasks with another time do not join it")
}
