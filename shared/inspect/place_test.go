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

func lease(attempt int, numbers ...int) queue.Lease {
	return queue.Lease{Labourer: "shop", Segment: at, Attempt: attempt, First: numbers[0], Tasks: segment.Of(numbers...), ClaimedAt: earlier,
		DispatchedAt: earlier, ExpiresAt: soon}
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
	released := lease(1, 3, 4)
	released.Released = segment.Of(3)
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
		"handed out":                                   {ended(0, task.Open), []queue.Lease{lease(1, 3, 4)}, nil, inspect.Running, 1},
		"claimed between two readings":                 {ended(0, task.Open), []queue.Lease{lease(1, 3)}, []queue.Entry{entry(1, earlier, 3)}, inspect.Running, 1},
		"completed":                                    {ended(1, task.Completed), nil, nil, inspect.Completed, 1},
		"completed, and not released yet":              {ended(1, task.Completed), []queue.Lease{lease(1, 3)}, nil, inspect.Completed, 1},
		"failed, and not settled yet":                  {ended(1, task.Failed), []queue.Lease{lease(1, 3)}, nil, inspect.Waiting, 1},
		"failed, and waiting for its time":             {ended(1, task.Failed), nil, []queue.Entry{entry(2, soon, 3)}, inspect.Waiting, 1},
		"failed, and due again":                        {ended(1, task.Failed), nil, []queue.Entry{entry(2, earlier, 3)}, inspect.Queued, 1},
		"expired, and between two places":              {ended(1, task.Expired), nil, nil, inspect.Waiting, 1},
		"at its second attempt":                        {ended(1, task.Failed), []queue.Lease{lease(2, 3)}, nil, inspect.Running, 2},
		"requeued between two readings":                {ended(1, task.Failed), []queue.Lease{lease(1, 3)}, []queue.Entry{entry(2, soon, 3)}, inspect.Waiting, 1},
		"failed, while its old lease was read earlier": {ended(1, task.Failed), []queue.Lease{lease(1, 3), lease(2, 3)}, nil, inspect.Running, 2},
		"in no lease that released it":                 {ended(0, task.Open), []queue.Lease{released}, []queue.Entry{entry(1, earlier, 3)}, inspect.Queued, 0},
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
			leases = append(leases, lease(rapid.IntRange(1, 4).Draw(t, "lease"), 3))
		}
		var entries []queue.Entry
		for range rapid.IntRange(0, 2).Draw(t, "entries") {
			entries = append(entries, entry(rapid.IntRange(1, 4).Draw(t, "entry"), now.Add(time.Duration(rapid.IntRange(-9, 9).Draw(t, "due"))*time.Second), 3))
		}
		place := inspect.PlacesOf(leases, entries).Of(one)
		status := inspect.StatusOf(one, place, now)
		require.Equal(t, one.Status.Terminal(), status.Ended())
		require.False(t, place.Lease != nil && place.Entry != nil)
		if status == inspect.Running {
			require.Greater(t, inspect.TaskOf(one, place, now).Attempt, one.Attempt)
		}
	})
}

func TestSegmentsHoldTheTasksThatAreOpen(t *testing.T) {
	released := lease(1, 1, 2)
	released.Released = segment.Of(2)
	other := entry(1, soon, 9)
	other.Segment = segment.IDOf("nightly", 1)
	places := inspect.PlacesOf([]queue.Lease{released}, []queue.Entry{entry(1, earlier, 4, 5), other})
	require.Equal(t, map[segment.ID]segment.Numbers{at: segment.Of(1, 4, 5), other.Segment: segment.Of(9)}, places.Segments())
}
