package wiring

import (
	"context"
	"log/slog"
	"time"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/metering"
)

// meteredTasks counts the ends of attempts that it writes.
type meteredTasks struct {
	dynamo.Tasks
	tally *metric.Tally
}

func (m meteredTasks) Save(ctx context.Context, before, after task.Task) error {
	err := m.Tasks.Save(ctx, before, after)
	if err == nil {
		metering.Ended(m.tally, after)
	}
	return err
}

// meteredControl counts the tasks that it takes in hand, or queues for another attempt.
type meteredControl struct {
	dynamo.Control
	tally *metric.Tally
	now   func() time.Time
}

func (m meteredControl) Grant(ctx context.Context, labourer string, g queue.Grant, hold queue.Hold) error {
	err := m.Control.Grant(ctx, labourer, g, hold)
	if err == nil {
		metering.Claimed(m.tally, m.now(), g.Changed...)
	}
	return err
}

func (m meteredControl) Save(ctx context.Context, before, after queue.Lease) error {
	err := m.Control.Save(ctx, before, after)
	if err == nil {
		metering.Claimed(m.tally, m.now(), queue.Change{Before: before, After: after})
	}
	return err
}

func (m meteredControl) Requeue(ctx context.Context, before, after queue.Lease, e queue.Entry) error {
	err := m.Control.Requeue(ctx, before, after, e)
	if err == nil {
		metering.Requeued(m.tally, before, e)
	}
	return err
}

// meteredDeaths counts the tasks that it ends.
type meteredDeaths struct {
	dynamo.Deaths
	tally *metric.Tally
}

func (m meteredDeaths) Kill(ctx context.Context, before, after queue.Lease, failed, dead []task.Task) error {
	err := m.Deaths.Kill(ctx, before, after, failed, dead)
	if err == nil {
		metering.Died(m.tally, before, len(dead))
	}
	return err
}

// writeLines writes the line of an invocation's log, with the metrics of everything that it has done, and a line for each further labourer or workflow.
func writeLines(ctx context.Context, e Environment, c Clients, level slog.Level, message string, args ...any) {
	for i, line := range metric.Lines(e.Stack, c.Now(), c.tally.Take(), !e.StackMetrics) {
		if i > 0 {
			args = nil
		}
		c.Log.Log(ctx, level, message, append(args, line)...)
	}
}

// cause returns the attribute of an error. A line without one is shorter.
func cause(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.String("error", err.Error())
}

// failures counts what an invocation could not process.
func failures(c Clients, of string, n int) {
	c.tally.Count(metric.Subject{}, of, n)
	c.tally.Count(metric.Subject{}, metric.FunctionFailures, n)
}
