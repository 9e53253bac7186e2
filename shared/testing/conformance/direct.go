package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// directly returns the direct grant of an entry, decided by what is stored of its labourer.
func directly(t *testing.T, s Control, e queue.Entry) queue.Direct {
	t.Helper()
	state, err := s.State(t.Context(), e.Labourer)
	require.NoError(t, err)
	leases, err := s.Leases(t.Context(), e.Labourer)
	require.NoError(t, err)
	g, may := queue.GrantDirectly(state, leases, e, queue.Room{Free: 50, Slots: 50, Starts: 50}, noon)
	require.True(t, may)
	return queue.Direct{Labourer: e.Labourer, Grant: g, Hold: queue.Hold{By: "publisher", Until: noon.Add(time.Second)}}
}

func publishesGranted(t *testing.T, s Stores) {
	job := created(t, s, 3)
	d := directly(t, s.Control, entryOf(job, 0))

	require.NoError(t, s.Jobs.PublishGranted(t.Context(), []ledger.Job{job}, d))

	require.Equal(t, ledger.Scheduled, get(t, s.Jobs, job.ID).State)
	due, err := s.Control.Due(t.Context(), job.Labourer, noon, 0)
	require.NoError(t, err)
	for _, e := range due {
		require.NotEqual(t, d.Lease().Segment, e.Segment, "the tasks are in a lease")
	}
	lease, found, err := s.Control.Lease(t.Context(), job.Labourer, d.Lease().Item())
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, d.Grant.Changed[0].Written(), lease)
	state, err := s.Control.State(t.Context(), job.Labourer)
	require.NoError(t, err)
	require.Equal(t, d.Grant.State.Version+1, state.Version)
	require.Equal(t, d.Hold, state.Hold)
	require.ErrorIs(t, s.Jobs.PublishGranted(t.Context(), []ledger.Job{job}, d), errJob, "again")
	require.NoError(t, s.Control.Depart(t.Context(), job.Labourer, "publisher"))
}

func publishesGrantedFenced(t *testing.T, s Stores) {
	job := created(t, s, 3)
	job.Labourer = unique("labourer")
	d := directly(t, s.Control, entryOf(job, 0))
	require.NoError(t, s.Control.SetPaused(t.Context(), job.Labourer, true))

	require.ErrorIs(t, s.Jobs.PublishGranted(t.Context(), []ledger.Job{job}, d), errJob)

	require.Equal(t, ledger.Scheduling, get(t, s.Jobs, job.ID).State)
	leases, err := s.Control.Leases(t.Context(), job.Labourer)
	require.NoError(t, err)
	require.Empty(t, leases)
}

func turnsGranted(t *testing.T, s Stores) {
	run, queued, granted, changed := unique("run"), unique("labourer"), unique("labourer"), unique("labourer")
	at := flow.Segment(run, planned.Place)
	entry := func(labourer string, n int) queue.Entry {
		return queue.Entry{Labourer: labourer, Due: noon, Segment: at, First: n, Tasks: segment.Of(n), Attempt: 1}
	}
	d := directly(t, s.Control, entry(granted, 1))
	publish := func(grants ...queue.Direct) error {
		return s.Runs.Publish(t.Context(), run, planned, flow.Progress{}, flow.Progress{Published: segment.Of(0, 1), PublishedAt: noon},
			[]queue.Entry{entry(queued, 0)}, grants)
	}
	stale := directly(t, s.Control, entry(changed, 2))
	require.NoError(t, s.Control.SetPaused(t.Context(), changed, true))
	require.ErrorIs(t, publish(d, stale), workflow.ErrChanged, "one labourer has changed")

	require.NoError(t, publish(d))

	entries, err := s.Control.Queue(t.Context(), queued)
	require.NoError(t, err)
	require.Equal(t, []queue.Entry{entry(queued, 0)}, entries)
	leases, err := s.Control.Leases(t.Context(), granted)
	require.NoError(t, err)
	require.Equal(t, []queue.Lease{d.Grant.Changed[0].Written()}, leases)
}

func quiet(t *testing.T, c control) {
	look := func(most int) ([]queue.Lease, bool) {
		t.Helper()
		leases, is, err := c.Quiet(t.Context(), c.labourer, noon, most)
		require.NoError(t, err)
		return leases, is
	}
	leases, is := look(2)
	require.Equal(t, c.lanes == 0, is, "a labourer with lanes is never quiet")
	require.Empty(t, leases)
	if c.lanes > 0 {
		return
	}
	first, second := c.leased(t, segment.Of(1)), c.leased(t, segment.Of(2))
	leases, is = look(2)
	require.True(t, is)
	require.ElementsMatch(t, []queue.Lease{first, second}, leases)
	_, is = look(1)
	require.False(t, is, "there are more leases")

	c.put(t, c.entry(c.segment(), noon.Add(time.Millisecond), segment.Of(0)))
	_, is = look(2)
	require.True(t, is, "what is due later does not count")
	c.put(t, c.entry(c.segment(), noon, segment.Of(0)))
	_, is = look(2)
	require.False(t, is, "a task is due")
	_, is = look(9)
	require.False(t, is)
}
