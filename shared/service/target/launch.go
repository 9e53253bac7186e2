package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks stores the tasks.
type Tasks interface {
	Save(ctx context.Context, before, after task.Task) error
}

// Launcher starts the workers of tasks that a lease has in hand.
type Launcher struct {
	Starter        Starter
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

// Launch starts the workers of some tasks of a lease, for its attempt. at is when their time begins. blocked says why none may start: the
// start of a task before them in a FIFO queue failed.
func (s Launcher) Launch(ctx context.Context, l labourer.Labourer, lease queue.Lease, tasks []task.Task, at time.Time, blocked error) Launched {
	out := Launched{Blocked: blocked}
	deadline := at.Add(queue.Limits{MaxDuration: l.MaxDuration}.Of(lease))
	if lease.Lasts > 0 {
		deadline = at.Add(max(lease.Lasts-l.Cooldown, 0))
	}
	var starts []Start
	for _, t := range tasks {
		if t.Status.Terminal() || t.Attempt >= lease.Attempt {
			out.Ended = append(out.Ended, t)
			continue
		}
		starts = append(starts, Start{Task: t, Attempt: lease.Attempt, Event: s.event(t, lease.Attempt, deadline)})
	}
	errs := make([]error, len(starts))
	if blocked == nil {
		errs = s.Starter.Start(ctx, l, starts)
	} else {
		for i := range errs {
			errs[i] = &Unsent{blocked}
		}
	}
	for i, err := range errs {
		t := starts[i].Task
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
	return out
}

// Fail closes the attempt at a task that its target refuses. The scavenger settles it.
func (s Launcher) Fail(ctx context.Context, t task.Task, l queue.Lease, at time.Time, never *Refusal) error {
	closed, err := t.Close(task.End{Attempt: l.Attempt, Status: task.Failed, DispatchedAt: at, At: s.Now(), Permanent: !never.Retryable,
		Error: &task.Error{Type: never.Type, Message: never.Reason}})
	if err != nil {
		return err
	}
	if err := s.Tasks.Save(ctx, t, closed); err != nil && !errors.Is(err, task.ErrStale) {
		return err
	}
	return nil
}

// event returns the worker's input: the payload's attributes at the top level, and beside them the task's identity.
func (s Launcher) event(t task.Task, attempt int, deadline time.Time) []byte {
	own, err := json.Marshal(struct {
		TaskID string `json:"task_id"`
		Drover any    `json:"drover"`
	}{t.ID.String(), struct {
		Version        int       `json:"version"`
		TaskID         string    `json:"task_id"`
		JobID          string    `json:"job_id"`
		Labourer       string    `json:"labourer_id"`
		Attempt        int       `json:"attempt"`
		Deadline       time.Time `json:"deadline"`
		CompletionsURL string    `json:"completions_url"`
	}{1, t.ID.String(), t.JobID, t.Labourer, attempt, deadline.UTC(), s.CompletionsURL}})
	if err != nil {
		panic(err) // strings, numbers and a time
	}
	attributes := bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(t.Payload), []byte("{")))
	if len(attributes) <= 1 { // "}" alone
		return own
	}
	return append(append(own[:len(own)-1:len(own)-1], ','), attributes...)
}
