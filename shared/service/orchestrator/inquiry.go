package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Queues reads the queues that are labourers' targets.
type Queues interface {
	Backlog(ctx context.Context, l labourer.Labourer) (queue.Backlog, error)
}

// Executions reads the executions of labourers whose target is a state machine. found is false if Step Functions does not know the execution,
// or refuses to describe it.
type Executions interface {
	Describe(ctx context.Context, arn string) (x completion.Execution, found bool, err error)
}

// inquiry asks a labourer's target about attempts whose time is over, before they are closed as lost. A message that no worker has taken is
// not an attempt yet. An execution may have ended, with only the news of it lost.
type inquiry struct {
	service  *Service
	labourer labourer.Labourer
	leases   []queue.Lease // all of the labourer's
	backlog  *queue.Backlog
}

// taken returns the lost tasks of a lease that a worker has taken. The time of the others starts again, with one write of the lease.
func (q *inquiry) taken(ctx context.Context, l queue.Lease, lost segment.Numbers, now time.Time) (segment.Numbers, error) {
	if q.labourer.Target.SQS == "" || lost.Empty() {
		return lost, nil
	}
	if q.backlog == nil {
		b, err := q.service.Queues.Backlog(ctx, q.labourer)
		if err != nil {
			return segment.Numbers{}, err
		}
		q.backlog = &b
	}
	kept := q.backlog.Standings(q.leases, now)[l.Item()].Kept(l, lost)
	if kept.Waiting.Empty() && kept.Taken.Empty() {
		return lost, nil
	}
	_, err := q.service.Leases.Save(ctx, l, l.Asked(kept.Waiting, kept.Taken, now))
	if errors.Is(err, queue.ErrChanged) { // the next reaper reads the changed lease
		return segment.Numbers{}, nil
	}
	return lost.Minus(kept.Waiting).Minus(kept.Taken), err
}

// describers limits how many executions are described at the same time, and so how many outputs are in memory.
const describers = 8

// ends closes the tasks whose execution has ended, and returns the others.
func (q *inquiry) ends(ctx context.Context, l queue.Lease, tasks []task.Task, now time.Time, out *Reaped) ([]task.Task, error) {
	if q.labourer.Target.States == "" {
		return tasks, nil
	}
	var lost []task.Task
	for part := range slices.Chunk(tasks, describers) {
		reports := make([]*completion.Report, len(part))
		var g errgroup.Group
		for i, t := range part {
			g.Go(func() error {
				x, found, err := q.service.Executions.Describe(ctx, completion.ExecutionARN(q.labourer.Target.States, t.ID, l.AttemptAt(t.ID.N)))
				if r, ended := x.Report(); err == nil && found && ended {
					reports[i] = &r
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		for i, t := range part {
			if reports[i] == nil {
				lost = append(lost, t)
				continue
			}
			if err := q.end(ctx, t, reports[i].End(l.AttemptAt(t.ID.N), l.Hands[t.ID.N].Since, now)); err != nil {
				return nil, err
			}
			out.Heard++
		}
	}
	return lost, nil
}

// end closes an attempt. It drops a result that does not fit beside the payload.
func (q *inquiry) end(ctx context.Context, t task.Task, e task.End) error {
	closed, err := t.Close(e)
	if err == nil {
		err = q.service.Tasks.Save(ctx, t, closed)
	}
	if large, is := errors.AsType[*task.TooLargeError](err); is && (e.Result != nil || e.Stats != nil) {
		return q.end(ctx, t, e.Without(large.Error()))
	}
	if errors.Is(err, task.ErrStale) {
		return nil
	}
	return err
}

// why returns the stored reason of a lost attempt.
func (q *inquiry) why(now time.Time) string {
	why := fmt.Sprintf("nothing was heard of it until %s", now.UTC().Format(time.RFC3339))
	if q.backlog != nil && q.backlog.Unknown != "" {
		why += "; whether its message still waits is not known: " + q.backlog.Unknown
	}
	return why
}
