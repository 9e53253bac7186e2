// Package assistant implements the worker assistant: it receives reports on running attempts, closes tasks, and puts the next task into each
// slot that becomes free.
//
// The order of its steps is a protocol. After an interruption at any point the message comes again, and the assistant carries on there:
//
//	close   the task's item, by one conditional write (close.go)
//	feed    one write of the lease for all messages of the batch: the ended tasks leave it, tasks that wait take their slots, each marked
//	        with the message that fed it (feed.go)
//	start   the workers of the tasks that bear the marks of the batch's messages (start.go). A target that keeps an order needs another
//	        write of the lease, which notes the start: until then nothing else is fed
//	wake    the orchestrator, where slots stay idle and something is due (wake.go)
//
// If it fed first, a failed task could be in no component's hands. If it started first, two assistants could give one slot to two tasks.
//
// The queue also brings wakes that are due. They are handled with the last step: one publication wakes the orchestrator for all.
//
// If another attempt follows a failed one, the task waits for it in its lease, and its slot is fed in the same write (again.go). Otherwise, and where it
// cannot wait there, it stays in hand: the scavenger takes it out of its lease, together with the next attempt or the task's death.
package assistant

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/target"
)

// Tasks stores the tasks to close and to start.
type Tasks interface {
	Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	Save(ctx context.Context, before, after task.Task) error
	// Chunks reads tasks of a segment some at a time: together, their payloads may exceed the function's memory.
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
}

// Control reads the queue and the leases, strongly consistent, and records heartbeats.
type Control interface {
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	Lease(ctx context.Context, labourer, item string) (l queue.Lease, found bool, err error)
	Hear(ctx context.Context, l queue.Lease, n int, at time.Time) error
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
	// Remains reports whether an entry of the queue is due. If none is, it reads the leases after that.
	Remains(ctx context.Context, labourer string, now time.Time) (due bool, leases []queue.Lease, err error)
	Queue(ctx context.Context, labourer string) ([]queue.Entry, error)
}

// Leases writes the leases and returns each as it is stored afterwards. queue.ErrChanged: the lease has changed since it was read, and nothing
// was written.
type Leases interface {
	Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error)
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) (queue.Lease, error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Timer wakes the orchestrator at a given time.
type Timer interface {
	WakeAt(ctx context.Context, at time.Time, labourers ...string) error
	// Remind is WakeAt for one labourer. It may leave out a wake that was sent before and has not come.
	Remind(ctx context.Context, at time.Time, labourer string) error
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

// Gauge is told of labourers that come to rest: nothing is due, and nothing in hand.
type Gauge interface {
	Rested(ctx context.Context, labourers ...string)
}

// Service implements the worker assistant.
type Service struct {
	Gauge      Gauge
	Tasks      Tasks
	Control    Control
	Leases     Leases
	Labourers  *Labourers
	Launcher   target.Launcher
	Bus        Bus
	Timer      Timer
	Graveyard  Graveyard
	Sweeper    Sweeper
	Executions Executions
	Now        func() time.Time
	Random     func() float64 // uniform in [0,1)
	// MostReceives says how often the completions queue delivers a message before it gives it up. 0: unknown.
	MostReceives int
}

// Message is a message of the completions queue.
type Message struct {
	ID, Body string
	Receives int // how often it was received, this time included; 0: unknown
}

// Summary counts what a batch led to, for the log, which has no zeros.
type Summary struct {
	Completed    int `json:",omitzero"`
	Failed       int `json:",omitzero"`
	Heard        int `json:",omitzero"`
	NeverStarted int `json:",omitzero"`
	Repeated     int `json:",omitzero"` // changed nothing
	Stale        int `json:",omitzero"` // changed nothing
	Unknown      int `json:",omitzero"` // changed nothing
	Foreign      int `json:",omitzero"` // reports by executions of a state machine that is not the labourer's; changed nothing
	Ignored      int `json:",omitzero"`
	Buried       int `json:",omitzero"`
	Woken        int `json:",omitzero"` // wakes that were due
	Early        int `json:",omitzero"` // wakes that were not due yet, and were sent again
	Fed          int `json:",omitzero"` // tasks that took a free slot of their lease
	Restarted    int `json:",omitzero"` // tasks started again that an earlier delivery of a message had fed
	Unstarted    int `json:",omitzero"` // tasks in hand that are left to the orchestrator to start

	Errors []string `json:",omitzero"`
}

// Handle processes a batch and returns the ids of the messages to redeliver.
func (s *Service) Handle(ctx context.Context, invocation string, messages []Message) (failed []string, summary Summary) {
	b := newBatch(s, invocation)
	for _, m := range messages {
		r, err := completion.Read([]byte(m.Body))
		switch {
		case errors.Is(err, completion.Ignored):
			b.summary.Ignored++
		case err != nil:
			b.bury(ctx, m, err.Error())
		case r.Kind == completion.TasksDue && r.Wake.DueAt.Sub(s.Now()) > completion.LongestWake:
			b.bury(ctx, m, fmt.Sprintf("the wake is due more than %s ahead", completion.LongestWake))
		case r.Kind == completion.TasksDue:
			b.wakes = append(b.wakes, wake{r.Wake, s.sender(m)})
		default:
			if r, err = s.fetch(ctx, r); err != nil {
				b.fail(err, m.ID)
				continue
			}
			b.add(s.sender(m), r)
		}
	}
	b.handle(ctx)
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

// Mark processes one report as Handle processes a batch. The report comes again with the same invocation, or never.
func (s *Service) Mark(ctx context.Context, invocation string, r completion.Report) (Summary, error) {
	b := newBatch(s, invocation)
	b.add(s.sender(Message{ID: "call " + invocation}), r)
	b.handle(ctx)
	if len(b.failed) > 0 {
		return b.summary, fmt.Errorf("closing task %s, %s", r.TaskID, b.summary.Errors)
	}
	return b.summary, nil
}
