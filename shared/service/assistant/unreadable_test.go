package assistant_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// TestG1ATaskWithAnUnreadableResultDoesNotRunAgain: Python's json.dumps writes NaN, and yet the work is done.
func TestG1ATaskWithAnUnreadableResultDoesNotRunAgain(t *testing.T) {
	s := stage(t, 1)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	require.Equal(t, 1, s.HandOut(t, "f"))
	h := s.Handed(t, "f")[0]
	report := fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed", "result": {"mean": NaN}, "stats": {"rows": 10}}`, h.TaskID)

	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, report))
	require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, report), "reported again")

	one := stored(t, s, h.TaskID)
	require.Equal(t, task.Completed, one.Status, "what the worker said of its status counts")
	require.Equal(t, &task.Error{Type: "ResultUnreadable", Message: "the result cannot be read: line 1, column 10: is not JSON: it has no number NaN"}, one.LastError())
	require.Nil(t, one.Result)
	require.JSONEq(t, `{"rows": 10}`, string(one.Stats))
	s.Scavenge(t)
	s.Pass(time.Hour)
	require.Zero(t, s.HandOut(t, "f"), "the task does not run again")
	picture := outage.Picture(s.Stack)
	require.Contains(t, picture, "completed=1 dead=0")
	require.NotContains(t, picture, "dead letter")
}

// The worker's own error still decides on the retry.
func TestAFailureWithAnUnreadablePartStaysThatFailure(t *testing.T) {
	s := stage(t, 1)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	require.Equal(t, 1, s.HandOut(t, "f"))
	h := s.Handed(t, "f")[0]
	report := fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": "1", "status": "failed", "error": {"type": "Timeout", "message": "slow"}, "stats": NaN, "retry_after": "soon"}`, h.TaskID)

	require.Equal(t, assistant.Summary{Failed: 1}, handle(t, s, report))

	one := stored(t, s, h.TaskID)
	require.Equal(t, []any{task.Failed, false, time.Duration(0), json.RawMessage(nil)}, []any{one.Status, one.Permanent, one.RetryAfter, one.Stats})
	require.Equal(t, &task.Error{Type: "Timeout", Message: "slow; the stats cannot be read: line 1, column 1: is not JSON: it has no number NaN; " +
		`retry_after cannot be read; want a duration like "90s", or seconds`}, one.LastError())
}

// TestAReportOnAnUnreadableTaskIsRedeliveredUntilTheTaskHasEnded, and is stale from then on: a reaper ends the task without the report.
func TestAReportOnAnUnreadableTaskIsRedeliveredUntilTheTaskHasEnded(t *testing.T) {
	s, handed := out(t, 2)
	one := stored(t, s, handed[0].TaskID)
	damage(t, s, one.ID)
	end := func(of int) string {
		return fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed"}`, handed[of].TaskID)
	}

	again, summary := s.Services().Assistant.Service.Handle(t.Context(), "open", messages(end(0), end(1)))

	require.Len(t, again, 1)
	require.Equal(t, 1, summary.Completed, "the other task is not delayed")

	closed, err := one.Close(task.End{Attempt: 1, Status: task.Cancelled, At: s.World.Now()})
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(t.Context(), one, closed))

	require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, end(0)))
	require.Zero(t, held(t, s), "its slot is free")
}

// damage makes the payload of a stored task unreadable.
func damage(t *testing.T, s *outage.Stage, id task.ID) {
	t.Helper()
	for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
		if n, is := it["n"].(*types.AttributeValueMemberN); is && n.Value == strconv.Itoa(id.N) {
			it["payload"] = &types.AttributeValueMemberB{Value: []byte{0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3}}
			require.NoError(t, s.DynamoDB.Put(fakeaws.TasksTable, it))
		}
	}
}
