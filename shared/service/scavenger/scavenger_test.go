package scavenger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/scavenger"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

var ctx = context.Background()

// running returns a stage on which n tasks of f run.
func running(t require.TestingT, n int) (*outage.Stage, []outage.Handed) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", n))
	s.HandOut(t, "f")
	return s, s.Handed(t, "f")
}

func woken(s *outage.Stage, since int) int {
	n := 0
	for _, e := range s.EventBridge.Told()[since:] {
		if e.DetailType == "TasksDue" {
			n++
		}
	}
	return n
}

// TestTheScavengerIgnoresWhatItHasNothingToDoWith: tasks that have not ended, and completions that their leases record.
func TestTheScavengerIgnoresWhatItHasNothingToDoWith(t *testing.T) {
	s := stage(t)
	open := task.Task{ID: task.ID{Segment: segment.IDOf("nightly", 0), N: 1}, Labourer: "f", JobID: "nightly"}
	done, err := open.Close(task.End{Attempt: 1, Status: task.Completed, At: s.World.Now()})
	require.NoError(t, err)
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		return errors.New("unexpected request: " + r.Operation)
	}

	summary, err := s.Services().Scavenger.Service.Handle(ctx, "invocation", []task.Task{open, done})

	require.NoError(t, err)
	require.Equal(t, scavenger.Summary{}, summary)
}

func TestADeathIsPublishedAndPeopleAreNotified(t *testing.T) {
	s, h := running(t, 3)
	s.Report(t, h[0].Failed("BadInput"), h[2].Failed("BadInput"))
	s.Scavenge(t)

	var told []string
	for _, e := range s.EventBridge.Told() {
		if e.DetailType == "TaskDead" {
			told = append(told, string(e.Detail))
		}
	}
	slices.Sort(told)
	require.Len(t, told, 2)
	require.JSONEq(t, fmt.Sprintf(`{"id": "TaskDead/%[1]s/0", "version": 1, "task_id": %[1]q, "job_id": "nightly", "labourer_id": "f", "attempts": 1,
		"error": {"type": "BadInput", "message": "as told"}}`, h[0].TaskID), told[0])
	letters := s.SNS.Published(fakeaws.AlarmTopic)
	require.Len(t, letters, 1, "one message per batch")
	require.NotContains(t, letters[0].Message, "as told", "an error's message may quote a payload")
}

// TestAReplayAfterATaskDeadEventFindsTheTask: an application requests a replay as soon as it receives the event.
func TestAReplayAfterATaskDeadEventFindsTheTask(t *testing.T) {
	for _, name := range []string{"the task", "the job"} {
		s, h := running(t, 2)
		s.Report(t, h[0].Completed(), h[1].Failed("BadInput"))
		detail := map[string]string{"the task": fmt.Sprintf(`{"replay_id": "r", "tasks": [%q]}`, h[1].TaskID), "the job": `{"replay_id": "r", "job_id": "nightly"}`}[name]
		answered := false
		s.EventBridge.After = func(_ context.Context, _ fakeaws.Request) error {
			if answered || len(s.Facts("TaskDead")) == 0 {
				return nil
			}
			answered = true
			missing, summary := s.Services().Scheduler.Service.Handle(ctx, "replay", []scheduler.Message{outage.Command("replay", "ReplayTasks", detail)})
			require.Empty(t, missing, "%v", summary.Errors)
			return nil
		}

		s.Scavenge(t)

		require.True(t, answered)
		require.Equal(t, 1, s.HandOut(t, "f"), "%s comes back: %s", name, outage.Picture(s.Stack))
	}
}

func TestG8AFailedNotificationDelaysNothing(t *testing.T) {
	s, h := running(t, 1)
	s.SNS.Before = func(context.Context, fakeaws.Request) error { return errors.New("access denied") }
	s.Report(t, h[0].Failed("BadInput"))
	require.NoError(t, scavenge(s, "first", s.Ended(t)))

	summary, err := s.Services().Scavenger.Service.Handle(ctx, "second", s.Ended(t))

	require.NoError(t, err)
	require.Contains(t, summary.Alarm, "access denied")
	require.Equal(t, 1, summary.Finished)
}

// TestG1FreedSlotsWakeTheOrchestratorEvenAfterAnError: the next delivery would not find that the scavenger freed them.
func TestG1FreedSlotsWakeTheOrchestratorEvenAfterAnError(t *testing.T) {
	s := stage(t)
	s.Schedule(t, outage.Job("nightly", "f", 20))
	s.HandOut(t, "f")
	s.ReportUnsettled(t, s.Handed(t, "f")[0].Failed("Boom"))
	s.SQS.Before = func(context.Context, fakeaws.Request) error { return errors.New("no wake can be sent") }
	before := len(s.EventBridge.Told())

	err := scavenge(s, "invocation", s.Ended(t))

	require.ErrorContains(t, err, "no wake can be sent")
	require.Equal(t, 1, woken(s, before))
}

// TestTheOrchestratorIsWokenIfAFreedSlotCanBeFilled: by a task that waits in the lease, by one that is due, or by one that waits in another lease.
func TestTheOrchestratorIsWokenIfAFreedSlotCanBeFilled(t *testing.T) {
	for name, c := range map[string]struct {
		tasks, others int // of a job that takes all slots, and of a job behind it
		wakes         int
	}{
		"a task waits in the lease":     {9, 0, 1},
		"a task is due":                 {8, 1, 1},
		"a task waits in another lease": {6, 6, 1},
		"none is left":                  {8, 0, 0},
		"none is left of two jobs":      {6, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := running(t, c.tasks)
			if c.others > 0 {
				s.Schedule(t, outage.Job("other", "f", c.others))
				s.HandOut(t, "f")
			}
			s.ReportUnsettled(t, h[0].Failed("Boom"))
			before := len(s.EventBridge.Told())

			s.Scavenge(t)

			require.Equal(t, c.wakes, woken(s, before))
		})
	}
}

// TestG10ARetryIsDueByItsPolicyEvenWithoutATimer: the queue entry decides.
func TestG10ARetryIsDueByItsPolicyEvenWithoutATimer(t *testing.T) {
	s, h := running(t, 1)
	s.Report(t, h[0].Failed("Boom"))
	s.Scavenge(t) // uniform in 10 s to 60 s, and half of it is drawn

	s.Pass(34 * time.Second)
	require.Zero(t, s.HandOut(t, "f"))
	s.Pass(2 * time.Second)
	require.Equal(t, 1, s.HandOut(t, "f"))
	require.Equal(t, 2, s.Handed(t, "f")[1].Attempt)
}

// sent counts the messages and executions that functions send and start from now on.
func sent(s *outage.Stage) map[string]int {
	calls := map[string]int{}
	count := func(_ context.Context, r fakeaws.Request) error {
		calls[r.Operation]++
		return nil
	}
	s.SQS.Before, s.StepFunctions.Before = count, count
	return calls
}

func TestABatchOfRetriesHasOneWake(t *testing.T) {
	s, h := running(t, 8)
	var ends []string
	for _, one := range h {
		ends = append(ends, one.Failed("Boom"))
	}
	s.Report(t, ends...)
	calls := sent(s)

	s.Scavenge(t)

	require.Equal(t, map[string]int{"SendMessage": 1}, calls)
	s.RunFor(34 * time.Second)
	require.Len(t, s.Handed(t, "f"), 8, "they are due 35 s later")
	s.RunFor(4 * time.Second)
	require.Len(t, s.Handed(t, "f"), 16, "without a tick")
}

func TestRetriesThatWaitLongShareAnExecution(t *testing.T) {
	s, h := running(t, 8)
	calls := sent(s)
	for _, one := range h {
		s.Pass(50 * time.Millisecond)
		s.Report(t, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "failed", "retry_after": "16m"}`, one.TaskID))
		s.Scavenge(t)
	}

	require.Zero(t, calls["SendMessage"])
	require.Equal(t, 1, s.StepFunctions.Running(fakeaws.BackoffMachine))
}

// TestRetriesThatFailOneByOneShareTheirPublication: their wakes arrive within a second, and the worker assistant gathers them.
func TestRetriesThatFailOneByOneShareTheirPublication(t *testing.T) {
	s, h := running(t, 8)
	for _, one := range h {
		s.Pass(50 * time.Millisecond)
		s.Report(t, one.Failed("Boom"))
		s.Scavenge(t)
	}
	before := len(s.EventBridge.Told())

	s.RunFor(38 * time.Second)

	require.Equal(t, 1, woken(s, before))
	require.Len(t, s.Handed(t, "f"), 16)
}

// TestG1ALostWakeIsMadeUpForByTheTick finds the task within a minute.
func TestG1ALostWakeIsMadeUpForByTheTick(t *testing.T) {
	s, h := running(t, 1)
	s.World.Course = func(_ fakeaws.Kind, label string) []time.Duration {
		if strings.HasPrefix(label, "completions ") {
			return nil
		}
		return []time.Duration{0}
	}
	s.Report(t, h[0].Failed("Boom"))
	s.Scavenge(t)

	s.RunFor(40 * time.Second)
	require.Len(t, s.Handed(t, "f"), 1, "its wake is lost")
	s.RunFor(30 * time.Second)
	require.Len(t, s.Handed(t, "f"), 2)
}

// TestG1G8FailuresOfAnUnreadableLabourerWaitInTheirLeases, and are settled at the end of the lease, after the labourer is applied again.
func TestG1G8FailuresOfAnUnreadableLabourerWaitInTheirLeases(t *testing.T) {
	s, h := running(t, 2)
	s.Schedule(t, outage.Job("other", "g", 1))
	s.HandOut(t, "g")
	registry := dynamo.Registry{API: s.DynamoDB, Table: fakeaws.ControlTable}
	before, err := registry.All(ctx, true)
	require.NoError(t, err)
	require.NoError(t, registry.ApplyLabourer(ctx, "f", `{"max_attempts": "x"}`, before.Labourers["f"].Revision))
	s.Report(t, h[0].Failed("Boom"), h[1].Failed("BadInput"), s.Handed(t, "g")[0].Failed("Boom"))

	summary, err := s.Services().Scavenger.Service.Handle(ctx, "invocation", s.Ended(t))
	require.NoError(t, err)
	require.Equal(t, 1, summary.Died, "the task of g, which gets one attempt")
	require.Contains(t, summary.Unsettled["f"], "max_attempts")
	s.Scavenge(t)
	leases, err := s.Control.Leases(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, 2, queue.Running(leases))

	require.NoError(t, registry.ApplyLabourer(ctx, "f", before.Labourers["f"].Text, before.Labourers["f"].Revision+1))
	s.Pass(time.Hour)
	reaped, err := s.Services().Orchestrator.Service.Reap(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, 2, reaped.Settled)
	s.Scavenge(t)
	picture := outage.Picture(s.Stack)
	require.Contains(t, picture, h[0].TaskID+" is queued for attempt 2")
	require.Contains(t, picture, "archived "+h[1].TaskID+" of f dead")
}

// TestG8TheEndOfATaskWhoseJobIsGoneDelaysNothing: the stream may deliver it long after.
func TestG8TheEndOfATaskWhoseJobIsGoneDelaysNothing(t *testing.T) {
	s, h := running(t, 2)
	s.Report(t, h[0].Completed())
	ended := s.Ended(t)
	ended[0].JobID, ended[0].Shared = "gone", true

	summary, err := s.Services().Scavenger.Service.Handle(ctx, "invocation", ended)

	require.NoError(t, err)
	require.Equal(t, scavenger.Summary{Recorded: 1}, summary)
	require.NotContains(t, outage.Picture(s.Stack), "of gone")
}

func TestG5JobsThatShareASegmentEndSeparately(t *testing.T) {
	s := stage(t)
	one, two := outage.Command("a", "SubmitJob", outage.Job("a", "f", 3)), outage.Command("b", "SubmitJob", outage.Job("b", "f", 2))
	failures, _ := s.Services().Scheduler.Service.Handle(ctx, "together", []scheduler.Message{one, two})
	require.Empty(t, failures)
	require.Equal(t, 5, s.HandOut(t, "f"))
	h := s.Handed(t, "f")
	segments := map[string]bool{}
	for _, x := range h {
		segments[strings.Split(x.TaskID, ".")[0]] = true
	}
	require.Len(t, segments, 1)

	s.Report(t, h[3].Completed(), h[4].Completed(), h[0].Completed())
	s.Scavenge(t)

	picture := outage.Picture(s.Stack)
	require.Contains(t, picture, "fact JobCompleted/b/1")
	require.NotContains(t, picture, "fact JobCompleted/a/1")
	s.Report(t, h[1].Completed(), h[2].Completed())
	s.Scavenge(t)
	require.Contains(t, outage.Picture(s.Stack), "fact JobCompleted/a/1")
}

// TestWhatATaskCosts measures a task from its job's event to its archive, and the additional cost of a retry.
func TestWhatATaskCosts(t *testing.T) {
	const tasks = 1024
	spent := func(s *outage.Stage) (units float64, calls int) {
		for _, cost := range s.DynamoDB.Usage() {
			units += cost.WriteUnits
			calls += cost.Calls
		}
		return units, calls
	}
	s := stage(t)
	s.DynamoDB.ResetUsage()
	s.Schedule(t, outage.Job("nightly", "many", tasks))
	attempts := 0
	round := func(end func(outage.Handed) string) {
		s.Pass(time.Minute)
		s.HandOut(t, "many")
		h := s.Handed(t, "many")
		for part := range slices.Chunk(h[attempts:], 10) {
			var ends []string
			for _, one := range part {
				ends = append(ends, end(one))
			}
			s.Report(t, ends...)
		}
		attempts = len(h)
		for ended := s.Ended(t); len(ended) > 0; ended = s.Ended(t) {
			for part := range slices.Chunk(ended, 100) {
				require.NoError(t, scavenge(s, "invocation", part))
			}
		}
	}
	for attempts < tasks {
		round(outage.Handed.Completed)
	}
	j, _, err := s.Jobs.Get(ctx, "nightly")
	require.NoError(t, err)
	require.Equal(t, tasks, j.Counts.Completed)
	units, calls := spent(s)
	t.Logf("a task: %.3f write units, %.3f calls of DynamoDB", units/tasks, float64(calls)/tasks)
	require.LessOrEqual(t, units/tasks, 2.4)
	require.LessOrEqual(t, float64(calls)/tasks, 2.0)

	// The same job again, with each task failing once.
	s = outage.NewStage(t, fmt.Sprintf("labourers: {many: {target: {sqs: %q}, max_simultaneous_invocations: 300}}\njob_schemas: {default: {chunkable_attrs: [[store, {}]]}}", outage.Worker("many")), "many")
	s.DynamoDB.ResetUsage()
	s.Schedule(t, outage.Job("nightly", "many", tasks))
	attempts = 0
	for attempts < 2*tasks {
		round(func(h outage.Handed) string {
			if h.Attempt == 1 {
				return h.Failed("Boom")
			}
			return h.Completed()
		})
	}
	j, _, err = s.Jobs.Get(ctx, "nightly")
	require.NoError(t, err)
	require.Equal(t, tasks, j.Counts.Completed)
	again, calls := spent(s)
	t.Logf("a retry: %.3f additional write units; %.3f calls in total", (again-units)/tasks, float64(calls)/tasks)
	require.LessOrEqual(t, (again-units)/tasks, 1.5)
}
