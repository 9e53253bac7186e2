package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	drover "github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/worker"
)

func invoke(ctx context.Context, queue *fakeSQS, text string, function worker.Func, options ...worker.Option) ([]byte, error) {
	options = append([]worker.Option{worker.WithSender(queue), quiet}, options...)
	return worker.Handler(function, options...).Invoke(ctx, []byte(text))
}

func inAnHour(attributes string) string {
	return event("t.1", 3, time.Now().Add(time.Hour), attributes)
}

func TestAResultIsReportedToTheCompletionsQueue(t *testing.T) {
	queue := newFakeSQS()

	answer, err := invoke(t.Context(), queue, inAnHour(`"n":20,`), func(_ context.Context, task worker.Task) (any, error) {
		var payload struct{ N int }
		if err := task.Decode(&payload); err != nil {
			return nil, err
		}
		task.Stats("rows", payload.N)
		return map[string]any{"doubled": payload.N * 2}, nil
	})

	require.NoError(t, err)
	require.Len(t, queue.sent, 1)
	require.Equal(t, completionsURL, queue.sent[0].url)
	require.JSONEq(t, `{"version":1,"task_id":"t.1","attempt":3,"status":"completed","result":{"doubled":40},"stats":{"rows":20}}`, queue.sent[0].body)
	require.Equal(t, queue.sent[0].body, string(answer), "the answer to the invocation is the sent completion")
}

// The texts in testdata are the contract with the readers of the completions queue.
func TestCompletionMessagesMatchTheGoldenFiles(t *testing.T) {
	for name, function := range map[string]worker.Func{
		"completed": func(context.Context, worker.Task) (any, error) {
			return worker.Result{Value: map[string]any{"max": 12.5, "text": "<é&>"}, Stats: map[string]any{"rows": 10}}, nil
		},
		"completed-empty": func(context.Context, worker.Task) (any, error) { return nil, nil },
		"failed": func(context.Context, worker.Task) (any, error) {
			return nil, worker.RetryAfter(worker.Errorf("Throttled", "API answered 429"), 90*time.Second)
		},
		"failed-permanent": func(_ context.Context, task worker.Task) (any, error) {
			task.Stats("rows", 3)
			return nil, worker.Permanent(worker.Errorf("BadInput", "no store \"z\""))
		},
		"running": func(ctx context.Context, task worker.Task) (any, error) { return nil, task.Heartbeat(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			queue := newFakeSQS()
			_, err := invoke(t.Context(), queue, inAnHour(""), function)
			require.NoError(t, err)
			golden, err := os.ReadFile("testdata/" + name + ".json")
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(string(golden)), queue.sent[0].body)
		})
	}
}

func TestStatsOfTheResultOverrideThoseOfTheTask(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, inAnHour(""), func(_ context.Context, task worker.Task) (any, error) {
		task.Stats("rows", 1)
		task.Stats("bytes", 2)
		return worker.Result{Stats: map[string]any{"rows": 3}}, nil
	})

	require.NoError(t, err)
	require.Equal(t, map[string]any{"rows": 3.0, "bytes": 2.0}, queue.completions("completed")[0].Stats)
}

func TestAPanicIsARetryableFailure(t *testing.T) {
	queue := newFakeSQS()
	var log bytes.Buffer

	_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) {
		panic("index out of luck")
	}, worker.Logger(slog.New(slog.NewTextHandler(&log, nil))))

	require.NoError(t, err)
	failed := queue.completions("failed")[0]
	require.Equal(t, "Panic", failed.Error.Type)
	require.True(t, strings.HasPrefix(failed.Error.Message, "index out of luck\n\npanic("), failed.Error.Message)
	require.Contains(t, failed.Error.Message, "handler_test.go", "the place of the panic is in the part of the stack that is sent")
	require.LessOrEqual(t, len(failed.Error.Message), 2048)
	require.True(t, *failed.Retryable)
	require.Contains(t, log.String(), "handler_test.go")
}

func TestAPanicWithAnErrorKeepsThatErrorsText(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) {
		var missing map[string]int
		missing["x"] = 1
		return nil, nil
	})

	require.NoError(t, err)
	require.Contains(t, queue.completions("failed")[0].Error.Message, "assignment to entry in nil map")
}

type explosive struct{}

func (explosive) MarshalJSON() ([]byte, error) { panic("while encoding") }

func TestAPanicInTheEncodingOfAResultIsAPanicOfTheTask(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) { return explosive{}, nil })

	require.NoError(t, err)
	require.Equal(t, "Panic", queue.completions("failed")[0].Error.Type)
}

func TestAResultThatCannotBeSentFailsTheTaskPermanently(t *testing.T) {
	for name, c := range map[string]struct {
		result        any
		kind, message string
	}{
		"no JSON":       {math.NaN(), "BadResult", "result cannot be encoded as JSON"},
		"stats no JSON": {worker.Result{Stats: map[string]any{"f": func() {}}}, "BadResult", "stats cannot be encoded as JSON"},
		"too large": {strings.Repeat("x", 300_000), "ResultTooLarge",
			"result of 300002 bytes is over the limit of 262144"},
		"too large once escaped":   {strings.Repeat("\uFFFF", 50_000), "ResultTooLarge", "result of 300002 bytes is over the limit of 262144"},
		"stats that are too large": {worker.Result{Stats: map[string]any{"f": strings.Repeat("x", 20_000)}}, "ResultTooLarge", "stats of 20008 bytes are over the limit of 16384"},
	} {
		t.Run(name, func(t *testing.T) {
			queue := newFakeSQS()
			_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) { return c.result, nil })
			require.NoError(t, err)
			require.Empty(t, queue.completions("completed"))
			failed := queue.completions("failed")
			require.Len(t, failed, 1)
			require.Equal(t, c.kind, failed[0].Error.Type)
			require.Contains(t, failed[0].Error.Message, c.message)
			require.False(t, *failed[0].Retryable)
		})
	}
}

func TestTheLargestAllowedCompletionIsSent(t *testing.T) {
	require.Equal(t, drover.MaxResult, worker.MaxResultBytes, "Drover stores what the worker may send")
	require.Equal(t, drover.MaxStats, worker.MaxStatsBytes)
	queue := newFakeSQS()
	for _, more := range []int{0, 1} {
		_, err := invoke(t.Context(), queue, inAnHour(""), func(_ context.Context, task worker.Task) (any, error) {
			task.Stats("f", strings.Repeat("x", worker.MaxStatsBytes-len(`{"f":""}`)))
			return strings.Repeat("x", worker.MaxResultBytes-len(`""`)+more), nil
		})
		require.NoError(t, err)
	}
	require.Len(t, queue.completions("completed"), 1)
	report, err := drover.Read([]byte(queue.sent[0].body))
	require.NoError(t, err)
	require.Empty(t, report.TooLarge)
	require.Len(t, report.Result, worker.MaxResultBytes)
	require.Equal(t, "ResultTooLarge", queue.completions("failed")[0].Error.Type)
}

// TestCharactersThatSQSRefusesArrive covers U+FFFE and U+FFFF, which JSON allows without an escape.
func TestCharactersThatSQSRefusesArrive(t *testing.T) {
	queue := newFakeSQS()

	for _, err := range []error{nil, errors.New("page 3: \uFFFF")} {
		_, reported := invoke(t.Context(), queue, inAnHour(""), func(_ context.Context, task worker.Task) (any, error) {
			task.Stats("\uFFFE", 1)
			return "page 3: \uFFFF", err
		})
		require.NoError(t, reported)
	}

	for _, m := range queue.sent {
		require.NotContains(t, m.body, "\uFFFE")
		require.NotContains(t, m.body, "\uFFFF")
	}
	require.Contains(t, queue.sent[0].body, `"result":"page 3: \uffff","stats":{"\ufffe":1}`)
	require.Contains(t, queue.sent[1].body, `"message":"page 3: \uffff"`)
}

// TestACompletionWhoseContentsTheQueueRefusesStillEndsTheAttempt, without a retry of the same text.
func TestACompletionWhoseContentsTheQueueRefusesStillEndsTheAttempt(t *testing.T) {
	for _, code := range []string{"InvalidMessageContents", "AWS.SimpleQueueService.InvalidMessageContents", "InvalidParameterValue"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue, begin := newFakeSQS(), time.Now()
				queue.sendErrors = repeated(1, &awsError{code, 400})

				_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) { return 1, nil })

				require.NoError(t, err)
				require.Equal(t, begin, time.Now(), "it does not wait")
				require.Len(t, queue.sent, 1)
				failed := queue.completions("failed")[0]
				require.Equal(t, "ResultTooLarge", failed.Error.Type)
				require.Contains(t, failed.Error.Message, "completions queue refused a completion of")
				require.False(t, *failed.Retryable)
			})
		})
	}
}

func TestStatsThatCannotBeSentDoNotHideAFailure(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, inAnHour(""), func(_ context.Context, task worker.Task) (any, error) {
		task.Stats("f", func() {})
		return nil, worker.Errorf("Broken", "why it failed")
	})

	require.NoError(t, err)
	require.Equal(t, "why it failed", queue.completions("failed")[0].Error.Message)
}

func TestTheContextEndsBeforeTheDeadlineAndLeavesTimeToReport(t *testing.T) {
	for name, c := range map[string]struct{ deadline, lambda, timeout, ends time.Duration }{
		"a long task":                   {15 * time.Minute, 0, 0, 15*time.Minute - 2*time.Second},
		"a short task":                  {5 * time.Second, 0, 0, 4500 * time.Millisecond},
		"a Lambda that ends sooner":     {15 * time.Minute, time.Minute, 0, 58 * time.Second},
		"a Lambda that ends later":      {time.Minute, 15 * time.Minute, 0, 58 * time.Second},
		"a timeout of the worker's":     {15 * time.Minute, 10 * time.Minute, 30 * time.Second, 28 * time.Second},
		"a timeout beyond the deadline": {time.Minute, 0, time.Hour, 58 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue, start := newFakeSQS(), time.Now()
				ctx := t.Context()
				if c.lambda > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.lambda)
					defer cancel()
				}

				_, err := invoke(ctx, queue, event("t.1", 1, start.Add(c.deadline), ""), func(ctx context.Context, _ worker.Task) (any, error) {
					end, bounded := ctx.Deadline()
					require.True(t, bounded)
					require.Equal(t, c.ends, end.Sub(start))
					<-ctx.Done()
					return nil, ctx.Err()
				}, worker.Timeout(c.timeout))

				require.NoError(t, err)
				require.Equal(t, c.ends, time.Since(start))
				failed := queue.completions("failed")
				require.Len(t, failed, 1)
				require.Equal(t, "Timeout", failed[0].Error.Type)
				require.True(t, *failed[0].Retryable)
			})
		})
	}
}

func TestATaskWhoseDeadlineHasPassedIsNotStarted(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, event("t.1", 1, time.Now().Add(-time.Minute), ""), func(context.Context, worker.Task) (any, error) {
		t.Error("the function was called")
		return nil, nil
	})

	require.NoError(t, err)
	failed := queue.completions("failed")[0]
	require.Equal(t, "Timeout", failed.Error.Type)
	require.Contains(t, failed.Error.Message, "had passed by 1m0")
}

func TestTheClockCanBeSet(t *testing.T) {
	queue, then := newFakeSQS(), time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC)

	_, err := invoke(t.Context(), queue, event("t.1", 1, then.Add(time.Minute), ""),
		func(context.Context, worker.Task) (any, error) { return "on time", nil },
		worker.Clock(func() time.Time { return then }))

	require.NoError(t, err)
	require.Len(t, queue.completions("completed"), 1)
}

func TestAHeartbeatExtendsTheContextByTheTimeOfTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()

		_, err := invoke(t.Context(), queue, event("t.1", 1, start.Add(10*time.Minute), ""), func(ctx context.Context, task worker.Task) (any, error) {
			time.Sleep(9 * time.Minute)
			if err := task.Heartbeat(ctx); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})

		require.NoError(t, err)
		require.Equal(t, 19*time.Minute-2*time.Second, time.Since(start))
		require.Len(t, queue.completions("running"), 1)
		require.Equal(t, 1, queue.completions("running")[0].Attempt)
	})
}

func TestAHeartbeatThatWasNotSentExtendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		queue.sendErrors = repeated(1, errUnavailable)

		_, err := invoke(t.Context(), queue, event("t.1", 1, start.Add(10*time.Minute), ""), func(ctx context.Context, task worker.Task) (any, error) {
			time.Sleep(9 * time.Minute)
			require.ErrorIs(t, task.Heartbeat(ctx), errUnavailable)
			<-ctx.Done()
			return nil, ctx.Err()
		})

		require.NoError(t, err)
		require.Equal(t, 10*time.Minute-2*time.Second, time.Since(start))
	})
}

func TestHeartbeatsAreSentWhileTheFunctionRunsAndNotAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		queue.sendErrors = failures{[]error{nil, errUnavailable}} // a lost heartbeat ends nothing

		_, err := invoke(t.Context(), queue, event("t.1", 1, start.Add(time.Minute), ""), func(context.Context, worker.Task) (any, error) {
			time.Sleep(5*time.Minute + time.Second)
			return "done", nil
		}, worker.HeartbeatEvery(20*time.Second))

		require.NoError(t, err)
		require.Len(t, queue.completions("completed"), 1)
		require.Len(t, queue.completions("running"), 14, "one each 20s of 5m, except the lost one")
		time.Sleep(time.Hour)
		require.Len(t, queue.sent, 15)
	})
}

func TestATimeoutEndsARunThatSendsHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()

		_, err := invoke(t.Context(), queue, event("t.1", 1, start.Add(time.Minute), ""), func(ctx context.Context, _ worker.Task) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, worker.HeartbeatEvery(20*time.Second), worker.Timeout(10*time.Minute))

		require.NoError(t, err)
		require.Equal(t, 10*time.Minute-2*time.Second, time.Since(start))
	})
}

func TestACompletionIsSentAgainUntilItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.sendErrors = failures{[]error{errUnavailable, errThrottled, errors.New("connection reset"), errUnavailable, errUnavailable, errUnavailable}}

		_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) { return 1, nil })

		require.NoError(t, err)
		require.Len(t, queue.completions("completed"), 1)
	})
}

func TestACompletionThatCannotBeSentIsAnErrorForLambda(t *testing.T) {
	for name, c := range map[string]struct {
		failures failures
		left     int // scripted errors that are left over
		within   time.Duration
	}{
		"SQS is down":           {repeated(7, errUnavailable), 0, 20 * time.Second},
		"the queue is gone":     {repeated(7, errNoQueue), 6, 0},
		"a role without rights": {repeated(7, &awsError{"AccessDenied", 403}), 6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue, start := newFakeSQS(), time.Now()
				queue.sendErrors = c.failures

				_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) { return 1, nil })

				var unsent *worker.CompletionError
				require.ErrorAs(t, err, &unsent)
				require.ErrorIs(t, err, c.failures.next[0])
				require.Equal(t, "t.1", unsent.TaskID)
				require.Contains(t, err.Error(), "attempt 3 of task t.1 completed, but its completion could not be sent")
				require.Len(t, queue.sendErrors.next, c.left)
				require.LessOrEqual(t, time.Since(start), c.within)
			})
		})
	}
}

func TestReportingGivesUpWhenSQSDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		queue.sendBlocks = true

		_, err := invoke(t.Context(), queue, inAnHour(""), func(context.Context, worker.Task) (any, error) { return 1, nil })

		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 45*time.Second, time.Since(start))
	})
}

func TestAnEventWithoutATaskIsAnErrorForLambda(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, `{"hello":"world"}`, func(context.Context, worker.Task) (any, error) {
		t.Error("the function was called")
		return nil, nil
	})

	var bad *worker.BadEvent
	require.ErrorAs(t, err, &bad)
	require.Empty(t, queue.sent)
}

func TestATaskBuiltForATestWorksWithoutDrover(t *testing.T) {
	task := worker.Task{ID: "mine", Payload: json.RawMessage(`{}`)}

	task.Stats("rows", 1)
	require.NoError(t, task.Heartbeat(t.Context()))
}
