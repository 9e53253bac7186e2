package assistant

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// TestG4OnlyTheCurrentAttemptEnds decides on each kind of report against each state of its task.
func TestG4OnlyTheCurrentAttemptEnds(t *testing.T) {
	id := task.ID{Segment: "abcdefghijklmnop", N: 7}
	claimed := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	holding := func(attempt int) []queue.Lease {
		return []queue.Lease{{Labourer: "f", Segment: id.Segment, Tasks: segment.Of(id.N), Attempt: attempt, ClaimedAt: claimed}}
	}
	fresh, retried := task.Task{ID: id}, task.Task{ID: id, Attempt: 1, Status: task.Failed}
	completed := task.Task{ID: id, Attempt: 1, Status: task.Completed}
	report := func(kind completion.Kind, attempt int) completion.Report {
		return completion.Report{Kind: kind, Attempt: attempt}
	}
	early := report(completion.NeverStarted, 1)
	early.At = claimed.Add(-time.Minute)

	for name, c := range map[string]struct {
		task    task.Task
		leases  []queue.Lease
		report  completion.Report
		action  action
		attempt int
	}{
		"a completion of the running attempt":               {fresh, holding(1), report(completion.Completed, 1), end, 1},
		"a failure of the running attempt":                  {fresh, holding(1), report(completion.Failed, 1), end, 1},
		"a heartbeat of the running attempt":                {fresh, holding(1), report(completion.Running, 1), hear, 1},
		"a running attempt that never started":              {fresh, holding(1), report(completion.NeverStarted, 1), putBack, 1},
		"a failed start that precedes the claim":            {fresh, holding(1), early, setTimer, 1},
		"a completion of the queued attempt":                {fresh, nil, report(completion.Completed, 1), endIfTried, 1},
		"a heartbeat of the queued attempt":                 {fresh, nil, report(completion.Running, 1), ignore, 1},
		"a queued attempt that never started":               {fresh, nil, report(completion.NeverStarted, 1), setTimer, 1},
		"a completion without an attempt, one runs":         {retried, holding(2), report(completion.Completed, 0), end, 2},
		"a completion without an attempt, one has ended":    {retried, nil, report(completion.Completed, 0), repeat, 1},
		"a completion without an attempt, none has started": {fresh, nil, report(completion.Completed, 0), ignore, 0},
		"a completion of the attempt that has just ended":   {retried, holding(2), report(completion.Completed, 1), repeat, 1},
		"a completion of an attempt to come":                {fresh, holding(1), report(completion.Completed, 2), ignore, 2},
		"a completion of an ended task":                     {completed, holding(1), report(completion.Completed, 1), repeat, 1},
		"a completion of a later attempt at an ended task":  {completed, nil, report(completion.Completed, 2), ignore, 2},
	} {
		t.Run(name, func(t *testing.T) {
			v := decide(c.task, c.leases, c.report)

			require.Equal(t, c.action, v.action)
			require.Equal(t, c.attempt, v.attempt)
			_, held := queue.Holding(c.leases, id, c.attempt)
			require.Equal(t, held, v.held)
		})
	}
}
