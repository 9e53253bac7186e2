package task_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
)

func TestAnEndWhoseResultIsTooLargeSaysSo(t *testing.T) {
	result, stats := json.RawMessage(`{"rows":1}`), json.RawMessage(`{"ms":3}`)
	for name, c := range map[string]struct{ end, want task.End }{
		"a completed attempt fails permanently": {task.End{Attempt: 2, Status: task.Completed, Result: result, Stats: stats},
			task.End{Attempt: 2, Status: task.Failed, Permanent: true, Error: &task.Error{Type: "ResultTooLarge", Message: "too large"}}},
		"a failed attempt stays the same failure": {task.End{Attempt: 2, Status: task.Failed, Result: result, RetryAfter: 9, Error: &task.Error{Type: "Boom", Message: "as told"}},
			task.End{Attempt: 2, Status: task.Failed, RetryAfter: 9, Error: &task.Error{Type: "Boom", Message: "as told; result and stats are not kept: too large"}}},
		"a failure without a message": {task.End{Attempt: 2, Status: task.Failed, Stats: stats, Error: &task.Error{Type: "Boom"}},
			task.End{Attempt: 2, Status: task.Failed, Error: &task.Error{Type: "Boom", Message: "result and stats are not kept: too large"}}},
		"a failure without an error": {task.End{Attempt: 2, Status: task.Failed, Result: result},
			task.End{Attempt: 2, Status: task.Failed, Error: &task.Error{Type: "Failed", Message: "result and stats are not kept: too large"}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, c.end.Without("too large"))
		})
	}
}
