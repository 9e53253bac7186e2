package assistant_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// counted counts the messages that functions send from now on, except to workers.
func counted(s *outage.Stage) *int {
	n := 0
	s.SQS.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "SendMessage" {
			n++
		}
		return nil
	}
	return &n
}

// wake returns the message that wakes for labourers after a wait.
func wake(s *outage.Stage, in time.Duration, labourers ...string) string {
	return completion.Wake{Labourers: labourers, DueAt: s.World.Now().Add(in)}.Messages()[0]
}

// told returns the labourers of each TasksDue since.
func told(t *testing.T, s *outage.Stage, since int) (out [][]string) {
	t.Helper()
	for _, e := range s.EventBridge.Told()[since:] {
		var detail struct{ Labourers []string }
		if e.DetailType == "TasksDue" {
			require.NoError(t, json.Unmarshal(e.Detail, &detail))
			out = append(out, detail.Labourers)
		}
	}
	return out
}

// withoutTicks lets nothing but messages and events wake the orchestrator.
func withoutTicks(s *outage.Stage) {
	s.World.Course = func(kind fakeaws.Kind, _ string) []time.Duration {
		if kind == fakeaws.Tick {
			return nil
		}
		return []time.Duration{0}
	}
}

// failing returns a stage without ticks on which a task of f has failed and is due again.
func failing(t *testing.T) *outage.Stage {
	t.Helper()
	s, h := out(t, 1)
	withoutTicks(s)
	s.ReportUnsettled(t, h[0].Failed("Boom"))
	s.SQS.Before = func(context.Context, fakeaws.Request) error { return errors.New("its own wake is lost") }
	_, err := s.Services().Scavenger.Service.Handle(context.Background(), "scavenge", s.Ended(t))
	require.ErrorContains(t, err, "its own wake is lost")
	s.SQS.Before = nil
	s.RunFor(time.Hour)
	require.Len(t, s.Handed(t, "f"), 1)
	return s
}

func TestAWakeThatIsDueWakesTheOrchestratorOnceForABatch(t *testing.T) {
	s := failing(t)
	before := len(s.EventBridge.Told())

	summary := handle(t, s, wake(s, -time.Second, "f"), wake(s, 0, "f", "g"), wake(s, -time.Minute, "nobody"))

	require.Equal(t, assistant.Summary{Woken: 3}, summary)
	require.Equal(t, [][]string{{"f"}}, told(t, s, before), "nothing is due for the others")
}

func TestAWakeForTasksThatHaveStartedWakesNothing(t *testing.T) {
	s := failing(t)
	require.Equal(t, 1, s.HandOut(t, "f"))
	before := len(s.EventBridge.Told())

	require.Equal(t, assistant.Summary{Woken: 1}, handle(t, s, wake(s, 0, "f")))

	require.Empty(t, told(t, s, before))
}

// TestG10AWakeThatComesTooEarlyIsSentAgain, as its wait is longer than a message can be delayed, or as a clock is behind. Wakes for the same time
// become one.
func TestG10AWakeThatComesTooEarlyIsSentAgain(t *testing.T) {
	s := failing(t)
	before, sent := len(s.EventBridge.Told()), counted(s)

	summary := handle(t, s, wake(s, 1500*time.Millisecond, "f"), wake(s, 1500*time.Millisecond, "g", "f"), wake(s, 15*time.Minute, "f"))

	require.Equal(t, assistant.Summary{Early: 3}, summary)
	require.Equal(t, 2, *sent)
	require.Empty(t, told(t, s, before))
	s.RunFor(1900 * time.Millisecond)
	require.Empty(t, told(t, s, before))
	s.RunFor(1200 * time.Millisecond) // the rest of two seconds, and the window
	require.Equal(t, [][]string{{"f"}}, told(t, s, before))
}

// TestALongWaitIsPassedOnFromMessageToMessage until it is due.
func TestALongWaitIsPassedOnFromMessageToMessage(t *testing.T) {
	s, h := out(t, 1)
	s.ReportUnsettled(t, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "failed", "retry_after": "14m"}`, h[0].TaskID))
	sent := counted(s)
	withoutTicks(s)
	s.Scavenge(t)

	s.RunFor(14 * time.Minute)
	require.Len(t, s.Handed(t, "f"), 1)
	s.RunFor(time.Minute)
	require.Len(t, s.Handed(t, "f"), 2)
	require.Equal(t, 4, *sent, "four minutes each, and the rest")
}

func TestG9AWakeForAFarTimeIsBuried(t *testing.T) {
	s := stage(t, 1)
	sent := counted(s)

	require.Equal(t, assistant.Summary{Buried: 1, Early: 1}, handle(t, s, wake(s, 15*time.Minute+time.Millisecond, "f"), wake(s, 15*time.Minute, "f")))

	require.Equal(t, 2, *sent, "one is sent again, the other to the dead letters")
	letters := s.SQS.Letters(fakeaws.CompletionsDead)
	require.Len(t, letters, 1)
	require.Equal(t, "the wake is due more than 15m0s ahead", letters[0].Reason)
}

// TestAWakeThatFailsIsRedelivered, but not given up to the dead letters: the minute tick finds what is due.
func TestAWakeThatFailsIsRedelivered(t *testing.T) {
	for name, fails := range map[string]func(*outage.Stage) *fakeaws.Hooks{
		"the queue cannot be read":     func(s *outage.Stage) *fakeaws.Hooks { return &s.DynamoDB.Hooks },
		"the bus takes nothing":        func(s *outage.Stage) *fakeaws.Hooks { return &s.EventBridge.Hooks },
		"the message cannot be resent": func(s *outage.Stage) *fakeaws.Hooks { return &s.SQS.Hooks },
	} {
		t.Run(name, func(t *testing.T) {
			s := failing(t)
			fails(s).Before = func(context.Context, fakeaws.Request) error { return errors.New("refused") }
			batch := func(receives int) []assistant.Message {
				return []assistant.Message{{ID: "due", Body: wake(s, 0, "f"), Receives: receives}, {ID: "early", Body: wake(s, time.Minute, "f"), Receives: receives}}
			}

			missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "first", batch(4))
			require.Len(t, missing, 1, "%v", summary.Errors)

			missing, summary = s.Services().Assistant.Service.Handle(context.Background(), "last", batch(5))
			require.Empty(t, missing)
			require.NotEmpty(t, summary.Errors)
		})
	}
}

// TestG8AWakeDelaysNoCompletion: its failure is its own.
func TestG8AWakeDelaysNoCompletion(t *testing.T) {
	s, h := out(t, 2)
	s.SQS.Before = func(context.Context, fakeaws.Request) error { return errors.New("refused") }
	batch := messages(wake(s, time.Minute, "f"), h[0].Completed())

	missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "invocation", batch)

	require.Equal(t, []string{batch[0].ID}, missing)
	require.Equal(t, 1, summary.Completed)
}

func TestACompletionAndAWakeShareAPublication(t *testing.T) {
	s, h := out(t, 1)
	s.Schedule(t, outage.Job("weekly", "f", 1))
	before := len(s.EventBridge.Told())

	handle(t, s, wake(s, 0, "f"), h[0].Completed(), wake(s, 0, "f"))

	require.Equal(t, [][]string{{"f"}}, told(t, s, before))
}
