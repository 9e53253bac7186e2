package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// RunDeaths tests the end of tasks that get no further attempt.
func RunDeaths(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"tasks die and leave their lease together":   kills,
		"the lease goes with its last task":          killsTheLast,
		"nothing dies when the lease has changed":    killsNothingElsewhere,
		"nothing dies when a task has changed":       killsNothingChanged,
		"of a death and another attempt one happens": killsOrRequeues,
		"a slot that a dead task leaves is filled":   killsAndFills,
		"ninety-nine tasks die together":             killsNinetyNine,
	})
}

// dying holds failed tasks and the lease on them.
type dying struct {
	control
	lease        queue.Lease
	failed, dead []task.Task
}

func newDying(t *testing.T, s Stores, n int) dying {
	t.Helper()
	d := dying{control: control{s.Control, s.Jobs, s.Registry, unique("labourer"), 0}}
	d.lease = d.leased(t, segment.Range(0, n-1))
	for number := range n {
		one := newTask(d.lease.Segment, number)
		one.Labourer = d.labourer
		create(t, s, one)
		before := failed(t, one)
		require.NoError(t, s.Tasks.Save(t.Context(), one, before))
		dead, err := before.Kill(noon.Add(time.Hour))
		require.NoError(t, err)
		d.failed, d.dead = append(d.failed, before), append(d.dead, dead)
	}
	return d
}

// kill ends failed tasks and takes them out of the lease.
func (d dying) kill(t *testing.T, s Stores, numbers segment.Numbers) error {
	t.Helper()
	var failed, dead []task.Task
	for n := range numbers.All() {
		failed, dead = append(failed, d.failed[n]), append(dead, d.dead[n])
	}
	return s.Deaths.Kill(t.Context(), d.lease, d.lease.Without(numbers), failed, dead)
}

func kills(t *testing.T, s Stores) {
	d := newDying(t, s, 3)

	require.NoError(t, d.kill(t, s, segment.Of(0, 1)))

	require.Equal(t, d.dead[0], load(t, s, d.dead[0].ID))
	require.Equal(t, d.failed[2], load(t, s, d.failed[2].ID))
	left := d.leases(t)
	require.Len(t, left, 1)
	require.Equal(t, segment.Of(2), left[0].Held())
}

func killsTheLast(t *testing.T, s Stores) {
	d := newDying(t, s, 2)

	require.NoError(t, d.kill(t, s, d.lease.Tasks))

	require.Empty(t, d.leases(t))
}

func killsNothingElsewhere(t *testing.T, s Stores) {
	d := newDying(t, s, 2)
	d.save(t, d.lease, d.lease.Ended(segment.Of(0)))

	require.ErrorIs(t, d.kill(t, s, d.lease.Tasks), errQueue)

	require.Equal(t, d.failed[1], load(t, s, d.failed[1].ID))
}

func killsNothingChanged(t *testing.T, s Stores) {
	d := newDying(t, s, 2)
	cancelled, err := d.failed[0].Cancel(noon)
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(t.Context(), d.failed[0], cancelled))

	require.ErrorIs(t, d.kill(t, s, d.lease.Tasks), errQueue)

	require.Equal(t, d.failed[1], load(t, s, d.failed[1].ID))
	require.Equal(t, []queue.Lease{d.lease}, d.leases(t))
}

func killsOrRequeues(t *testing.T, s Stores) {
	d := newDying(t, s, 1)
	require.NoError(t, d.requeue(t, d.lease, segment.Of(0)))

	require.ErrorIs(t, d.kill(t, s, d.lease.Tasks), errQueue)
	require.Equal(t, d.failed[0], load(t, s, d.failed[0].ID))

	other := newDying(t, s, 1)
	require.NoError(t, other.kill(t, s, other.lease.Tasks))
	require.ErrorIs(t, other.requeue(t, other.lease, segment.Of(0)), errQueue)
	require.Empty(t, other.queue(t))
}

func killsAndFills(t *testing.T, s Stores) {
	d := newDying(t, s, 5)
	d.lease = d.save(t, d.lease, slotsOf(d.lease, 2))
	after, fed := d.lease.Without(segment.Of(0)).Feed(queue.MostSlots, queue.Undispatched, noon.Add(time.Second))
	require.Equal(t, segment.Of(2), fed)

	require.NoError(t, s.Deaths.Kill(t.Context(), d.lease, after, d.failed[:1], d.dead[:1]))

	require.Equal(t, queue.Change{Before: d.lease, After: after}.Written(), d.control.lease(t, d.lease.Item()))
	require.Equal(t, d.dead[0], load(t, s, d.dead[0].ID))
}

// slotsOf returns a lease with its first tasks in hand, and the others waiting.
func slotsOf(l queue.Lease, slots int) queue.Lease {
	l.Hands, l.Waiting, l.Slots = nil, l.Tasks, slots
	l, _ = l.Feed(queue.MostSlots, queue.Dispatched, noon)
	return l
}

func killsNinetyNine(t *testing.T, s Stores) {
	d := newDying(t, s, 99)

	require.NoError(t, d.kill(t, s, d.lease.Tasks))

	require.Empty(t, d.leases(t))
	require.Equal(t, d.dead[98], load(t, s, d.dead[98].ID))
}
