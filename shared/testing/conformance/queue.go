package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

func dueInOrder(t *testing.T, c control) {
	late := c.entry(c.segment(), noon.Add(time.Millisecond), segment.Of(0))
	now := c.entry(c.segment(), noon, segment.Of(0))
	early := c.entry(c.segment(), noon.Add(-24*time.Hour), segment.Of(0))
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
		all = append(all, c.entry(c.segment(), noon.Add(time.Duration(i)*time.Millisecond), segment.Of(0)))
	}
	c.put(t, all...)

	for limit, want := range map[int]int{1: 1, 4: 4, 5: 5, 6: 5, 0: 5} {
		due, err := c.Due(t.Context(), c.labourer, noon.Add(time.Minute), limit)
		require.NoError(t, err)
		require.Equal(t, all[:want], due, "limit %d", limit)
	}
}

func queueHasAll(t *testing.T, c control) {
	now, later := c.entry(c.segment(), noon, segment.Of(0)), c.entry(c.segment(), noon.AddDate(0, 0, 30), segment.Of(0))
	c.put(t, later, now)

	require.Equal(t, []queue.Entry{now, later}, c.queue(t))
}

func looks(t *testing.T, c control) {
	l := c.leased(t, segment.Of(0, 1))
	now, later := c.entry(c.segment(), noon, segment.Of(0)), c.entry(c.segment(), noon.Add(time.Hour), segment.Of(0))
	withdrawn := c.entry(c.segment(), noon, segment.Of(0))
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
	require.NoError(t, c.Grant(t.Context(), c.labourer, c.many(t, 30, 1), queue.Hold{}))
	c.put(t, c.entry(c.segment(), noon, segment.Of(0)), c.entry(c.segment(), noon, segment.Of(0)))

	for _, page := range []int{0, 1, 2, 29, 30, 31, 32, 50} {
		shortly(t, func() bool {
			seen, err := c.Look(t.Context(), c.labourer, noon, page)
			require.NoError(t, err)
			return len(seen.Leases) == 30 && len(seen.Due) > 0
		}, fmt.Sprintf("in pages of %d", page))
	}
}

func readsWork(t *testing.T, c control) {
	require.NoError(t, c.Grant(t.Context(), c.labourer, c.many(t, 30, 1), queue.Hold{}))
	var due []queue.Entry
	for i := range 7 {
		due = append(due, c.entry(c.segment(), noon.Add(time.Duration(i)*time.Millisecond), segment.Of(0)))
	}
	c.put(t, due...)
	c.put(t, c.entry(c.segment(), noon.Add(time.Hour), segment.Of(0)))

	for limit := 1; limit < 9; limit++ {
		leases, entries, err := c.Work(t.Context(), c.labourer, noon.Add(time.Minute), limit)
		require.NoError(t, err)
		require.Equal(t, c.leases(t), leases)
		require.Equal(t, due[:min(limit, 7)], entries, "of %d at most", limit)
	}
}

func remains(t *testing.T, c control) {
	for _, stored := range []int{0, 3, 4, 30} {
		if more := stored - len(c.leases(t)); more > 0 {
			require.NoError(t, c.Grant(t.Context(), c.labourer, c.many(t, more, 1), queue.Hold{}))
		}
		c.put(t, c.entry(c.segment(), noon.Add(time.Duration(stored+1)*time.Millisecond), segment.Of(0)))

		due, leases, err := c.Remains(t.Context(), c.labourer, noon)

		require.NoError(t, err)
		require.False(t, due, "what is due later does not count")
		require.Len(t, leases, stored)
		require.ElementsMatch(t, c.leases(t), leases)
	}
	c.put(t, c.entry(c.segment(), noon, segment.Of(0)))
	due, leases, err := c.Remains(t.Context(), c.labourer, noon)
	require.NoError(t, err)
	require.True(t, due)
	require.Empty(t, leases)
}

func labourersApart(t *testing.T, c control) {
	other := control{c.Control, c.jobs, c.registry, c.labourer + "2", 0} // its name begins with the other's
	mine, others := c.leased(t, segment.Of(0)), other.leased(t, segment.Of(0))
	e := other.entry(c.segment(), noon, segment.Of(0))
	other.put(t, e)

	require.Equal(t, []queue.Lease{mine}, c.leases(t))
	require.Equal(t, []queue.Lease{others}, other.leases(t))
	require.Empty(t, c.queue(t))
	require.Equal(t, []queue.Entry{e}, other.queue(t))
	require.NoError(t, c.SetPaused(t.Context(), c.labourer, true))
	require.False(t, other.state(t).Paused)
}

func entryAsGiven(t *testing.T, c control) {
	e := queue.Entry{Labourer: c.labourer, Due: noon.Add(-time.Hour), Segment: c.segment(), First: 3, Tasks: segment.Of(3, 5, 6, 7, 255), Attempt: 12,
		Job: "nightly", MaxDuration: 90 * time.Second, Tried: true, Misfires: 3}
	c.put(t, e)

	require.Equal(t, []queue.Entry{e}, c.queue(t))
	l := c.grant(t, e, e.Tasks, 2)
	require.Equal(t, l, c.lease(t, l.Item()))
	require.Equal(t, "nightly", l.Job)
	require.Equal(t, 90*time.Second, l.MaxDuration)
	require.Equal(t, 12, l.Attempt)
	require.Equal(t, 3, l.Misfires)
}

func manyItems(t *testing.T, c control) {
	for range 7 {
		require.NoError(t, c.Grant(t.Context(), c.labourer, c.many(t, 30, 1), queue.Hold{}))
	}
	require.Len(t, c.leases(t), 210)
	require.Equal(t, 210, queue.Running(c.leases(t)))
}

// ---- withdrawing

func withdraws(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Of(1, 2, 3))
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
	e := c.entry(c.segment(), noon, segment.Of(1, 2, 3))
	c.put(t, e)
	c.grant(t, e, segment.Of(1), 1)

	for _, numbers := range []segment.Numbers{segment.Of(2), e.Tasks} {
		c.refused(t, "a task of it was granted", func() error {
			_, err := c.Withdraw(t.Context(), e, numbers, noon)
			return err
		})
	}
}

// withdraw withdraws tasks that wait in a lease.
func (c control) withdraw(t *testing.T, l queue.Lease, numbers segment.Numbers) (queue.Aside, error) {
	t.Helper()
	return c.SetWaitingAside(t.Context(), l, l.Without(numbers), l.Returned(numbers), noon)
}

func withdrawsWaiting(t *testing.T, c control) {
	e := c.entry(c.segment(), noon, segment.Range(0, 9))
	e.Job = "nightly"
	c.put(t, e)
	l := c.grant(t, e, e.Tasks, 2)

	aside, err := c.withdraw(t, l, segment.Range(5, 7))

	require.NoError(t, err)
	require.Equal(t, queue.Change{Before: l, After: l.Without(segment.Range(5, 7))}.Written(), c.lease(t, l.Item()))
	require.Equal(t, queue.Aside{Entry: l.Returned(segment.Range(5, 7)), Since: noon}, aside)
	require.Equal(t, []queue.Aside{aside}, c.asides(t))
	require.Empty(t, c.queue(t))
	l = c.lease(t, l.Item())
	other, err := c.withdraw(t, l, segment.Range(8, 9))
	require.NoError(t, err)
	require.ElementsMatch(t, []queue.Aside{aside, other}, c.asides(t))
	for _, one := range []queue.Aside{aside, other} {
		require.NoError(t, c.Forget(t.Context(), one))
	}
	require.Empty(t, c.asides(t))
}

func withdrawsTheLast(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 0)

	aside, err := c.withdraw(t, l, l.Waiting)

	require.NoError(t, err)
	require.Empty(t, c.leases(t))
	require.Equal(t, []queue.Aside{aside}, c.asides(t))
}

func withdrawWaitingRefused(t *testing.T, c control) {
	l := c.granted(t, segment.Range(0, 9), 2)
	fed, _ := l.Ended(segment.Of(0)).Feed(queue.MostSlots, "message", noon)
	fed = c.save(t, l, fed)
	for _, numbers := range []segment.Numbers{segment.Of(2), segment.Of(9), l.Waiting} {
		c.refused(t, "a task of it was fed", func() error {
			_, err := c.withdraw(t, l, numbers)
			return err
		})
	}
	c.save(t, fed, fed.Ended(fed.Held()))
	c.refused(t, "it is gone", func() error {
		_, err := c.withdraw(t, fed, segment.Of(9))
		return err
	})
}
