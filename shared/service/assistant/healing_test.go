package assistant_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// stage returns a stack with a labourer that has this cap.
func stage(t require.TestingT, limit int) *outage.Stage {
	return outage.NewStage(t, fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: %d, max_duration: 10m, cooldown: 5m}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f"), limit), "f")
}

// job returns a job that makes n tasks.
func job(id string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"s%03d"`, i)
	}
	return fmt.Sprintf(`{"job_id": %q, "labourer": "f", "stores": [%s], "isolate_stores": true}`, id, strings.Join(names, ","))
}

func messages(bodies ...string) []assistant.Message {
	out := make([]assistant.Message, len(bodies))
	for i, body := range bodies {
		out[i] = assistant.Message{ID: fmt.Sprintf("message-%d", i), Body: body}
	}
	return out
}

func completed(h outage.Handed) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed", "result": {"rows": 1}}`, h.TaskID, h.Attempt)
}

func failed(h outage.Handed) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "failed", "error": {"type": "Boom", "message": "as told"}}`, h.TaskID, h.Attempt)
}

func running(h outage.Handed) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "running"}`, h.TaskID, h.Attempt)
}

func neverStarted(h outage.Handed) string {
	return fmt.Sprintf(`{"requestContext": {"condition": "EventAgeExceeded"}, "requestPayload": {"drover": {"version": 1, "task_id": %q, "attempt": %d}}}`, h.TaskID, h.Attempt)
}

// TestG1G4G5EachEndCountsOnceWhereverTheAssistantIsInterrupted: of seven running tasks some complete, one twice, some fail, one could not be
// started, and one sends a heartbeat.
func TestG1G4G5EachEndCountsOnceWhereverTheAssistantIsInterrupted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 8)
		s.Schedule(t, job("nightly", 20))
		require.Equal(t, 8, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		batch := messages(completed(h[0]), completed(h[1]), failed(h[2]), completed(h[1]), running(h[3]), neverStarted(h[4]), completed(h[5]), failed(h[6]), `nonsense`,
			neverStarted(h[7]))
		told := len(s.EventBridge.Told())
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			missing, summary := s.Services().Assistant.Service.Handle(context.Background(), fmt.Sprintf("invocation-%d", delivery), batch)
			if len(missing) > 0 {
				return fmt.Errorf("%d messages must be redelivered: %v", len(missing), summary.Errors)
			}
			return nil
		})

		cut.Off()
		woken := false
		for _, e := range s.EventBridge.Told()[told:] {
			woken = woken || e.DetailType == "TasksDue"
		}
		require.True(t, woken, "slots are free and tasks are due, and the orchestrator is not woken")
		return outage.Picture(s.Stack)
	})
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

		cut.Redeliver(t, s.World, 10*time.Second, func(delivery int) error {
			missing, summary := s.Services().Assistant.Service.Handle(context.Background(), fmt.Sprintf("invocation-%d", delivery), batch)
			if len(missing) > 0 {
				return fmt.Errorf("%d messages must be redelivered: %v", len(missing), summary.Errors)
			}
			return nil
		})

		cut.Off()
		s.RunFor(20 * time.Second)
		require.Less(t, s.World.Now(), outage.Start.Add(time.Minute), "no tick has come")
		require.Len(t, s.Handed(t, "f"), 2)
		require.Len(t, s.Handed(t, "g"), 2)
		return outage.Picture(s.Stack)
	})
}

// TestG1TheLastTaskOfALeaseIsReleasedWithIt, wherever the assistant is interrupted: no slot stays taken.
func TestG1TheLastTaskOfALeaseIsReleasedWithIt(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 3)
		s.Schedule(t, job("nightly", 3))
		require.Equal(t, 3, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			missing, summary := s.Services().Assistant.Service.Handle(context.Background(), fmt.Sprintf("invocation-%d", delivery), messages(completed(h[0]), completed(h[1]), completed(h[2])))
			if len(missing) > 0 {
				return fmt.Errorf("again: %v", summary.Errors)
			}
			return nil
		})

		cut.Off()
		leases, err := s.Control.Leases(context.Background(), "f")
		require.NoError(t, err)
		require.Empty(t, leases)
		return outage.Picture(s.Stack)
	})
}

// TestG4TwoAssistantsOnOneReport: the second does all of its work before some request of the first.
func TestG4TwoAssistantsOnOneReport(t *testing.T) {
	for name, second := range map[string]func(outage.Handed) string{"the same": completed, "another end": failed} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := stage(t, 2)
				s.Schedule(t, job("nightly", 4))
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

				missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "first", messages(completed(h[0])))

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
				require.Equal(t, 1+counted["failed"], held, "a failed task stays in its lease, a completed one does not")
			}
		})
	}
}
