// Package assistant implements the worker assistant: it receives reports on running attempts, closes tasks and frees their slots.
//
// It closes the task first, by one conditional write, and then adds the task's number to those that its lease has released. After an
// interruption the message is redelivered: the assistant finds the task closed, and releases it. An attempt that did not succeed is closed
// and stays in its lease. The scavenger releases it, together with the next attempt or the task's death.
package assistant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks stores the tasks to close.
type Tasks interface {
	Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Save(ctx context.Context, before, after task.Task) error
}

// Control stores the queue and the leases that hold the tasks.
type Control interface {
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error
	Hear(ctx context.Context, l queue.Lease, n int, at time.Time) error
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
}

// Registry holds the labourers that are applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Timer wakes the orchestrator at a given time.
type Timer interface {
	WakeAt(ctx context.Context, at time.Time, labourers ...string) error
}

// Sweeper cancels those of these tasks that are queued and whose jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
}

// Graveyard keeps unreadable messages, each with the reason.
type Graveyard interface {
	Bury(ctx context.Context, body, reason string) error
}

// Executions reads the outputs of executions that their status events leave out. found is false if Step Functions no longer knows the
// execution, or may not describe it.
type Executions interface {
	Describe(ctx context.Context, arn string) (x completion.Execution, found bool, err error)
}

// Service implements the worker assistant.
type Service struct {
	Tasks     Tasks
	Control   Control
	Registry  Registry
	Bus       Bus
	Timer     Timer
	Graveyard Graveyard
	Sweeper   Sweeper
	Now       func() time.Time

	Executions Executions
}

// Message is a message of the completions queue.
type Message struct{ ID, Body string }

// Summary counts what a batch led to, for the log.
type Summary struct {
	Completed, Failed, Heard, NeverStarted int
	Repeated, Stale, Unknown               int // changed nothing
	Foreign                                int // reports by executions of a state machine that is not the labourer's; changed nothing
	Ignored, Buried                        int
	Errors                                 []string
}

// Handle processes a batch and returns the ids of the messages to redeliver.
func (s *Service) Handle(ctx context.Context, invocation string, messages []Message) (failed []string, summary Summary) {
	b := batch{service: s, invocation: invocation}
	for _, m := range messages {
		r, err := completion.Read([]byte(m.Body))
		switch {
		case errors.Is(err, completion.Ignored):
			b.summary.Ignored++
		case err != nil:
			b.summary.Buried++
			if err := s.Graveyard.Bury(ctx, m.Body, err.Error()); err != nil {
				b.fail(err, m.ID)
			}
		default:
			if r, err = s.fetch(ctx, r); err != nil {
				b.fail(err, m.ID)
				continue
			}
			b.add(m.ID, r)
		}
	}
	b.close(ctx)
	return b.failed, b.summary
}

// fetch completes a report whose event left out the execution's output. If the output cannot be read, the report stays as it is and carries
// that reason.
func (s *Service) fetch(ctx context.Context, r completion.Report) (completion.Report, error) {
	if r.Execution == "" {
		return r, nil
	}
	x, found, err := s.Executions.Describe(ctx, r.Execution)
	if err != nil || !found {
		return r, err
	}
	whole, ended := x.Report()
	if !ended {
		return r, nil
	}
	whole.TaskID, whole.Attempt, whole.Machine = r.TaskID, r.Attempt, r.Machine
	return whole, nil
}

// Mark processes one report as Handle processes a batch.
func (s *Service) Mark(ctx context.Context, invocation string, r completion.Report) (Summary, error) {
	b := batch{service: s, invocation: invocation}
	b.add("call", r)
	b.close(ctx)
	if len(b.failed) > 0 {
		return b.summary, fmt.Errorf("closing task %s, %s", r.TaskID, b.summary.Errors)
	}
	return b.summary, nil
}
