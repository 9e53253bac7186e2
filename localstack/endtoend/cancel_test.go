package endtoend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// cancelled waits until a cancelled job has ended, and returns how its tasks ended.
func (s *stack) cancelled(t *testing.T) ledger.Counts {
	t.Helper()
	s.fact(t, "JobCancelled", object{"job_id": named(t)})
	job, _, err := s.jobs.Get(t.Context(), named(t))
	require.NoError(t, err)
	require.Equal(t, ledger.Cancelled, job.State)
	require.Empty(t, s.bus.told("JobCompleted", object{"job_id": named(t)}))
	return job.Counts
}

// withdrawn waits until no task of the test's labourer is queued, and none waits in a lease. A completion that comes earlier starts one of these.
func (s *stack) withdrawn(t *testing.T) {
	t.Helper()
	await(t, "queued tasks to be removed", func() (string, bool) {
		entries, err := s.control.Queue(t.Context(), named(t))
		require.NoError(t, err)
		leases, err := s.control.Leases(t.Context(), named(t))
		require.NoError(t, err)
		return s.situation(t), len(entries) == 0 && queue.Waiting(leases) == 0
	})
}

func TestCancellingRemovesQueuedTasksAndLetsRunningOnesEnd(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(3, object{"max_attempts": 5}))
	s.submit(t, tasks(8, nil))
	work := d.take(t, 3)

	s.put(t, "CancelJob", object{"job_id": named(t)})
	s.withdrawn(t)
	s.complete(t, work[:2]...)
	s.report(t, work[2].failed(nil)) // it is not retried

	require.Equal(t, ledger.Counts{Completed: 2, Cancelled: 6}, s.cancelled(t))
	require.Len(t, s.archived(t, named(t)), 8)
	require.Zero(t, d.waiting(t))
	s.idle(t)
}

func TestAForcedCancellationWaitsForNoWorker(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	s.apply(t, d.labourer(2, nil))
	s.submit(t, tasks(4, nil))
	work := d.take(t, 2)

	s.put(t, "CancelJob", object{"job_id": named(t), "force": true})

	require.Equal(t, ledger.Counts{Cancelled: 4}, s.cancelled(t))
	s.complete(t, work...)
	s.settled(t, "CompletionsQueueUrl")
	require.Equal(t, ledger.Counts{Cancelled: 4}, s.cancelled(t), "later reports of the workers change nothing")
	for _, r := range s.archived(t, named(t)) {
		require.Equal(t, task.Cancelled, r.Status)
	}
	s.idle(t)
}
