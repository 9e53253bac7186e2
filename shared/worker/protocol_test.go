package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

// protocolCase is a case of the suite that the SDKs of all languages run: protocol/README.md explains the fields.
type protocolCase struct {
	Name       string
	Now        time.Time
	Event      json.RawMessage
	Does       deed
	Sends      []map[string]json.RawMessage
	To         string
	Refused    []string
	Refuses    string
	Redelivers []string
}

// deed says what the user's function does.
type deed struct {
	Stats           map[string]any
	StatsBytes      int `json:"stats_bytes"`
	Heartbeats      int
	Returns         any
	ReturnsPayload  bool `json:"returns_payload"`
	ReturnsIdentity bool `json:"returns_identity"`
	ReturnsBytes    int  `json:"returns_bytes"`
	ReturnsNaN      bool `json:"returns_nan"`
	Raises          *struct {
		Type, Message string
		Permanent     bool
		RetryAfter    *float64 `json:"retry_after"`
	}
	Never bool
}

func (d deed) perform(t *testing.T, ctx context.Context, task worker.Task) (any, error) {
	t.Helper()
	require.False(t, d.Never, "the function is called")
	for name, value := range d.Stats {
		task.Stats(name, value)
	}
	if d.StatsBytes > 0 {
		task.Stats("text", strings.Repeat("x", d.StatsBytes))
	}
	for range d.Heartbeats {
		require.NoError(t, task.Heartbeat(ctx))
	}
	switch r := d.Raises; {
	case r != nil && r.Permanent:
		return nil, worker.Permanent(worker.Errorf(r.Type, "%s", r.Message))
	case r != nil && r.RetryAfter != nil:
		return nil, worker.RetryAfter(worker.Errorf(r.Type, "%s", r.Message), time.Duration(*r.RetryAfter*float64(time.Second)))
	case r != nil:
		return nil, worker.Errorf(r.Type, "%s", r.Message)
	case d.ReturnsPayload:
		return task.Payload, nil
	case d.ReturnsBytes > 0:
		return strings.Repeat("x", d.ReturnsBytes-2), nil
	case d.ReturnsNaN:
		return math.NaN(), nil
	case d.ReturnsIdentity:
		is := map[string]any{"task_id": task.ID, "job_id": task.JobID, "labourer_id": task.LabourerID, "attempt": task.Attempt, "deadline": task.Deadline}
		if task.SoswTaskID != "" {
			is["sosw_task_id"] = task.SoswTaskID
		}
		if parent := worker.TraceOf(ctx).Traceparent(); parent != "" {
			is["traceparent"] = parent
		}
		return is, nil
	}
	return d.Returns, nil
}

// completions records the messages of a worker.
type completions struct{ queues, texts []string }

func (c *completions) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	c.queues, c.texts = append(c.queues, *in.QueueUrl), append(c.texts, *in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

func TestTheProtocolOfWorkers(t *testing.T) {
	text, err := os.ReadFile("protocol/cases.json")
	require.NoError(t, err)
	var suite struct{ Cases []protocolCase }
	require.NoError(t, json.Unmarshal(text, &suite))
	require.NotEmpty(t, suite.Cases)
	for _, c := range suite.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var sent completions
			handler := worker.Handler(func(ctx context.Context, task worker.Task) (any, error) { return c.Does.perform(t, ctx, task) },
				worker.WithSender(&sent), worker.Clock(func() time.Time { return c.Now }), worker.Logger(slog.New(slog.DiscardHandler)))

			answer, err := handler.Invoke(t.Context(), c.Event)

			if c.Refuses != "" {
				bad, is := errors.AsType[*worker.BadEvent](err)
				require.True(t, is, "%v", err)
				require.Equal(t, c.Refuses, bad.Field)
			} else {
				require.NoError(t, err)
			}
			require.Len(t, sent.texts, len(c.Sends))
			for i, want := range c.Sends {
				requireMessage(t, want, sent.texts[i])
				for _, character := range c.Refused {
					require.NotContains(t, sent.texts[i], character)
				}
				if c.To != "" {
					require.Equal(t, c.To, sent.queues[i])
				}
			}
			if c.Redelivers != nil {
				var is struct {
					BatchItemFailures []struct{ ItemIdentifier string } `json:"batchItemFailures"`
				}
				require.NoError(t, json.Unmarshal(answer, &is))
				again := []string{}
				for _, f := range is.BatchItemFailures {
					again = append(again, f.ItemIdentifier)
				}
				require.Equal(t, c.Redelivers, again)
			}
		})
	}
}

// requireMessage compares a message with the one of a case. The text of an error counts only if the case gives it.
func requireMessage(t *testing.T, want map[string]json.RawMessage, text string) {
	t.Helper()
	var is map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(text), &is))
	expected := map[string]json.RawMessage{}
	maps.Copy(expected, want)
	if size, given := expected["result_bytes"]; given {
		require.Equal(t, string(size), string(mustJSON(t, len(is["result"]))))
		delete(expected, "result_bytes")
		delete(is, "result")
	}
	if _, failed := expected["error"]; failed {
		var was, got map[string]string
		require.NoError(t, json.Unmarshal(expected["error"], &was))
		require.NoError(t, json.Unmarshal(is["error"], &got))
		if _, given := was["message"]; !given {
			require.NotEmpty(t, got["message"])
			delete(got, "message")
			is["error"] = mustJSON(t, got)
		}
	}
	require.JSONEq(t, string(mustJSON(t, expected)), string(mustJSON(t, is)))
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}
