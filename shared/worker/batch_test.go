package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

const (
	standardARN = "arn:aws:sqs:eu-west-1:000000000000:tasks"
	fifoARN     = "arn:aws:sqs:eu-west-1:000000000000:tasks.fifo"
)

// batchOf returns the event that an event source mapping makes of messages with the given bodies, named m0, m1, ….
func batchOf(queueARN string, bodies ...string) string {
	var records []map[string]any
	for i, body := range bodies {
		records = append(records, map[string]any{
			"messageId": fmt.Sprintf("m%d", i), "body": body, "eventSource": "aws:sqs", "eventSourceARN": queueARN,
			"attributes": map[string]string{"SentTimestamp": fmt.Sprint(time.Now().UnixMilli())},
		})
	}
	text, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func taskCalled(id string) string { return event(id, 1, time.Now().Add(time.Hour), "") }

// comeAgain returns the messages that the answer returns to the queue.
func comeAgain(t *testing.T, answer []byte) []string {
	t.Helper()
	var response struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	require.NoError(t, json.Unmarshal(answer, &response))
	require.NotNil(t, response.BatchItemFailures, "Lambda takes null for a failure of the whole batch: %s", answer)
	ids := []string{}
	for _, failure := range response.BatchItemFailures {
		ids = append(ids, failure.ItemIdentifier)
	}
	return ids
}

func TestABatchRunsInOrderAndAReportedFailureIsNotRedelivered(t *testing.T) {
	queue := newFakeSQS()
	var order []string

	answer, err := invoke(t.Context(), queue, batchOf(standardARN, taskCalled("a"), taskCalled("b"), taskCalled("c")),
		func(_ context.Context, task worker.Task) (any, error) {
			order = append(order, task.ID)
			if task.ID == "b" {
				return nil, errors.New("no luck")
			}
			return "done", nil
		})

	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, order)
	require.Empty(t, comeAgain(t, answer))
	require.Len(t, queue.completions("completed"), 2)
	require.Len(t, queue.completions("failed"), 1)
}

func TestOnlyUnreportedMessagesAreRedelivered(t *testing.T) {
	for name, c := range map[string]struct {
		queueARN string
		bodies   []string
		sends    failures
		again    []string
	}{
		"one is no task":                              {standardARN, []string{taskCalled("a"), "hello", taskCalled("c")}, failures{}, []string{"m1"}},
		"one is not reported":                         {standardARN, []string{taskCalled("a"), taskCalled("b")}, failures{[]error{errNoQueue}}, []string{"m0"}},
		"in a FIFO queue all messages behind it also": {fifoARN, []string{taskCalled("a"), "hello", taskCalled("c"), taskCalled("d")}, failures{}, []string{"m1", "m2", "m3"}},
		"an unknown version":                          {standardARN, []string{strings.Replace(taskCalled("a"), `"version":1`, `"version":2`, 1)}, failures{}, []string{"m0"}},
	} {
		t.Run(name, func(t *testing.T) {
			queue := newFakeSQS()
			queue.sendErrors = c.sends

			answer, err := invoke(t.Context(), queue, batchOf(c.queueARN, c.bodies...), func(context.Context, worker.Task) (any, error) { return 1, nil })

			require.NoError(t, err)
			require.Equal(t, c.again, comeAgain(t, answer))
			require.Len(t, queue.completions("completed"), len(c.bodies)-len(c.again))
		})
	}
}

func TestTasksForWhichALambdaHasNoTimeAreRedelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		answer, err := invoke(ctx, queue, batchOf(standardARN, taskCalled("a"), taskCalled("b")), func(_ context.Context, task worker.Task) (any, error) {
			time.Sleep(time.Minute + time.Second) // ignores its context
			return task.ID, nil
		})

		require.NoError(t, err)
		require.Equal(t, []string{"m0", "m1"}, comeAgain(t, answer), "the report of the first one was too late as well")
		require.Empty(t, queue.completions("failed"))
	})
}

func TestAHeartbeatCountsTheTimeThatATaskWaitedInItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, sent := newFakeSQS(), time.Now()
		batch := batchOf(standardARN, event("a", 1, sent.Add(10*time.Minute), ""))
		time.Sleep(8 * time.Minute)
		received := time.Now()

		_, err := invoke(t.Context(), queue, batch, func(ctx context.Context, task worker.Task) (any, error) {
			require.NoError(t, task.Heartbeat(ctx))
			<-ctx.Done()
			return nil, ctx.Err()
		})

		require.NoError(t, err)
		require.Equal(t, 10*time.Minute-2*time.Second, time.Since(received))
	})
}

func TestATaskWithAnAttributeCalledRecordsIsATask(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, inAnHour(`"Records":[{"eventSource":"aws:sqs","body":"x"}],`), func(context.Context, worker.Task) (any, error) { return 1, nil })

	require.NoError(t, err)
	require.Len(t, queue.completions("completed"), 1)
}
