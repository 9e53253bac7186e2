package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

func grantWhole(t *testing.T, c control) {
	e := c.entry(c.segment(), noon.Add(-time.Second), segment.Range(0, 99))
	c.put(t, e)

	l := c.grant(t, e, e.Tasks, 12)

	require.Equal(t, queue.State{Version: 1}, c.state(t))
	require.Empty(t, c.queue(t))
	require.Equal(t, []queue.Lease{l}, c.leases(t))
	require.Equal(t, 12, queue.Running(c.leases(t)))
	require.Equal(t, 88, queue.Waiting(c.leases(t)))
}

func grantPart(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Of(2, 3, 5, 7, 11))
	c.put(t, e)

	first := c.grant(t, e, segment.Of(2, 3), 2)

	rest := e
	rest.Tasks = segment.Of(5, 7, 11)
	require.Equal(t, []queue.Entry{rest}, c.queue(t), "the key stays as it was")
	second := c.grant(t, rest, segment.Of(5), 1)
	require.Equal(t, []queue.Lease{first, second}, c.leases(t))
	require.Equal(t, 3, queue.Running(c.leases(t)))
	require.Equal(t, 2, c.state(t).Version)
}

// many publishes entries of some tasks each, and returns a grant of them all to as many leases.
func (c control) many(t *testing.T, entries, tasks int) queue.Grant {
	t.Helper()
	g := queue.Grant{State: c.state(t)}
	for i := range entries {
		e := c.entry(c.segment(), noon.Add(time.Duration(i)*time.Millisecond), segment.Range(0, tasks-1))
		c.put(t, e)
		g = with(g, take(g.State, e, e.Tasks, 3))
	}
	return g
}

func grantMany(t *testing.T, c control) {
	g := c.many(t, 45, 10)

	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))

	require.Empty(t, c.queue(t))
	require.Equal(t, 3*45, queue.Running(c.leases(t)))
	require.Equal(t, 7*45, queue.Waiting(c.leases(t)))
	require.Equal(t, 1, c.state(t).Version)
}

// plan decides by what is stored, and returns the grant.
func (c control) plan(t *testing.T, free, slots int) queue.Grant {
	t.Helper()
	state := c.state(t)
	return queue.Plan(state, c.leases(t), c.queue(t), queue.Room{Free: free, Slots: slots, Starts: 1000}, noon)
}

// written requires that the leases of a grant are stored as it decided.
func (c control) written(t *testing.T, g queue.Grant) {
	t.Helper()
	for _, change := range g.Changed {
		require.Equal(t, change.Written(), c.lease(t, change.After.Item()))
	}
	require.Equal(t, g.State.Version+1, c.state(t).Version)
	require.Equal(t, g.Pace, c.state(t).Pace)
}

func grantSegment(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Range(0, 255))
	c.put(t, e)
	g := c.plan(t, 250, 250)
	require.Len(t, g.Changed, 7)

	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))

	c.written(t, g)
	require.Empty(t, c.queue(t))
	require.Equal(t, 250, queue.Granted(c.leases(t)))
	require.Equal(t, 6, queue.Waiting(c.leases(t)))
}

func grantOfEachKind(t *testing.T, c control) {
	hungry := c.granted(t, segment.Range(0, 9), 2)
	e := c.entry(c.segment(), noon.Add(time.Second), segment.Range(0, 19))
	fresh := c.entry(c.segment(), noon.Add(2*time.Second), segment.Range(0, 19))
	c.put(t, e, fresh)
	dry := c.grant(t, e, segment.Of(0), 1)
	state := c.state(t)
	g := queue.Plan(state, c.leases(t), c.queue(t), queue.Room{Free: 28, Slots: 100, Starts: 1000}, noon.Add(time.Minute))
	require.Len(t, g.Changed, 3, "one is raised, one extended, one made")
	require.Len(t, g.Takings, 2)

	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))

	c.written(t, g)
	require.Equal(t, 10, c.lease(t, hungry.Item()).Slots)
	require.Equal(t, segment.Range(0, 19), c.lease(t, dry.Item()).Held())
	require.Len(t, c.leases(t), 3)
	require.Equal(t, 31, queue.Granted(c.leases(t)))
}

func grantBesideLease(t *testing.T, c control) {
	running := c.leased(t, segment.Of(5, 6, 7))
	back := running.Returned(segment.Of(5))
	require.NoError(t, c.Requeue(t.Context(), running, running.Without(segment.Of(5)), back), "its worker could not be started, those of 6 and 7 run")

	c.refused(t, "its lowest task would name two leases", func() error {
		return c.Grant(t.Context(), c.labourer, take(c.state(t), back, back.Tasks, 1), queue.Hold{})
	})
	back = c.queue(t)[0]
	g := c.plan(t, 1, 1)
	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))

	require.Empty(t, c.queue(t))
	require.Equal(t, 3, queue.Running(c.leases(t)))
	held, found := queue.Holding(c.leases(t), task.ID{Segment: back.Segment, N: 5}, back.Attempt)
	require.True(t, found)
	c.save(t, held, held.Ended(segment.Of(5)))
	require.Equal(t, segment.Of(6, 7), c.lease(t, running.Item()).Held())
}

func grantOldVersion(t *testing.T, c control) {
	a, b := c.entry(c.segment(), noon, segment.Of(0)), c.entry(c.segment(), noon.Add(time.Second), segment.Of(0))
	c.put(t, a, b)
	old := c.state(t)
	l := c.grant(t, a, a.Tasks, 1)

	for name, g := range map[string]queue.Grant{
		"a new lease":  take(old, b, b.Tasks, 1),
		"more slots":   {State: old, Changed: []queue.Change{raised(l, 2)}},
		"nothing else": {State: old},
	} {
		c.refused(t, name, func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{By: "one", Until: noon}) })
	}
}

// raised returns the change that gives a lease more slots.
func raised(l queue.Lease, slots int) queue.Change {
	after := l
	after.Slots = slots
	return queue.Change{Before: l, After: after}
}

func grantChangedEntry(t *testing.T, c control) {
	a, b := c.entry(c.segment(), noon, segment.Of(0)), c.entry(c.segment(), noon.Add(time.Second), segment.Of(0, 1))
	c.put(t, a, b)
	l := c.granted(t, segment.Of(0, 1), 1)
	state := c.state(t)
	wrong := b
	wrong.Tasks = segment.Of(0, 1, 2)
	g := with(take(state, a, a.Tasks, 1), take(state, wrong, segment.Of(0), 1))
	g.Changed = append(g.Changed, raised(l, 2))

	c.refused(t, "neither entry is taken, and no slot is given", func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{}) })
}

func grantGoneEntry(t *testing.T, c control) {
	a := c.entry(c.segment(), noon, segment.Of(0))
	c.put(t, a)
	state, gone := c.state(t), c.entry(c.segment(), noon, segment.Of(0, 1))

	for _, numbers := range []segment.Numbers{segment.Of(0), segment.Of(0, 1)} {
		g := with(take(state, a, a.Tasks, 1), take(state, gone, numbers, 1))
		c.refused(t, numbers.String(), func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{}) })
	}
}

func grantChangedLease(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 2)
	e := c.entry(c.segment(), noon, segment.Of(0))
	c.put(t, e)
	g := take(c.state(t), e, e.Tasks, 1)
	g.Changed = append(g.Changed, raised(l, 5))
	fed, _ := l.Ended(segment.Of(0)).Feed(queue.MostSlots, "message", noon)
	c.save(t, l, fed)

	c.refused(t, "a slot was fed in the meantime", func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{}) })
}

func grantGoneLease(t *testing.T, c control) {
	l := c.leased(t, segment.Of(0))
	e := c.entry(l.Segment, noon, segment.Of(1, 2))
	c.put(t, e)
	extended := l
	extended.Tasks, extended.Waiting, extended.Slots = segment.Of(0, 1, 2), segment.Of(1, 2), 3
	g := queue.Grant{State: c.state(t), Changed: []queue.Change{{Before: l, After: extended}}, Takings: []queue.Taking{{Entry: e}}}
	c.save(t, l, l.Ended(l.Tasks))

	c.refused(t, "the lease has ended", func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{}) })

	require.Empty(t, c.leases(t))
}

func grantPaused(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Of(0))
	c.put(t, e)
	g := take(c.state(t), e, e.Tasks, 1)
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))

	c.refused(t, "the labourer is paused", func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{}) })
}

func grantRevoked(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 5)
	e := c.entry(c.segment(), noon, segment.Of(0))
	c.put(t, e)
	g := take(c.state(t), e, e.Tasks, 1)
	require.NoError(t, c.Revoke(t.Context(), c.labourer, raised(l, 4)))

	c.refused(t, "fewer are desired than it knew", func() error { return c.Grant(t.Context(), c.labourer, g, queue.Hold{}) })
}

func grantRace(t *testing.T, c control) {
	var racers []func() error
	state := c.state(t)
	for i := range 8 {
		e := c.entry(c.segment(), noon, segment.Range(0, 9))
		c.put(t, e)
		hold := queue.Hold{By: unique("racer"), Until: noon.Add(time.Duration(i) * time.Second)}
		racers = append(racers, func() error { return c.Grant(t.Context(), c.labourer, take(state, e, e.Tasks, 5), hold) })
	}

	require.Equal(t, 1, race(t, errQueue, racers...))

	require.Len(t, c.leases(t), 1)
	require.Len(t, c.queue(t), 7)
	require.Equal(t, 1, c.state(t).Version)
}

func versionStays(t *testing.T, c control) {
	before := c.leased(t, segment.Of(1))
	c.save(t, before, before.Ended(before.Tasks))
	apply(t, c.registry, labourer.New(c.labourer), 0)
	version := c.state(t).Version

	require.NoError(t, c.registry.RemoveLabourer(t.Context(), c.labourer, 1))

	require.Equal(t, queue.State{Version: version + 1}, c.state(t), "and a grant that was decided on before does not go through")
	require.Greater(t, c.leased(t, segment.Of(1)).Revision, before.Revision)
}

// ---- revocations

func revokes(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 5)
	fed, _ := l.Ended(segment.Of(0)).Feed(queue.MostSlots, "message", noon)
	fed = c.save(t, l, fed)

	require.NoError(t, c.Revoke(t.Context(), c.labourer, raised(l, 2)), "by the lease as it was before a task ended")

	want := fed
	want.Slots, want.Revision = 2, fed.Revision+1
	require.Equal(t, want, c.lease(t, l.Item()), "what is in hand stays there")
	require.Equal(t, 5, queue.Granted(c.leases(t)))
	require.Equal(t, 2, c.state(t).Version)
	require.NoError(t, c.Revoke(t.Context(), c.labourer, raised(want, 0)))
	require.Zero(t, c.lease(t, l.Item()).Slots)
	require.Equal(t, 3, c.state(t).Version)
}

func revokesNothing(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 5)
	for _, slots := range []int{5, 6} {
		c.refused(t, "it has no more", func() error { return c.Revoke(t.Context(), c.labourer, raised(l, slots)) })
	}
	gone := c.leased(t, segment.Of(0))
	c.save(t, gone, gone.Ended(gone.Tasks))
	c.refused(t, "it is gone", func() error { return c.Revoke(t.Context(), c.labourer, raised(gone, 0)) })
}

func revokeRace(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 99), 20)
	var racers []func() error
	for slots := range 8 {
		racers = append(racers, func() error { return c.Revoke(t.Context(), c.labourer, raised(l, slots+3)) })
	}

	won := race(t, errQueue, racers...)

	require.Positive(t, won)
	require.Equal(t, 3, c.lease(t, l.Item()).Slots)
	require.Equal(t, l.Revision+int64(won), c.lease(t, l.Item()).Revision)
	require.Equal(t, 1+won, c.state(t).Version)
}

func revokesBeforeASave(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 5)
	require.NoError(t, c.Revoke(t.Context(), c.labourer, raised(l, 2)))
	fed, _ := l.Ended(segment.Of(0)).Feed(queue.MostSlots, "message", noon)

	c.refused(t, "it would fill a slot that is gone", func() error { return c.Save(t.Context(), l, fed) })
}

// undecodable grants a lease whose key has one part too many.
func undecodable(t *testing.T, c control) {
	odd := c.grantUndecodable(t)

	seen := c.leases(t)
	require.Len(t, seen, 1)
	require.Equal(t, odd.Item(), seen[0].Item())
	require.NotNil(t, seen[0].Unreadable)
	require.Equal(t, 2, queue.Granted(seen), "one of its tasks is in hand, and another could be")
	require.Equal(t, 2, queue.Running(seen))
	_, found, err := c.Lease(t.Context(), c.labourer, odd.Item())
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, c.Suspect(t.Context(), c.labourer, odd.Item(), noon))
	require.ErrorIs(t, c.Suspect(t.Context(), c.labourer, odd.Item(), noon.Add(time.Minute)), errQueue, "it was seen before")
	require.Equal(t, noon, c.leases(t)[0].Unreadable.Since)

	require.NoError(t, c.SetAside(t.Context(), c.labourer, odd.Item(), noon))
	require.NoError(t, c.SetAside(t.Context(), c.labourer, odd.Item(), noon), "it is gone")

	require.Empty(t, c.leases(t))
	require.Len(t, c.queue(t), 1)
	shortly(t, func() bool {
		set, err := c.Unreadable(t.Context(), c.labourer, 10)
		require.NoError(t, err)
		return len(set) == 1 && set[0].Was == odd.Item()
	}, "what was set aside can be inspected")
}

// damagedKey grants a lease whose key comes before all others, and one beside it, which may be in a lane.
func damagedKey(t *testing.T, c control) {
	e := c.entry(newSegment(), noon, segment.Range(0, 9))
	c.put(t, e)
	g := take(c.state(t), e, segment.Of(0), 1)
	g.Changed[0].After.Segment = " damaged"
	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))
	mine := c.leased(t, segment.Of(3))

	require.Contains(t, c.leases(t), mine)
	require.Len(t, c.leases(t), 2)
}

func (c control) grantUndecodable(t *testing.T) queue.Lease {
	t.Helper()
	e := c.entry(c.segment(), noon, segment.Range(0, 9))
	c.put(t, e)
	g := take(c.state(t), e, segment.Range(0, 7), 1)
	g.Changed[0].After.Segment += "#odd"
	g.Changed[0].After.Slots = 2
	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))
	return g.Changed[0].Written()
}

func undecodableChanged(t *testing.T, c control) {
	readable := c.leased(t, segment.Of(1))
	require.NoError(t, c.SetAside(t.Context(), c.labourer, readable.Item(), noon))
	require.Equal(t, []queue.Lease{readable}, c.leases(t), "it can be decoded")

	odd := c.grantUndecodable(t)
	racers := []func() error{func() error { return c.SetAside(t.Context(), c.labourer, odd.Item(), noon) }}
	for n := range 4 {
		racers = append(racers, func() error { return c.Hear(t.Context(), odd, 0, noon.Add(time.Duration(n)*time.Second)) })
	}

	race(t, errQueue, racers...)

	shortly(t, func() bool {
		set, err := c.Unreadable(t.Context(), c.labourer, 10)
		require.NoError(t, err)
		left := slices.DeleteFunc(c.leases(t), func(l queue.Lease) bool { return l.Unreadable == nil })
		return len(left)+len(set) == 1
	}, "it is in one place")
}

func undecodableEntry(t *testing.T, c control) {
	odd, e := c.entry(c.segment()+"#odd", noon, segment.Of(0)), c.entry(c.segment(), noon.Add(time.Second), segment.Of(1))
	c.put(t, e, odd)

	due, err := c.Due(t.Context(), c.labourer, noon.Add(time.Minute), 0)

	require.NoError(t, err)
	require.Len(t, due, 2)
	require.NotNil(t, due[0].Unreadable)
	require.Empty(t, due[0].Tasks)
	require.Equal(t, e, due[1])
	require.NoError(t, c.SetAside(t.Context(), c.labourer, odd.Item(), noon))
	require.Equal(t, []queue.Entry{e}, c.queue(t))
}
