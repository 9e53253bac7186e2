package inspect_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
)

var (
	now     = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	earlier = now.Add(-time.Minute)
	soon    = now.Add(time.Minute)
	at      = segment.IDOf("nightly", 0)
)

// lease returns a lease that has these tasks in hand, in as many slots.
func lease(attempt int, numbers ...int) queue.Lease {
	l := queue.Lease{Labourer: "shop", Segment: at, Attempt: attempt, First: numbers[0], Tasks: segment.Of(numbers...), ClaimedAt: earlier,
		Slots: len(numbers), Hands: map[int]queue.Hand{}}
	for _, n := range numbers {
		l.Hands[n] = queue.Hand{Since: earlier, By: queue.Dispatched}
	}
	return l
}

// queueing returns the lease with more tasks, which wait in it.
func queueing(l queue.Lease, numbers ...int) queue.Lease {
	l.Tasks, l.Waiting = l.Tasks.Union(segment.Of(numbers...)), segment.Of(numbers...)
	return l
}

func entry(attempt int, due time.Time, numbers ...int) queue.Entry {
	return queue.Entry{Labourer: "shop", Segment: at, Attempt: attempt, First: numbers[0], Tasks: segment.Of(numbers...), Due: due}
}

func ended(attempt int, status task.Status) task.Task {
	t := task.Task{ID: task.ID{Segment: at, N: 3}, Labourer: "shop", JobID: "nightly", CreatedAt: earlier, Status: status, Attempt: attempt}
	if status != task.Open {
		t.ClosedAt = earlier
	}
	return t
}

func TestWhereATaskStandsFollowsFromItsItemAndWhatHoldsIt(t *testing.T) {
	completed := lease(1, 3, 4).Ended(segment.Of(3))
	for name, c := range map[string]struct {
		task    task.Task
		leases  []queue.Lease
		entries []queue.Entry
		status  inspect.Status
		attempt int
	}{
		"due for the first time":                       {ended(0, task.Open), nil, []queue.Entry{entry(1, earlier, 3)}, inspect.Queued, 0},
		"not to begin before a time":                   {ended(0, task.Open), nil, []queue.Entry{entry(1, soon, 3)}, inspect.Queued, 0},
		"created, and its entry not read yet":          {ended(0, task.Open), nil, nil, inspect.Queued, 0},
		"granted, and waiting for a slot":              {ended(0, task.Open), []queue.Lease{queueing(lease(1, 4), 3)}, nil, inspect.Queued, 0},
		"granted between two readings":                 {ended(0, task.Open), []queue.Lease{queueing(lease(1, 4), 3)}, []queue.Entry{entry(1, earlier, 3)}, inspect.Queued, 0},
		"granted again after a failure":                {ended(1, task.Failed), []queue.Lease{queueing(lease(2, 4), 3)}, nil, inspect.Queued, 1},
		"in hand":                                      {ended(0, task.Open), []queue.Lease{lease(1, 3, 4)}, nil, inspect.Running, 1},
		"taken in hand between two readings":           {ended(0, task.Open), []queue.Lease{lease(1, 3)}, []queue.Entry{entry(1, earlier, 3)}, inspect.Running, 1},
		"completed":                                    {ended(1, task.Completed), nil, nil, inspect.Completed, 1},
		"completed, and still in hand":                 {ended(1, task.Completed), []queue.Lease{lease(1, 3)}, nil, inspect.Completed, 1},
		"failed, and not settled yet":                  {ended(1, task.Failed), []queue.Lease{lease(1, 3)}, nil, inspect.Waiting, 1},
		"failed, and waiting for its time":             {ended(1, task.Failed), nil, []queue.Entry{entry(2, soon, 3)}, inspect.Waiting, 1},
		"failed, and due again":                        {ended(1, task.Failed), nil, []queue.Entry{entry(2, earlier, 3)}, inspect.Queued, 1},
		"expired, and between two places":              {ended(1, task.Expired), nil, nil, inspect.Waiting, 1},
		"at its second attempt":                        {ended(1, task.Failed), []queue.Lease{lease(2, 3)}, nil, inspect.Running, 2},
		"requeued between two readings":                {ended(1, task.Failed), []queue.Lease{lease(1, 3)}, []queue.Entry{entry(2, soon, 3)}, inspect.Waiting, 1},
		"failed, while its old lease was read earlier": {ended(1, task.Failed), []queue.Lease{lease(1, 3), lease(2, 3)}, nil, inspect.Running, 2},
		"completed under its lease just now":           {ended(0, task.Open), []queue.Lease{completed}, nil, inspect.Queued, 0},
		"replayed":                                     {ended(3, task.Open), nil, []queue.Entry{entry(4, earlier, 3)}, inspect.Queued, 3},
		"dead":                                         {ended(3, task.Dead), nil, nil, inspect.Dead, 3},
		"cancelled before it began":                    {ended(0, task.Cancelled), nil, nil, inspect.Cancelled, 0},
		"beside others' leases and entries":            {ended(0, task.Open), []queue.Lease{lease(1, 4)}, []queue.Entry{entry(1, earlier, 5), entry(1, earlier, 3)}, inspect.Queued, 0},
	} {
		t.Run(name, func(t *testing.T) {
			place := inspect.PlacesOf(c.leases, c.entries).Of(c.task)
			require.Equal(t, c.status, inspect.StatusOf(c.task, place, now))
			line := inspect.TaskOf(c.task, place, now)
			require.Equal(t, c.attempt, line.Attempt)
			require.Equal(t, c.status.Ended(), line.ClosedAt != nil, "closed_at is the end of the task, not of an attempt")
		})
	}
}

// TestAnEndIsNeverTakenBack: whatever leases and entries were read before, a task whose item has ended is shown as ended, and no other is.
func TestAnEndIsNeverTakenBack(t *testing.T) {
	statuses := []task.Status{task.Open, task.Completed, task.Failed, task.Expired, task.Dead, task.Cancelled}
	rapid.Check(t, func(t *rapid.T) {
		one := ended(rapid.IntRange(0, 3).Draw(t, "attempt"), rapid.SampledFrom(statuses).Draw(t, "status"))
		var leases []queue.Lease
		for range rapid.IntRange(0, 2).Draw(t, "leases") {
			l := lease(rapid.IntRange(1, 4).Draw(t, "lease"), 3)
			if rapid.Bool().Draw(t, "waits") {
				l = queueing(lease(l.Attempt, 4), 3)
			}
			leases = append(leases, l)
		}
		var entries []queue.Entry
		for range rapid.IntRange(0, 2).Draw(t, "entries") {
			entries = append(entries, entry(rapid.IntRange(1, 4).Draw(t, "entry"), now.Add(time.Duration(rapid.IntRange(-9, 9).Draw(t, "due"))*time.Second), 3))
		}
		place := inspect.PlacesOf(leases, entries).Of(one)
		status := inspect.StatusOf(one, place, now)
		require.Equal(t, one.Status.Terminal(), status.Ended())
		require.False(t, place.Lease != nil && place.Entry != nil)
		require.False(t, place.Hand != nil && place.Lease == nil)
		if status == inspect.Running {
			require.Greater(t, inspect.TaskOf(one, place, now).Attempt, one.Attempt)
		}
	})
}

func TestSegmentsHoldTheTasksThatAreOpen(t *testing.T) {
	completed := queueing(lease(1, 1, 2), 3).Ended(segment.Of(2))
	other := entry(1, soon, 9)
	other.Segment = segment.IDOf("nightly", 1)
	places := inspect.PlacesOf([]queue.Lease{completed}, []queue.Entry{entry(1, earlier, 4, 5), other})
	require.Equal(t, map[segment.ID]segment.Numbers{at: segment.Of(1, 3, 4, 5), other.Segment: segment.Of(9)}, places.Segments())
}

func TestLeasesTellTheCompletionsOfTheirJob(t *testing.T) {
	first := queueing(lease(1, 1, 2), 3).Ended(segment.Of(2))
	second := lease(1, 7, 8).Ended(segment.Of(7))
	first.Job, second.Job = "nightly", "nightly"
	shared := lease(1, 20, 21).Ended(segment.Of(20))
	places := inspect.PlacesOf([]queue.Lease{first, second, shared, {Unreadable: &queue.Unreadable{}}}, nil)
	require.Equal(t, map[segment.ID]segment.Numbers{at: segment.Of(2, 7)}, places.Done("nightly"))
	require.Empty(t, places.Done("other"))
}
