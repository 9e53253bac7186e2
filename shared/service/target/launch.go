package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/trace"
)

// Tasks stores the tasks.
type Tasks interface {
	Save(ctx context.Context, before, after task.Task) error
}

// Briefer makes the payloads of turns, which are tasks of workflows' runs.
type Briefer interface {
	// Fill returns the tasks with the payloads of those that are turns, for an attempt that is about to start. unbriefed names the tasks whose worker
	// can never get a payload, and why.
	Fill(ctx context.Context, tasks []task.Task, attempt int) (filled []task.Task, unbriefed map[task.ID]string, err error)
	// Outsource returns the turn with the address of earlier results in place of these, which makes its event smaller. It returns false if it cannot
	// be smaller.
	Outsource(ctx context.Context, t task.Task) (task.Task, bool, error)
}

// Launcher starts the workers of tasks that a lease has in hand.
type Launcher struct {
	Starter        Starter
	Briefer        Briefer
	Tasks          Tasks
	Now            func() time.Time
	CompletionsURL string // where workers report completions
}

// Launched says what became of tasks that were to be started.
type Launched struct {
	Started int
	Failed  int         // attempts closed as failed, because they can never be started
	Ended   []task.Task // had reached the end of their attempt before
	Back    []Unstarted // could not be started now
	Blocked error       // why no later task of a FIFO queue may start; nil: it may
	Errs    []error
}

// Unstarted is a task that could not be started, and the reason. It holds no payload.
type Unstarted struct {
	Task task.Task
	Err  error
}

// Throttled reports whether the target accepts no more starts just now.
func (u Unstarted) Throttled() bool {
	var throttled *Throttled
	return errors.As(u.Err, &throttled)
}

// Unsent reports whether the start was not tried.
func (u Unstarted) Unsent() bool {
	var unsent *Unsent
	return errors.As(u.Err, &unsent)
}

// Launch starts the workers of some tasks that a lease has in hand, each for its attempt. at is when their time begins. blocked says why none may start: the
// start of a task before them in a FIFO queue failed. If Launch returns an error, it started nothing.
func (s Launcher) Launch(ctx context.Context, l labourer.Labourer, lease queue.Lease, tasks []task.Task, at time.Time, blocked error) (Launched, error) {
	out := Launched{Blocked: blocked}
	deadline := at.Add(queue.Limits{MaxDuration: l.MaxDuration}.Of(lease))
	if lease.Lasts > 0 {
		deadline = at.Add(max(lease.Lasts-l.Cooldown, 0))
	}
	var open []task.Task
	for _, t := range tasks {
		if t.Status.Terminal() || t.Attempt >= lease.AttemptAt(t.ID.N) {
			out.Ended = append(out.Ended, t)
			continue
		}
		open = append(open, t)
	}
	errs := make([]error, len(open))
	if blocked == nil {
		var err error
		if errs, err = s.start(ctx, l, lease, open, deadline); err != nil {
			return Launched{}, err
		}
	} else {
		for i := range errs {
			errs[i] = &Unsent{blocked}
		}
	}
	for i, err := range errs {
		t := open[i]
		if err == nil {
			out.Started++
			continue
		}
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			unsaved := s.Fail(ctx, t, lease, at, refusal)
			out.Errs = append(out.Errs, fmt.Errorf("task %s: %w", t.ID, err))
			if unsaved == nil {
				out.Failed++
				continue
			}
			err = &Unsent{unsaved} // the next start is refused as well
		}
		if l.Target.FIFO() && out.Blocked == nil {
			out.Blocked = err
		}
		out.Back = append(out.Back, Unstarted{task.Task{ID: t.ID, JobID: t.JobID, Labourer: t.Labourer}, err})
		out.Errs = append(out.Errs, fmt.Errorf("task %s: %w", t.ID, err))
	}
	return out, nil
}

// turnsTogether limits how many turns are briefed and started together: each may have metadata and results of a megabyte in its event.
const turnsTogether = 32

// start starts workers, and returns the errors in the order of the tasks. A task whose worker can never get a payload is refused. If start returns
// an error, it started nothing.
func (s Launcher) start(ctx context.Context, l labourer.Labourer, lease queue.Lease, tasks []task.Task, deadline time.Time) ([]error, error) {
	if !slices.ContainsFunc(tasks, func(t task.Task) bool { return t.Turn != "" }) {
		return s.Starter.Start(ctx, l, s.starts(l, lease, tasks, deadline)), nil
	}
	var errs []error
	var blocked error
	for part := range slices.Chunk(tasks, turnsTogether) {
		some := unsent(len(part), blocked)
		if blocked == nil {
			var err error
			if some, err = s.startTurns(ctx, l, lease, part, deadline); err != nil && len(errs) == 0 {
				return nil, err
			} else if err != nil {
				some = unsent(len(part), err)
			}
		}
		for _, err := range some {
			if refusal := (*Refusal)(nil); err != nil && !errors.As(err, &refusal) && l.Target.FIFO() && blocked == nil {
				blocked = err
			}
		}
		errs = append(errs, some...)
	}
	return errs, nil
}

// unsent returns an error for each of n starts that were not tried.
func unsent(n int, why error) []error {
	return slices.Repeat([]error{&Unsent{why}}, n)
}

func (s Launcher) starts(l labourer.Labourer, lease queue.Lease, tasks []task.Task, deadline time.Time) []Start {
	out := make([]Start, len(tasks))
	for i, t := range tasks {
		attempt := lease.AttemptAt(t.ID.N)
		out[i] = Start{Task: t, Attempt: attempt, Event: s.event(l, t, attempt, deadline)}
	}
	return out
}

// startTurns starts the workers of turns, as start does. All are in hand for the lease's attempt: they are tried again from the queue.
func (s Launcher) startTurns(ctx context.Context, l labourer.Labourer, lease queue.Lease, tasks []task.Task, deadline time.Time) ([]error, error) {
	filled, unbriefed, err := s.Briefer.Fill(ctx, tasks, lease.Attempt)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(tasks))
	var briefed []task.Task
	var places []int
	for i, t := range filled {
		if why, is := unbriefed[t.ID]; is {
			errs[i] = &Refusal{Type: "NoBriefing", Reason: why}
			continue
		}
		briefed, places = append(briefed, t), append(places, i)
	}
	for i, err := range s.startOrOutsource(ctx, l, lease, briefed, deadline) {
		errs[places[i]] = err
	}
	return errs, nil
}

// TooLarge names the type of a refusal of an event that is larger than the target takes.
const TooLarge = "PayloadTooLarge"

// startOrOutsource starts the workers of turns that have their payloads. It starts those again whose events are too large for the target, with the
// address of earlier results in place of these. What is too large is the target's to say: a queue may have a limit of its own.
func (s Launcher) startOrOutsource(ctx context.Context, l labourer.Labourer, lease queue.Lease, turns []task.Task, deadline time.Time) []error {
	errs := s.Starter.Start(ctx, l, s.starts(l, lease, turns, deadline))
	var smaller []task.Task
	var places []int
	for i, err := range errs {
		if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || refusal.Type != TooLarge {
			continue
		}
		switch t, is, err := s.Briefer.Outsource(ctx, turns[i]); {
		case err != nil:
			errs[i] = &Unsent{err}
		case is:
			smaller, places = append(smaller, t), append(places, i)
		}
	}
	if len(smaller) > 0 {
		for i, err := range s.Starter.Start(ctx, l, s.starts(l, lease, smaller, deadline)) {
			errs[places[i]] = err
		}
	}
	return errs
}

// Fail closes the attempt at a task that its target refuses. The scavenger settles it.
func (s Launcher) Fail(ctx context.Context, t task.Task, l queue.Lease, at time.Time, never *Refusal) error {
	closed, err := t.Close(task.End{Attempt: l.AttemptAt(t.ID.N), Status: task.Failed, DispatchedAt: at, At: s.Now(), Permanent: !never.Retryable,
		Error: &task.Error{Type: never.Type, Message: never.Reason}})
	if err != nil {
		return err
	}
	if err := s.Tasks.Save(ctx, t, closed); err != nil && !errors.Is(err, task.ErrStale) {
		return err
	}
	return nil
}

// identity names an attempt in the worker's input.
type identity struct {
	Version        int       `json:"version"`
	TaskID         string    `json:"task_id"`
	JobID          string    `json:"job_id"`
	Labourer       string    `json:"labourer_id"`
	Attempt        int       `json:"attempt"`
	Deadline       time.Time `json:"deadline"`
	CompletionsURL string    `json:"completions_url"`
	TraceParent    string    `json:"traceparent,omitempty"` // the span of this attempt, in the trace of the job or run
	TraceState     string    `json:"tracestate,omitempty"`
	SoswTaskID     string    `json:"sosw_task_id,omitempty"`
}

// event returns the worker's input: the payload's attributes at the top level, and beside them the task's identity. A plugin of moe's orchestrator
// finds them in the text of an SNS message, which is the whole body of a queue's message.
func (s Launcher) event(l labourer.Labourer, t task.Task, attempt int, deadline time.Time) []byte {
	id := t.ID.String()
	own := t.Trace.Under(trace.AttemptSpan(id, attempt))
	is := identity{1, id, t.JobID, t.Labourer, attempt, deadline.UTC(), s.CompletionsURL, own.Parent(), own.State, ""}
	if t.Origin != nil {
		is.SoswTaskID = t.Origin.TaskID
	}
	if t.Moe {
		text := moe.Text(t.Payload, s.Now(), document.Encode(is))
		if l.Target.SQS != "" {
			return text
		}
		return moe.Envelope(text)
	}
	event, err := json.Marshal(struct {
		TaskID string   `json:"task_id"`
		Drover identity `json:"drover"`
	}{is.TaskID, is})
	if err != nil {
		panic(err) // strings, numbers and a time
	}
	attributes := bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(t.Payload), []byte("{")))
	if len(attributes) <= 1 { // "}" alone
		return event
	}
	return append(append(event[:len(event)-1:len(event)-1], ','), attributes...)
}
