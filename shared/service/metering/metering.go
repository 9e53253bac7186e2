// Package metering counts for metrics what writes of tasks and leases have done to tasks. These writes are conditional, so a message that comes again
// finds them done, and counts nothing twice. A count is lost if the answer to a write is lost, or the process dies before it reports.
package metering

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/labourer"
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

// Claimed counts the tasks that written changes of leases took in hand, and those whose next attempt they set to start in the lease.
func Claimed(t *metric.Tally, now time.Time, changes ...queue.Change) {
	for _, c := range changes {
		of, started := metric.Subject{Labourer: c.After.Labourer}, c.Started()
		t.Count(of, metric.Claimed, started.Len())
		t.Count(of, metric.Retried, c.Retried().Len())
		first := started.Len()
		for n := range started.All() {
			if again, waited := c.Before.Retries[n]; waited {
				t.Observe(of, metric.StartLatency, max(now.Sub(again.Due), 0), 1)
				first--
			}
		}
		t.Observe(of, metric.StartLatency, max(now.Sub(c.After.Due), 0), first)
	}
}

// Began counts tasks of a direct grant whose workers were started. The grant's record has the time when they were due. If the start got lost, and the tasks
// are taken over later, nothing counts them.
func Began(t *metric.Tally, now time.Time, r decision.Record, tasks int) {
	of := metric.Subject{Labourer: r.Labourer}
	t.Count(of, metric.Claimed, tasks)
	if r.OldestDue != nil {
		t.Observe(of, metric.StartLatency, max(now.Sub(*r.OldestDue), 0), tasks)
	}
}

// Requeued counts the tasks of an entry that a lease has lost to the queue, if they are queued for another attempt.
func Requeued(t *metric.Tally, lease queue.Lease, e queue.Entry) {
	if e.Attempt > lease.AttemptAt(e.Tasks.Min()) {
		t.Count(metric.Subject{Labourer: lease.Labourer}, metric.Retried, e.Tasks.Len())
	}
}

// Died counts tasks of a lease that get no further attempt.
func Died(t *metric.Tally, lease queue.Lease, dead int) {
	t.Count(metric.Subject{Labourer: lease.Labourer}, metric.Dead, dead)
}

// Decided sets the gauges of a labourer to the numbers of a decision about it.
func Decided(t *metric.Tally, r decision.Record) {
	age := time.Duration(0)
	if r.OldestDue != nil {
		age = max(r.At.Sub(*r.OldestDue), 0)
	}
	gauge(t, r.Labourer, r.Due, r.Running, r.Cap, age)
}

func gauge(t *metric.Tally, labourer string, due, running int, limit float64, age time.Duration) {
	of := metric.Subject{Labourer: labourer}
	t.Gauge(of, metric.Due, float64(due))
	t.Gauge(of, metric.Running, float64(running))
	t.Gauge(of, metric.Cap, limit)
	t.Gauge(of, metric.OldestDueAge, float64(age.Milliseconds())/1000)
}

// Labourers reads labourers.
type Labourers interface {
	// Learn reads labourers together, for Recent.
	Learn(ctx context.Context, ids ...string)
	Recent(ctx context.Context, id string) (labourer.Labourer, error)
}

// Rests reports labourers that come to rest. The orchestrator decides about a labourer at rest no more, so its gauges would stay what they were at
// the last decision.
type Rests struct {
	Tally     *metric.Tally
	Labourers Labourers
}

// Rested sets the gauges of labourers that have nothing due and nothing in hand. Of one without its configuration, which holds its cap, it reports nothing.
func (r Rests) Rested(ctx context.Context, labourers ...string) {
	r.Labourers.Learn(ctx, labourers...)
	for _, id := range labourers {
		if l, err := r.Labourers.Recent(ctx, id); err == nil {
			gauge(r.Tally, id, 0, 0, l.MaxSimultaneousInvocations, 0)
		}
	}
}
