package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// RunControl tests the store of states, leases and queues.
func RunControl(t *testing.T, open func(*testing.T) Stores) {
	on := func(test func(*testing.T, control)) func(*testing.T, Stores) {
		return func(t *testing.T, s Stores) { test(t, control{s.Control, s.Jobs, s.Registry, unique("labourer")}) }
	}
	each(t, open, map[string]func(*testing.T, Stores){
		"a labourer that nothing is known of has the zero state":            on(zeroState),
		"pausing moves the version":                                         on(pauses),
		"a trouble is noted and taken away":                                 on(troubles),
		"one claimer approaches at a time":                                  on(approaches),
		"an execution never yields to its own hold":                         on(approachAgain),
		"a departure lets the next one in":                                  on(departs),
		"one of many concurrent approaches succeeds":                        on(approachRace),
		"a claim moves a whole entry to a lease":                            on(claimWhole),
		"a claim takes a part and leaves the rest in its place":             on(claimPart),
		"a claim of many entries is one":                                    on(claimMany),
		"a claimer that will come back holds the labourer until then":       on(claimHolds),
		"what was given back is claimed beside the lease it came from":      on(claimBesideLease),
		"a claim on an old version takes nothing":                           on(claimOldVersion),
		"a claim on an entry that changed takes nothing of any":             on(claimChangedEntry),
		"a claim on an entry that is gone takes nothing":                    on(claimGoneEntry),
		"a pause stops a claim that was decided on before":                  on(claimPaused),
		"of two claims at once one goes through":                            on(claimRace),
		"entries are due in order and by the millisecond":                   on(dueInOrder),
		"as many due entries are read as are asked for":                     on(dueLimit),
		"the queue has what is due later as well":                           on(queueHasAll),
		"a look sees leases and what is due":                                on(looks),
		"a look sees all leases and an entry behind them":                   on(looksBehindManyLeases),
		"labourers have nothing to do with each other":                      on(labourersApart),
		"a lease is found by its name until it is gone":                     on(leaseByName),
		"leases on one segment are told from others":                        on(leasesOn),
		"a dispatch is noted":                                               on(dispatches),
		"the dispatch of a lease that is gone or adopted is refused":        on(dispatchRefused),
		"a lease is adopted once":                                           on(adopts),
		"a lease is left by its tasks one by one and then gone":             on(releases),
		"releasing again changes nothing":                                   on(releaseAgain),
		"releasing nothing changes nothing":                                 on(releaseNone),
		"the last release removes the lease":                                on(releaseStale),
		"tasks released at the same time are all released":                  on(releaseRace),
		"a failed task goes back to the queue in one step":                  on(requeues),
		"a part of a lease goes back and the rest stays":                    on(requeuePart),
		"however often an end is told one entry comes of it":                on(requeueOnce),
		"one of many concurrent requeues succeeds":                          on(requeueRace),
		"a lease that was released from must be read again":                 on(requeueStale),
		"what was read of a lease changes no other under its key":           on(leaseMadeAnew),
		"a lease that was adopted or dispatched since is not queued again":  on(requeueAdopted),
		"a labourer that is applied again goes on from its version":         on(versionStays),
		"a heartbeat is kept for each task":                                 on(hears),
		"the heartbeat of a lease that is gone is refused":                  on(hearsNothing),
		"first heartbeats at the same time are all kept":                    on(hearRace),
		"tasks withdrawn from an entry cannot be claimed":                   on(withdraws),
		"withdrawing from an entry that changed is refused":                 on(withdrawRefused),
		"a lease that cannot be decoded counts until it is set aside":       on(undecodable),
		"an entry keeps what its tasks need":                                on(entryAsGiven),
		"two hundred leases and entries are read":                           on(manyItems),
		"a lease of a whole segment is released in any order and then gone": on(wholeLease),
	})
}

// control holds the port and the labourer of one test.
type control struct {
	Control
	jobs     Jobs
	registry Registry
	labourer string
}

func (c control) entry(at segment.ID, due time.Time, numbers segment.Numbers) queue.Entry {
	return queue.Entry{Labourer: c.labourer, Due: due, Segment: at, First: numbers.Min(), Tasks: numbers, Attempt: 1}
}

// put publishes entries, each for a job of its own.
func (c control) put(t *testing.T, entries ...queue.Entry) {
	t.Helper()
	for _, e := range entries {
		publish(t, c.jobs, e)
	}
}

// claim claims these numbers of an entry by the present state, and returns the lease.
func (c control) claim(t *testing.T, e queue.Entry, numbers segment.Numbers) queue.Lease {
	t.Helper()
	taking, state := take(e, numbers, noon), c.state(t)
	taking.Lease.Claim = state.Version + 1
	require.NoError(t, c.Claim(t.Context(), c.labourer, state, []queue.Taking{taking}, queue.Hold{}))
	return taking.Lease
}

// leased returns a lease on these numbers.
func (c control) leased(t *testing.T, numbers segment.Numbers) queue.Lease {
	t.Helper()
	e := c.entry(newSegment(), noon, numbers)
	c.put(t, e)
	return c.claim(t, e, numbers)
}

func take(e queue.Entry, numbers segment.Numbers, at time.Time) queue.Taking {
	return queue.Taking{Entry: e, Rest: e.Tasks.Minus(numbers), Lease: queue.Lease{Labourer: e.Labourer, Segment: e.Segment, Attempt: e.Attempt,
		First: numbers.Min(), Tasks: numbers, Due: e.Due, ClaimedAt: at, ExpiresAt: at.Add(20 * time.Minute), MaxDuration: e.MaxDuration}}
}

func (c control) state(t *testing.T) queue.State {
	t.Helper()
	state, err := c.State(t.Context(), c.labourer)
	require.NoError(t, err)
	return state
}

func (c control) queue(t *testing.T) []queue.Entry {
	t.Helper()
	entries, err := c.Queue(t.Context(), c.labourer)
	require.NoError(t, err)
	return entries
}

func (c control) leases(t *testing.T) []queue.Lease {
	t.Helper()
	leases, err := c.Leases(t.Context(), c.labourer)
	require.NoError(t, err)
	return leases
}

func (c control) lease(t *testing.T, name string) queue.Lease {
	t.Helper()
	l, found, err := c.Lease(t.Context(), c.labourer, name)
	require.NoError(t, err)
	require.True(t, found, "lease %s", name)
	return l
}

// unchanged requires that a claim had no effect.
func (c control) unchanged(t *testing.T, before queue.State, entries []queue.Entry) {
	t.Helper()
	require.Equal(t, before, c.state(t))
	require.Equal(t, entries, c.queue(t))
	require.Empty(t, c.leases(t))
}

// ---- the state

func zeroState(t *testing.T, c control) {
	require.Equal(t, queue.State{}, c.state(t))
	require.Empty(t, c.leases(t))
	require.Empty(t, c.queue(t))
}

func pauses(t *testing.T, c control) {
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))
	require.Equal(t, queue.State{Version: 1, Paused: true}, c.state(t))

	require.NoError(t, c.SetPaused(t.Context(), c.labourer, false))
	require.Equal(t, queue.State{Version: 2}, c.state(t))
}

func troubles(t *testing.T, c control) {
	trouble := &queue.Trouble{Error: "no such function", At: noon, Until: noon.Add(30 * time.Second)}

	require.NoError(t, c.SetTrouble(t.Context(), c.labourer, trouble))
	require.Equal(t, queue.State{Trouble: trouble}, c.state(t), "a trouble moves no version")

	require.NoError(t, c.SetTrouble(t.Context(), c.labourer, nil))
	require.Equal(t, queue.State{}, c.state(t))
	require.NoError(t, c.SetTrouble(t.Context(), c.labourer, nil), "when there is none")
}

func approaches(t *testing.T, c control) {
	until := noon.Add(10 * time.Second)
	one, other := queue.Hold{By: "one", Until: until}, queue.Hold{By: "other", Until: until.Add(time.Minute)}
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, one))
	require.Equal(t, queue.State{Hold: one}, c.state(t))

	require.ErrorIs(t, c.Approach(t.Context(), c.labourer, until.Add(-time.Millisecond), other), errQueue)
	require.NoError(t, c.Approach(t.Context(), c.labourer, until, other), "its time is over")
	require.Equal(t, queue.State{Hold: other}, c.state(t))
}

func approachAgain(t *testing.T, c control) {
	hold := queue.Hold{By: "one", Until: noon.Add(10 * time.Second)}
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, hold))
	hold.Until = noon.Add(15 * time.Second)

	require.NoError(t, c.Approach(t.Context(), c.labourer, noon.Add(5*time.Second), hold), "an execution never yields to its own hold")

	require.Equal(t, queue.State{Hold: hold}, c.state(t))
}

func departs(t *testing.T, c control) {
	hold := queue.Hold{By: "one", Until: noon.Add(time.Hour)}
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, hold))

	require.NoError(t, c.Depart(t.Context(), c.labourer, "other"))
	require.Equal(t, queue.State{Hold: hold}, c.state(t), "it is another's")
	require.NoError(t, c.Depart(t.Context(), c.labourer, "one"))

	require.Equal(t, queue.State{}, c.state(t))
	require.NoError(t, c.Depart(t.Context(), c.labourer, "one"), "a second time")
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, queue.Hold{By: "other", Until: noon.Add(time.Hour)}))
}

func approachRace(t *testing.T, c control) {
	racers := make([]func() error, 8)
	for i := range racers {
		hold := queue.Hold{By: fmt.Sprintf("racer-%d", i), Until: noon.Add(time.Minute)}
		racers[i] = func() error { return c.Approach(t.Context(), c.labourer, noon, hold) }
	}
	require.Equal(t, 1, race(t, errQueue, racers...))
}

// ---- claims

func claimWhole(t *testing.T, c control) {
	e := c.entry(newSegment(), noon.Add(-time.Second), segment.Range(0, 99))
	c.put(t, e)
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, queue.Hold{By: "one", Until: noon.Add(time.Minute)}))

	l := c.claim(t, e, e.Tasks)

	require.Equal(t, queue.State{Version: 1}, c.state(t), "the version moved and the approach has ended")
	require.Empty(t, c.queue(t))
	require.Equal(t, []queue.Lease{l}, c.leases(t))
}

func claimPart(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(2, 3, 5, 7, 11))
	c.put(t, e)

	first := c.claim(t, e, segment.Of(2, 3))

	rest := e
	rest.Tasks = segment.Of(5, 7, 11)
	require.Equal(t, []queue.Entry{rest}, c.queue(t), "the key stays as it was")
	second := c.claim(t, rest, segment.Of(5))
	require.Equal(t, []queue.Lease{first, second}, c.leases(t))
	require.Equal(t, 3, queue.Running(c.leases(t)))
	require.Equal(t, 2, c.state(t).Version)
}

func claimMany(t *testing.T, c control) {
	var takings []queue.Taking
	for i := range 30 {
		e := c.entry(newSegment(), noon.Add(time.Duration(i)*time.Millisecond), segment.Range(0, 9))
		c.put(t, e)
		takings = append(takings, take(e, e.Tasks, noon))
	}

	require.NoError(t, c.Claim(t.Context(), c.labourer, c.state(t), takings, queue.Hold{}))

	require.Empty(t, c.queue(t))
	require.Equal(t, 300, queue.Running(c.leases(t)))
	require.Equal(t, 1, c.state(t).Version)
}

func claimOldVersion(t *testing.T, c control) {
	a, b := c.entry(newSegment(), noon, segment.Of(0)), c.entry(newSegment(), noon.Add(time.Second), segment.Of(0))
	c.put(t, a, b)
	old := c.state(t)
	c.claim(t, a, a.Tasks)

	require.ErrorIs(t, c.Claim(t.Context(), c.labourer, old, []queue.Taking{take(b, b.Tasks, noon)}, queue.Hold{}), errQueue)

	require.Equal(t, []queue.Entry{b}, c.queue(t))
	require.Len(t, c.leases(t), 1)
	require.Equal(t, 1, c.state(t).Version)
}

func claimChangedEntry(t *testing.T, c control) {
	a, b := c.entry(newSegment(), noon, segment.Of(0)), c.entry(newSegment(), noon.Add(time.Second), segment.Of(0, 1))
	c.put(t, a, b)
	before, entries := c.state(t), c.queue(t)
	wrong := b
	wrong.Tasks = segment.Of(0, 1, 2)

	err := c.Claim(t.Context(), c.labourer, before, []queue.Taking{take(a, a.Tasks, noon), take(wrong, segment.Of(0), noon)}, queue.Hold{})

	require.ErrorIs(t, err, errQueue)
	c.unchanged(t, before, entries)
}

func claimGoneEntry(t *testing.T, c control) {
	a := c.entry(newSegment(), noon, segment.Of(0))
	c.put(t, a)
	before, entries := c.state(t), c.queue(t)
	gone := c.entry(newSegment(), noon, segment.Of(0, 1))

	for _, numbers := range []segment.Numbers{segment.Of(0), segment.Of(0, 1)} {
		err := c.Claim(t.Context(), c.labourer, before, []queue.Taking{take(a, a.Tasks, noon), take(gone, numbers, noon)}, queue.Hold{})
		require.ErrorIs(t, err, errQueue)
		c.unchanged(t, before, entries)
	}
}

func claimPaused(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(0))
	c.put(t, e)
	before := c.state(t)
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))
	paused := c.state(t)

	require.ErrorIs(t, c.Claim(t.Context(), c.labourer, before, []queue.Taking{take(e, e.Tasks, noon)}, queue.Hold{}), errQueue)

	c.unchanged(t, paused, []queue.Entry{e})
}

func claimBesideLease(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(5, 6, 7))
	c.put(t, e)
	running := c.claim(t, e, e.Tasks)
	back := queue.Entry{Labourer: c.labourer, Due: noon.Add(-time.Millisecond), Segment: e.Segment, First: 5, Tasks: segment.Of(5), Attempt: e.Attempt}
	require.NoError(t, c.Requeue(t.Context(), running, back), "its worker could not be started, those of 6 and 7 run")
	takings := queue.Take(c.state(t), c.queue(t), 1, noon, func(time.Duration) time.Duration { return time.Hour })

	require.ErrorIs(t, c.Claim(t.Context(), c.labourer, c.state(t), takings, queue.Hold{}), errQueue, "its lowest task would name two leases")
	require.NoError(t, c.Claim(t.Context(), c.labourer, c.state(t), queue.Apart(takings, c.leases(t)), queue.Hold{}))

	require.Empty(t, c.queue(t))
	require.Len(t, c.leases(t), 2)
	require.Equal(t, 3, queue.Running(c.leases(t)))
	found, held := queue.Holding(c.leases(t), task.ID{Segment: e.Segment, N: 5}, e.Attempt)
	require.True(t, held)
	require.NoError(t, c.Release(t.Context(), found, segment.Of(5)))
	require.Equal(t, segment.Of(6, 7), c.lease(t, running.Item()).Held())
}

func claimRace(t *testing.T, c control) {
	state := c.state(t)
	var racers []func() error
	for range 8 {
		e := c.entry(newSegment(), noon, segment.Range(0, 9))
		c.put(t, e)
		racers = append(racers, func() error {
			return c.Claim(t.Context(), c.labourer, state, []queue.Taking{take(e, e.Tasks, noon)}, queue.Hold{})
		})
	}

	require.Equal(t, 1, race(t, errQueue, racers...))

	require.Len(t, c.leases(t), 1)
	require.Len(t, c.queue(t), 7)
	require.Equal(t, 1, c.state(t).Version)
}

// ---- the queue

func dueInOrder(t *testing.T, c control) {
	late := c.entry(newSegment(), noon.Add(time.Millisecond), segment.Of(0))
	now := c.entry(newSegment(), noon, segment.Of(0))
	early := c.entry(newSegment(), noon.Add(-24*time.Hour), segment.Of(0))
	first := c.entry(early.Segment, early.Due, segment.Of(1))
	c.put(t, late, now, first, early)

	due, err := c.Due(t.Context(), c.labourer, noon, 0)

	require.NoError(t, err)
	require.Equal(t, []queue.Entry{early, first, now}, due)
	due, err = c.Due(t.Context(), c.labourer, noon.Add(time.Millisecond), 0)
	require.NoError(t, err)
	require.Equal(t, []queue.Entry{early, first, now, late}, due)
}

func dueLimit(t *testing.T, c control) {
	var all []queue.Entry
	for i := range 5 {
		all = append(all, c.entry(newSegment(), noon.Add(time.Duration(i)*time.Millisecond), segment.Of(0)))
	}
	c.put(t, all...)

	for limit, want := range map[int]int{1: 1, 4: 4, 5: 5, 6: 5, 0: 5} {
		due, err := c.Due(t.Context(), c.labourer, noon.Add(time.Minute), limit)
		require.NoError(t, err)
		require.Equal(t, all[:want], due, "limit %d", limit)
	}
}

func queueHasAll(t *testing.T, c control) {
	now, later := c.entry(newSegment(), noon, segment.Of(0)), c.entry(newSegment(), noon.AddDate(0, 0, 30), segment.Of(0))
	c.put(t, later, now)

	require.Equal(t, []queue.Entry{now, later}, c.queue(t))
}

func looks(t *testing.T, c control) {
	l := c.leased(t, segment.Of(0, 1))
	now, later := c.entry(newSegment(), noon, segment.Of(0)), c.entry(newSegment(), noon.Add(time.Hour), segment.Of(0))
	withdrawn := c.entry(newSegment(), noon, segment.Of(0))
	c.put(t, now, later, withdrawn)
	aside, err := c.Withdraw(t.Context(), withdrawn, segment.Of(0), noon)
	require.NoError(t, err)
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true)) // the state and the rest of the partition are not in the way

	shortly(t, func() bool {
		seen, err := c.Look(t.Context(), c.labourer, noon, 0)
		require.NoError(t, err)
		return len(seen.Leases) == 1 && seen.Leases[0].Item() == l.Item() && len(seen.Due) == 1 && seen.Due[0] == now &&
			len(seen.Asides) == 1 && seen.Asides[0] == aside
	}, "a look sees the aside, the lease and the due entry")
}

func looksBehindManyLeases(t *testing.T, c control) {
	var takings []queue.Taking
	for i := range 30 {
		e := c.entry(newSegment(), noon.Add(time.Duration(i)*time.Millisecond), segment.Of(0))
		c.put(t, e)
		takings = append(takings, take(e, e.Tasks, noon))
	}
	require.NoError(t, c.Claim(t.Context(), c.labourer, c.state(t), takings, queue.Hold{}))
	c.put(t, c.entry(newSegment(), noon, segment.Of(0)), c.entry(newSegment(), noon, segment.Of(0)))

	for _, page := range []int{0, 1, 2, 29, 30, 31, 32, 50} {
		shortly(t, func() bool {
			seen, err := c.Look(t.Context(), c.labourer, noon, page)
			require.NoError(t, err)
			return len(seen.Leases) == 30 && len(seen.Due) > 0
		}, fmt.Sprintf("in pages of %d", page))
	}
}

func labourersApart(t *testing.T, c control) {
	other := control{c.Control, c.jobs, c.registry, c.labourer + "2"} // its name begins with the other's
	mine, others := c.leased(t, segment.Of(0)), other.leased(t, segment.Of(0))
	e := other.entry(newSegment(), noon, segment.Of(0))
	other.put(t, e)

	require.Equal(t, []queue.Lease{mine}, c.leases(t))
	require.Equal(t, []queue.Lease{others}, other.leases(t))
	require.Empty(t, c.queue(t))
	require.Equal(t, []queue.Entry{e}, other.queue(t))
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))
	require.False(t, other.state(t).Paused)
}

func entryAsGiven(t *testing.T, c control) {
	e := queue.Entry{Labourer: c.labourer, Due: noon.Add(-time.Hour), Segment: newSegment(), First: 3, Tasks: segment.Of(3, 5, 6, 7, 255), Attempt: 12,
		MaxDuration: 90 * time.Second}
	c.put(t, e)

	require.Equal(t, []queue.Entry{e}, c.queue(t))
	l := c.claim(t, e, e.Tasks)
	require.Equal(t, l, c.lease(t, l.Item()))
	require.Equal(t, 90*time.Second, l.MaxDuration)
	require.Equal(t, 12, l.Attempt)
}

func manyItems(t *testing.T, c control) {
	for range 7 {
		var takings []queue.Taking
		for range 30 {
			e := c.entry(newSegment(), noon, segment.Of(0))
			c.put(t, e)
			takings = append(takings, take(e, e.Tasks, noon))
		}
		require.NoError(t, c.Claim(t.Context(), c.labourer, c.state(t), takings, queue.Hold{}))
	}
	require.Len(t, c.leases(t), 210)
	require.Equal(t, 210, queue.Running(c.leases(t)))
}

// ---- leases

func leaseByName(t *testing.T, c control) {
	l := c.leased(t, segment.Of(4))

	require.Equal(t, l, c.lease(t, l.Item()))

	require.NoError(t, c.Release(t.Context(), l, l.Tasks))
	_, found, err := c.Lease(t.Context(), c.labourer, l.Item())
	require.NoError(t, err)
	require.False(t, found)
}

func leasesOn(t *testing.T, c control) {
	mine := c.leased(t, segment.Of(0))
	c.leased(t, segment.Of(0))

	found, err := c.LeasesOn(t.Context(), c.labourer, mine.Segment)

	require.NoError(t, err)
	require.Equal(t, []queue.Lease{mine}, found)
	found, err = c.LeasesOn(t.Context(), c.labourer, newSegment())
	require.NoError(t, err)
	require.Empty(t, found)
}

func dispatches(t *testing.T, c control) {
	l := c.leased(t, segment.Of(0, 1))
	at, ends := noon.Add(time.Second), noon.Add(time.Hour)

	require.NoError(t, c.Dispatched(t.Context(), l, at, ends))

	want := l
	want.DispatchedAt, want.ExpiresAt = at, ends
	require.Equal(t, want, c.lease(t, l.Item()))
	require.NoError(t, c.Dispatched(t.Context(), l, at, ends), "noting it again")
}

func dispatchRefused(t *testing.T, c control) {
	l := c.leased(t, segment.Of(0))
	require.NoError(t, c.Adopt(t.Context(), l, noon.Add(time.Minute)))
	require.ErrorIs(t, c.Dispatched(t.Context(), l, noon, noon), errQueue, "another one dispatches it now")
	require.True(t, c.lease(t, l.Item()).DispatchedAt.IsZero())

	gone := c.leased(t, segment.Of(0))
	require.NoError(t, c.Release(t.Context(), gone, gone.Tasks))
	require.ErrorIs(t, c.Dispatched(t.Context(), gone, noon, noon), errQueue)
	_, found, err := c.Lease(t.Context(), c.labourer, gone.Item())
	require.NoError(t, err)
	require.False(t, found, "it came back")
}

func adopts(t *testing.T, c control) {
	l := c.leased(t, segment.Of(0))

	require.Equal(t, 1, race(t, errQueue,
		func() error { return c.Adopt(t.Context(), l, noon.Add(time.Minute)) },
		func() error { return c.Adopt(t.Context(), l, noon.Add(2*time.Minute)) },
		func() error { return c.Adopt(t.Context(), l, noon.Add(3*time.Minute)) }))

	adopted := c.lease(t, l.Item())
	require.True(t, adopted.ClaimedAt.After(l.ClaimedAt))
	require.NoError(t, c.Dispatched(t.Context(), adopted, noon, noon.Add(time.Hour)))
	require.ErrorIs(t, c.Adopt(t.Context(), adopted, noon.Add(time.Hour)), errQueue, "it is dispatched")
}

func releases(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))

	require.NoError(t, c.Release(t.Context(), l, segment.Of(2)))
	l = c.lease(t, l.Item())
	require.Equal(t, segment.Of(1, 3), l.Held())
	require.NoError(t, c.Release(t.Context(), l, segment.Of(3)))
	l = c.lease(t, l.Item())
	require.Equal(t, segment.Of(1), l.Held())
	require.NoError(t, c.Release(t.Context(), l, segment.Of(1)))

	require.Empty(t, c.leases(t))
}

func releaseAgain(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))

	for range 3 {
		require.NoError(t, c.Release(t.Context(), l, segment.Of(2)))
		require.Equal(t, segment.Of(1, 3), c.lease(t, l.Item()).Held())
	}
	for range 2 {
		require.NoError(t, c.Release(t.Context(), l, l.Tasks))
		require.Empty(t, c.leases(t), "no lease comes into being by a release")
	}
	require.NoError(t, c.Release(t.Context(), l, segment.Of(1)))
	require.Empty(t, c.leases(t))
}

func releaseNone(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))

	require.NoError(t, c.Release(t.Context(), l, segment.Numbers{}))

	require.Equal(t, l, c.lease(t, l.Item()))
}

func releaseStale(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))
	require.NoError(t, c.Release(t.Context(), l, segment.Of(1)))

	require.NoError(t, c.Release(t.Context(), l, segment.Of(2)), "by the lease as it was read before")

	require.Empty(t, c.leases(t))

	l = c.leased(t, segment.Of(1, 2))
	require.NoError(t, c.Release(t.Context(), l, segment.Of(1)))
	require.NoError(t, c.Release(t.Context(), l, segment.Of(1, 2)))
	require.Empty(t, c.leases(t))
}

func releaseRace(t *testing.T, c control) {
	l := c.leased(t, segment.Range(0, 15))
	var racers []func() error
	for n := range 16 {
		racers = append(racers, func() error { return c.Release(t.Context(), l, segment.Of(n)) })
	}

	require.Equal(t, 16, race(t, errQueue, racers...))

	require.Empty(t, c.leases(t))
}

func wholeLease(t *testing.T, c control) {
	l := c.leased(t, segment.Range(0, 255))
	for first := 255; first >= 15; first -= 16 {
		require.NoError(t, c.Release(t.Context(), l, segment.Range(first-15, first)))
	}
	require.Empty(t, c.leases(t))
}

// again returns the entry for the next attempt at these tasks of a lease.
func again(l queue.Lease, numbers segment.Numbers) queue.Entry {
	return queue.Entry{Labourer: l.Labourer, Due: noon.Add(time.Minute), Segment: l.Segment, First: numbers.Min(), Tasks: numbers, Attempt: l.Attempt + 1}
}

func requeues(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))
	e := again(l, l.Tasks)

	require.NoError(t, c.Requeue(t.Context(), l, e))

	require.Empty(t, c.leases(t))
	require.Equal(t, []queue.Entry{e}, c.queue(t))
}

func requeuePart(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))

	require.NoError(t, c.Requeue(t.Context(), l, again(l, segment.Of(2))))

	left := c.lease(t, l.Item())
	require.Equal(t, segment.Of(1, 3), left.Held())
	e := again(left, segment.Of(1, 3))
	e.Due = e.Due.Add(time.Second)
	require.NoError(t, c.Requeue(t.Context(), left, e))
	require.Empty(t, c.leases(t))
	require.Len(t, c.queue(t), 2)
}

func requeueOnce(t *testing.T, c control) {
	for _, numbers := range []segment.Numbers{segment.Of(1), segment.Of(1, 2)} {
		l := c.leased(t, segment.Of(1, 2))
		before := len(c.queue(t))
		require.NoError(t, c.Requeue(t.Context(), l, again(l, numbers)))

		e := again(l, numbers)
		e.Due = e.Due.Add(time.Hour)
		require.ErrorIs(t, c.Requeue(t.Context(), l, e), errQueue, "at another time")
		require.ErrorIs(t, c.Requeue(t.Context(), l, again(l, numbers)), errQueue, "at the same time")

		require.Len(t, c.queue(t), before+1)
	}
}

func requeueRace(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))
	var racers []func() error
	for i := range 8 {
		e := again(l, segment.Of(2))
		e.Due = e.Due.Add(time.Duration(i) * time.Second)
		racers = append(racers, func() error { return c.Requeue(t.Context(), l, e) })
	}

	require.Equal(t, 1, race(t, errQueue, racers...))

	require.Len(t, c.queue(t), 1)
	require.Equal(t, segment.Of(1, 3), c.lease(t, l.Item()).Held())
}

func requeueStale(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))
	require.NoError(t, c.Release(t.Context(), l, segment.Of(1)))

	require.ErrorIs(t, c.Requeue(t.Context(), l, again(l, segment.Of(2))), errQueue)
	require.Empty(t, c.queue(t))

	l = c.lease(t, l.Item())
	require.NoError(t, c.Requeue(t.Context(), l, again(l, segment.Of(2))))
	require.Equal(t, segment.Of(3), c.lease(t, l.Item()).Held())

	require.NoError(t, c.Release(t.Context(), l, segment.Of(3)))
	require.ErrorIs(t, c.Requeue(t.Context(), l, again(l, segment.Of(3))), errQueue, "the lease is gone")
	require.Len(t, c.queue(t), 1)
}

func leaseMadeAnew(t *testing.T, c control) {
	// Two tasks in a lease: both are queued again, unstarted, and claimed again, so the key is the same.
	anew := func(t *testing.T) (old, now queue.Lease) {
		old = c.leased(t, segment.Of(1, 2))
		back := again(old, old.Tasks)
		back.Attempt = old.Attempt
		require.NoError(t, c.Requeue(t.Context(), old, back))
		now = c.claim(t, back, back.Tasks)
		require.Equal(t, old.Item(), now.Item())
		require.NotEqual(t, old.Claim, now.Claim)
		return old, now
	}
	for name, write := range map[string]func(old queue.Lease) error{
		"noting its dispatch":         func(old queue.Lease) error { return c.Dispatched(t.Context(), old, noon, noon.Add(time.Hour)) },
		"adopting it":                 func(old queue.Lease) error { return c.Adopt(t.Context(), old, noon.Add(time.Minute)) },
		"releasing a task":            func(old queue.Lease) error { return c.Release(t.Context(), old, segment.Of(1)) },
		"releasing its last":          func(old queue.Lease) error { return c.Release(t.Context(), old, old.Tasks) },
		"queueing it again":           func(old queue.Lease) error { return c.Requeue(t.Context(), old, again(old, old.Tasks)) },
		"queueing a task of it again": func(old queue.Lease) error { return c.Requeue(t.Context(), old, again(old, segment.Of(2))) },
		"hearing of it":               func(old queue.Lease) error { return c.Hear(t.Context(), old, 1, noon) },
		"hearing of it a second time": func(old queue.Lease) error {
			old.Heard = map[int]time.Time{1: noon}
			return c.Hear(t.Context(), old, 1, noon)
		},
		"taking it away when it was empty": func(old queue.Lease) error {
			old.Released = old.Tasks
			return c.Release(t.Context(), old, old.Tasks)
		},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := anew(t)
			entries := c.queue(t)

			if err := write(old); err != nil {
				require.ErrorIs(t, err, errQueue)
			}

			require.Equal(t, now, c.lease(t, now.Item()))
			require.Equal(t, entries, c.queue(t))
		})
	}
}

func requeueAdopted(t *testing.T, c control) {
	for name, since := range map[string]func(l queue.Lease) error{
		"adopted":    func(l queue.Lease) error { return c.Adopt(t.Context(), l, noon.Add(time.Minute)) },
		"dispatched": func(l queue.Lease) error { return c.Dispatched(t.Context(), l, noon, noon.Add(time.Hour)) },
	} {
		l := c.leased(t, segment.Of(1, 2))
		entries := c.queue(t)
		require.NoError(t, since(l), name)

		require.ErrorIs(t, c.Requeue(t.Context(), l, again(l, segment.Of(2))), errQueue, name)
		require.ErrorIs(t, c.Requeue(t.Context(), l, again(l, l.Tasks)), errQueue, name)

		require.Equal(t, entries, c.queue(t), name)
		require.Equal(t, l.Tasks, c.lease(t, l.Item()).Held(), name)
	}
}

func versionStays(t *testing.T, c control) {
	before := c.leased(t, segment.Of(1))
	require.NoError(t, c.Release(t.Context(), before, before.Tasks))
	apply(t, c.registry, labourer.New(c.labourer), 0)

	require.NoError(t, c.registry.RemoveLabourer(t.Context(), c.labourer, 1))

	require.Equal(t, queue.State{Version: before.Claim + 1}, c.state(t), "and a claim that was decided on before does not go through")
	require.Greater(t, c.leased(t, segment.Of(1)).Claim, before.Claim)
}

// ---- heartbeats

func hears(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))

	require.NoError(t, c.Hear(t.Context(), l, 1, noon.Add(time.Second)))
	require.Equal(t, map[int]time.Time{1: noon.Add(time.Second)}, c.lease(t, l.Item()).Heard)
	require.NoError(t, c.Hear(t.Context(), l, 2, noon.Add(2*time.Second)), "by the lease as it was before the first")
	l = c.lease(t, l.Item())
	require.NoError(t, c.Hear(t.Context(), l, 1, noon.Add(3*time.Second)))

	require.Equal(t, map[int]time.Time{1: noon.Add(3 * time.Second), 2: noon.Add(2 * time.Second)}, c.lease(t, l.Item()).Heard)
	require.Equal(t, l.Tasks, c.lease(t, l.Item()).Held())
}

func hearsNothing(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))
	require.NoError(t, c.Hear(t.Context(), l, 1, noon))
	heard := c.lease(t, l.Item())
	require.NoError(t, c.Release(t.Context(), l, l.Tasks))

	require.ErrorIs(t, c.Hear(t.Context(), l, 1, noon), errQueue)
	require.ErrorIs(t, c.Hear(t.Context(), heard, 1, noon), errQueue)

	require.Empty(t, c.leases(t))
}

func hearRace(t *testing.T, c control) {
	l := c.leased(t, segment.Range(0, 7))
	var racers []func() error
	for n := range 8 {
		racers = append(racers, func() error { return c.Hear(t.Context(), l, n, noon) })
	}

	require.Equal(t, 8, race(t, errQueue, racers...))

	require.Len(t, c.lease(t, l.Item()).Heard, 8)
}

// ---- withdrawing

func withdraws(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(1, 2, 3))
	c.put(t, e)

	aside, err := c.Withdraw(t.Context(), e, segment.Of(2, 99), noon)
	require.NoError(t, err)
	require.Equal(t, segment.Of(2), aside.Tasks)
	rest := c.queue(t)
	require.Len(t, rest, 1)
	require.Equal(t, segment.Of(1, 3), rest[0].Tasks)
	all, err := c.Withdraw(t.Context(), rest[0], segment.Range(0, 255), noon.Add(time.Second))
	require.NoError(t, err)
	require.Empty(t, c.queue(t))
	require.Empty(t, c.leases(t))

	lying, err := c.Withdrawn(t.Context(), c.labourer)
	require.NoError(t, err)
	require.ElementsMatch(t, []queue.Aside{aside, all}, lying)
	changed := aside
	changed.Tasks = segment.Of(2, 3)
	require.NoError(t, c.Forget(t.Context(), changed))
	lying, err = c.Withdrawn(t.Context(), c.labourer)
	require.NoError(t, err)
	require.Len(t, lying, 2, "an aside that is not as it was read stays")
	for range 2 {
		require.NoError(t, c.Forget(t.Context(), aside))
	}
	require.NoError(t, c.Forget(t.Context(), all))
	lying, err = c.Withdrawn(t.Context(), c.labourer)
	require.NoError(t, err)
	require.Empty(t, lying)
}

func withdrawRefused(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(1, 2, 3))
	c.put(t, e)
	c.claim(t, e, segment.Of(1))

	for _, numbers := range []segment.Numbers{segment.Of(2), e.Tasks} {
		_, err := c.Withdraw(t.Context(), e, numbers, noon)
		require.ErrorIs(t, err, errQueue)
	}

	require.Equal(t, segment.Of(2, 3), c.queue(t)[0].Tasks)
	lying, err := c.Withdrawn(t.Context(), c.labourer)
	require.NoError(t, err)
	require.Empty(t, lying)
}

func claimHolds(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(0, 1))
	c.put(t, e)
	hold := queue.Hold{By: "one", Until: noon.Add(time.Minute)}
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, queue.Hold{By: hold.By, Until: noon.Add(time.Second)}))

	require.NoError(t, c.Claim(t.Context(), c.labourer, c.state(t), []queue.Taking{take(e, segment.Of(0), noon)}, hold))

	require.Equal(t, queue.State{Version: 1, Hold: hold}, c.state(t))
	other := queue.Hold{By: "other", Until: hold.Until.Add(time.Minute)}
	require.ErrorIs(t, c.Approach(t.Context(), c.labourer, hold.Until.Add(-time.Millisecond), other), errQueue)
	require.NoError(t, c.Depart(t.Context(), c.labourer, hold.By))
	require.NoError(t, c.Approach(t.Context(), c.labourer, noon, other))
}

// undecodable claims a lease whose key has one part too many.
func undecodable(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Of(0, 1, 2))
	c.put(t, e)
	odd := take(e, segment.Of(0, 1), noon)
	odd.Lease.Segment += "#odd"
	require.NoError(t, c.Claim(t.Context(), c.labourer, c.state(t), []queue.Taking{odd}, queue.Hold{}))
	name := odd.Lease.Item()

	seen := c.leases(t)
	require.Len(t, seen, 1)
	require.Equal(t, name, seen[0].Item())
	require.NotNil(t, seen[0].Unreadable)
	require.Equal(t, 2, queue.Running(seen))
	_, found, err := c.Lease(t.Context(), c.labourer, name)
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, c.Suspect(t.Context(), c.labourer, name, noon))
	require.ErrorIs(t, c.Suspect(t.Context(), c.labourer, name, noon.Add(time.Minute)), errQueue, "it was seen before")
	require.Equal(t, noon, c.leases(t)[0].Unreadable.Since)

	require.NoError(t, c.SetAside(t.Context(), c.labourer, name, noon))
	require.NoError(t, c.SetAside(t.Context(), c.labourer, name, noon), "it is gone")

	require.Empty(t, c.leases(t))
	require.Len(t, c.queue(t), 1)
}
