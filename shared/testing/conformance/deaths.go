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
	d := dying{control: control{s.Control, s.Jobs, s.Registry, unique("labourer")}}
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

func kills(t *testing.T, s Stores) {
	d := newDying(t, s, 3)

	require.NoError(t, s.Deaths.Kill(t.Context(), d.lease, d.failed[:2], d.dead[:2]))

	require.Equal(t, d.dead[0], load(t, s, d.dead[0].ID))
	require.Equal(t, d.failed[2], load(t, s, d.failed[2].ID))
	left := d.leases(t)
	require.Len(t, left, 1)
	require.Equal(t, segment.Of(2), left[0].Held())
}

func killsTheLast(t *testing.T, s Stores) {
	d := newDying(t, s, 2)

	require.NoError(t, s.Deaths.Kill(t.Context(), d.lease, d.failed, d.dead))

	require.Empty(t, d.leases(t))
}

func killsNothingElsewhere(t *testing.T, s Stores) {
	d := newDying(t, s, 2)
	require.NoError(t, s.Control.Release(t.Context(), d.lease, segment.Of(0)))

	require.ErrorIs(t, s.Deaths.Kill(t.Context(), d.lease, d.failed, d.dead), errQueue)

	require.Equal(t, d.failed[1], load(t, s, d.failed[1].ID))
}

func killsNothingChanged(t *testing.T, s Stores) {
	d := newDying(t, s, 2)
	cancelled, err := d.failed[0].Cancel(noon)
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(t.Context(), d.failed[0], cancelled))

	require.ErrorIs(t, s.Deaths.Kill(t.Context(), d.lease, d.failed, d.dead), errQueue)

	require.Equal(t, d.failed[1], load(t, s, d.failed[1].ID))
	require.Equal(t, []queue.Lease{d.lease}, d.leases(t))
}

func killsOrRequeues(t *testing.T, s Stores) {
	d := newDying(t, s, 1)
	e := d.entry(d.lease.Segment, noon, segment.Of(0))
	e.Attempt = 2
	require.NoError(t, s.Control.Requeue(t.Context(), d.lease, e))

	require.ErrorIs(t, s.Deaths.Kill(t.Context(), d.lease, d.failed, d.dead), errQueue)
	require.Equal(t, d.failed[0], load(t, s, d.failed[0].ID))

	other := newDying(t, s, 1)
	require.NoError(t, s.Deaths.Kill(t.Context(), other.lease, other.failed, other.dead))
	e = other.entry(other.lease.Segment, noon, segment.Of(0))
	e.Attempt = 2
	require.ErrorIs(t, s.Control.Requeue(t.Context(), other.lease, e), errQueue)
	require.Empty(t, other.queue(t))
}
