package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// TestTasksAreGrantedDirectlyOnlyIfOneLeaseTakesThemAll, and nothing is before them.
func TestTasksAreGrantedDirectlyOnlyIfOneLeaseTakesThemAll(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	hands := func(n int, by string) map[int]queue.Hand {
		out := map[int]queue.Hand{}
		for i := range n {
			out[i] = queue.Hand{Since: now, By: by}
		}
		return out
	}
	running := func(n, slots int) queue.Lease {
		return queue.Lease{Labourer: "f", Segment: "other", Attempt: 1, Tasks: segment.Range(0, n-1), Hands: hands(n, queue.Dispatched), Slots: slots}
	}
	waiting := running(2, 2)
	waiting.Tasks, waiting.Waiting = segment.Range(0, 3), segment.Range(2, 3)
	retried := running(2, 2)
	retried.Tasks, retried.Retries = segment.Range(0, 2), map[int]queue.Retry{2: {Due: now, Attempt: 2}}
	later := running(2, 2)
	later.Tasks, later.Retries = segment.Range(0, 2), map[int]queue.Retry{2: {Due: now.Add(time.Second), Attempt: 2}}
	unstarted := running(2, 2)
	unstarted.Hands, unstarted.Ordered = hands(2, queue.Undispatched), true
	for name, c := range map[string]struct {
		tasks   int
		free    int
		leases  []queue.Lease
		ordered bool
		want    bool
	}{
		"a task, and nothing runs":             {tasks: 1, free: 1, want: true},
		"as many as are free":                  {tasks: 3, free: 3, leases: []queue.Lease{running(2, 2)}, want: true},
		"one more than are free":               {tasks: 4, free: 3, leases: []queue.Lease{running(2, 2)}, want: true},
		"as many as a grant of a slot takes":   {tasks: 90, free: 1, want: true},
		"more than a grant of a slot takes":    {tasks: 91, free: 1},
		"as many as a lease has in hand":       {tasks: queue.MostSlots, free: 100, want: true},
		"more than one lease has in hand":      {tasks: queue.MostSlots + 1, free: 100},
		"nothing is free":                      {tasks: 1, free: 0},
		"a task waits in a lease":              {tasks: 1, free: 5, leases: []queue.Lease{waiting}},
		"a retry is due in a lease":            {tasks: 1, free: 5, leases: []queue.Lease{retried}},
		"a retry waits for its time":           {tasks: 1, free: 5, leases: []queue.Lease{later}, want: true},
		"an order, and nothing runs":           {tasks: 3, free: 5, ordered: true, want: true},
		"an order, and a start is still to be": {tasks: 1, free: 5, ordered: true, leases: []queue.Lease{unstarted}},
	} {
		t.Run(name, func(t *testing.T) {
			e := queue.Entry{Labourer: "f", Due: now, Segment: "new", Tasks: segment.Range(0, c.tasks-1), Attempt: 1, Job: "nightly", MaxDuration: time.Minute}
			state := queue.State{Version: 7}

			g, may := queue.GrantDirectly(state, c.leases, e, queue.Room{Free: c.free, Slots: 100, Starts: 100, Ordered: c.ordered}, now)

			require.Equal(t, c.want, may)
			if !may {
				require.Zero(t, g)
				return
			}
			require.Empty(t, g.Filled)
			require.Empty(t, g.Takings, "there is no entry")
			require.Equal(t, state, g.State)
			l := queue.Direct{Labourer: "f", Grant: g}.Lease()
			require.Equal(t, e.Tasks, l.Tasks)
			require.Equal(t, min(c.tasks, c.free), l.Slots)
			require.Equal(t, e.Tasks.First(l.Slots), l.By(queue.Undispatched))
			require.Equal(t, e.Tasks.Minus(l.InHand()), l.Waiting)
			require.Equal(t, []any{"nightly", segment.ID("new"), 1, time.Minute}, []any{l.Job, l.Segment, l.Attempt, l.MaxDuration})
		})
	}
}
