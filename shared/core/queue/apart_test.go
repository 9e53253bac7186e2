package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

func TestANewLeaseGetsAKeyThatNoOtherLeaseHas(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lease := func(attempt, first int) queue.Lease {
		return queue.Lease{Segment: "a", Attempt: attempt, First: first, Tasks: segment.Of(first)}
	}
	entry := func(n int) queue.Entry {
		return queue.Entry{Segment: "a", Attempt: 1, Due: at, First: n, Tasks: segment.Of(n)}
	}
	take := func() []queue.Taking {
		return queue.Take(queue.State{}, []queue.Entry{entry(5), entry(0), entry(6)}, 10, at, func(time.Duration) time.Duration { return time.Hour })
	}
	firsts := func(takings []queue.Taking) []int {
		var out []int
		for _, one := range takings {
			out = append(out, one.Lease.First)
			require.Equal(t, one.Entry.Tasks, one.Lease.Tasks)
		}
		return out
	}

	require.Equal(t, []int{5, 0, 6}, firsts(queue.Apart(take(), nil)), "no conflict")
	require.Equal(t, []int{5, 0, 6}, firsts(queue.Apart(take(), []queue.Lease{lease(2, 5), {Segment: "b", Attempt: 1, First: 5}})), "another attempt, another segment")
	require.Equal(t, []int{0, 1, 6}, firsts(queue.Apart(take(), []queue.Lease{lease(1, 5)})), "and no conflict with each other")
	var all []queue.Lease
	for n := range 255 {
		all = append(all, lease(1, n))
	}
	require.Equal(t, []int{255}, firsts(queue.Apart(take()[:1], all)))
}
