package assistant_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// stage returns a stack with a labourer that has this cap.
func stage(t require.TestingT, limit int) *outage.Stage { return stageOf(t, "f", limit) }

// stageOf returns a stack with a labourer that has this queue of workers.
func stageOf(t require.TestingT, workers string, limit int) *outage.Stage {
	return outage.NewStage(t, fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: %d, max_duration: 10m, cooldown: 5m}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker(workers), limit), workers)
}

var sent atomic.Int64

// messages returns new messages, each with its own id, that are received for the first time.
func messages(bodies ...string) []assistant.Message {
	out := make([]assistant.Message, len(bodies))
	for i, body := range bodies {
		out[i] = assistant.Message{ID: fmt.Sprintf("message-%d", sent.Add(1)), Body: body, Receives: 1}
	}
	return out
}

// again returns messages as they are received at another delivery.
func again(batch []assistant.Message, delivery int) []assistant.Message {
	out := slices.Clone(batch)
	for i := range out {
		out[i].Receives = delivery
	}
	return out
}

// redeliver has the assistant process a batch until it is done, with each interruption.
func redeliver(t *testing.T, s *outage.Stage, cut *outage.Cut, pause time.Duration, batch []assistant.Message) {
	t.Helper()
	cut.Redeliver(t, s.World, pause, func(delivery int) error {
		missing, summary := s.Services().Assistant.Service.Handle(context.Background(), fmt.Sprintf("invocation-%d", delivery), again(batch, delivery))
		if len(missing) > 0 {
			return fmt.Errorf("%d messages must be redelivered: %v", len(missing), summary.Errors)
		}
		return nil
	})
}

func running(h outage.Handed) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "running"}`, h.TaskID, h.Attempt)
}

func neverStarted(h outage.Handed) string {
	return fmt.Sprintf(`{"requestContext": {"condition": "EventAgeExceeded"}, "requestPayload": {"drover": {"version": 1, "task_id": %q, "attempt": %d}}}`, h.TaskID, h.Attempt)
}

// TestG1G4G5EachEndCountsOnceWhereverTheAssistantIsInterrupted: of eight running tasks some complete, one twice, some fail, two could not be
// started, and one sends a heartbeat. Others wait in the lease, and take the slots of those that completed.
func TestG1G4G5EachEndCountsOnceWhereverTheAssistantIsInterrupted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 8)
		s.Schedule(t, outage.Job("nightly", "f", 20))
		require.Equal(t, 8, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		batch := messages(h[0].Completed(), h[1].Completed(), h[2].Failed("Boom"), h[1].Completed(), running(h[3]), neverStarted(h[4]), h[5].Completed(), h[6].Failed("Boom"), `nonsense`,
			neverStarted(h[7]))
		told := len(s.EventBridge.Told())
		cut.On(s.Stack)

		redeliver(t, s, cut, time.Minute, batch)

		cut.Off()
		// In an undisturbed run the slots of the tasks that never started stay idle. A redelivery may feed them.
		inHand := requireStarted(t, s, "f", told)
		require.GreaterOrEqual(t, inHand, 6)
		require.LessOrEqual(t, inHand, 8)
		// An assistant that cannot read the labourer leaves a failed task in hand, to the scavenger.
		return strings.ReplaceAll(outage.Picture(s.Stack), "waits for attempt 2", "is held for attempt 1")
	})
}

// uncut ends the cut of requests for now: those of a test's own steps do not count.
func uncut(s *fakeaws.Stack) {
	s.DynamoDB.Hooks, s.SQS.Hooks, s.EventBridge.Hooks, s.StepFunctions.Hooks = fakeaws.Hooks{}, fakeaws.Hooks{}, fakeaws.Hooks{}, fakeaws.Hooks{}
}

// requireStarted checks that each task in hand was started, or is left to the orchestrator, which is then woken by one of the events after the
// first told. It returns how many tasks are in hand.
func requireStarted(t *testing.T, s *outage.Stage, workers string, told int) int {
	t.Helper()
	started := map[string]bool{}
	for _, h := range s.Handed(t, workers) {
		started[h.TaskID] = true
	}
	woken := slices.ContainsFunc(s.EventBridge.Told()[told:], func(e event.Envelope) bool { return e.DetailType == "TasksDue" })
	leases, err := s.Control.Leases(context.Background(), "f")
	require.NoError(t, err)
	inHand := 0
	for _, l := range leases {
		for n, h := range l.Hands {
			inHand++
			if h.By == queue.Undispatched {
				require.True(t, woken, "task %d is left to the orchestrator, which is not woken", n)
			} else {
				require.True(t, started[task.ID{Segment: l.Segment, N: n}.String()], "task %d is in hand and was not started", n)
			}
		}
	}
	return inHand
}

// orchestrate has the orchestrator start what is left to it, and what may start beyond that.
func orchestrate(t *testing.T, s *outage.Stage) {
	t.Helper()
	o := s.Services().Orchestrator.Service
	reaped, err := o.Reap(context.Background(), "f")
	require.NoError(t, err)
	_, err = o.Dispatch(context.Background(), "f", reaped.Undispatched)
	require.NoError(t, err)
	s.HandOut(t, "f")
}

// TestG1AFreedSlotIsFedWhereverTheAssistantIsInterrupted, message by message, until nothing is left: each task completes once. A FIFO queue
// gets the tasks in their order.
func TestG1AFreedSlotIsFedWhereverTheAssistantIsInterrupted(t *testing.T) {
	for _, workers := range []string{"f", "f.fifo"} {
		t.Run(workers, func(t *testing.T) {
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				s := stageOf(t, workers, 2)
				s.Schedule(t, outage.Job("nightly", "f", 5))
				require.Equal(t, 2, s.HandOut(t, "f"))

				ended := map[string]bool{}
				for len(ended) < 5 {
					told := len(s.EventBridge.Told())
					next := outage.Handed{}
					for _, h := range s.Handed(t, workers) {
						if !ended[h.TaskID] {
							next = h
						}
					}
					require.NotEmpty(t, next.TaskID, "no task is started any more")
					ended[next.TaskID] = true
					cut.On(s.Stack)
					redeliver(t, s, cut, time.Minute, messages(next.Completed()))
					uncut(s.Stack)
					require.Equal(t, min(2, 5-len(ended)), requireStarted(t, s, workers, told))
					if cut.Happened() {
						orchestrate(t, s)
					}
				}

				cut.Off()
				if workers == "f.fifo" {
					requireInOrder(t, s)
				}
				picture := outage.Picture(s.Stack)
				require.Contains(t, picture, "completed=5")
				require.NotContains(t, picture, "is held")
				return picture
			})
		})
	}
}

// requireInOrder checks that a FIFO queue got the tasks of the only segment in their order. It takes each of them once in five minutes.
func requireInOrder(t *testing.T, s *outage.Stage) {
	t.Helper()
	last := -1
	for _, h := range s.Handed(t, "f.fifo") {
		id, err := task.ParseID(h.TaskID)
		require.NoError(t, err)
		require.LessOrEqual(t, id.N, last+1, "tasks before it are not started")
		last = max(last, id.N)
	}
}

// TestG1ATaskThatCouldNotBeStartedNeedsNoTick, wherever the assistant is interrupted while it puts the task back, for two labourers.
func TestG1ATaskThatCouldNotBeStartedNeedsNoTick(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := outage.NewStage(t, fmt.Sprintf("labourers: {f: {target: {sqs: %q}}, g: {target: {sqs: %q}}}", outage.Worker("f"), outage.Worker("g")), "f", "g")
		s.Schedule(t, `{"job_id": "one", "labourer": "f"}`, `{"job_id": "other", "labourer": "g"}`)
		require.Equal(t, 1, s.HandOut(t, "f"))
		require.Equal(t, 1, s.HandOut(t, "g"))
		s.RunFor(time.Second) // until the wakes of the jobs are over
		batch := messages(neverStarted(s.Handed(t, "f")[0]), neverStarted(s.Handed(t, "g")[0]))
		cut.On(s.Stack)

		redeliver(t, s, cut, 10*time.Second, batch)

		cut.Off()
		s.RunFor(20 * time.Second)
		require.Less(t, s.World.Now(), outage.Start.Add(time.Minute), "no tick has come")
		require.Len(t, s.Handed(t, "f"), 2)
		require.Len(t, s.Handed(t, "g"), 2)
		return outage.Picture(s.Stack)
	})
}

// TestG1G5TheLastTaskOfALeaseEndsTheLeaseAndItsJob, wherever the assistant is interrupted: no slot stays taken, and what
// was completed is entered.
func TestG1TheLastTaskOfALeaseIsReleasedWithIt(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 3)
		s.Schedule(t, outage.Job("nightly", "f", 3))
		require.Equal(t, 3, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		cut.On(s.Stack)

		redeliver(t, s, cut, time.Minute, messages(h[0].Completed(), h[1].Completed(), h[2].Completed()))

		cut.Off()
		leases, err := s.Control.Leases(context.Background(), "f")
		require.NoError(t, err)
		require.Empty(t, leases)
		return outage.Picture(s.Stack)
	})
}

// TestG4TwoAssistantsOnOneReport: the second does all of its work before some request of the first.
func TestG4TwoAssistantsOnOneReport(t *testing.T) {
	for name, second := range map[string]func(outage.Handed) string{
		"the same":    outage.Handed.Completed,
		"another end": func(h outage.Handed) string { return h.Failed("Boom") },
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := stage(t, 2)
				s.Schedule(t, outage.Job("nightly", "f", 4))
				require.Equal(t, 2, s.HandOut(t, "f"))
				h := s.Handed(t, "f")
				requests, counted := 0, map[string]int{}
				s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
					if requests++; requests != at {
						return nil
					}
					missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "second", messages(second(h[0])))
					require.Empty(t, missing, "%v", summary.Errors)
					counted["completed"] += summary.Completed
					counted["failed"] += summary.Failed
					return nil
				}

				missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "first", messages(h[0].Completed()))

				require.Empty(t, missing, "%v", summary.Errors)
				if requests < at {
					require.Greater(t, at, 3)
					return
				}
				require.Equal(t, 1, counted["completed"]+counted["failed"]+summary.Completed, "ends of the attempt, at request %d", at)
				leases, err := s.Control.Leases(context.Background(), "f")
				require.NoError(t, err)
				held := 0
				for _, l := range leases {
					held += l.Held().Len()
				}
				require.Equal(t, 3+counted["failed"], held, "a failed task waits in its lease, a completed one has left it")
				require.Equal(t, 2, queue.Running(leases), "its slot was fed once")
				require.Len(t, s.Handed(t, "f"), 3)
			}
		})
	}
}
