package conformance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// RunControl tests the store of states, leases and queues, of labourers without lanes and with some.
func RunControl(t *testing.T, open func(*testing.T) Stores) {
	runControl(t, open, 0)
	t.Run("lanes", func(t *testing.T) { runControl(t, open, 5) })
}

func runControl(t *testing.T, open func(*testing.T) Stores, lanes int) {
	on := func(test func(*testing.T, control)) func(*testing.T, Stores) {
		return func(t *testing.T, s Stores) {
			c := control{s.Control, s.Jobs, s.Registry, unique("labourer"), lanes}
			c.widen(t)
			test(t, c)
		}
	}
	each(t, open, map[string]func(*testing.T, Stores){
		"a labourer that nothing is known of has the zero state":       on(zeroState),
		"the states of labourers are read together":                    on(states),
		"pausing raises the version":                                   on(pauses),
		"one claimer approaches at a time":                             on(approaches),
		"an execution never yields to its own hold":                    on(approachAgain),
		"one of many concurrent approaches succeeds":                   on(approachRace),
		"a trouble is noted and removed":                               on(troubles),
		"a grant locks the labourer until its execution departs":       on(grantLocks),
		"a grant without a lock ends the one before it":                on(grantUnlocks),
		"a grant keeps the pace":                                       on(grantKeepsPace),
		"a labourer that is applied again goes on from its version":    on(versionStays),
		"a grant moves a whole entry to a lease":                       on(grantWhole),
		"a grant takes a part and leaves the rest in its place":        on(grantPart),
		"a grant of many entries is one":                               on(grantMany),
		"a whole segment goes to several leases at once":               on(grantSegment),
		"one grant raises and extends leases and makes another":        on(grantOfEachKind),
		"what was given back is granted beside the lease it came from": on(grantBesideLease),
		"a grant on an old version takes nothing":                      on(grantOldVersion),
		"a grant on an entry that changed takes nothing of any":        on(grantChangedEntry),
		"a grant on an entry that is gone takes nothing":               on(grantGoneEntry),
		"a grant on a lease that changed takes nothing":                on(grantChangedLease),
		"a grant to a lease that is gone takes nothing":                on(grantGoneLease),
		"a pause stops a grant that was decided on before":             on(grantPaused),
		"a revocation stops a grant that was decided on before":        on(grantRevoked),
		"of many grants at once one goes through":                      on(grantRace),
		"entries are due in order and by the millisecond":              on(dueInOrder),
		"as many due entries are read as are asked for":                on(dueLimit),
		"the queue has what is due later as well":                      on(queueHasAll),
		"a look sees leases and what is due":                           on(looks),
		"all leases and the first due entries are read at once":        on(readsWork),
		"what remains is a due entry, or else the leases":              on(remains),
		"a look sees all leases and an entry behind them":              on(looksBehindManyLeases),
		"labourers have nothing to do with each other":                 on(labourersApart),
		"an entry keeps what its tasks need":                           on(entryAsGiven),
		"two hundred leases and entries are read":                      on(manyItems),
		"tasks withdrawn from an entry cannot be granted":              on(withdraws),
		"withdrawing from an entry that changed is refused":            on(withdrawRefused),
		"tasks withdrawn from a lease wait in it no more":              on(withdrawsWaiting),
		"the last tasks withdrawn from a lease remove it":              on(withdrawsTheLast),
		"withdrawing from a lease that changed is refused":             on(withdrawWaitingRefused),
		"a lease is found by its name until it is gone":                on(leaseByName),
		"leases are read together by their names":                      on(leasesNamed),
		"leases on one segment are told from others":                   on(leasesOn),
		"a lease is read as it was saved":                              on(leaseAsSaved),
		"a fed lease takes the next in hand":                           on(feeds),
		"a lease goes with its last task":                              on(leaseSaveEmpty),
		"a save of what was read before another changes nothing":       on(leaseSaveStale),
		"of many saves of one reading one goes through":                on(leaseSaveRace),
		"a save of a lease that is gone makes none":                    on(leaseSaveGone),
		"a whole segment is worked off in any order":                   on(wholeLease),
		"a revocation lowers slots whatever became of the lease":       on(revokes),
		"a revocation leaves alone what has fewer slots or is gone":    on(revokesNothing),
		"of revocations at once the lowest holds":                      on(revokeRace),
		"a save that was decided on before a revocation is refused":    on(revokesBeforeASave),
		"a failed task goes back to the queue in one step":             on(requeues),
		"a part of a lease goes back and the rest stays":               on(requeuePart),
		"a slot that a failed task leaves is filled in the same step":  on(requeueFills),
		"however often an end is told one entry comes of it":           on(requeueOnce),
		"of many requeues at once one goes through":                    on(requeueRace),
		"a lease that changed must be read again before a requeue":     on(requeueStale),
		"what was read of a lease changes no other under its key":      on(leaseMadeAnew),
		"a revision never begins again under a key":                    on(revisionsGrow),
		"a heartbeat is kept for each task":                            on(hears),
		"a heartbeat shows that its worker was started":                on(hearsOfTheUndispatched),
		"a heartbeat and a save do not get in each other's way":        on(hearsBetween),
		"the heartbeat of a task that is not in hand is refused":       on(hearsNothing),
		"a heartbeat of a hand that changed is refused":                on(hearsStale),
		"first heartbeats at the same time are all kept":               on(hearRace),
		"a lease that cannot be decoded counts until it is set aside":  on(undecodable),
		"a lease with a damaged key hides no other":                    on(damagedKey),
		"a lease that was written since it was read is not set aside":  on(undecodableChanged),
		"an entry that cannot be decoded blocks no other":              on(undecodableEntry),
		"a labourer is quiet with few leases and nothing due":          on(quiet),
	})
}

// control holds the port and the labourer of one test.
type control struct {
	Control
	jobs     Jobs
	registry Registry
	labourer string
	lanes    int
}

// segment returns a new segment of the labourer, in one of its lanes if it has any.
func (c control) segment() segment.ID {
	if c.lanes == 0 {
		return newSegment()
	}
	return newSegment().InLane(rand.IntN(c.lanes))
}

// widen gives the labourer its lanes, as the record of a job does, and then fewer, which changes nothing.
func (c control) widen(t *testing.T) {
	t.Helper()
	for _, lanes := range []int{c.lanes, c.lanes / 2} {
		job := newJob(1)
		job.Labourer, job.Lanes = c.labourer, lanes
		require.NoError(t, c.jobs.Create(t.Context(), job))
		require.Equal(t, lanes, get(t, c.jobs, job.ID).Lanes)
	}
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

// take returns the grant of some tasks of an entry to a new lease with this many slots, by this state.
func take(state queue.State, e queue.Entry, numbers segment.Numbers, slots int) queue.Grant {
	l := queue.Lease{Labourer: e.Labourer, Segment: e.Segment, Attempt: e.Attempt, First: numbers.Min(), Revision: int64(state.Version+1) << 20, Job: e.Job,
		Tasks: numbers, Waiting: numbers, Slots: slots, Due: e.Due, ClaimedAt: noon, MaxDuration: e.MaxDuration, Tried: e.Tried, Misfires: e.Misfires}
	l, _ = l.Feed(queue.MostSlots, queue.Undispatched, noon)
	return queue.Grant{State: state, Changed: []queue.Change{{After: l}}, Takings: []queue.Taking{{Entry: e, Rest: e.Tasks.Minus(numbers)}}}
}

// with returns a grant of what both grant.
func with(a, b queue.Grant) queue.Grant {
	a.Changed, a.Takings = append(a.Changed, b.Changed...), append(a.Takings, b.Takings...)
	return a
}

// grant grants some tasks of an entry by the present state, and returns the lease.
func (c control) grant(t *testing.T, e queue.Entry, numbers segment.Numbers, slots int) queue.Lease {
	t.Helper()
	g := take(c.state(t), e, numbers, slots)
	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))
	return g.Changed[0].Written()
}

// leased returns a lease that has these tasks in hand, to be dispatched.
func (c control) leased(t *testing.T, numbers segment.Numbers) queue.Lease {
	t.Helper()
	return c.granted(t, numbers, numbers.Len())
}

// granted returns a lease on these tasks with fewer slots.
func (c control) granted(t *testing.T, numbers segment.Numbers, slots int) queue.Lease {
	t.Helper()
	e := c.entry(c.segment(), noon, numbers)
	c.put(t, e)
	return c.grant(t, e, numbers, slots)
}

// save replaces a lease and returns it as it is stored.
func (c control) save(t *testing.T, before, after queue.Lease) queue.Lease {
	t.Helper()
	require.NoError(t, c.Save(t.Context(), before, after))
	return queue.Change{Before: before, After: after}.Written()
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

func (c control) asides(t *testing.T) []queue.Aside {
	t.Helper()
	asides, err := c.Withdrawn(t.Context(), c.labourer)
	require.NoError(t, err)
	return asides
}

// all holds what is stored of a labourer.
type all struct {
	state   queue.State
	entries []queue.Entry
	leases  []queue.Lease
	asides  []queue.Aside
}

func (c control) all(t *testing.T) all {
	t.Helper()
	return all{c.state(t), c.queue(t), c.leases(t), c.asides(t)}
}

// refused requires that a write is refused and leaves nothing behind.
func (c control) refused(t *testing.T, why string, write func() error) {
	t.Helper()
	before := c.all(t)
	require.ErrorIs(t, write(), errQueue, why)
	require.Equal(t, before, c.all(t), why)
}

// ---- the state

func zeroState(t *testing.T, c control) {
	require.Equal(t, queue.State{}, c.state(t))
	require.Empty(t, c.leases(t))
	require.Empty(t, c.queue(t))
}

func states(t *testing.T, c control) {
	other, unknown := unique("labourer"), unique("labourer")
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))
	require.NoError(t, c.Approach(t.Context(), other, noon, queue.Hold{By: "execution", Until: noon.Add(time.Second)}))
	all := map[string]queue.State{c.labourer: c.state(t), other: {Hold: queue.Hold{By: "execution", Until: noon.Add(time.Second)}}, unknown: {}}

	for _, labourers := range [][]string{{}, {c.labourer}, {unknown}, {unknown, other, c.labourer}} {
		want := map[string]queue.State{}
		for _, l := range labourers {
			want[l] = all[l]
		}
		read, err := c.States(t.Context(), labourers)
		require.NoError(t, err)
		require.Equal(t, want, read, "of %q", labourers)
	}
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
	require.Equal(t, queue.State{Trouble: trouble}, c.state(t), "a trouble raises no version")

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

func approachRace(t *testing.T, c control) {
	racers := make([]func() error, 8)
	for i := range racers {
		hold := queue.Hold{By: fmt.Sprintf("racer-%d", i), Until: noon.Add(time.Minute)}
		racers[i] = func() error { return c.Approach(t.Context(), c.labourer, noon, hold) }
	}
	require.Equal(t, 1, race(t, errQueue, racers...))
}

func grantLocks(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Of(0, 1))
	c.put(t, e)
	hold := queue.Hold{By: "one", Until: noon.Add(time.Minute)}

	require.NoError(t, c.Grant(t.Context(), c.labourer, take(queue.State{}, e, e.Tasks, 1), hold))

	require.Equal(t, queue.State{Version: 1, Hold: hold}, c.state(t))
	require.NoError(t, c.Depart(t.Context(), c.labourer, "other"))
	require.Equal(t, queue.State{Version: 1, Hold: hold}, c.state(t), "the lock of one execution is not ended by another")
	for range 2 {
		require.NoError(t, c.Depart(t.Context(), c.labourer, "one"))
		require.Equal(t, queue.State{Version: 1}, c.state(t))
	}
}

func grantUnlocks(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Of(0, 1))
	c.put(t, e)
	require.NoError(t, c.Grant(t.Context(), c.labourer, take(queue.State{}, e, segment.Of(0), 1), queue.Hold{By: "one", Until: noon}))
	rest := c.queue(t)[0]

	c.grant(t, rest, rest.Tasks, 1)

	require.Equal(t, queue.State{Version: 2}, c.state(t))
}

func grantKeepsPace(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Of(0, 1))
	c.put(t, e)
	g := take(queue.State{}, e, segment.Of(0), 1)
	g.Pace = queue.Pace{Left: 7, At: noon, Rate: 12.25}
	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))
	require.Equal(t, queue.State{Version: 1, Pace: g.Pace}, c.state(t))

	again := take(c.state(t), c.queue(t)[0], segment.Of(1), 1)
	again.Pace = g.Pace
	require.NoError(t, c.Grant(t.Context(), c.labourer, again, queue.Hold{}))
	require.Equal(t, queue.State{Version: 2, Pace: g.Pace}, c.state(t))

	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))
	require.Equal(t, queue.State{Version: 3, Paused: true}, c.state(t), "what waits in leases returns to the queue, and has not ended")
}
