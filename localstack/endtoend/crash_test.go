package endtoend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

// A worker that crashes without a report is discovered by its function's on-failure destination, long before its lease ends.
func TestG1ACrashOfAWorkerIsNoticedAndItsTaskRetried(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for do, c := range map[string]struct{ function, failure string }{
		"exit":  {"Worker", "Runtime.ExitError"},
		"crash": {"Worker", "Runtime.ExitError"},
		"hang":  {"HastyWorker", "Sandbox.Timedout"},
	} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			s.apply(t, onLambda(c.function, 1, object{"max_duration": "1h"}))

			s.submit(t, tasks(1, object{"do": do, "until": 1}))

			require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, named(t)).Counts)
			r := s.only(t)
			requireCompleted(t, r, 2)
			require.Equal(t, task.Failed, r.Attempts[0].Status)
			require.Equal(t, c.failure, r.Attempts[0].Error.Type)
			s.idle(t)
		})
	}
}

func TestAPanicIsAFailureThatTheWorkersSDKReports(t *testing.T) {
	t.Parallel()
	s := shared(t)
	s.apply(t, onLambda("Worker", 1, nil))

	s.submit(t, tasks(1, object{"do": "panic", "until": 1}))

	s.ended(t, named(t))
	r := s.only(t)
	requireCompleted(t, r, 2)
	require.Equal(t, "Panic", r.Attempts[0].Error.Type)
	require.Contains(t, r.Attempts[0].Error.Message, "told to panic")
}
