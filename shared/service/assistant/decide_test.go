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
	fed := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	running := func(attempt int) []queue.Lease {
		return []queue.Lease{{Labourer: "f", Segment: id.Segment, Tasks: segment.Of(id.N), Attempt: attempt, ClaimedAt: fed.Add(-time.Hour),
			Hands: map[int]queue.Hand{id.N: {Since: fed, By: queue.Mark("a message")}}}}
	}
	waiting := func(tried bool) []queue.Lease {
		return []queue.Lease{{Labourer: "f", Segment: id.Segment, Tasks: segment.Of(id.N), Attempt: 1, Waiting: segment.Of(id.N), Tried: tried}}
	}
	fresh, retried := task.Task{ID: id}, task.Task{ID: id, Attempt: 1, Status: task.Failed}
	completed, cancelled := task.Task{ID: id, Attempt: 1, Status: task.Completed}, task.Task{ID: id, Status: task.Cancelled}
	report := func(kind completion.Kind, attempt int) completion.Report {
		return completion.Report{Kind: kind, Attempt: attempt}
	}
	at := func(when time.Time) completion.Report {
		r := report(completion.NeverStarted, 1)
		r.At = when
		return r
	}

	for name, c := range map[string]struct {
		task    task.Task
		leases  []queue.Lease
		report  completion.Report
		action  action
		attempt int
		held    bool
	}{
		"a completion of the running attempt":               {fresh, running(1), report(completion.Completed, 1), end, 1, true},
		"a failure of the running attempt":                  {fresh, running(1), report(completion.Failed, 1), end, 1, true},
		"a heartbeat of the running attempt":                {fresh, running(1), report(completion.Running, 1), hear, 1, true},
		"a running attempt that never started":              {fresh, running(1), report(completion.NeverStarted, 1), putBack, 1, true},
		"a failed start that precedes the feed":             {fresh, running(1), at(fed.Add(-time.Minute)), setTimer, 1, true},
		"a failed start as the task was fed":                {fresh, running(1), at(fed.Add(-time.Second)), putBack, 1, true},
		"a completion of a task that waits":                 {fresh, waiting(false), report(completion.Completed, 1), ignore, 1, true},
		"a completion of a task that waits and was started": {fresh, waiting(true), report(completion.Completed, 1), end, 1, true},
		"a failure of a task that waits and was started":    {fresh, waiting(true), report(completion.Failed, 1), end, 1, true},
		"a heartbeat of a task that waits":                  {fresh, waiting(true), report(completion.Running, 1), ignore, 1, true},
		"a task that waits and never started":               {fresh, waiting(true), report(completion.NeverStarted, 1), setTimer, 1, true},
		"a completion of the queued attempt":                {fresh, nil, report(completion.Completed, 1), endIfTried, 1, false},
		"a heartbeat of the queued attempt":                 {fresh, nil, report(completion.Running, 1), ignore, 1, false},
		"a queued attempt that never started":               {fresh, nil, report(completion.NeverStarted, 1), setTimer, 1, false},
		"a completion without an attempt, one runs":         {retried, running(2), report(completion.Completed, 0), end, 2, true},
		"a completion without an attempt, one has ended":    {retried, nil, report(completion.Completed, 0), repeat, 1, false},
		"a completion without an attempt, none has started": {fresh, nil, report(completion.Completed, 0), ignore, 0, false},
		"a completion of the attempt that has just ended":   {retried, running(2), report(completion.Completed, 1), repeat, 1, false},
		"a completion of an attempt to come":                {fresh, running(1), report(completion.Completed, 2), ignore, 2, false},
		"a completion of an ended task in hand":             {completed, running(1), report(completion.Completed, 1), repeat, 1, true},
		"a completion of a cancelled task in hand":          {cancelled, running(1), report(completion.Completed, 1), ignore, 1, true},
		"a completion of a later attempt at an ended task":  {completed, nil, report(completion.Completed, 2), ignore, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := decide(c.task, c.leases, c.report)

			require.Equal(t, c.action, v.action)
			require.Equal(t, c.attempt, v.attempt)
			require.Equal(t, c.held, v.held)
		})
	}
}
