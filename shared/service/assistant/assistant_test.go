package assistant_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// handle processes a batch of new messages and requires that none of it is redelivered.
func handle(t require.TestingT, s *outage.Stage, bodies ...string) assistant.Summary {
	return deliver(t, s, messages(bodies...))
}

// deliver processes a batch and requires that no message of it is redelivered.
func deliver(t require.TestingT, s *outage.Stage, batch []assistant.Message) assistant.Summary {
	missing, summary := s.Services().Assistant.Service.Handle(context.Background(), "invocation", batch)
	require.Empty(t, missing, "%v", summary.Errors)
	return summary
}

// out returns a stage on which n tasks run, and what their workers were started with.
func out(t require.TestingT, n int) (*outage.Stage, []outage.Handed) {
	s := stage(t, n)
	s.Schedule(t, outage.Job("nightly", "f", n))
	require.Equal(t, n, s.HandOut(t, "f"))
	return s, s.Handed(t, "f")
}

func stored(t require.TestingT, s *outage.Stage, id string) task.Task {
	parsed, err := task.ParseID(id)
	require.NoError(t, err)
	found, err := s.Tasks.Load(context.Background(), []task.ID{parsed})
	require.NoError(t, err)
	require.Contains(t, found, parsed)
	return found[parsed]
}

func held(t require.TestingT, s *outage.Stage) int {
	leases, err := s.Control.Leases(context.Background(), "f")
	require.NoError(t, err)
	return queue.Running(leases)
}

func TestACompletionClosesItsTaskAndFreesItsSlot(t *testing.T) {
	s, h := out(t, 2)
	s.Pass(time.Minute)

	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h[0].Completed()))

	one := stored(t, s, h[0].TaskID)
	require.Equal(t, task.Completed, one.Status)
	require.JSONEq(t, `{"rows": 1}`, string(one.Result))
	require.Equal(t, outage.Start, *one.Attempts[0].DispatchedAt)
	require.Equal(t, outage.Start.Add(time.Minute), *one.Attempts[0].ClosedAt)
	require.Equal(t, 1, held(t, s))
}

func TestAFailureClosesItsAttemptAndLeavesItInItsLease(t *testing.T) {
	s, h := out(t, 1)

	summary := handle(t, s, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "failed", "error": {"type": "Boom", "message": "as told"}, "retryable": false, "retry_after": "90s", "stats": {"ms": 3}}`, h[0].TaskID))

	require.Equal(t, assistant.Summary{Failed: 1}, summary)
	one := stored(t, s, h[0].TaskID)
	require.Equal(t, task.Failed, one.Status)
	require.Equal(t, &task.Error{Type: "Boom", Message: "as told"}, one.LastError())
	require.True(t, one.Permanent)
	require.Equal(t, 90*time.Second, one.RetryAfter)
	require.JSONEq(t, `{"ms": 3}`, string(one.Stats))
	require.Equal(t, 1, held(t, s), "the scavenger releases it, together with what follows")
}

// TestG4AReportOfAnotherAttemptChangesNothing, and is counted by its kind.
func TestG4AReportOfAnotherAttemptChangesNothing(t *testing.T) {
	s, h := out(t, 3)
	handle(t, s, h[0].Completed(), h[1].Failed("Boom"))
	at := func(h outage.Handed, attempt int) outage.Handed { h.Attempt = attempt; return h }
	for name, c := range map[string]struct {
		report string
		counts assistant.Summary
	}{
		"completed again":                     {h[0].Completed(), assistant.Summary{Repeated: 1}},
		"completed and reported as failed":    {h[0].Failed("Boom"), assistant.Summary{Repeated: 1}},
		"completed, the next attempt":         {at(h[0], 2).Completed(), assistant.Summary{Stale: 1}},
		"completed, without an attempt":       {strings.Replace(h[0].Completed(), `"attempt": 1,`, ``, 1), assistant.Summary{Repeated: 1}},
		"completed, a heartbeat":              {running(h[0]), assistant.Summary{Repeated: 1}},
		"completed, never started":            {neverStarted(h[0]), assistant.Summary{Repeated: 1}},
		"failed again":                        {h[1].Failed("Boom"), assistant.Summary{Repeated: 1}},
		"failed and reported as completed":    {h[1].Completed(), assistant.Summary{Repeated: 1}},
		"failed, an attempt not dispatched":   {at(h[1], 2).Completed(), assistant.Summary{Stale: 1}},
		"failed, without an attempt":          {strings.Replace(h[1].Completed(), `"attempt": 1,`, ``, 1), assistant.Summary{Repeated: 1}},
		"running, an attempt to come":         {at(h[2], 2).Completed(), assistant.Summary{Stale: 1}},
		"running, an attempt far from here":   {at(h[2], 1000000).Completed(), assistant.Summary{Stale: 1}},
		"a task of a segment that is missing": {outage.Handed{TaskID: "abcdefghijklmnop.7", Attempt: 1}.Completed(), assistant.Summary{Unknown: 1}},
		"a task beyond the segment's last":    {outage.Handed{TaskID: strings.Split(h[0].TaskID, ".")[0] + ".200", Attempt: 1}.Completed(), assistant.Summary{Unknown: 1}},
		"a malformed task id":                 {outage.Handed{TaskID: "6f7c73de", Attempt: 1}.Completed(), assistant.Summary{Unknown: 1}},
		"an execution of no task":             {`{"detail-type": "Step Functions Execution Status Change", "source": "aws.states", "detail": {"name": "nightly-report"}}`, assistant.Summary{Ignored: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			before := outage.Picture(s.Stack)

			require.Equal(t, c.counts, handle(t, s, c.report))

			require.Equal(t, before, outage.Picture(s.Stack))
		})
	}
}

func TestG4ACompletionAfterTheEndOfItsAttemptIsDropped(t *testing.T) {
	s, h := out(t, 1)
	s.Pass(16 * time.Minute) // the lease is 15
	_, err := s.Services().Orchestrator.Service.Reap(context.Background(), "f")
	require.NoError(t, err)
	s.Scavenge(t)
	s.Pass(time.Hour)
	require.Equal(t, 1, s.HandOut(t, "f"))
	again := s.Handed(t, "f")[1]
	require.Equal(t, 2, again.Attempt)

	require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, h[0].Completed()), "the attempt has ended")
	require.Equal(t, task.Expired, stored(t, s, h[0].TaskID).Status)
	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, again.Completed()))
	require.Equal(t, task.Completed, stored(t, s, h[0].TaskID).Status)
}

func TestACompletionWithoutAnAttemptEndsTheRunningOne(t *testing.T) {
	s, h := out(t, 1)
	handle(t, s, h[0].Failed("Boom"))
	s.Scavenge(t)
	s.Pass(time.Hour)
	require.Equal(t, 1, s.HandOut(t, "f"))

	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, fmt.Sprintf(`{"version": 1, "task_id": %q, "status": "completed"}`, h[0].TaskID)))
	require.Equal(t, 2, stored(t, s, h[0].TaskID).Attempt)
}

func TestTheLastHeartbeatOfATaskIsKept(t *testing.T) {
	s, h := out(t, 3)
	require.Equal(t, assistant.Summary{Heard: 2}, handle(t, s, running(h[0]), running(h[1])))
	s.Pass(14 * time.Minute)
	require.Equal(t, assistant.Summary{Heard: 1}, handle(t, s, running(h[1])))
	s.Pass(2 * time.Minute)

	reaped, err := s.Services().Orchestrator.Service.Reap(context.Background(), "f")

	require.NoError(t, err)
	require.Equal(t, 2, reaped.Expired, "the tasks without a heartbeat")
	require.Equal(t, task.Open, stored(t, s, h[1].TaskID).Status)
}

// TestTasksOfAThrottledFunctionAreQueuedAgain: tasks that never started are queued again for the same attempt, all of a batch at once, and
// one message wakes the orchestrator for them without a tick.
func TestTasksOfAThrottledFunctionAreQueuedAgain(t *testing.T) {
	s, h := out(t, 10)
	var batch []string
	for _, one := range h {
		batch = append(batch, neverStarted(one))
	}

	sent := counted(s)

	summary := handle(t, s, batch...)

	require.Equal(t, assistant.Summary{NeverStarted: 10}, summary)
	require.Zero(t, held(t, s))
	require.Equal(t, 1, *sent)
	require.Equal(t, assistant.Summary{Stale: 10}, handle(t, s, batch...), "reported again")
	s.RunFor(6 * time.Second)
	require.Len(t, s.Handed(t, "f"), 20)
	for _, one := range s.Handed(t, "f") {
		require.Equal(t, 1, one.Attempt, "an attempt that never began is not counted")
	}
}

// TestG4AnAttemptEndsAlthoughItsSecondStartWasThrottled: a client that receives no answer starts a worker twice, and only one of the two
// begins.
func TestG4AnAttemptEndsAlthoughItsSecondStartWasThrottled(t *testing.T) {
	s, h := out(t, 1)
	require.Equal(t, assistant.Summary{NeverStarted: 1}, handle(t, s, neverStarted(h[0])))

	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, h[0].Completed()))

	require.Equal(t, task.Completed, stored(t, s, h[0].TaskID).Status)
	s.Scavenge(t)
	s.RunFor(time.Minute)
	require.Len(t, s.Handed(t, "f"), 1, "the task does not run again")
	require.Zero(t, held(t, s))
}

// TestG8PoisonDoesNotStopTheRestOfItsBatch: an unreadable message goes to the dead-letter queue unchanged, with the reason.
func TestG8PoisonDoesNotStopTheRestOfItsBatch(t *testing.T) {
	for body, reason := range map[string]string{
		`nonsense`: "not a JSON object",
		`{"version": 2, "task_id": "abcdefghijklmnop.7", "status": "completed"}`: `version is "2"; want 1`,
		`{"version": 1, "task_id": "abcdefghijklmnop.7", "status": "done"}`:      `status is "done"`,
	} {
		s, h := out(t, 2)

		summary := handle(t, s, h[0].Completed(), body, h[1].Completed())

		require.Equal(t, assistant.Summary{Completed: 2, Buried: 1}, summary)
		letters := s.SQS.Letters(fakeaws.CompletionsDead)
		require.Len(t, letters, 1)
		require.Equal(t, body, letters[0].Body)
		require.Contains(t, letters[0].Reason, reason)
	}
}

func TestACallOfASoswWorker(t *testing.T) {
	s, h := out(t, 2)
	call := func(text string) completion.Report {
		r, err := completion.ReadCall([]byte(text))
		require.NoError(t, err)
		return r
	}

	summary, err := s.Services().Assistant.Service.Mark(context.Background(), "call", call(fmt.Sprintf(`{"action": "mark_task_as_completed", "task_id": %q, "stats": "{\"time_run\": 3}", "result": {"rows": 1}}`, h[0].TaskID)))
	require.NoError(t, err)
	require.Equal(t, assistant.Summary{Completed: 1}, summary)
	require.JSONEq(t, `{"time_run": 3}`, string(stored(t, s, h[0].TaskID).Stats))

	summary, err = s.Services().Assistant.Service.Mark(context.Background(), "call", call(fmt.Sprintf(`{"action": "mark_task_as_failed", "task_id": %q}`, h[1].TaskID)))
	require.NoError(t, err)
	require.Equal(t, assistant.Summary{Failed: 1}, summary)

	s.DynamoDB.Before = func(context.Context, fakeaws.Request) error { return fmt.Errorf("the table is unavailable") }
	_, err = s.Services().Assistant.Service.Mark(context.Background(), "call", call(fmt.Sprintf(`{"action": "mark_task_as_failed", "task_id": %q}`, h[1].TaskID)))
	require.ErrorContains(t, err, "closing task "+h[1].TaskID)
}

// TestG3G5AThousandCompletions: 30 % of them are reported twice and 10 % are for ended attempts, in batches in any order. Counts are exact, no
// more tasks run at once than the cap allows, and each task is started once, by the assistant more often than not.
func TestG3G5AThousandCompletions(t *testing.T) {
	const tasks, limit = 1000, 40
	random := rand.New(rand.NewPCG(7, 11))
	s := stage(t, limit)
	s.Schedule(t, outage.Job("nightly", "f", tasks))

	var waiting []string // reports in flight
	var total assistant.Summary
	wanted := assistant.Summary{}
	seen := 0
	for round := 0; total.Completed < tasks; round++ {
		require.Less(t, round, 10_000)
		s.Pass(time.Second)
		s.HandOut(t, "f")
		require.LessOrEqual(t, held(t, s), limit)
		h := s.Handed(t, "f")
		for _, one := range h[seen:] {
			waiting = append(waiting, one.Completed())
			wanted.Completed++
			if random.Float64() < 0.3 {
				waiting = append(waiting, one.Completed())
				wanted.Repeated++
			}
			if random.Float64() < 0.1 {
				stale := one
				stale.Attempt += 1 + random.IntN(2)
				waiting = append(waiting, stale.Completed())
				wanted.Stale++
			}
		}
		seen = len(h)
		random.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
		n := min(len(waiting), 1+random.IntN(10))
		summary := handle(t, s, waiting[:n]...)
		waiting = waiting[n:]
		total.Completed += summary.Completed
		total.Repeated += summary.Repeated
		total.Stale += summary.Stale
		total.Fed += summary.Fed
		require.Equal(t, n, summary.Completed+summary.Repeated+summary.Stale)
	}
	for len(waiting) > 0 {
		n := min(len(waiting), 10)
		summary := handle(t, s, waiting[:n]...)
		waiting = waiting[n:]
		total.Repeated += summary.Repeated
		total.Stale += summary.Stale
	}
	s.Scavenge(t)

	require.Greater(t, total.Fed, tasks/2)
	wanted.Fed = total.Fed
	require.Equal(t, wanted, total)
	require.Len(t, s.Handed(t, "f"), tasks, "each task is started once")
	require.Zero(t, held(t, s))
	leases, err := s.Control.Leases(context.Background(), "f")
	require.NoError(t, err)
	require.Empty(t, leases)
	job, _, err := s.Jobs.Get(context.Background(), "nightly")
	require.NoError(t, err)
	require.Equal(t, tasks, job.Counts.Completed)
	require.Zero(t, job.Open())
	ends := map[string]bool{}
	for _, e := range s.EventBridge.Told() {
		if e.DetailType == "JobCompleted" {
			var detail struct{ ID string }
			require.NoError(t, json.Unmarshal(e.Detail, &detail))
			ends[detail.ID] = true
		}
	}
	require.Equal(t, map[string]bool{"JobCompleted/nightly/1": true}, ends)
}
