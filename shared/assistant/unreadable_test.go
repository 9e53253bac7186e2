package assistant_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/assistant"
	"github.com/drover-run/drover/shared/memory/outage"
	"github.com/drover-run/drover/shared/task"
)

// TestG1AnEndWhoseResultCannotBeReadIsNotDoneAgain: Python's json.dumps writes NaN, and the work is done all the same.
func TestG1AnEndWhoseResultCannotBeReadIsNotDoneAgain(t *testing.T) {
	s := stage(t, 1)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	require.Equal(t, 1, s.HandOut(t, "f"))
	h := s.Handed(t, "f")[0]
	report := fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed", "result": {"mean": NaN}, "stats": {"rows": 10}}`, h.TaskID)

	require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, report))
	require.Equal(t, assistant.Summary{Repeated: 1}, handle(t, s, report), "told again")

	one := stored(t, s, h.TaskID)
	require.Equal(t, task.Completed, one.Status, "what the worker said of its status counts")
	require.Equal(t, &task.Error{Type: "ResultUnreadable", Message: "the result cannot be read: line 1, column 10: is no JSON: NaN is no number there"}, one.LastError())
	require.Nil(t, one.Result)
	require.JSONEq(t, `{"rows": 10}`, string(one.Stats))
	s.Scavenge(t)
	s.Pass(time.Hour)
	require.Zero(t, s.HandOut(t, "f"), "it is not done again")
	picture := outage.Picture(s.Stack)
	require.Contains(t, picture, "completed=1 dead=0")
	require.NotContains(t, picture, "dead letter")
}

// The worker's own error stays what decides on the retry.
func TestAFailureWithAPartThatCannotBeReadStaysThatFailure(t *testing.T) {
	s := stage(t, 1)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	require.Equal(t, 1, s.HandOut(t, "f"))
	h := s.Handed(t, "f")[0]
	report := fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": "1", "status": "failed", "error": {"type": "Timeout", "message": "slow"}, "stats": NaN, "retry_after": "soon"}`, h.TaskID)

	require.Equal(t, assistant.Summary{Failed: 1}, handle(t, s, report))

	one := stored(t, s, h.TaskID)
	require.Equal(t, []any{task.Failed, false, time.Duration(0), json.RawMessage(nil)}, []any{one.Status, one.Permanent, one.RetryAfter, one.Stats})
	require.Equal(t, &task.Error{Type: "Timeout", Message: "slow; the stats cannot be read: line 1, column 1: is no JSON: NaN is no number there; " +
		`retry_after cannot be read; a duration like "90s", or seconds, would be right`}, one.LastError())
}
