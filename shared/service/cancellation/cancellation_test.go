package cancellation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

var ctx = context.Background()

func stage(t require.TestingT) *outage.Stage {
	return outage.NewStage(t, fmt.Sprintf(`
labourers:
  f: {target: {sqs: %q}, max_simultaneous_invocations: 3, max_attempts: 3}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`, outage.Worker("f")), "f")
}

func ended(h outage.Handed, status string) string {
	return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": %q}`, h.TaskID, h.Attempt, status)
}

// cancel lets the scheduler execute a CancelJob.
func cancel(s *outage.Stage, invocation, detail string) error {
	failed, summary := s.Services().Scheduler.Service.Handle(ctx, invocation, []scheduler.Message{outage.Command("cancel", "CancelJob", detail)})
	if len(failed) > 0 {
		return errors.New(strings.Join(summary.Errors, "; "))
	}
	return nil
}

// rest lets all running tasks fail and processes everything that follows.
func rest(t require.TestingT, s *outage.Stage) {
	s.Scavenge(t)
	for _, h := range s.Handed(t, "f") {
		s.Report(t, ended(h, "failed"))
	}
	s.Scavenge(t)
}

// TestG1G5AJobIsCancelledOnceWhereverTheCancellationIsInterrupted: of a job of ninety-two tasks three run, of which one completes while the others
// fail, one waits for its second attempt, others wait in the lease, and the last thirty-two are queued, next to those of another job.
func TestG1G5AJobIsCancelledOnceWhereverTheCancellationIsInterrupted(t *testing.T) {
	for name, detail := range map[string]string{"queued tasks": `{"job_id": "nightly"}`, "by force": `{"job_id": "nightly", "force": true}`} {
		t.Run(name, func(t *testing.T) {
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				s := stage(t)
				s.Schedule(t, outage.Job("nightly", "f", 92), outage.Job("other", "f", 2))
				require.Equal(t, 3, s.HandOut(t, "f"))
				s.ReportUnsettled(t, ended(s.Handed(t, "f")[0], "failed"))
				s.Scavenge(t)
				require.Equal(t, 1, s.HandOut(t, "f"))
				require.Equal(t, 56, waiting(t, s))
				cut.On(s.Stack)

				cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return cancel(s, fmt.Sprintf("invocation-%d", delivery), detail) })

				cut.Off()
				s.Scavenge(t)
				h := s.Handed(t, "f")
				s.Report(t, ended(h[1], "completed"))
				rest(t, s)
				s.Pass(time.Hour)
				require.Equal(t, 2, s.HandOut(t, "f"), "the other job continues, and no task of the cancelled job is retried")
				picture := outage.Picture(s.Stack)
				require.Contains(t, picture, "fact JobCancelled/nightly/1")
				require.NotContains(t, picture, "JobCompleted/nightly")
				require.NotContains(t, picture, "withdrawn")
				return picture
			})
		})
	}
}

// TestG1G5TasksThatWaitInLeasesForTheirNextAttemptAreCancelled, wherever the cancellation is interrupted, and none is tried again.
func TestG1G5TasksThatWaitInLeasesForTheirNextAttemptAreCancelled(t *testing.T) {
	for name, detail := range map[string]string{"queued tasks": `{"job_id": "nightly"}`, "by force": `{"job_id": "nightly", "force": true}`} {
		t.Run(name, func(t *testing.T) {
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				s := stage(t)
				s.Schedule(t, outage.Job("nightly", "f", 5))
				require.Equal(t, 3, s.HandOut(t, "f"))
				s.Report(t, ended(s.Handed(t, "f")[0], "failed"))
				s.Pass(time.Minute)
				h := s.Handed(t, "f")
				s.Report(t, ended(h[1], "failed"), ended(h[2], "failed"), ended(h[3], "failed"))
				leases, err := s.Control.Leases(ctx, "f")
				require.NoError(t, err)
				require.Positive(t, queue.Retries(leases))
				cut.On(s.Stack)

				cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return cancel(s, fmt.Sprintf("invocation-%d", delivery), detail) })

				cut.Off()
				s.Scavenge(t)
				s.Pass(time.Hour)
				before := len(s.Handed(t, "f"))
				require.Zero(t, s.HandOut(t, "f"))
				for _, h := range s.Handed(t, "f") {
					s.Report(t, ended(h, "completed"))
				}
				s.Scavenge(t)
				require.Len(t, s.Handed(t, "f"), before)
				picture := outage.Picture(s.Stack)
				require.Contains(t, picture, "fact JobCancelled/nightly/1")
				require.NotContains(t, picture, "withdrawn")
				return picture
			})
		})
	}
}

// TestTheSlotsThatAForcedCancellationFreesNeedNoTick: the orchestrator is woken after the slots are free, wherever the cancellation is
// interrupted.
func TestTheSlotsThatAForcedCancellationFreesNeedNoTick(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 3), outage.Job("other", "f", 2))
		require.Equal(t, 3, s.HandOut(t, "f"))
		told := len(s.EventBridge.Told())
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			return cancel(s, fmt.Sprintf("invocation-%d", delivery), `{"job_id": "nightly", "force": true}`)
		})

		cut.Off()
		woken := false
		for _, e := range s.EventBridge.Told()[told:] {
			woken = woken || e.DetailType == "TasksDue" && strings.Contains(string(e.Detail), `"labourers":["f"]`)
		}
		require.True(t, woken)
		require.Equal(t, 2, s.HandOut(t, "f"))
		return outage.Picture(s.Stack)
	})
}

// TestG5ACancellationThatRacesWithOtherComponents: at each of its requests a task completes, a task fails and is settled, or others are
// dispatched.
func TestG5ACancellationThatRacesWithOtherComponents(t *testing.T) {
	for name, race := range map[string]func(t *testing.T, s *outage.Stage){
		"a task completes": func(t *testing.T, s *outage.Stage) {
			s.Report(t, ended(s.Handed(t, "f")[0], "completed"))
			s.Scavenge(t)
		},
		"a task fails": func(t *testing.T, s *outage.Stage) {
			s.Report(t, ended(s.Handed(t, "f")[0], "failed"))
			s.Scavenge(t)
		},
		"others are dispatched": func(t *testing.T, s *outage.Stage) {
			s.Report(t, ended(s.Handed(t, "f")[0], "completed"))
			s.HandOut(t, "f")
		},
		"another canceller cancels it": func(t *testing.T, s *outage.Stage) {
			require.NoError(t, cancel(s, "second", `{"job_id": "nightly"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := stage(t)
				s.Schedule(t, outage.Job("nightly", "f", 14))
				require.Equal(t, 3, s.HandOut(t, "f"))
				requests := 0
				s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
					if requests++; requests == at {
						race(t, s)
					}
					return nil
				}

				require.NoError(t, cancel(s, "first", `{"job_id": "nightly"}`))

				s.DynamoDB.Before = nil
				rest(t, s)
				rest(t, s)
				j, _, err := s.Jobs.Get(ctx, "nightly")
				require.NoError(t, err)
				require.Equal(t, ledger.Cancelled, j.State, "at request %d", at)
				require.Equal(t, 14, j.Counts.Sum(), "at request %d: %+v", at, j.Counts)
				require.Zero(t, strings.Count(outage.Picture(s.Stack), "is queued"), "at request %d", at)
				require.Zero(t, strings.Count(outage.Picture(s.Stack), "is held"), "at request %d", at)
				if requests < at {
					require.Greater(t, at, 10)
					return
				}
			}
		})
	}
}

// waiting returns how many tasks wait in leases.
func waiting(t require.TestingT, s *outage.Stage) int {
	leases, err := s.Control.Leases(ctx, "f")
	require.NoError(t, err)
	return queue.Waiting(leases)
}

// TestG5ACancellationMissesNoTaskThatAClaimMoves: at one of its requests, a claim takes tasks from their entry to a lease, also if reads see the
// lease only some time later than the entry. Only those that run then may run on.
func TestG5ACancellationMissesNoTaskThatAClaimMoves(t *testing.T) {
	for name, torn := range map[string]time.Duration{"seen at once": 0, "seen in half": 40 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := stage(t)
				s.Schedule(t, outage.Job("nightly", "f", 14))
				s.Pass(time.Second)
				requests, running := 0, 0
				s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
					if requests++; requests != at {
						s.Pass(10 * time.Millisecond)
						return nil
					}
					hooks := s.DynamoDB.Hooks
					s.DynamoDB.Hooks = fakeaws.Hooks{}
					s.DynamoDB.Torn = func(_ string, key fakeaws.Item) time.Duration {
						if strings.HasPrefix(key["item"].(*types.AttributeValueMemberS).Value, "lease#") {
							return torn
						}
						return 0
					}
					claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
					require.NoError(t, err)
					running = claimed.Claimed
					s.DynamoDB.Torn, s.DynamoDB.Hooks = nil, hooks
					return nil
				}

				require.NoError(t, cancel(s, "first", `{"job_id": "nightly"}`))

				s.DynamoDB.Before = nil
				s.Pass(time.Second)
				require.Zero(t, waiting(t, s), "at request %d", at)
				tasks, err := s.Drover.Tasks("nightly")
				require.NoError(t, err)
				open := slices.DeleteFunc(tasks, func(t task.Task) bool { return t.Status == task.Cancelled })
				require.Len(t, open, running, "at request %d", at)
				if requests < at {
					require.Greater(t, at, 10)
					return
				}
			}
		})
	}
}

// TestG5ACompletionThatNoLeaseKnowsOfIsCounted: a dispatcher took the start of a task for failed and returned the task to the queue, but its worker
// ran and completes it. The job is cancelled before the task is granted again.
func TestG5ACompletionThatNoLeaseKnowsOfIsCounted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 2))
		claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
		require.NoError(t, err)
		_, err = s.Services().Orchestrator.Service.GiveBack(ctx, "execution", "f", claimed.Leases)
		require.NoError(t, err)
		tasks, err := s.Drover.Tasks("nightly")
		require.NoError(t, err)
		s.Report(t, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed"}`, tasks[0].ID))
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			return cancel(s, fmt.Sprintf("invocation-%d", delivery), `{"job_id": "nightly"}`)
		})

		cut.Off()
		s.Scavenge(t)
		picture := outage.Picture(s.Stack)
		require.Contains(t, picture, "job nightly cancelled of f total=2 cursor=1 completed=1 dead=0 cancelled=1")
		require.Contains(t, picture, "fact JobCancelled/nightly/1")
		return picture
	})
}

// TestG5AForcedCancellationCountsWhatHadCompleted: the assistant has closed a task and died before it wrote the lease.
func TestG5AForcedCancellationCountsWhatHadCompleted(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 5))
		require.Equal(t, 3, s.HandOut(t, "f"))
		tasks, err := s.Drover.Tasks("nightly")
		require.NoError(t, err)
		done, err := tasks[1].Close(task.End{Attempt: 1, Status: task.Completed, At: s.World.Now()})
		require.NoError(t, err)
		require.NoError(t, s.Tasks.Save(ctx, tasks[1], done))
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			return cancel(s, fmt.Sprintf("invocation-%d", delivery), `{"job_id": "nightly", "force": true}`)
		})

		cut.Off()
		s.Scavenge(t)
		picture := outage.Picture(s.Stack)
		require.Contains(t, picture, "job nightly cancelled of f total=5 cursor=1 completed=1 dead=0 cancelled=4")
		require.Contains(t, picture, "fact JobCancelled/nightly/1")
		require.NotContains(t, picture, "is held")
		return picture
	})
}

// TestG1G5AnAttemptThatEndsDuringACancellationIsNotLost: the assistant closes it before one of the cancellation's requests, and the stream
// delivers its end only after the cancellation, as streams do.
func TestG1G5AnAttemptThatEndsDuringACancellationIsNotLost(t *testing.T) {
	for _, detail := range []string{`{"job_id": "nightly"}`, `{"job_id": "nightly", "force": true}`} {
		for _, status := range []string{"failed", "completed"} {
			t.Run(status+" "+detail, func(t *testing.T) {
				for at := 1; ; at++ {
					s := stage(t)
					s.Schedule(t, outage.Job("nightly", "f", 14))
					require.Equal(t, 3, s.HandOut(t, "f"))
					requests, completed := 0, 0
					s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
						if requests++; requests == at {
							s.Report(t, ended(s.Handed(t, "f")[0], status))
							completed = strings.Count(outage.Picture(s.Stack), "of nightly status=completed")
						}
						return nil
					}

					require.NoError(t, cancel(s, "first", detail))

					s.DynamoDB.Before = nil
					rest(t, s)
					picture := outage.Picture(s.Stack)
					require.Contains(t, picture, fmt.Sprintf("job nightly cancelled of f total=14 cursor=1 completed=%d ", completed), "at request %d", at)
					require.Equal(t, completed, strings.Count(picture, "of nightly status=completed"), "at request %d", at)
					require.NotContains(t, picture, "status=failed", "at request %d", at)
					require.NotContains(t, picture, "is held", "at request %d", at)
					if requests < at {
						return
					}
				}
			})
		}
	}
}

// TestG1ASweptTaskWhoseAttemptEndsMeanwhileIsNotLost: a worker runs although its dispatcher took its start for failed, returned its task,
// and sweeps it. The assistant has read the lease before that, and closes the attempt before one of the dispatcher's later requests.
func TestG1ASweptTaskWhoseAttemptEndsMeanwhileIsNotLost(t *testing.T) {
	for at := 1; ; at++ {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 1))
		claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
		require.NoError(t, err)
		require.Equal(t, 1, claimed.Claimed)
		require.NoError(t, cancel(s, "first", `{"job_id": "nightly"}`))
		tasks, err := s.Drover.Tasks("nightly")
		require.NoError(t, err)
		failed, err := tasks[0].Close(task.End{Attempt: 1, Status: task.Failed, At: s.World.Now()})
		require.NoError(t, err)
		requests := 0
		s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			if requests++; requests == at {
				if err := s.Tasks.Save(ctx, tasks[0], failed); !errors.Is(err, task.ErrStale) {
					require.NoError(t, err)
				}
			}
			return nil
		}

		_, err = s.Services().Orchestrator.Service.GiveBack(ctx, "execution", "f", claimed.Leases)

		require.NoError(t, err)
		s.DynamoDB.Before = nil
		s.Scavenge(t)
		require.Contains(t, outage.Picture(s.Stack), "job nightly cancelled of f total=1", "at request %d", at)
		if requests < at {
			return
		}
	}
}

// TestG1ARetryOfACancelledJobIsCancelledEvenAfterMaxAttemptsIsLowered: the settler queues and withdraws the task, and dies. When the stream
// redelivers the record, the labourer's new configuration allows no further attempt.
func TestG1ARetryOfACancelledJobIsCancelledEvenAfterMaxAttemptsIsLowered(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t)
		s.Schedule(t, outage.Job("nightly", "f", 1))
		require.Equal(t, 1, s.HandOut(t, "f"))
		require.NoError(t, cancel(s, "first", `{"job_id": "nightly"}`))
		s.Report(t, ended(s.Handed(t, "f")[0], "failed"))
		records := s.Ended(t)
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Second, func(delivery int) error {
			_, err := s.Services().Scavenger.Service.Handle(ctx, "invocation", records)
			if delivery == 1 && err != nil {
				cut.Off()
				require.NoError(t, s.Apply(fmt.Sprintf("labourers: {f: {target: {sqs: %q}, max_simultaneous_invocations: 3, max_attempts: 1}}", outage.Worker("f"))))
			}
			return err
		})

		cut.Off()
		s.Scavenge(t)
		j, _, err := s.Jobs.Get(ctx, "nightly")
		require.NoError(t, err)
		require.Zero(t, j.Open(), outage.Picture(s.Stack))
		require.NotContains(t, outage.Picture(s.Stack), "withdrawn")
		return string(j.State)
	})
}

// TestG2G5TheCreationOfACancelledJobStops, whichever request of its scheduler the cancellation precedes. Tasks that were written ahead are
// removed.
func TestG2G5TheCreationOfACancelledJobStops(t *testing.T) {
	for at := 1; ; at++ {
		s := stage(t)
		requests := 0
		var refused error
		s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			if requests++; requests == at {
				s.DynamoDB.Before = nil
				refused = cancel(s, "second", `{"job_id": "nightly"}`)
			}
			return nil
		}

		failed, _ := s.Services().Scheduler.Service.Handle(ctx, "first", []scheduler.Message{outage.Command("job", "SubmitJob", outage.Job("nightly", "f", 600))})

		reached := s.DynamoDB.Before == nil
		s.DynamoDB.Before = nil
		require.NoError(t, refused)
		if len(failed) > 0 { // it is redelivered
			s.Pass(10 * time.Minute)
			m := outage.Command("job", "SubmitJob", outage.Job("nightly", "f", 600))
			m.Receives = 2
			failed, summary := s.Services().Scheduler.Service.Handle(ctx, "again", []scheduler.Message{m})
			require.Empty(t, failed, "at request %d: %v", at, summary.Errors)
		}
		if len(s.SQS.Letters(fakeaws.JobsDeadLetters)) > 0 { // it was cancelled before the job existed
			continue
		}
		if !reached {
			require.Greater(t, at, 20)
			return
		}
		require.NoError(t, cancel(s, "again", `{"job_id": "nightly"}`))
		s.Scavenge(t)
		j, _, err := s.Jobs.Get(ctx, "nightly")
		require.NoError(t, err)
		require.Equal(t, ledger.Cancelled, j.State, "at request %d", at)
		require.Equal(t, ledger.Counts{Cancelled: 600}, j.Counts, "at request %d", at)
		require.Zero(t, s.HandOut(t, "f"), "at request %d", at)
		require.Empty(t, left(s, "nightly"), "at request %d", at)
	}
}

// left returns the tasks of a job that have not ended.
func left(s *outage.Stage, job string) []string {
	return slices.DeleteFunc(strings.Split(outage.Picture(s.Stack), "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "task ") || !strings.Contains(line, " of "+job+" status= ")
	})
}

// TestG1UnpublishedTasksOfACancelledJobAreRemoved, whichever scheduler that learns of the cancellation is interrupted: the one that is
// writing, or the one that receives the message of a dead one.
func TestG1UnpublishedTasksOfACancelledJobAreRemoved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		jobs      []string
		cancelled string
		others    int // tasks of jobs that are not cancelled
		before    string
		at        int // the job is cancelled before this request of the kind
	}{
		"ahead of the first publication":           {[]string{outage.Job("nightly", "f", 520)}, "nightly", 0, "TransactWriteItems", 1},
		"amid the writing ahead":                   {[]string{outage.Job("nightly", "f", 520)}, "nightly", 0, "BatchWriteItem", 20},
		"the first of several jobs in one segment": {[]string{outage.Job("a", "f", 30), outage.Job("b", "f", 20), outage.Job("c", "f", 10)}, "a", 30, "TransactWriteItems", 1},
		"another of several jobs in one segment":   {[]string{outage.Job("a", "f", 30), outage.Job("b", "f", 20), outage.Job("c", "f", 10)}, "b", 40, "BatchWriteItem", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				s := stage(t)
				var mu sync.Mutex
				seen := 0
				var refused error
				cut.On(s.Stack)
				s.EventBridge.Hooks, s.SQS.Hooks = fakeaws.Hooks{}, fakeaws.Hooks{} // the canceller is not interrupted
				cutOff := s.DynamoDB.Before
				s.DynamoDB.Before = func(ctx context.Context, r fakeaws.Request) error {
					mu.Lock()
					if r.Operation == c.before {
						seen++
					}
					now := seen == c.at && r.Operation == c.before
					mu.Unlock()
					if now {
						hooks := s.DynamoDB.Hooks
						s.DynamoDB.Hooks = fakeaws.Hooks{}
						refused = cancel(s, "canceller", fmt.Sprintf(`{"job_id": %q}`, c.cancelled))
						s.DynamoDB.Hooks = hooks
					}
					return cutOff(ctx, r)
				}

				var batch []scheduler.Message
				for i, j := range c.jobs {
					batch = append(batch, outage.Command(fmt.Sprint(i), "SubmitJob", j))
				}
				for invocations := 0; len(batch) > 0; { // including commands that are handed on
					cut.Redeliver(t, s.World, 10*time.Minute, func(delivery int) error {
						for i := range batch {
							batch[i].Receives = delivery
						}
						invocations++
						failed, summary := s.Services().Scheduler.Service.Handle(ctx, fmt.Sprintf("invocation-%d", invocations), batch)
						if len(failed) > 0 {
							return errors.New(strings.Join(summary.Errors, "; "))
						}
						return nil
					})
					batch = nil
					for _, l := range s.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true }) {
						batch = append(batch, scheduler.Message{ID: l.Body, Body: l.Body, Receives: 1})
					}
				}

				cut.Off()
				require.NoError(t, refused)
				// The scheduler may have been interrupted before the job existed. Then all of it is created, and cancelled now.
				require.NoError(t, cancel(s, "late", fmt.Sprintf(`{"job_id": %q}`, c.cancelled)))
				s.Scavenge(t)
				require.Empty(t, left(s, c.cancelled))
				j, _, err := s.Jobs.Get(ctx, c.cancelled)
				require.NoError(t, err)
				require.Equal(t, ledger.Cancelled, j.State)
				others := 0
				for _, other := range []string{"a", "b", "c"} {
					others += len(left(s, other))
				}
				require.Equal(t, c.others, others, "other jobs are unchanged")
				return fmt.Sprint(j.Counts)
			})
		})
	}
}

// TestG1G5ACancellationIsHandedOnNearTheDeadline, wherever one of its schedulers is interrupted: of a job of seven tasks two run, and the
// others are queued in one entry each. Each transaction and each saved task takes a second.
func TestG1G5ACancellationIsHandedOnNearTheDeadline(t *testing.T) {
	for name, detail := range map[string]string{"queued tasks": `{"job_id": "nightly"}`, "by force": `{"job_id": "nightly", "force": true}`} {
		t.Run(name, func(t *testing.T) {
			most := 0
			outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
				s := stage(t)
				s.Schedule(t, outage.Job("nightly", "f", 7))
				for n := range 5 {
					s.HandOut(t, "f")
					s.ReportUnsettled(t, ended(s.Handed(t, "f")[n], "failed"))
					s.Scavenge(t)
					s.Pass(50 * time.Millisecond)
				}
				cut.On(s.Stack)
				before := s.DynamoDB.Before
				s.DynamoDB.Before = func(c context.Context, r fakeaws.Request) error {
					if r.Operation == "TransactWriteItems" || r.Operation == "UpdateItem" {
						s.Pass(time.Second)
					}
					return before(c, r)
				}

				invocations := 0
				next := []scheduler.Message{outage.Command("cancel", "CancelJob", detail)}
				for len(next) > 0 {
					message := next[0]
					next = next[1:]
					cut.Redeliver(t, s.World, time.Minute, func(int) error {
						invocations++
						limited, stop := context.WithDeadline(ctx, s.World.Now().Add(7*time.Second))
						defer stop()
						failed, summary := s.Services().Scheduler.Service.Handle(limited, fmt.Sprintf("invocation-%d", invocations), []scheduler.Message{message})
						if len(failed) > 0 {
							return errors.New(strings.Join(summary.Errors, "; "))
						}
						return nil
					})
					for _, l := range s.SQS.Take(fakeaws.JobsQueue, func(fakeaws.Letter) bool { return true }) {
						next = append(next, scheduler.Message{ID: l.Body, Body: l.Body, Receives: 1})
					}
				}

				cut.Off()
				s.DynamoDB.Before = nil
				most = max(most, invocations)
				rest(t, s)
				picture := outage.Picture(s.Stack)
				require.Contains(t, picture, "fact JobCancelled/nightly/1")
				require.Contains(t, picture, "cancelled=7")
				require.NotContains(t, picture, "withdrawn")
				require.NotContains(t, picture, "is queued")
				require.NotContains(t, picture, "is held")
				return picture
			})
			require.Greater(t, most, 2, "no cancellation was handed on")
		})
	}
}

func TestAJobThatHasEndedIsNotCancelled(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("empty", "f", 0))

	require.NoError(t, cancel(s, "only", `{"job_id": "empty"}`))

	j, _, err := s.Jobs.Get(ctx, "empty")
	require.NoError(t, err)
	require.Equal(t, ledger.Completed, j.State)
	require.Empty(t, s.SQS.Letters(fakeaws.JobsDeadLetters))
}
