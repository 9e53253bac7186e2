package endtoend

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

func TestG3G4G5ThreeHundredTasksOnAQueueEndOnceHoweverOftenTheyAreReported(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	const all, most = 300, 25
	s.apply(t, d.labourer(most, nil))
	s.submit(t, tasks(all, nil))

	seen := map[string]bool{}
	for len(seen) < all {
		work := d.take(t, min(most, all-len(seen)))
		require.Zero(t, d.waiting(t), "more than %d tasks were dispatched", most)
		for i, one := range work {
			require.False(t, seen[one.taskID], "task %s was dispatched twice", one.taskID)
			seen[one.taskID] = true
			s.complete(t, one)
			if i%10 < 3 {
				s.complete(t, one)
			}
			if i%10 == 5 {
				one.attempt++ // an attempt that does not exist
				s.report(t, one.failed(nil))
			}
		}
	}

	require.Equal(t, ledger.Counts{Completed: all}, s.ended(t, named(t)).Counts)
	s.settled(t, "CompletionsQueueUrl")
	require.Len(t, s.archived(t, named(t)), all)
	s.fact(t, "JobCompleted", object{"job_id": named(t)})
	s.idle(t)
}

func TestG4ReportsOfAFormerAttemptChangeNothing(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, nil))
	s.submit(t, tasks(1, nil))
	first := d.take(t, 1)[0]
	s.report(t, first.failed(nil))
	second := d.take(t, 1)[0]

	s.report(t, first.completed(), first.failed(nil), first.running())

	s.settled(t, "CompletionsQueueUrl")
	require.Equal(t, 1, s.running(t), "the second attempt keeps running")
	s.complete(t, second)
	s.ended(t, named(t))
	s.report(t, second.failed(nil), first.failed(nil)) // after its end
	s.settled(t, "CompletionsQueueUrl")
	r := s.only(t)
	requireCompleted(t, r, 2)
	require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, named(t)).Counts)
}

func TestACompletionWithoutAnAttemptMeansTheRunningOne(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, nil))
	s.submit(t, tasks(1, nil))
	for _, status := range []string{"failed", "completed"} {
		one := d.take(t, 1)[0]
		s.report(t, object{"version": 1, "task_id": one.taskID, "status": status})
	}

	s.ended(t, named(t))
	require.Equal(t, 2, s.only(t).Attempt)
}

func TestG1G4ASilentWorkerIsLostWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, object{"max_duration": "1s", "cooldown": "1s"}))
	s.submit(t, tasks(1, nil))
	lost := d.take(t, 1)[0]
	s.apply(t, d.labourer(1, nil)) // the next attempt has enough time

	s.tick(t, "the task to be dispatched again", func() bool { return d.waiting(t) > 0 })

	again := d.take(t, 1)[0]
	require.Equal(t, []any{lost.taskID, 2}, []any{again.taskID, again.attempt})
	s.complete(t, lost) // it was only slow
	s.complete(t, again)
	s.ended(t, named(t))
	r := s.only(t)
	requireCompleted(t, r, 2)
	require.Equal(t, task.Expired, r.Attempts[0].Status)
	require.GreaterOrEqual(t, r.Attempts[0].ClosedAt.Sub(*r.Attempts[0].DispatchedAt), 2*time.Second)
}

// tick repeats the work of the minute tick until the condition holds.
func (s *stack) tick(t *testing.T, what string, so func() bool) {
	t.Helper()
	defer s.tell(t, named(t))
	await(t, what, func() (string, bool) {
		s.orchestrate(t, object{})
		return s.situation(t), so()
	})
}

func TestHeartbeatsExtendALease(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, object{"max_duration": "10s", "cooldown": "10s"}))
	s.submit(t, tasks(1, nil))
	slow := d.take(t, 1)[0]
	leases, err := s.control.Leases(t.Context(), named(t))
	require.NoError(t, err)
	require.Len(t, leases, 1)
	_, n, _ := strings.Cut(slow.taskID, ".")
	number, err := strconv.Atoi(n)
	require.NoError(t, err)
	end, spoken := leases[0].EndOf(number, queue.Limits{MaxDuration: 10 * time.Second, Cooldown: 10 * time.Second}), time.Time{}

	await(t, "the first lease to end", func() (time.Duration, bool) {
		if time.Since(spoken) > time.Second {
			s.report(t, slow.running())
			spoken = time.Now()
		}
		return time.Until(end), time.Now().After(end.Add(time.Second))
	})

	s.orchestrate(t, object{})
	require.Equal(t, 1, s.running(t), "the task was expired")
	s.complete(t, slow)
	s.ended(t, named(t))
	requireCompleted(t, s.only(t), 1)
}

func TestG1AWorkerThatMissesItsHeartbeatsIsLost(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(1, object{"max_duration": "1h", "heartbeat": "1s", "max_attempts": 1}))
	s.submit(t, tasks(1, nil))
	d.take(t, 1)

	s.tick(t, "the silent worker's task to expire", func() bool { return s.running(t) == 0 })

	dead := s.fact(t, "TaskDead", object{"job_id": named(t)})
	require.Equal(t, "Expired", dead["error"].(object)["type"])
	s.ended(t, named(t))
}

// A sosw Worker reports by invoking the worker assistant itself.
func TestAWorkerMayReportByACallAsInSosw(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(2, nil))
	s.submit(t, tasks(2, nil))
	for _, one := range d.take(t, 2) {
		s.call(t, object{"action": "mark_task_as_failed", "task_id": one.taskID, "stats": object{"rows": 0}})
	}

	for i, one := range d.take(t, 2) {
		require.Equal(t, 2, one.attempt)
		call := object{"action": "mark_task_as_completed", "task_id": one.taskID, "stats": object{"rows": 1}, "result": object{"attempt": 2}}
		if i > 0 { // some versions of sosw send texts
			call["stats"], call["result"] = `{"rows": 1}`, `{"attempt": 2}`
		}
		s.call(t, call)
	}

	require.Equal(t, ledger.Counts{Completed: 2}, s.ended(t, named(t)).Counts)
	for _, r := range s.archived(t, named(t)) {
		requireCompleted(t, r, 2)
		require.Equal(t, task.Failed, r.Attempts[0].Status)
	}
	require.Contains(t, s.refused(t, object{"action": "mark_task_as_invoked", "task_id": "x"}), "mark_task_as_invoked")
}

func (s *stack) invoke(t *testing.T, call object) *lambda.InvokeOutput {
	t.Helper()
	text, err := json.Marshal(call)
	require.NoError(t, err)
	out, err := s.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(s.out["WorkerAssistantFunctionName"]), Payload: text})
	require.NoError(t, err)
	return out
}

// call invokes the worker assistant, and requires it to accept the call.
func (s *stack) call(t *testing.T, call object) {
	t.Helper()
	out := s.invoke(t, call)
	require.Nil(t, out.FunctionError, "%v: %s", call, out.Payload)
}

// refused requires the worker assistant to refuse a call, and returns the reason.
func (s *stack) refused(t *testing.T, call object) string {
	t.Helper()
	out := s.invoke(t, call)
	require.NotNil(t, out.FunctionError, "%v: %s", call, out.Payload)
	return string(out.Payload)
}
