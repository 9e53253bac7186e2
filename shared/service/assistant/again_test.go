package assistant_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// TestAFailedTaskWaitsInItsLeaseAndItsSlotIsFed with the requests of a completion: one write closes the attempt, one writes the lease.
func TestAFailedTaskWaitsInItsLeaseAndItsSlotIsFed(t *testing.T) {
	s, h := granted(t, 2, 5)
	writes := 0
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "UpdateItem" || r.Operation == "TransactWriteItems" {
			writes++
		}
		return nil
	}

	require.Equal(t, assistant.Summary{Failed: 1, Fed: 1}, handle(t, s, h[0].Failed("Boom")))

	l, now := lease(t, s), s.World.Now()
	require.Equal(t, segment.Of(1, 2), l.InHand())
	require.Len(t, l.Retries, 1)
	require.Equal(t, 2, l.Retries[0].Attempt)
	require.WithinRange(t, l.Retries[0].Due, now.Add(time.Second), now.Add(30*time.Second))
	require.Equal(t, task.Failed, stored(t, s, h[0].TaskID).Status)
	require.Equal(t, 2, writes)
	require.Len(t, s.Handed(t, "f"), 3)
}

func TestFailedTasksThatAreLeftToTheScavenger(t *testing.T) {
	failed := func(h outage.Handed, more string) string {
		return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "failed"%s}`, h.TaskID, h.Attempt, more)
	}
	for name, c := range map[string]struct {
		report, apply string
		lease         func(queue.Lease) queue.Lease
	}{
		"it is not to be tried again":      {report: `, "retryable": false`},
		"its wait is long":                 {report: `, "retry_after": "61s"`},
		"its lease keeps an order":         {lease: func(l queue.Lease) queue.Lease { l.Ordered = true; return l }},
		"its target keeps an order by now": {apply: `{target: {sqs: "` + outage.Worker("f") + `.fifo"}, max_duration: 10m, cooldown: 5m}`},
		"a task may take longer by now":    {apply: `{target: {sqs: "` + outage.Worker("f") + `"}, max_duration: 20m, cooldown: 5m}`},
		"its start failed before":          {lease: func(l queue.Lease) queue.Lease { l.Misfires = 1; return l }},
		"it may have been started before":  {lease: func(l queue.Lease) queue.Lease { l.Tried = true; return l }},
		"so many wait in its lease already": {lease: func(l queue.Lease) queue.Lease {
			l.Retries = map[int]queue.Retry{}
			for n := range queue.MostRetries {
				l.Retries[100+n] = queue.Retry{Due: s0.Add(time.Hour), Attempt: 2}
			}
			return l
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := granted(t, 2, 5)
			if c.lease != nil {
				change(t, s, c.lease)
			}
			if c.apply != "" {
				require.NoError(t, s.Apply("labourers: {f: "+c.apply+"}"))
				s.Pass(time.Minute)
			}

			require.Equal(t, 1, handle(t, s, failed(h[0], c.report)).Failed)

			l := lease(t, s)
			require.NotContains(t, l.Retries, 0)
			require.Contains(t, l.Hands, 0)
		})
	}
}

// s0 holds the time at which stages begin.
var s0 = outage.Start

// TestARetryStartsAsAnotherTaskOfItsLeaseEnds, and its own end counts as any other's.
func TestARetryStartsAsAnotherTaskOfItsLeaseEnds(t *testing.T) {
	s, h := granted(t, 2, 2)
	handle(t, s, h[0].Failed("Boom"))
	s.Pass(time.Minute)

	require.Equal(t, assistant.Summary{Completed: 1, Fed: 1}, handle(t, s, h[1].Completed()))

	again := s.Handed(t, "f")[2]
	require.Equal(t, outage.Handed{TaskID: h[0].TaskID, Attempt: 2, Deadline: again.Deadline}, again)
	require.Empty(t, lease(t, s).Retries)
	require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, h[0].Completed()), "the first attempt has ended")
	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, again.Completed()))
	leases, err := s.Control.Leases(context.Background(), "f")
	require.NoError(t, err)
	require.Empty(t, leases)
	s.Scavenge(t)
	require.Contains(t, outage.Picture(s.Stack), "fact JobCompleted/nightly/1")
}

// TestG10ARetryStartsAtItsTimeWithoutATick, where no task of its lease runs any more.
func TestG10ARetryStartsAtItsTimeWithoutATick(t *testing.T) {
	s, h := granted(t, 2, 2)
	withoutTicks(s)
	handle(t, s, h[0].Failed("Boom"), h[1].Completed())
	due := lease(t, s).Retries[0].Due

	s.RunFor(due.Sub(s.World.Now()) - time.Millisecond)
	require.Len(t, s.Handed(t, "f"), 2)
	s.RunFor(4 * time.Second) // the rest of a second, and the windows
	require.Len(t, s.Handed(t, "f"), 3)
	require.Equal(t, 2, s.Handed(t, "f")[2].Attempt)
}

// TestAWakeWithoutAFreeSlotWakesNothing: what is due starts as a slot becomes free.
func TestAWakeWithoutAFreeSlotWakesNothing(t *testing.T) {
	s, h := granted(t, 2, 20)
	s.Schedule(t, outage.Job("weekly", "f", 1))
	handle(t, s, h[0].Failed("Boom"))
	s.Pass(time.Minute)
	before := len(s.EventBridge.Told())

	require.Equal(t, assistant.Summary{Woken: 1}, handle(t, s, wake(s, 0, "f")))
	require.Empty(t, told(t, s, before))

	require.NoError(t, s.Apply(fmt.Sprintf("labourers: {f: {target: {sqs: %q}, max_simultaneous_invocations: 3}}", outage.Worker("f"))))
	before = len(s.EventBridge.Told())
	handle(t, s, wake(s, 0, "f"))
	require.Equal(t, [][]string{{"f"}}, told(t, s, before))
}

// TestTheLastFailureOfALeaseWakesForWhatIsDue, although its last slot is no eighth of them, and the task waits in the lease.
func TestTheLastFailureOfALeaseWakesForWhatIsDue(t *testing.T) {
	s, h := granted(t, 9, 9)
	s.Schedule(t, outage.Job("weekly", "f", 20))
	for _, one := range h[:8] {
		handle(t, s, one.Completed())
	}
	before := len(s.EventBridge.Told())

	handle(t, s, h[8].Failed("Boom"))

	require.Equal(t, [][]string{{"f"}}, told(t, s, before))
}

// TestG1AFailedTaskIsInOnePlaceWhicheverSettlesItFirst: the scavenger works at one of the requests of the assistant.
func TestG1AFailedTaskIsInOnePlaceWhicheverSettlesItFirst(t *testing.T) {
	kept, queued := false, false
	for at := 1; ; at++ {
		s, h := granted(t, 2, 5)
		requests := 0
		s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			if requests++; requests == at {
				s.Scavenge(t)
			}
			return nil
		}

		handle(t, s, h[0].Failed("Boom"))

		s.DynamoDB.Before = nil
		s.Scavenge(t)
		entries, err := s.Control.Queue(context.Background(), "f")
		require.NoError(t, err)
		_, waits := lease(t, s).Retries[0]
		require.NotEqual(t, len(entries) == 1, waits, "at request %d", at)
		kept, queued = kept || waits, queued || len(entries) == 1
		require.Equal(t, segment.Of(0), segment.Of(0).Minus(lease(t, s).InHand()))
		if requests < at {
			break
		}
	}
	require.True(t, kept)
	require.True(t, queued)
}
