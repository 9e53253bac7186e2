package assistant

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
)

// keptFor limits how long a failed task waits in its lease. A lease holds a minute of work or some more, and each look at a labourer reads all of its leases:
// they must not become many because of what waits long.
const keptFor = time.Minute

// again returns when the next attempt at a task is due that has just failed, if it may wait for it in its lease. Otherwise it returns zero, and the
// scavenger settles the task: if it dies, or waits longer than [keptFor]; if its target keeps an order, in which it comes behind what is due before; if it
// is a turn; if the lease remembers earlier starts, which belong to the attempt that has ended; and if a task may take another time by now than when the
// lease was made.
func (b *batch) again(ctx context.Context, t task.Task, l queue.Lease) time.Time {
	_, inHand := l.Hands[t.ID.N]
	if t.Status != task.Failed || !inHand || l.Ordered || l.Tried || l.Misfires > 0 || t.Turn != "" {
		return time.Time{}
	}
	of, err := b.Labourers.Recent(ctx, t.Labourer)
	if err != nil {
		return time.Time{} // the scavenger reads the labourer, and reports the error
	}
	lasts := queue.Limits{MaxDuration: of.MaxDuration, Cooldown: of.Cooldown}.Lasts(l)
	if dead, _ := outcome.Exhausted(t, of); dead || of.Target.FIFO() || l.Lasts != 0 && l.Lasts != lasts {
		return time.Time{}
	}
	now := b.Now()
	due := outcome.RetryDue(of, t.Failures(), t.RetryAfter, now, b.Random())
	if due.Sub(now) > keptFor {
		return time.Time{}
	}
	return due
}
