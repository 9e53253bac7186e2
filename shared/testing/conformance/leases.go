package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

func leaseByName(t *testing.T, c control) {
	l := c.leased(t, segment.Of(4))

	require.Equal(t, l, c.lease(t, l.Item()))

	c.save(t, l, l.Ended(l.Tasks))
	_, found, err := c.Lease(t.Context(), c.labourer, l.Item())
	require.NoError(t, err)
	require.False(t, found)
}

func leasesNamed(t *testing.T, c control) {
	other := control{c.Control, c.jobs, c.registry, unique("labourer"), 0}
	first, second, gone := c.leased(t, segment.Of(4)), other.leased(t, segment.Of(5)), c.leased(t, segment.Of(6))
	c.save(t, gone, gone.Ended(gone.Tasks))
	name := func(l queue.Lease) queue.LeaseName { return queue.LeaseName{Labourer: l.Labourer, Item: l.Item()} }

	read, err := c.LeasesNamed(t.Context(), []queue.LeaseName{name(gone), name(second), name(first)})

	require.NoError(t, err)
	require.Equal(t, map[queue.LeaseName]queue.Lease{name(first): first, name(second): second}, read)
}

func leasesOn(t *testing.T, c control) {
	mine := c.leased(t, segment.Of(0))
	c.leased(t, segment.Of(0))

	found, err := c.LeasesOn(t.Context(), c.labourer, mine.Segment)

	require.NoError(t, err)
	require.Equal(t, []queue.Lease{mine}, found)
	found, err = c.LeasesOn(t.Context(), c.labourer, c.segment())
	require.NoError(t, err)
	require.Empty(t, found)
}

func leaseAsSaved(t *testing.T, c control) {
	l := c.granted(t, segment.Of(0, 1, 2, 3, 40, 255), 4)
	after := l
	after.Hands = map[int]queue.Hand{
		0: {Since: noon.Add(-time.Hour), By: queue.Undispatched},
		1: {Since: noon.Add(30 * 24 * time.Hour), By: queue.Dispatched, Heard: noon.Add(31 * 24 * time.Hour)},
		2: {Since: noon.Add(time.Millisecond), By: queue.Mark("message"), Asked: queue.StillWaiting},
		3: {Since: noon, By: queue.Dispatched, Heard: noon.Add(-time.Second), Asked: queue.TakenLate, Attempt: 3},
	}
	after.Retries = map[int]queue.Retry{40: {Due: noon.Add(-time.Second), Attempt: 2}, 255: {Due: noon.Add(15 * time.Minute), Attempt: 1000}}
	after.Ordered = true
	after.Slots, after.Due, after.FeedUntil, after.Tasks, after.Waiting = 7, noon.Add(-time.Minute), noon.Add(90*time.Second), segment.Range(0, 255), segment.Range(4, 39)

	l = c.save(t, l, after)

	require.Equal(t, l, c.lease(t, l.Item()))
	bare := l
	bare.Waiting, bare.FeedUntil, bare.Retries = segment.Numbers{}, time.Time{}, nil
	bare = c.save(t, l, bare)
	require.Equal(t, bare, c.lease(t, l.Item()))
	waiting := bare
	waiting.Hands, waiting.Waiting, waiting.Slots = map[int]queue.Hand{}, segment.Of(9), 0
	waiting = c.save(t, bare, waiting)
	require.Equal(t, waiting, c.lease(t, l.Item()), "nothing is in hand")
	filled := waiting
	filled.Slots = 1
	filled, _ = filled.Feed(queue.MostSlots, "message", noon)
	require.Equal(t, c.save(t, waiting, filled), c.lease(t, l.Item()))
}

func feeds(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 4), 2)
	l = c.save(t, l, l.Marked(segment.Of(0, 1), queue.Dispatched, noon.Add(time.Second)))
	fed, numbers := l.Ended(segment.Of(0)).Feed(queue.MostSlots, queue.Mark("message"), noon.Add(time.Minute))
	require.Equal(t, segment.Of(2), numbers)

	l = c.save(t, l, fed)

	require.Equal(t, l, c.lease(t, l.Item()))
	require.Equal(t, segment.Of(1, 2), l.InHand())
	require.Equal(t, segment.Of(3, 4), l.Waiting)
	require.Equal(t, segment.Of(0), l.Done())
	require.Equal(t, 1, c.state(t).Version, "no slot was taken")
}

func leaseSaveEmpty(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))
	half := c.save(t, l, l.Ended(segment.Of(2)))
	require.Equal(t, segment.Of(1, 3), c.lease(t, l.Item()).Held())
	c.refused(t, "by the lease as it was before", func() error { return c.Save(t.Context(), l, l.Ended(l.Tasks)) })

	c.save(t, half, half.Ended(half.Held()))

	require.Empty(t, c.leases(t))
}

func leaseSaveStale(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 3)
	fed, _ := l.Ended(segment.Of(0)).Feed(queue.MostSlots, "message", noon)
	c.save(t, l, fed)

	other, _ := l.Ended(segment.Of(1)).Feed(queue.MostSlots, "other", noon)
	for name, after := range map[string]queue.Lease{"another end": other, "the same": fed, "the last": l.Ended(l.Held()), "nothing": l} {
		c.refused(t, name, func() error { return c.Save(t.Context(), l, after) })
	}
}

func leaseSaveRace(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 99), 10)
	var racers []func() error
	for n := range 10 {
		fed, _ := l.Ended(segment.Of(n)).Feed(queue.MostSlots, queue.Mark(unique("message")), noon)
		racers = append(racers, func() error { return c.Save(t.Context(), l, fed) })
	}

	require.Equal(t, 1, race(t, errQueue, racers...))

	now := c.lease(t, l.Item())
	require.Equal(t, 10, now.Running(), "a slot was filled once")
	require.Equal(t, 89, now.Waiting.Len())
	require.Equal(t, l.Revision+1, now.Revision)
}

func leaseSaveGone(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))
	c.save(t, l, l.Ended(l.Tasks))

	c.refused(t, "one ended", func() error { return c.Save(t.Context(), l, l.Ended(segment.Of(1))) })
	c.refused(t, "all ended", func() error { return c.Save(t.Context(), l, l.Ended(l.Tasks)) })
	c.refused(t, "one is queued again", func() error { return c.requeue(t, l, segment.Of(1)) })

	require.Empty(t, c.leases(t), "it came back")
}

func wholeLease(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 255), queue.MostSlots)
	for step := 0; !l.Empty(); step++ {
		ended := l.Held().Minus(l.Held().First(l.Held().Len() - 16)) // the highest, whether they wait or are in hand
		after, _ := l.Ended(ended).Feed(queue.MostSlots, queue.Mark(unique("message")), noon.Add(time.Duration(step)*time.Second))
		l = c.save(t, l, after)
		if !l.Empty() {
			require.Equal(t, l, c.lease(t, l.Item()))
		}
	}
	require.Empty(t, c.leases(t))
}

// ---- back to the queue

// again returns the entry for the next attempt at these tasks of a lease.
func again(l queue.Lease, numbers segment.Numbers) queue.Entry {
	return l.Next(numbers, noon.Add(time.Minute))
}

// requeue queues tasks of a lease for their next attempt.
func (c control) requeue(t *testing.T, l queue.Lease, numbers segment.Numbers) error {
	t.Helper()
	return c.Requeue(t.Context(), l, l.Without(numbers), again(l, numbers))
}

func requeues(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))

	require.NoError(t, c.requeue(t, l, l.Tasks))

	require.Empty(t, c.leases(t))
	require.Equal(t, []queue.Entry{again(l, l.Tasks)}, c.queue(t))
}

func requeuePart(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))

	require.NoError(t, c.requeue(t, l, segment.Of(2)))

	left := c.lease(t, l.Item())
	require.Equal(t, segment.Of(1, 3), left.Held())
	require.Equal(t, segment.Of(1, 3), left.Tasks, "it left the lease, and is not done under it")
	require.NoError(t, c.requeue(t, left, segment.Of(1, 3)))
	require.Empty(t, c.leases(t))
	require.Len(t, c.queue(t), 2)
}

func requeueFills(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 4), 2)
	after, fed := l.Without(segment.Of(1)).Feed(queue.MostSlots, queue.Undispatched, noon.Add(time.Second))
	require.Equal(t, segment.Of(2), fed)

	require.NoError(t, c.Requeue(t.Context(), l, after, again(l, segment.Of(1))))

	require.Equal(t, queue.Change{Before: l, After: after}.Written(), c.lease(t, l.Item()))
	require.Equal(t, []queue.Entry{again(l, segment.Of(1))}, c.queue(t))
}

func requeueOnce(t *testing.T, c control) {
	for _, numbers := range []segment.Numbers{segment.Of(1), segment.Of(1, 2)} {
		l := c.leased(t, segment.Of(1, 2))
		require.NoError(t, c.requeue(t, l, numbers))

		later := l.Next(numbers, noon.Add(time.Hour))
		c.refused(t, "at another time", func() error { return c.Requeue(t.Context(), l, l.Without(numbers), later) })
		c.refused(t, "at the same time", func() error { return c.requeue(t, l, numbers) })
		other := c.leased(t, segment.Of(1, 2))
		c.refused(t, "in place of an entry that is there", func() error {
			return c.Requeue(t.Context(), other, other.Without(numbers), again(l, numbers))
		})
	}
}

func requeueRace(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2, 3))
	var racers []func() error
	for i := range 8 {
		e := l.Next(segment.Of(2), noon.Add(time.Duration(i)*time.Second))
		racers = append(racers, func() error { return c.Requeue(t.Context(), l, l.Without(e.Tasks), e) })
	}

	require.Equal(t, 1, race(t, errQueue, racers...))

	require.Len(t, c.queue(t), 1)
	require.Equal(t, segment.Of(1, 3), c.lease(t, l.Item()).Held())
}

func requeueStale(t *testing.T, c control) {
	for name, since := range map[string]func(l queue.Lease) error{
		"another task ended": func(l queue.Lease) error { return c.Save(t.Context(), l, l.Ended(segment.Of(1))) },
		"it was dispatched": func(l queue.Lease) error {
			return c.Save(t.Context(), l, l.Marked(l.Tasks, queue.Dispatched, noon))
		},
		"its slots were revoked":             func(l queue.Lease) error { return c.Revoke(t.Context(), c.labourer, raised(l, 0)) },
		"another task was queued again":      func(l queue.Lease) error { return c.requeue(t, l, segment.Of(3)) },
		"all its tasks ended and it is gone": func(l queue.Lease) error { return c.Save(t.Context(), l, l.Ended(l.Tasks)) },
	} {
		l := c.leased(t, segment.Of(1, 2, 3))
		require.NoError(t, since(l), name)

		c.refused(t, name, func() error { return c.requeue(t, l, segment.Of(2)) })
		c.refused(t, name, func() error { return c.requeue(t, l, l.Tasks) })
	}
}

// anew returns a lease as it was read, and the one that has its key by now: all tasks of the first were queued again, unstarted, and granted.
func (c control) anew(t *testing.T) (old, now queue.Lease) {
	t.Helper()
	old = c.granted(t, segment.Of(1, 2, 3), 2)
	back := old.Returned(old.Tasks)
	require.NoError(t, c.Requeue(t.Context(), old, old.Without(old.Tasks), back))
	g := take(c.state(t), back, back.Tasks, 2)
	l := &g.Changed[0].After
	l.ClaimedAt = noon.Add(time.Millisecond)
	*l = l.Marked(l.InHand(), queue.Undispatched, l.ClaimedAt) // as much later as in the first lease
	require.NoError(t, c.Grant(t.Context(), c.labourer, g, queue.Hold{}))
	now = c.lease(t, old.Item())
	require.Equal(t, old.Item(), now.Item())
	return old, now
}

func leaseMadeAnew(t *testing.T, c control) {
	for name, write := range map[string]func(old queue.Lease) error{
		"noting its dispatch": func(old queue.Lease) error {
			return c.Save(t.Context(), old, old.Marked(old.InHand(), queue.Dispatched, noon))
		},
		"feeding it": func(old queue.Lease) error {
			fed, _ := old.Ended(segment.Of(1)).Feed(queue.MostSlots, "message", noon)
			return c.Save(t.Context(), old, fed)
		},
		"removing it":                 func(old queue.Lease) error { return c.Save(t.Context(), old, old.Ended(old.Tasks)) },
		"queueing it again":           func(old queue.Lease) error { return c.requeue(t, old, old.Tasks) },
		"queueing a task of it again": func(old queue.Lease) error { return c.requeue(t, old, segment.Of(2)) },
		"hearing of it":               func(old queue.Lease) error { return c.Hear(t.Context(), old, 1, noon) },
		"withdrawing from it": func(old queue.Lease) error {
			_, err := c.withdraw(t, old, segment.Of(3))
			return err
		},
		"giving it slots": func(old queue.Lease) error {
			return c.Grant(t.Context(), c.labourer, queue.Grant{State: c.state(t), Changed: []queue.Change{raised(old, 3)}}, queue.Hold{})
		},
	} {
		old, _ := c.anew(t)
		c.refused(t, name, func() error { return write(old) })
	}
}

func revisionsGrow(t *testing.T, c control) {
	old, now := c.anew(t)
	require.Greater(t, now.Revision, old.Revision)

	for range 5 {
		now = c.save(t, now, now.Marked(now.InHand(), queue.Dispatched, noon))
	}
	back := now.Returned(now.Tasks)
	require.NoError(t, c.Requeue(t.Context(), now, now.Without(now.Tasks), back))
	last := c.grant(t, back, back.Tasks, 1)
	require.Equal(t, now.Item(), last.Item())
	require.Greater(t, c.lease(t, last.Item()).Revision, now.Revision+1, "also not after many writes")
}

// ---- heartbeats

func hears(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))
	l = c.save(t, l, l.Marked(l.Tasks, queue.Dispatched, noon.Add(time.Millisecond)))

	require.NoError(t, c.Hear(t.Context(), l, 1, noon.Add(time.Second)))
	require.NoError(t, c.Hear(t.Context(), l, 2, noon.Add(2*time.Second)), "by the lease as it was before the first")
	l = c.lease(t, l.Item())
	require.NoError(t, c.Hear(t.Context(), l, 1, noon.Add(3*time.Second+time.Microsecond)))

	want := l
	want.Hands = map[int]queue.Hand{
		1: {Since: noon.Add(time.Millisecond), By: queue.Dispatched, Heard: noon.Add(3 * time.Second)},
		2: {Since: noon.Add(time.Millisecond), By: queue.Dispatched, Heard: noon.Add(2 * time.Second)},
	}
	require.Equal(t, want, c.lease(t, l.Item()), "the revision is as it was")
}

func hearsOfTheUndispatched(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 4), 2)
	require.Equal(t, segment.Of(0, 1), l.By(queue.Undispatched))
	fed, _ := l.Ended(segment.Of(1)).Feed(queue.MostSlots, queue.Mark("message"), noon)
	l = c.save(t, l, fed)

	require.NoError(t, c.Hear(t.Context(), l, 0, noon.Add(time.Second)))
	require.NoError(t, c.Hear(t.Context(), l, 2, noon.Add(time.Second)))

	now := c.lease(t, l.Item())
	require.Equal(t, segment.Of(0), now.By(queue.Dispatched))
	require.Equal(t, segment.Of(2), now.By(queue.Mark("message")), "the message that fed it is still known")
}

func hearsBetween(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 3)
	l = c.save(t, l, l.Marked(l.InHand(), queue.Dispatched, noon))
	require.NoError(t, c.Hear(t.Context(), l, 1, noon.Add(time.Second)))

	fed, _ := l.Ended(segment.Of(0)).Feed(queue.MostSlots, queue.Mark("message"), noon)
	c.save(t, l, fed)
	require.NoError(t, c.Hear(t.Context(), l, 2, noon.Add(2*time.Second)), "by the lease as it was before it was fed")

	now := c.lease(t, l.Item())
	require.Equal(t, noon.Add(time.Second), now.Hands[1].Heard)
	require.Equal(t, noon.Add(2*time.Second), now.Hands[2].Heard)
	require.Equal(t, segment.Of(1, 2, 3), now.InHand())
}

func hearsNothing(t *testing.T, c control) {
	l := c.granted(t, segment.Of(1, 2, 3), 2)
	for name, n := range map[string]int{"it waits": 3, "it is of no lease": 4} {
		c.refused(t, name, func() error { return c.Hear(t.Context(), l, n, noon) })
	}
	half := c.save(t, l, l.Ended(segment.Of(1)))
	c.refused(t, "it has ended", func() error { return c.Hear(t.Context(), l, 1, noon) })
	c.save(t, half, half.Ended(half.Held()))
	c.refused(t, "its lease is gone", func() error { return c.Hear(t.Context(), l, 2, noon) })
}

func hearsStale(t *testing.T, c control) {
	l := c.leased(t, segment.Of(1, 2))
	require.NoError(t, c.Hear(t.Context(), l, 1, noon.Add(2*time.Second)))
	c.refused(t, "an older one must not replace a newer one", func() error { return c.Hear(t.Context(), l, 1, noon.Add(time.Second)) })

	c.save(t, l, l.Marked(segment.Of(2), queue.Dispatched, noon.Add(time.Minute)))
	c.refused(t, "its time began again", func() error { return c.Hear(t.Context(), l, 2, noon.Add(time.Second)) })
}

func hearRace(t *testing.T, c control) {
	l := c.leased(t, segment.Range(0, 7))
	var racers []func() error
	for n := range 8 {
		racers = append(racers, func() error { return c.Hear(t.Context(), l, n, noon) })
	}

	require.Equal(t, 8, race(t, errQueue, racers...))

	for n := range 8 {
		require.Equal(t, noon, c.lease(t, l.Item()).Hands[n].Heard)
	}
}
