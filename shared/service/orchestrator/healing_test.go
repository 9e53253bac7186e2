package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
	"github.com/drover-run/drover/shared/worker"
)

// settle runs ticks until all interrupted work is repaired.
func settle(t *testing.T, s *outage.Stage) {
	for range 4 {
		s.Pass(time.Minute)
		require.NoError(t, execute(s, "tick"))
	}
}

// starts returns how often each attempt was started.
func starts(t *testing.T, s *outage.Stage) map[string]int {
	out := map[string]int{}
	for _, h := range s.Handed(t, "f") {
		out[fmt.Sprintf("%s, attempt %d", h.TaskID, h.Attempt)]++
	}
	return out
}

// TestG1G3G4TasksAreHandedOutWhereverTheOrchestratorIsCutOff: from two entries, up to the cap; then by the following ticks. No attempt is
// started more than twice: a second time only if it is unknown whether the first start succeeded.
func TestG1G3G4TasksAreHandedOutWhereverTheOrchestratorIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 5, 3)
		s.Schedule(t, outage.Job("second", "f", 4), outage.Job("other", "g", 1))
		s.Pass(time.Second)
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return execute(s, fmt.Sprintf("execution-%d", delivery), "f", "g") })

		cut.Off()
		settle(t, s)
		require.Equal(t, 5, held(t, s))
		for attempt, times := range starts(t, s) {
			require.LessOrEqual(t, times, 2, attempt)
		}
		require.Len(t, starts(t, s), 5, "each task that is held was started")
		return picture(t, s)
	})
}

// TestG1G4G5LostTasksAreReapedWhereverTheReaperIsCutOff: three tasks whose workers are lost, a failed task whose scavenger died, a completed task
// whose assistant died, and a lease that was never dispatched.
func TestG1G4G5LostTasksAreReapedWhereverTheReaperIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 5, 5)
		require.Equal(t, 5, s.HandOut(t, "f"))
		h := s.Handed(t, "f")
		s.ReportUnsettled(t, h[0].Failed("Boom")) // and the stream never delivers it
		s.Ended(t)
		endUnreleased(t, s, h[1])
		require.NoError(t, s.Apply(labourers(7)))
		s.Schedule(t, outage.Job("late", "f", 2))
		s.Pass(20 * time.Minute)
		claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "dead", "f", orchestrator.Decided{Round: 1})
		require.NoError(t, err)
		require.Equal(t, 2, claimed.Claimed)
		s.Pass(time.Minute)
		require.NoError(t, s.Control.SetPaused(ctx, "f", true)) // so nothing else is handed out
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error {
			return execute(s, fmt.Sprintf("execution-%d", delivery), "f")
		})

		cut.Off()
		settle(t, s)
		s.Scavenge(t)
		settle(t, s)
		require.NoError(t, s.Control.SetPaused(ctx, "f", false))
		settle(t, s)
		require.Equal(t, 6, held(t, s), "all but the one that has completed")
		return outage.Picture(s.Stack)
	})
}

// endUnreleased completes a task, and kills the assistant before it releases the task.
func endUnreleased(t *testing.T, s *outage.Stage, h outage.Handed) {
	release := s.Services().Assistant.Service
	release.Leases = unwritten{release.Leases}
	report := fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed"}`, h.TaskID, h.Attempt)
	missing, _ := release.Handle(ctx, "dies", messages(report))
	require.Len(t, missing, 1)
}

// TestG1AnExecutionDoesNotYieldToItself: a step that takes or ends the hold fails, before or after its request, and the state machine repeats it.
// No tick is needed.
func TestG1AnExecutionDoesNotYieldToItself(t *testing.T) {
	for name, done := range map[string]bool{"before the request": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			for at, requests := 1, 1; at <= requests; at++ {
				d := drovertest.New()
				require.NoError(t, d.Apply(`{"labourers": {"l": {"target": {"lambda": "l"}}}}`))
				require.NoError(t, d.Worker("l", time.Second, func(context.Context, worker.Task) (any, error) { return nil, nil }))
				requests = 0
				fail := func(_ context.Context, r fakeaws.Request) error {
					in, is := r.Input.(*dynamodb.UpdateItemInput)
					if !is || !strings.Contains(*in.UpdateExpression, "claiming_until") {
						return nil
					}
					if requests++; requests != at {
						return nil
					}
					return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusInternalServerError}}, Err: errors.New("lost")}
				}
				if d.DynamoDB.Before = fail; done {
					d.DynamoDB.Before, d.DynamoDB.After = nil, fail
				}

				id := d.Submit(`{"job_id": "j", "labourer": "l"}`)
				d.RunFor(30 * time.Second)

				job, _, err := d.Job(id)
				require.NoError(t, err)
				require.Equal(t, ledger.Completed, job.State, "at request %d", at)
			}
		})
	}
}

// TestG1G4UndispatchableTasksReturnToTheQueueWhereverThatIsCutOff: the workers' queue is missing, and comes back.
func TestG1G4UndispatchableTasksReturnToTheQueueWhereverThatIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := outage.NewStage(t, labourers(3), "g") // the queue of f is missing
		s.Schedule(t, outage.Job("nightly", "f", 4))
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return execute(s, fmt.Sprintf("execution-%d", delivery), "f") })

		cut.Off()
		settle(t, s)
		require.Zero(t, held(t, s), "a task that was not started takes no slot")
		state, err := s.Control.State(ctx, "f")
		require.NoError(t, err)
		require.Contains(t, state.Trouble.Error, "QueueDoesNotExist")
		s.SQS.Create(outage.Worker("f"), fakeaws.Queue{})
		settle(t, s)
		require.Equal(t, 3, held(t, s))
		for _, h := range s.Handed(t, "f") {
			require.Equal(t, 1, h.Attempt, "it burns no attempt")
		}
		state, err = s.Control.State(ctx, "f")
		require.NoError(t, err)
		require.Nil(t, state.Trouble)
		return outage.Picture(s.Stack)
	})
}

// TestG4ATaskHasTheTimeThatItsJobAsksFor: from its dispatch on, instead of its labourer's ten minutes.
func TestG4ATaskHasTheTimeThatItsJobAsksFor(t *testing.T) {
	s := stage(t, 5)
	s.Schedule(t, `{"job_id": "long", "labourer": "f", "max_duration": "2h"}`)
	require.NoError(t, execute(s, "first", "f"))
	require.Equal(t, 1, held(t, s))

	l := leases(t, s)[0]
	require.Equal(t, l.Hands[0].Since.Add(2*time.Hour+5*time.Minute), l.EndOf(0, queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 5 * time.Minute}))
	s.Pass(2 * time.Hour)
	require.NoError(t, execute(s, "tick"))
	s.Report(t, s.Handed(t, "f")[0].Completed())

	require.Zero(t, held(t, s))
	s.Scavenge(t)
	j, _, err := s.Jobs.Get(ctx, "long")
	require.NoError(t, err)
	require.Equal(t, ledger.Counts{Completed: 1}, j.Counts)
}

// TestG1AReturnedTaskOfAJobThatIsBeingCancelledIsCancelled: the task was handed out when the cancellation read the queue. Its labourer's target is
// gone for good, so no dispatch follows; or its dispatcher failed altogether.
func TestG1AReturnedTaskOfAJobThatIsBeingCancelledIsCancelled(t *testing.T) {
	for name, back := range map[string]func(o *orchestrator.Service, leases []orchestrator.Handout) error{
		"its target is gone": func(o *orchestrator.Service, leases []orchestrator.Handout) error {
			_, err := o.Dispatch(ctx, "f", leases)
			return err
		},
		"its dispatcher failed": func(o *orchestrator.Service, leases []orchestrator.Handout) error {
			_, err := o.GiveBack(ctx, "execution", "f", leases)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := outage.NewStage(t, labourers(3), "g") // the queue of f is missing
			s.Schedule(t, outage.Job("nightly", "f", 5), outage.Job("other", "f", 1))
			s.Pass(time.Second)
			o := s.Services().Orchestrator.Service
			claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
			require.NoError(t, err)
			require.Equal(t, 3, claimed.Claimed)
			_, summary := s.Services().Scheduler.Service.Handle(ctx, "invocation", []scheduler.Message{outage.Command("cancel", "CancelJob", `{"job_id": "nightly"}`)})
			require.Empty(t, summary.Errors)

			require.NoError(t, back(o, claimed.Leases))

			s.Scavenge(t)
			picture := outage.Picture(s.Stack)
			require.Contains(t, picture, "job nightly cancelled of f total=5 cursor=1 completed=0 dead=0 cancelled=5")
			require.Equal(t, 1, strings.Count(picture, "is queued"), "the other job's is left alone: %s", picture)
		})
	}
}

// TestG1AJobIsCancelledWhereverTheReturnOfItsTasksIsCutOff: its tasks were handed out when the cancellation read the queue, and their target is gone,
// so the dispatcher returns and sweeps them. The state machine repeats a step, gives back the tasks, or dies; then only the minute tick is left.
func TestG1AJobIsCancelledWhereverTheReturnOfItsTasksIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := outage.NewStage(t, labourers(3), "g") // the target of f is missing
		s.Schedule(t, outage.Job("nightly", "f", 3))
		s.Pass(time.Second)
		claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
		require.NoError(t, err)
		require.Equal(t, 3, claimed.Claimed)
		_, summary := s.Services().Scheduler.Service.Handle(ctx, "invocation", []scheduler.Message{outage.Command("cancel", "CancelJob", `{"job_id": "nightly"}`)})
		require.Empty(t, summary.Errors)
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Second, func(int) error {
			if _, err := s.Services().Orchestrator.Service.Dispatch(ctx, "f", claimed.Leases); err == nil {
				return nil
			}
			_, err := s.Services().Orchestrator.Service.GiveBack(ctx, "execution", "f", claimed.Leases)
			return err
		})

		cut.Off()
		s.Pass(2 * time.Minute)
		tick(t, s)
		s.Scavenge(t)
		picture := outage.Picture(s.Stack)
		require.Contains(t, picture, "job nightly cancelled of f total=3 cursor=1 completed=0 dead=0 cancelled=3")
		return picture
	})
}

// tick runs the steps of the minute tick up to the reaper.
func tick(t *testing.T, s *outage.Stage) {
	planned, err := s.Services().Orchestrator.Service.Plan(ctx, "tick", orchestrator.PlanInput{})
	require.NoError(t, err)
	for _, turn := range planned.Labourers {
		if !turn.Reap {
			continue
		}
		_, err := s.Services().Orchestrator.Service.Reap(ctx, turn.Labourer)
		require.NoError(t, err)
	}
}

// TestG1AWithdrawnTaskWhoseSweeperDiedIsCancelledByTheTick: and not while its sweeper may still run.
func TestG1AWithdrawnTaskWhoseSweeperDiedIsCancelledByTheTick(t *testing.T) {
	s := outage.NewStage(t, labourers(3), "f", "g")
	s.Schedule(t, outage.Job("nightly", "f", 300))
	died := false
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		in, is := r.Input.(*dynamodb.QueryInput)
		if died = died || is && *in.TableName == fakeaws.TasksTable; died {
			return errors.New("the canceller has died")
		}
		return nil
	}
	_, summary := s.Services().Scheduler.Service.Handle(ctx, "invocation", []scheduler.Message{outage.Command("cancel", "CancelJob", `{"job_id": "nightly"}`)})
	require.NotEmpty(t, summary.Errors)
	s.DynamoDB.Before = nil

	s.Pass(30 * time.Second)
	tick(t, s)
	require.Equal(t, 300, strings.Count(outage.Picture(s.Stack), "is withdrawn"), "its canceller may still be at work")
	s.Pass(time.Minute)
	tick(t, s)

	s.Scavenge(t)
	require.Contains(t, outage.Picture(s.Stack), "job nightly cancelled of f total=300 cursor=2 completed=0 dead=0 cancelled=300")
}

// TestG4G9ATaskThatCanNeverBeStartedFailsForGoodWhereverThatIsCutOff: its event is larger than its queue takes.
func TestG4G9ATaskThatCanNeverBeStartedFailsForGoodWhereverThatIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := outage.NewStage(t, "labourers: {f: {target: {sqs: \""+outage.Worker("f")+"\"}, max_simultaneous_invocations: 3}}")
		s.SQS.Create(outage.Worker("f"), fakeaws.Queue{Taken: true, MaxMessage: 1024})
		s.Schedule(t, `{"job_id": "small", "labourer": "f"}`, `{"job_id": "large", "labourer": "f", "a": "`+strings.Repeat("x", 1024)+`"}`)
		s.Pass(time.Second)
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return execute(s, fmt.Sprintf("execution-%d", delivery), "f") })

		cut.Off()
		settle(t, s)
		s.Scavenge(t)
		require.Equal(t, 1, held(t, s))
		picture := outage.Picture(s.Stack)
		require.Contains(t, picture, "job large completed of f total=1 cursor=1 completed=0 dead=1")
		return picture
	})
}
