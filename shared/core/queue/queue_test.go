package queue_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

const seg = segment.ID("abcdefghijklmnop")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func hour(time.Duration) time.Duration { return time.Hour }

func entry(due time.Time, tasks segment.Numbers) queue.Entry {
	return queue.Entry{Labourer: "f", Due: due, Segment: seg, First: tasks.Min(), Tasks: tasks, Attempt: 1}
}

func TestKeysOfEntriesAndLeases(t *testing.T) {
	e := queue.Entry{Due: noon.Add(5 * time.Millisecond), Segment: seg, First: 7}
	l := queue.Lease{Segment: seg, Attempt: 12, First: 7}

	require.Equal(t, "queue#1795348800005#abcdefghijklmnop#007", e.Item())
	require.Equal(t, "lease#abcdefghijklmnop#12#007", l.Item())
	require.True(t, strings.HasPrefix(l.Item(), queue.LeasePrefix(seg)))
	require.Less(t, l.Item(), e.Item(), "leases sort before the queue, so one read from the front returns both")
}

// TestG6KeysSortInTheOrderOfDispatch: the table returns entries in the order of their keys, which must be the order of their due times, and
// for equal times that of segments and numbers.
func TestG6KeysSortInTheOrderOfDispatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) queue.Entry {
			return queue.Entry{
				Due:     time.UnixMilli(rapid.Int64Range(0, 9_999_999_999_999).Draw(t, "due")),
				Segment: segment.IDOf("nightly", rapid.IntRange(0, 3).Draw(t, "ordinal")),
				First:   rapid.IntRange(0, segment.Size-1).Draw(t, "first"),
			}
		}), 2, 2).Draw(t, "entries")
		a, b := entries[0], entries[1]
		if !a.Due.Equal(b.Due) {
			require.Equal(t, a.Due.Before(b.Due), a.Item() < b.Item())
			return
		}
		if a.Segment == b.Segment {
			require.Equal(t, a.First < b.First, a.Item() < b.Item())
		}
	})
}

func TestG6TheDueEntriesAreTakenFromTheFront(t *testing.T) {
	first, second, third := entry(noon.Add(-2*time.Hour), segment.Of(3, 4)), entry(noon.Add(-time.Hour), segment.Range(0, 9)), entry(noon, segment.Of(20))
	first.Attempt, first.MaxDuration = 4, time.Minute

	taken := queue.Take(queue.State{Version: 7}, []queue.Entry{first, second, third}, 5, noon, func(own time.Duration) time.Duration { return own + time.Hour })

	require.Equal(t, []queue.Taking{
		{Entry: first, Lease: queue.Lease{
			Labourer: "f", Segment: seg, Attempt: 4, First: 3, Claim: 8, Tasks: segment.Of(3, 4), Due: noon.Add(-2 * time.Hour),
			ClaimedAt: noon, ExpiresAt: noon.Add(time.Hour + time.Minute), MaxDuration: time.Minute,
		}},
		{Entry: second, Rest: segment.Range(3, 9), Lease: queue.Lease{
			Labourer: "f", Segment: seg, Attempt: 1, First: 0, Claim: 8, Tasks: segment.Range(0, 2), Due: noon.Add(-time.Hour), ClaimedAt: noon, ExpiresAt: noon.Add(time.Hour),
		}},
	}, taken)
}

func TestEntriesThatAreEmptyOrNotDueArePassedOver(t *testing.T) {
	later, empty, due := entry(noon.Add(time.Millisecond), segment.Of(1)), entry(noon, segment.Numbers{}), entry(noon, segment.Of(2))

	taken := queue.Take(queue.State{Version: 7}, []queue.Entry{later, empty, due}, 10, noon, hour)

	require.Len(t, taken, 1)
	require.Equal(t, due, taken[0].Entry)
	require.True(t, taken[0].Rest.Empty())
}

func TestG3NothingIsTakenWithoutAFreeSlot(t *testing.T) {
	for _, free := range []int{0, -1, -100} {
		require.Empty(t, queue.Take(queue.State{Version: 7}, []queue.Entry{entry(noon, segment.Of(1))}, free, noon, hour), "with %d free", free)
	}
}

// TestG1TakeLosesAndDuplicatesNoTask: each task stays in its entry or goes to the lease, no more tasks are taken than slots are free, and a later
// entry is taken only after those before it are empty.
func TestG1TakeLosesAndDuplicatesNoTask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []queue.Entry
		for range rapid.IntRange(0, 6).Draw(t, "entries") {
			numbers := segment.Of(rapid.SliceOfN(rapid.IntRange(0, segment.Size-1), 0, 40).Draw(t, "tasks")...)
			due := noon.Add(time.Duration(rapid.IntRange(-3, 1).Draw(t, "due")) * time.Minute)
			entries = append(entries, entry(due, numbers))
		}
		slices.SortStableFunc(entries, func(a, b queue.Entry) int { return a.Due.Compare(b.Due) })
		free := rapid.IntRange(0, 100).Draw(t, "free")

		takings := queue.Take(queue.State{}, entries, free, noon, hour)

		total, ready := 0, 0
		for _, e := range entries {
			if !e.Due.After(noon) {
				ready += e.Tasks.Len()
			}
		}
		for i, taking := range takings {
			total += taking.Lease.Tasks.Len()
			require.False(t, taking.Lease.Tasks.Empty())
			require.True(t, taking.Lease.Tasks.Intersect(taking.Rest).Empty())
			require.Equal(t, taking.Entry.Tasks, taking.Lease.Tasks.Union(taking.Rest))
			require.Equal(t, taking.Lease.Tasks.Min(), taking.Lease.First)
			require.False(t, taking.Entry.Due.After(noon))
			if i < len(takings)-1 {
				require.True(t, taking.Rest.Empty(), "a later entry was taken before an earlier one was used up")
			}
			if !taking.Rest.Empty() {
				require.Less(t, taking.Lease.Tasks.Max(), taking.Rest.Min())
			}
		}
		require.Equal(t, min(free, ready), total)
	})
}

func TestG3RunningTasksAreThoseThatLeasesHold(t *testing.T) {
	whole := queue.Lease{Segment: seg, Attempt: 1, Tasks: segment.Range(0, 9)}
	part := queue.Lease{Segment: seg, Attempt: 2, Tasks: segment.Range(20, 29), Released: segment.Of(20, 21)}
	gone := queue.Lease{Segment: seg, Attempt: 3, Tasks: segment.Of(40), Released: segment.Of(40)}

	require.Equal(t, 18, queue.Running([]queue.Lease{whole, part, gone}))
	require.Zero(t, queue.Running(nil))
	twice := part
	twice.Released = twice.Released.Union(segment.Of(20))
	require.Equal(t, part.Held(), twice.Held(), "the second release changes nothing")
}

func TestALeaseHoldsAnAttemptAtATask(t *testing.T) {
	leases := []queue.Lease{
		{Segment: seg, Attempt: 1, Tasks: segment.Of(1, 2), Released: segment.Of(2)},
		{Segment: seg, Attempt: 2, Tasks: segment.Of(2)},
		{Segment: "ponmlkjihgfedcba", Attempt: 1, Tasks: segment.Of(3)},
	}
	at := func(n int) task.ID { return task.ID{Segment: seg, N: n} }

	l, held := queue.Holding(leases, at(1), 1)
	require.True(t, held)
	require.Equal(t, leases[0], l)
	l, held = queue.Holding(leases, at(2), 2)
	require.True(t, held)
	require.Equal(t, leases[1], l)
	for name, c := range map[string]struct{ n, attempt int }{
		"released":        {2, 1},
		"another attempt": {1, 2},
		"another segment": {3, 1},
		"in no lease":     {4, 1},
	} {
		_, held := queue.Holding(leases, at(c.n), c.attempt)
		require.False(t, held, name)
	}
}

func TestWhenARunningTaskIsLost(t *testing.T) {
	policy := queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 5 * time.Minute}
	beating := policy
	beating.Heartbeat = time.Minute
	dispatched := queue.Lease{Tasks: segment.Of(1), ClaimedAt: noon, DispatchedAt: noon, ExpiresAt: noon.Add(15 * time.Minute)}
	claimed := dispatched
	claimed.DispatchedAt = time.Time{}
	heard := dispatched
	heard.Heard = map[int]time.Time{1: noon.Add(8 * time.Minute)}
	early := dispatched
	early.Heard = map[int]time.Time{1: noon.Add(-time.Minute)}
	own := heard
	own.MaxDuration = time.Hour
	released := dispatched
	released.Released = segment.Of(1)

	for name, c := range map[string]struct {
		lease queue.Lease
		by    queue.Limits
		after time.Duration // since noon: not lost then, lost a millisecond later; negative: never
	}{
		"with its lease": {dispatched, policy, 15 * time.Minute},
		"with its lease when its dispatch is unknown":              {claimed, policy, 15 * time.Minute},
		"a whole time after its last heartbeat":                    {heard, policy, 23 * time.Minute},
		"with its lease, whatever came before the lease":           {early, policy, 15 * time.Minute},
		"a whole time of its own after its heartbeat":              {own, policy, 73 * time.Minute},
		"by silence from its start":                                {dispatched, beating, time.Minute},
		"by silence since it was heard":                            {heard, beating, 9 * time.Minute},
		"by silence from its start when it was heard only earlier": {early, beating, time.Minute},
		"not by silence while its dispatch is unknown":             {claimed, beating, 15 * time.Minute},
		"never once it is released":                                {released, policy, -1},
		"by silence, although its own time is longer":              {own, beating, 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if c.after < 0 {
				require.True(t, c.lease.Lost(c.by, noon.Add(1000*time.Hour)).Empty())
				return
			}
			require.True(t, c.lease.Lost(c.by, noon.Add(c.after)).Empty(), "at %s", c.after)
			require.Equal(t, segment.Of(1), c.lease.Lost(c.by, noon.Add(c.after+time.Millisecond)), "after %s", c.after)
		})
	}
}

func TestOneTaskIsLostAndAnotherOfTheSameLeaseIsNot(t *testing.T) {
	l := queue.Lease{Tasks: segment.Of(1, 2, 3), DispatchedAt: noon, ExpiresAt: noon.Add(time.Hour), Released: segment.Of(3), Heard: map[int]time.Time{2: noon.Add(time.Minute)}}

	require.Equal(t, segment.Of(1), l.Lost(queue.Limits{MaxDuration: time.Hour, Heartbeat: time.Minute}, noon.Add(90*time.Second)))
}

// TestG1EveryHeldTaskIsLostAtSomeTime: no heartbeat, policy or duration keeps a task in its lease for ever, and a lost task stays lost.
func TestG1EveryHeldTaskIsLostAtSomeTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(label string, low int) time.Duration {
			return time.Duration(rapid.IntRange(low, 100).Draw(t, label)) * time.Minute
		}
		by := queue.Limits{MaxDuration: minutes("max duration", 1), Cooldown: minutes("cooldown", 0), Heartbeat: minutes("heartbeat", 0)}
		l := queue.Lease{Tasks: segment.Of(rapid.SliceOfN(rapid.IntRange(0, 9), 1, 10).Draw(t, "tasks")...), MaxDuration: minutes("own", 0),
			ExpiresAt: noon.Add(minutes("ends", 0)), Heard: map[int]time.Time{}}
		if rapid.Bool().Draw(t, "dispatched") {
			l.DispatchedAt = noon
		}
		for n := range l.Tasks.All() {
			if rapid.Bool().Draw(t, "heard") {
				l.Heard[n] = noon.Add(minutes("when", -100))
			}
		}
		now := noon.Add(minutes("now", 0))

		require.Equal(t, l.Held(), l.Lost(by, noon.Add(1000*time.Minute)))
		require.True(t, l.Lost(by, now).Minus(l.Lost(by, now.Add(minutes("later", 0)))).Empty())
	})
}

func TestTroubleIsStoredUnderTheseNames(t *testing.T) {
	text, err := json.Marshal(queue.Trouble{Error: "no such function", At: noon, Until: noon.Add(time.Minute)})

	require.NoError(t, err)
	require.JSONEq(t, `{"error": "no such function", "at": "2026-11-22T12:00:00Z", "until": "2026-11-22T12:01:00Z"}`, string(text))
}
