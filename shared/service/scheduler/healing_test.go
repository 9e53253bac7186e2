package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// visibility sets the time after which the jobs queue redelivers a message.
const visibility = 2 * time.Minute

// TestG1G2AJobIsCreatedOnceWhereverItsSchedulerIsInterrupted: a job of two segments; each request fails, or succeeds without an answer, or
// is the scheduler's last.
func TestG1G2AJobIsCreatedOnceWhereverItsSchedulerIsInterrupted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		d := stage(t)
		guard(t, d)
		before := len(d.EventBridge.Told())
		cut.On(d.Stack)

		continued(t, d, cut, 20*time.Second, submitted(stores("nightly", "f", 300)))

		cut.Off()
		require.True(t, woken(d, before, "f"), "the orchestrator is not woken")
		return picture(t, d, "nightly") + fmt.Sprint(created(t, d))
	})
}

// TestG2AJobWithoutTasksIsCompletedOnce, wherever its scheduler is interrupted.
func TestG2AJobWithoutTasksIsCompletedOnce(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		d := stage(t)
		cut.On(d.Stack)

		cut.Redeliver(t, d.World, visibility, func(delivery int) error {
			_, err := handle(d, fmt.Sprintf("invocation-%d", delivery), messages(delivery, submitted(`{"job_id": "empty", "labourer": "f", "stores": [], "isolate_stores": true}`)))
			return err
		})

		cut.Off()
		require.Equal(t, []string{"JobCompleted/empty/1", "JobScheduled/empty"}, facts(d))
		return outage.Picture(d.Stack)
	})
}

// TestG9ARejectedJobIsRecordedAndPublishedOnce, wherever its scheduler is interrupted.
func TestG9ARejectedJobIsRecordedAndPublishedOnce(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		d := stage(t)
		cut.On(d.Stack)

		cut.Redeliver(t, d.World, visibility, func(delivery int) error {
			_, err := handle(d, fmt.Sprintf("invocation-%d", delivery), messages(delivery, submitted(`{"job_id": "wrong", "labourer": "missing"}`)))
			return err
		})

		cut.Off()
		return outage.Picture(d.Stack)
	})
}

// TestG1G2SmallJobsAreCreatedOnceWhereverTheirSchedulerIsInterrupted: they share a segment, and are redelivered in other batches.
func TestG1G2SmallJobsAreCreatedOnceWhereverTheirSchedulerIsInterrupted(t *testing.T) {
	jobs := []string{stores("a", "f", 3), stores("b", "f", 2), stores("empty", "f", 0), stores("c", "g", 4), stores("d", "f", 20), stores("e", "f", 1)}
	var bodies []string
	for _, j := range jobs {
		bodies = append(bodies, submitted(j))
	}
	companies := map[string]func([]scheduler.Message) [][]scheduler.Message{
		"all together": func(all []scheduler.Message) [][]scheduler.Message { return [][]scheduler.Message{all} },
		"one by one, last first": func(all []scheduler.Message) [][]scheduler.Message {
			var out [][]scheduler.Message
			for _, m := range slices.Backward(all) {
				out = append(out, []scheduler.Message{m})
			}
			return out
		},
		"in other pairs": func(all []scheduler.Message) [][]scheduler.Message {
			return [][]scheduler.Message{{all[5], all[0]}, {all[1], all[4]}, {all[3], all[2]}}
		},
	}
	for name, company := range companies {
		t.Run(name, func(t *testing.T) {
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				d := stage(t)
				guard(t, d)
				before := len(d.EventBridge.Told())
				cut.On(d.Stack)

				cut.Redeliver(t, d.World, visibility, func(delivery int) error {
					all := messages(delivery, bodies...)
					if delivery == 1 {
						_, err := handle(d, "invocation-1", all)
						return err
					}
					var errs []error
					for i, part := range company(all) {
						_, err := handle(d, fmt.Sprintf("invocation-%d-%d", delivery, i), part)
						errs = append(errs, err)
					}
					return errors.Join(errs...)
				})

				cut.Off()
				require.True(t, woken(d, before, "f") && woken(d, before, "g"), "the orchestrator is not woken")
				var states []string
				for _, it := range d.DynamoDB.Items(fakeaws.JobsTable) {
					states = append(states, fmt.Sprintln(text(it, "job_id"), text(it, "state"), text(it, "total"), text(it, "cursor")))
				}
				// The place of the tasks depends on the batches; their contents do not.
				return fmt.Sprint(created(t, d), states, facts(d))
			})
		})
	}
}

// TestG2AWriteThatIsSentTwiceCreatesNothingTwice: the answer to one write of the scheduler is lost, and the SDK sends the write again, so
// that its own condition may refuse it. Transactions have a token, by which DynamoDB recognises them.
func TestG2AWriteThatIsSentTwiceCreatesNothingTwice(t *testing.T) {
	batch := []string{submitted(stores("a", "f", 3)), submitted(stores("b", "f", 2)), submitted(stores("c", "f", 4)), submitted(stores("empty", "f", 0)),
		submitted(stores("large", "f", 300)), submitted(`{"job_id": "wrong", "labourer": "missing"}`)}
	want := ""
	for at := 0; ; at++ {
		d := stage(t)
		guard(t, d)
		var mu sync.Mutex
		writes, again := 0, false
		d.DynamoDB.Hooks.Before = func(ctx context.Context, r fakeaws.Request) error {
			mu.Lock()
			now := false
			if !again && (r.Operation == "PutItem" || r.Operation == "UpdateItem" || r.Operation == "BatchWriteItem") {
				writes++
				now = writes == at
			}
			again = again || now
			mu.Unlock()
			if !now {
				return nil
			}
			var err error
			switch in := r.Input.(type) {
			case *dynamodb.PutItemInput:
				_, err = d.DynamoDB.PutItem(ctx, in)
			case *dynamodb.UpdateItemInput:
				_, err = d.DynamoDB.UpdateItem(ctx, in)
			case *dynamodb.BatchWriteItemInput:
				_, err = d.DynamoDB.BatchWriteItem(ctx, in)
			}
			return err
		}

		_, err := handle(d, "only", messages(1, batch...))

		require.NoError(t, err, "at write %d", at)
		got := fmt.Sprint(created(t, d), facts(d))
		if at == 0 {
			want = got
		}
		require.Equal(t, want, got, "at write %d", at)
		if at > 0 && !again {
			require.Greater(t, at, 15, "the scheduler makes fewer writes than the jobs need")
			return
		}
	}
}

// TestG2TwoSchedulersOnOneJob: the second has a copy of the message and does all that it can before some request of the first.
func TestG2TwoSchedulersOnOneJob(t *testing.T) {
	for name, second := range map[string]struct {
		receives int
		id       string
		passes   time.Duration // before the second scheduler begins
	}{
		"a copy of the message":                   {1, "second", 0},
		"the message again":                       {2, "second", 0},
		"the message again, in one invocation":    {2, "first", 0},
		"the message again, after its visibility": {2, "second", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			want := ""
			for at := 0; ; at++ {
				d := stage(t)
				guard(t, d)
				batch := []string{submitted(stores("nightly", "f", 300)), submitted(stores("small", "f", 3))}
				var requests atomic.Int64
				var again error
				inside := false
				d.DynamoDB.Hooks.Before = func(context.Context, fakeaws.Request) error {
					if int(requests.Add(1)) != at || inside {
						return nil
					}
					inside = true
					d.World.Advance(d.World.Now().Add(second.passes))
					_, again = handle(d, second.id, messages(second.receives, batch...))
					return nil
				}

				_, err := handle(d, "first", messages(1, batch...))

				happened := int(requests.Load()) >= at
				for delivery := 2; err != nil || again != nil; delivery++ {
					require.Less(t, delivery, 10, "at request %d: %v", at, errors.Join(err, again))
					d.World.Advance(d.World.Now().Add(visibility))
					if err != nil {
						_, err = handle(d, fmt.Sprintf("first-%d", delivery), messages(delivery, batch...))
					}
					if again != nil {
						_, again = handle(d, fmt.Sprintf("second-%d", delivery), messages(delivery, batch...))
					}
				}
				got := fmt.Sprint(created(t, d), facts(d))
				if at == 0 {
					want = got
				}
				require.Equal(t, want, got, "the second scheduler came at request %d", at)
				if !happened {
					require.Greater(t, at, 20, "the scheduler makes fewer requests than the job needs")
					return
				}
			}
		})
	}
}

// TestG2ACreatorOwnsItsJobUntilItIsDeadByAnyClock: a function lives until its deadline. Its own clock may be half a minute late and another
// function's half a minute early.
func TestG2ACreatorOwnsItsJobUntilItIsDeadByAnyClock(t *testing.T) {
	d := stage(t)
	ctx, cancel := context.WithDeadline(context.Background(), start.Add(time.Minute))
	defer cancel()
	var until []time.Time
	d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "BatchWriteItem" {
			j, _, err := d.Job("nightly")
			require.NoError(t, err)
			until = append(until, j.OwnedUntil)
		}
		return nil
	}

	failed, _ := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(ctx, "invocation", messages(1, submitted(stores("nightly", "f", 3))))

	require.Empty(t, failed)
	require.Equal(t, []time.Time{start.Add(2 * time.Minute)}, until)
}

// TestG2ASchedulerThatWasTakenForDeadPublishesNothing: it reaches one of its publications long after another scheduler has taken over and
// has gone on until its own deadline.
func TestG2ASchedulerThatWasTakenForDeadPublishesNothing(t *testing.T) {
	for at := 1; at <= 3; at++ {
		d := stage(t)
		body, publications := submitted(stores("nightly", "f", 1500)), 0
		d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
			if r.Operation != "TransactWriteItems" {
				return nil
			}
			if publications++; publications != at {
				return nil
			}
			d.World.Advance(d.World.Now().Add(10 * time.Minute))
			ctx, cancel := deadlined(d, 20*time.Second)
			defer cancel()
			d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
				if r.Operation == "TransactWriteItems" { // and that is as far as it gets
					d.World.Advance(d.World.Now().Add(time.Minute))
				}
				return nil
			}
			failed, summary := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(ctx, "second", messages(2, body))
			d.DynamoDB.Hooks.Before = nil
			require.Empty(t, failed, "%v", summary.Errors)
			if at < 3 {
				require.Len(t, d.SQS.Letters(fakeaws.JobsQueue), 1, "it has handed the job on")
			}
			return nil
		}

		_, err := handle(d, "first", messages(1, body))

		if err != nil {
			require.ErrorContains(t, err, "was taken over by another scheduler")
		}
		for next := d.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true }); len(next) > 0; next = d.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true }) {
			for _, l := range next {
				_, err := handle(d, "third", messages(1, l.Body))
				require.NoError(t, err)
			}
		}
		require.Len(t, created(t, d)["nightly"], 1500, "at publication %d", at)
	}
}

func TestG2AnythingThatTheTableLeavesUnprocessedIsWrittenAgain(t *testing.T) {
	d := stage(t)
	guard(t, d)
	var asked atomic.Int64
	d.DynamoDB.Unprocessed = func(table string, _ fakeaws.Item) bool { return table == fakeaws.TasksTable && asked.Add(1)%3 == 0 }

	summary, err := handle(d, "only", messages(1, submitted(stores("nightly", "f", 300))))

	require.NoError(t, err)
	require.Equal(t, 300, summary.Created)
	require.Len(t, created(t, d)["nightly"], 300)
	require.Greater(t, int(asked.Load()), 300)
}

// deadlined returns a context that ends by the stage's clock, not by the machine's.
func deadlined(d *drovertest.Drover, left time.Duration) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), d.World.Now().Add(left))
}

// continued runs schedulers until none is needed any more: each message, and each one that hands a job on, is redelivered until it is
// processed.
func continued(t *testing.T, d *drovertest.Drover, cut *outage.Cut, left time.Duration, bodies ...string) int {
	invocations := 0
	deliver := func(bodies ...string) {
		cut.Redeliver(t, d.World, visibility, func(delivery int) error {
			invocations++
			ctx, cancel := deadlined(d, left)
			defer cancel()
			failed, summary := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(ctx, fmt.Sprintf("invocation-%d", invocations), messages(delivery, bodies...))
			if len(failed) > 0 {
				return errors.New(strings.Join(summary.Errors, "; "))
			}
			return nil
		})
	}
	deliver(bodies...)
	for {
		next := d.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true })
		if len(next) == 0 {
			return invocations
		}
		for _, l := range next {
			deliver(l.Body)
		}
	}
}

// TestG1G2AJobIsHandedOnNearTheDeadline, and continued at its cursor, wherever one of its schedulers is interrupted.
func TestG1G2AJobIsHandedOnNearTheDeadline(t *testing.T) {
	most := 0
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		d := stage(t)
		guard(t, d)
		cut.On(d.Stack)
		// Each batch of tasks takes a second, so that an invocation of 8 s finishes a segment of eleven batches, or what it has begun to
		// write ahead.
		before := d.DynamoDB.Hooks.Before
		d.DynamoDB.Hooks.Before = func(ctx context.Context, r fakeaws.Request) error {
			if r.Operation == "BatchWriteItem" {
				d.World.Advance(d.World.Now().Add(time.Second))
			}
			return before(ctx, r)
		}

		most = max(most, continued(t, d, cut, 8*time.Second, submitted(stores("nightly", "f", 1300))))

		cut.Off()
		require.Len(t, created(t, d)["nightly"], 1300)
		return picture(t, d, "nightly")
	})
	require.Greater(t, most, 2, "no job was handed on")
}

func TestASchedulerWithoutTimeCreatesNothingAndHandsTheJobOn(t *testing.T) {
	d := stage(t)
	ctx, cancel := deadlined(d, 3*time.Second) // less than a scheduler keeps in reserve
	defer cancel()

	failed, summary := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(ctx, "late", messages(1, submitted(stores("nightly", "f", 300))))

	require.Empty(t, failed)
	require.Zero(t, summary.Created)
	require.Empty(t, d.DynamoDB.Items(fakeaws.TasksTable))
	letters := d.SQS.Letters(fakeaws.JobsQueue)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Body, `"detail-type":"ContinueJob"`)
	_, err := handle(d, "next", messages(1, letters[0].Body))
	require.NoError(t, err)
	require.Len(t, created(t, d)["nightly"], 300)
}

// TestG1G2AJobIsCreatedDespiteLongThrottling: each write that the table refuses takes a second, and the table refuses most writes for many
// minutes, longer than the job's message is redelivered. No message is redelivered, because each scheduler hands on what remains.
func TestG1G2AJobIsCreatedDespiteLongThrottling(t *testing.T) {
	for name, body := range map[string][]string{
		"a large job": {submitted(stores("nightly", "f", 900))},
		"small jobs":  {submitted(stores("nightly", "f", 20)), submitted(stores("other", "f", 30))},
	} {
		t.Run(name, func(t *testing.T) {
			d := stage(t)
			guard(t, d)
			var mu sync.Mutex
			calm := start.Add(15 * time.Minute)
			d.DynamoDB.Hooks.Before = func(ctx context.Context, r fakeaws.Request) error {
				mu.Lock()
				defer mu.Unlock()
				if deadline, ok := ctx.Deadline(); ok && r.Operation == "BatchWriteItem" && d.World.Now().Before(calm) {
					d.World.Advance(deadline) // it is retried until the scheduler's time is up
					return context.DeadlineExceeded
				}
				return nil
			}
			next, invocations := body, 0
			for len(next) > 0 {
				invocations++
				ctx, cancel := deadlined(d, 20*time.Second)
				failed, summary := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(ctx, fmt.Sprintf("invocation-%d", invocations), messages(1, next...))
				cancel()
				require.Empty(t, failed, "%v", summary.Errors)
				next = nil
				for _, l := range d.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true }) {
					next = append(next, l.Body)
				}
			}
			require.Greater(t, invocations, 20)
			all := created(t, d)
			require.Len(t, all["nightly"], record(t, d, "nightly").Total)
			require.Equal(t, ledger.Scheduled, record(t, d, "nightly").State)
		})
	}
}

// TestG1AJobThatMadeProgressIsHandedOnAfterAnError, so that its message is not used up. The message of a job without progress is
// redelivered.
func TestG1AJobThatMadeProgressIsHandedOnAfterAnError(t *testing.T) {
	for publications, again := range map[int]bool{0: true, 1: false, 2: false} {
		d := stage(t)
		published := 0
		d.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
			if r.Operation != "TransactWriteItems" {
				return nil
			}
			if published++; published > publications {
				return errors.New("the table is unavailable")
			}
			return nil
		}

		failed, summary := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(context.Background(), "first", messages(1, submitted(stores("nightly", "f", 700))))

		require.Equal(t, again, len(failed) > 0)
		require.Len(t, summary.Errors, 1)
		letters := d.SQS.Letters(fakeaws.JobsQueue)
		require.Equal(t, again, len(letters) == 0)
		d.DynamoDB.Hooks.Before = nil
		next := messages(2, submitted(stores("nightly", "f", 700)))
		if !again {
			next = messages(1, letters[0].Body)
		}
		_, err := handle(d, "second", next)
		require.NoError(t, err)
		require.Len(t, created(t, d)["nightly"], 700)
	}
}
