package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

// polling is a Poll that runs in a test's virtual time.
type polling struct {
	stop  context.CancelFunc
	ended chan error
}

func startPolling(t *testing.T, queue *fakeSQS, concurrency int, function worker.Func, options ...worker.Option) *polling {
	ctx, stop := context.WithCancel(t.Context())
	p := &polling{stop, make(chan error, 1)}
	go func() {
		p.ended <- worker.Poll(ctx, tasksURL, concurrency, function, append([]worker.Option{worker.WithQueue(queue), quiet}, options...)...)
	}()
	return p
}

// stopAndWait ends the polling like a SIGTERM.
func (p *polling) stopAndWait() error {
	p.stop()
	return <-p.ended
}

func putTask(queue *fakeSQS, id string, given time.Duration) *fakeMessage {
	return queue.put(event(id, 1, time.Now().Add(given), ""))
}

func TestPollRunsTheTasksOfAQueueAndDeletesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		p := startPolling(t, queue, 3, func(_ context.Context, task worker.Task) (any, error) {
			time.Sleep(time.Second)
			if task.ID == "t.4" {
				return nil, worker.Permanent(errors.New("no luck"))
			}
			return task.ID, nil
		})
		for i := range 25 {
			putTask(queue, fmt.Sprintf("t.%d", i), time.Hour)
		}

		time.Sleep(time.Minute)

		require.Zero(t, queue.left())
		require.Len(t, queue.completions("completed"), 24)
		require.Len(t, queue.completions("failed"), 1)
		require.Equal(t, completionsURL, queue.completions("failed")[0].url)
		require.NoError(t, p.stopAndWait())
	})
}

func TestPollRunsNoMoreThanItsConcurrencyAndReceivesNoMoreThanItCanRun(t *testing.T) {
	for _, concurrency := range []int{1, 4, 25} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				var running, most atomic.Int32
				for i := range 60 {
					putTask(queue, fmt.Sprintf("t.%d", i), time.Hour)
				}
				p := startPolling(t, queue, concurrency, func(context.Context, worker.Task) (any, error) {
					now := running.Add(1)
					for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
					}
					time.Sleep(time.Second)
					running.Add(-1)
					return nil, nil
				})

				time.Sleep(2 * time.Minute)

				require.NoError(t, p.stopAndWait())
				require.EqualValues(t, concurrency, most.Load())
				require.Len(t, queue.completions("completed"), 60)
				for _, asked := range queue.receives {
					require.LessOrEqual(t, int(asked), min(concurrency, 10))
				}
			})
		})
	}
}

func TestALongTaskStaysHiddenAndSendsHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		message := putTask(queue, "t.1", 15*time.Minute)
		var runs atomic.Int32
		p := startPolling(t, queue, 2, func(ctx context.Context, _ worker.Task) (any, error) {
			runs.Add(1)
			time.Sleep(time.Hour + time.Second)
			return nil, ctx.Err()
		})

		time.Sleep(2 * time.Hour)

		require.NoError(t, p.stopAndWait())
		require.EqualValues(t, 1, runs.Load())
		require.Len(t, queue.completions("completed"), 1)
		require.Len(t, queue.completions("running"), 12, "one each third of 15m, in an hour")
		require.Len(t, message.hidden, 180, "one each third of a minute")
	})
}

func TestHeartbeatsOfPollCanBeSetAndSwitchedOff(t *testing.T) {
	for every, beats := range map[time.Duration]int{0: 0, 30 * time.Second: 19} {
		t.Run(every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				putTask(queue, "t.1", 15*time.Minute)
				p := startPolling(t, queue, 1, func(context.Context, worker.Task) (any, error) {
					time.Sleep(10*time.Minute - time.Second)
					return nil, nil
				}, worker.HeartbeatEvery(every))

				time.Sleep(time.Hour)

				require.Len(t, queue.completions("running"), beats)
				require.Len(t, queue.completions("completed"), 1)
				require.NoError(t, p.stopAndWait())
			})
		})
	}
}

func TestATaskThatCannotExtendItsLeaseIsEndedBeforeItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		putTask(queue, "t.1", 15*time.Minute)
		queue.sendErrors = repeated(2, errUnavailable) // the heartbeats after 5 and 10 minutes
		p := startPolling(t, queue, 1, func(ctx context.Context, _ worker.Task) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})

		time.Sleep(time.Hour)

		failed := queue.completions("failed")
		require.Len(t, failed, 1)
		require.Equal(t, "Timeout", failed[0].Error.Type)
		require.Equal(t, 15*time.Minute-2*time.Second, failed[0].at.Sub(start))
		require.Zero(t, queue.left())
		require.NoError(t, p.stopAndWait())
	})
}

func TestATaskWhoseMessageIsLostIsEndedAndNotReportedAsFailed(t *testing.T) {
	for name, c := range map[string]struct {
		hideErrors failures
		after      time.Duration
	}{
		"SQS says so":                       {failures{[]error{nil, errNotOurs}}, 40 * time.Second},
		"SQS has not answered for too long": {failures{append([]error{nil}, repeated(9, errUnavailable).next...)}, 80 * time.Second},
		"SQS has answered again in time":    {failures{[]error{errUnavailable, errThrottled, nil, errNotOurs}}, 80 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue, start := newFakeSQS(), time.Now()
				putTask(queue, "t.1", 15*time.Minute)
				queue.hideErrors = c.hideErrors
				lost := make(chan time.Duration, 1)
				var runs atomic.Int32
				p := startPolling(t, queue, 1, func(ctx context.Context, _ worker.Task) (any, error) {
					if runs.Add(1) > 1 {
						return "the other run", nil
					}
					<-ctx.Done()
					lost <- time.Since(start)
					require.ErrorIs(t, context.Cause(ctx), worker.ErrLeaseLost)
					return nil, ctx.Err()
				})

				time.Sleep(10 * time.Minute)

				require.Equal(t, c.after, <-lost)
				require.Empty(t, queue.completions("failed"))
				require.Len(t, queue.completions("completed"), 1, "only the run that got the message next reports")
				require.EqualValues(t, 2, runs.Load())
				require.NoError(t, p.stopAndWait())
			})
		})
	}
}

func TestASuccessIsReportedEvenIfItsMessageWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		putTask(queue, "t.1", time.Hour)
		queue.hideErrors = failures{[]error{errNotOurs}}
		p := startPolling(t, queue, 1, func(ctx context.Context, _ worker.Task) (any, error) {
			<-ctx.Done()
			return "done just now", nil
		})

		time.Sleep(40 * time.Second)

		require.Len(t, queue.completions("completed"), 1)
		require.NoError(t, p.stopAndWait())
	})
}

func TestPollStopsReceivingAndLetsRunningTasksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		putTask(queue, "t.1", time.Hour)
		p := startPolling(t, queue, 2, func(context.Context, worker.Task) (any, error) {
			time.Sleep(20 * time.Second)
			return nil, nil
		})
		time.Sleep(time.Second)

		p.stop()
		synctest.Wait()
		putTask(queue, "t.2", time.Hour)

		require.NoError(t, <-p.ended)
		require.Equal(t, 20*time.Second, time.Since(start))
		require.Len(t, queue.completions("completed"), 1)
		require.Equal(t, 1, queue.left(), "later messages are left to other workers")
	})
}

func TestATaskThatDoesNotEndInTimeIsReturnedForTheSameAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		message := putTask(queue, "t.1", time.Hour)
		p := startPolling(t, queue, 1, func(ctx context.Context, _ worker.Task) (any, error) {
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), worker.ErrDraining)
			return nil, ctx.Err()
		}, worker.Drain(10*time.Second))
		time.Sleep(time.Second)

		require.NoError(t, p.stopAndWait())

		require.Equal(t, 11*time.Second, time.Since(start))
		require.Empty(t, queue.sent)
		require.False(t, message.visibleAt.After(time.Now()), "another worker can receive it at once")
	})
}

func TestAFunctionThatDoesNotReturnIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		putTask(queue, "t.1", time.Hour)
		release := make(chan struct{})
		p := startPolling(t, queue, 1, func(context.Context, worker.Task) (any, error) {
			<-release
			return nil, nil
		})
		time.Sleep(time.Second)

		err := p.stopAndWait()

		require.EqualError(t, err, "tasks still running after they were cancelled: t.1")
		close(release)
	})
}

func TestAPanicStopsNoOtherTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		for i := range 4 {
			putTask(queue, fmt.Sprintf("t.%d", i), time.Hour)
		}
		p := startPolling(t, queue, 2, func(_ context.Context, task worker.Task) (any, error) {
			if task.ID == "t.1" {
				panic("no luck")
			}
			return nil, nil
		})

		time.Sleep(time.Minute)

		require.Len(t, queue.completions("completed"), 3)
		require.Equal(t, "Panic", queue.completions("failed")[0].Error.Type)
		require.Zero(t, queue.left())
		require.NoError(t, p.stopAndWait())
	})
}

func TestAMessageWithoutATaskIsLeftToTheDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		poison := queue.put("hello")
		putTask(queue, "t.1", time.Hour)
		p := startPolling(t, queue, 1, func(context.Context, worker.Task) (any, error) { return nil, nil })

		time.Sleep(150 * time.Second)

		require.NoError(t, p.stopAndWait())
		require.Equal(t, 1, queue.left())
		require.Equal(t, 3, poison.receipt, "it is received once a minute, and the redrive policy counts that")
		require.Len(t, queue.completions("completed"), 1)
	})
}

func TestATaskWhoseReportCannotBeSentIsRedelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		putTask(queue, "t.1", time.Hour)
		queue.sendErrors = repeated(1, errNoQueue)
		var runs atomic.Int32
		p := startPolling(t, queue, 1, func(context.Context, worker.Task) (any, error) { runs.Add(1); return nil, nil })

		time.Sleep(2 * time.Minute)

		require.EqualValues(t, 2, runs.Load())
		require.Len(t, queue.completions("completed"), 1)
		require.Zero(t, queue.left())
		require.NoError(t, p.stopAndWait())
	})
}

func TestPollWaitsOutFaultsOfSQS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.receiveErrors = failures{[]error{errUnavailable, errThrottled, errors.New("connection refused")}}
		queue.deleteErrors = repeated(2, errUnavailable)
		putTask(queue, "t.1", time.Hour)
		p := startPolling(t, queue, 1, func(context.Context, worker.Task) (any, error) { return nil, nil })

		time.Sleep(time.Minute)

		require.Len(t, queue.completions("completed"), 1)
		require.Zero(t, queue.left())
		require.NoError(t, p.stopAndWait())
	})
}

func TestAMessageThatCannotBeDeletedOrReturnedBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.deleteErrors = repeated(1, errNotOurs)
		queue.hideErrors = repeated(1, errUnavailable)
		putTask(queue, "t.1", time.Hour)
		p := startPolling(t, queue, 1, func(ctx context.Context, task worker.Task) (any, error) {
			if task.ID == "t.1" {
				return nil, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}, worker.Drain(time.Second))
		time.Sleep(time.Second)
		putTask(queue, "t.2", time.Hour)
		time.Sleep(time.Second)

		require.NoError(t, p.stopAndWait())
		require.Len(t, queue.completions("completed"), 1)
		require.Equal(t, 2, queue.left())
	})
}

func TestPollEndsWhenItsQueueIsGoneButNotBeforeItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, start := newFakeSQS(), time.Now()
		queue.receiveErrors = failures{[]error{nil, errNoQueue}}
		putTask(queue, "t.1", time.Hour)

		err := <-startPolling(t, queue, 2, func(context.Context, worker.Task) (any, error) {
			time.Sleep(15 * time.Second)
			return nil, nil
		}).ended

		require.ErrorIs(t, err, errNoQueue)
		require.ErrorContains(t, err, "receiving from "+tasksURL)
		require.Equal(t, 15*time.Second, time.Since(start))
		require.Len(t, queue.completions("completed"), 1)
	})
}

func TestAWorkerStopsEvenWhileSQSIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.receiveErrors = repeated(1000, errUnavailable)
		p := startPolling(t, queue, 1, func(context.Context, worker.Task) (any, error) { return nil, nil })
		time.Sleep(time.Minute)
		stopped := time.Now()

		require.NoError(t, p.stopAndWait())
		require.Zero(t, time.Since(stopped))
	})
}

func TestPollRefusesSettingsThatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		url         string
		concurrency int
		option      worker.Option
		want        string
	}{
		"no queue":           {"", 1, quiet, "queueURL is empty; want the URL of the labourer's SQS target"},
		"no place":           {tasksURL, 0, quiet, "concurrency is 0; want at least 1"},
		"a short visibility": {tasksURL, 1, worker.Visibility(time.Second), "visibility is 1s; want 10s to 12h0m0s"},
		"a long visibility":  {tasksURL, 1, worker.Visibility(13 * time.Hour), "visibility is 13h0m0s; want 10s to 12h0m0s"},
		"a negative drain":   {tasksURL, 1, worker.Drain(-1), "drain is -1ns; want 0 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			err := worker.Poll(t.Context(), c.url, c.concurrency, nil, c.option, worker.WithQueue(newFakeSQS()))
			require.EqualError(t, err, c.want)
		})
	}
}

func TestStatsMayBeRecordedFromManyGoroutines(t *testing.T) {
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, inAnHour(""), func(_ context.Context, task worker.Task) (any, error) {
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() { task.Stats(fmt.Sprint(i), i) })
		}
		group.Wait()
		return nil, nil
	})

	require.NoError(t, err)
	require.Len(t, queue.completions("completed")[0].Stats, 20)
}

// TestATaskThatWaitedLongInItsQueueHasItsWholeTime: no worker read the queue, or the queue delays its messages.
func TestATaskThatWaitedLongInItsQueueHasItsWholeTime(t *testing.T) {
	for name, c := range map[string]struct {
		lay, lasts  time.Duration
		unheard     failures // of the heartbeat at the start
		told        []string
		errorOfType string
	}{
		"longer than its time":             {3 * time.Hour, 14 * time.Minute, failures{}, []string{"running", "completed"}, ""},
		"for most of its time":             {10 * time.Minute, 14 * time.Minute, failures{}, []string{"running", "completed"}, ""},
		"for little of its time":           {5 * time.Minute, 9 * time.Minute, failures{}, []string{"completed"}, ""},
		"and the heartbeat cannot be sent": {3 * time.Hour, time.Minute, repeated(1, errUnavailable), []string{"failed"}, "Timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				putTask(queue, "t.1", 15*time.Minute)
				queue.sendErrors = c.unheard
				time.Sleep(c.lay)
				p := startPolling(t, queue, 1, func(ctx context.Context, _ worker.Task) (any, error) {
					select {
					case <-time.After(c.lasts):
						return 1, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}, worker.HeartbeatEvery(0))

				time.Sleep(time.Hour)

				var told []string
				for _, m := range queue.sent {
					var sent struct{ Status string }
					require.NoError(t, json.Unmarshal([]byte(m.body), &sent))
					told = append(told, sent.Status)
				}
				require.Equal(t, c.told, told)
				if c.errorOfType != "" {
					require.Equal(t, c.errorOfType, queue.completions("failed")[0].Error.Type)
				}
				require.NoError(t, p.stopAndWait())
			})
		})
	}
}
