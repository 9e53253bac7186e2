// Package metering counts for metrics what writes of tasks and leases have done to tasks. These writes are conditional, so a message that comes again
// finds them done, and counts nothing twice. A count is lost if the answer to a write is lost, or the process dies before it reports.
package metering

import (
	"time"

	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// Ended counts the end of an attempt, given its task as it was written. An end of another kind, such as a cancellation, is in no metric.
func Ended(t *metric.Tally, after task.Task) {
	of := metric.Subject{Labourer: after.Labourer}
	switch after.Status {
	case task.Completed:
		t.Count(of, metric.Completed, 1)
		last := after.Attempts[len(after.Attempts)-1]
		if last.DispatchedAt != nil && last.ClosedAt != nil {
			t.Observe(of, metric.TaskDuration, max(last.ClosedAt.Sub(*last.DispatchedAt), 0), 1)
		}
	case task.Failed:
		t.Count(of, metric.Failed, 1)
	case task.Expired:
		t.Count(of, metric.Expired, 1)
	default:
	}
}

// Claimed counts the tasks that written changes of leases took in hand.
func Claimed(t *metric.Tally, now time.Time, changes ...queue.Change) {
	for _, c := range changes {
		of, n := metric.Subject{Labourer: c.After.Labourer}, c.Started().Len()
		t.Count(of, metric.Claimed, n)
		t.Observe(of, metric.StartLatency, max(now.Sub(c.After.Due), 0), n)
	}
}

// Requeued counts the tasks of an entry that a lease has lost to the queue, if they are queued for another attempt.
func Requeued(t *metric.Tally, lease queue.Lease, e queue.Entry) {
	if e.Attempt > lease.Attempt {
		t.Count(metric.Subject{Labourer: lease.Labourer}, metric.Retried, e.Tasks.Len())
	}
}

// Died counts tasks of a lease that get no further attempt.
func Died(t *metric.Tally, lease queue.Lease, dead int) {
	t.Count(metric.Subject{Labourer: lease.Labourer}, metric.Dead, dead)
}
