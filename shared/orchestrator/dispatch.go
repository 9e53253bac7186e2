package orchestrator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
)

// Start is one worker to be started.
type Start struct {
	Task    task.Task
	Attempt int
	Event   []byte // what the worker gets
}

// Starter starts workers. Its errors are in the order of the starts, nil for a worker that was started. An error that wraps a *Refusal is
// that task's fault and ends its attempt. One that wraps an *Unsent was not tried. Any other is trouble of the target and may pass.
type Starter interface {
	Start(ctx context.Context, l labourer.Labourer, starts []Start) []error
}

// Targets starts workers by the kind of their target.
type Targets struct{ Lambda, SQS, States Starter }

// Start hands the workers to the starter of the labourer's target.
func (t Targets) Start(ctx context.Context, l labourer.Labourer, starts []Start) []error {
	switch l.Target.Kind() {
	case "lambda":
		return t.Lambda.Start(ctx, l, starts)
	case "sqs":
		return t.SQS.Start(ctx, l, starts)
	case "states":
		return t.States.Start(ctx, l, starts)
	}
	errs := make([]error, len(starts))
	for i := range errs {
		errs[i] = fmt.Errorf("labourer %s has no target", l.ID)
	}
	return errs
}

// Refusal is a fault of one task for which its target does not start it: its event is too large, say. The attempt fails with this type.
type Refusal struct {
	Type, Reason string
	// Retryable says that the fault lies outside the task's contents, so that a later attempt may start: the task is retried by its
	// labourer's policy. The same contents are refused again, so without it the task is dead at once.
	Retryable bool
}

func (r *Refusal) Error() string { return r.Reason }

// Unsent says that a start was not tried, because one before it in the target's order failed.
type Unsent struct{ Err error }

func (u *Unsent) Error() string { return "not sent, as one before it failed: " + u.Err.Error() }
func (u *Unsent) Unwrap() error { return u.Err }

// Throttled says that the target takes no more just now.
type Throttled struct{ Err error }

func (t *Throttled) Error() string { return "throttled: " + t.Err.Error() }
func (t *Throttled) Unwrap() error { return t.Err }

const (
	// troubleHold is how long a labourer whose target could not be reached is left alone; throttleHold the same for one that
	// only had too much to do.
	troubleHold  = 30 * time.Second
	throttleHold = 3 * time.Second
)

// Dispatched is what a dispatcher did.
type Dispatched struct {
	Dispatched int      `json:"dispatched"`
	Refused    int      `json:"refused"` // given back, because the target could not be reached
	Failed     int      `json:"failed"`  // closed as failed, because they can never be started
	Ended      int      `json:"ended"`   // had reached their end before
	Errors     []string `json:"errors"`
}

// errorsShown is how many errors the step's output shows.
const errorsShown = 5

// Dispatch starts the workers of these leases and notes it. A lease that is gone, or dispatched, is passed over.
func (s *Service) Dispatch(ctx context.Context, id string, items []string) (Dispatched, error) {
	out := Dispatched{Errors: []string{}}
	l, err := s.labourer(ctx, id)
	if err != nil {
		return out, err
	}
	state, err := s.Control.State(ctx, id)
	if err != nil {
		return out, err
	}
	reports := make([]dispatchReport, len(items))
	var g errgroup.Group // one lease's trouble must not break off the starts of another: nobody would know which of them happened
	g.SetLimit(4)
	if l.Target.SQS != "" {
		g.SetLimit(1) // a queue has an order, and so have the leases
	}
	for i, item := range items {
		g.Go(func() (err error) {
			reports[i], err = s.dispatch(ctx, l, item)
			return err
		})
	}
	err = g.Wait()
	var trouble error
	for _, r := range reports {
		out.Dispatched += r.started
		out.Refused += r.refused
		out.Failed += r.failed
		out.Ended += r.ended
		for _, e := range r.errs {
			if len(out.Errors) < errorsShown {
				out.Errors = append(out.Errors, e.Error())
			}
		}
		if r.trouble != nil {
			trouble = r.trouble
		}
	}
	if err != nil {
		return out, err
	}
	return out, s.note(ctx, id, state, trouble, out.Dispatched > 0)
}

// note keeps why the target could not be reached where people look, and takes it away when it can be.
func (s *Service) note(ctx context.Context, id string, state queue.State, trouble error, reached bool) error {
	now := s.Now().UTC().Truncate(time.Millisecond)
	switch {
	case trouble != nil:
		hold := troubleHold
		if throttled := (*Throttled)(nil); errors.As(trouble, &throttled) {
			hold = throttleHold
		}
		return s.Control.SetTrouble(ctx, id, &queue.Trouble{Error: trouble.Error(), At: now, Until: now.Add(hold)})
	case state.Trouble != nil && reached:
		return s.Control.SetTrouble(ctx, id, nil)
	}
	return nil
}

type dispatchReport struct {
	started, refused, failed, ended int
	errs                            []error
	trouble                         error // the last error of the target
}

func (s *Service) dispatch(ctx context.Context, l labourer.Labourer, item string) (dispatchReport, error) {
	var out dispatchReport
	lease, found, err := s.Control.Lease(ctx, l.ID, item)
	if err != nil {
		return out, err
	}
	if found && undispatched(lease, s.Now().Add(adoptionMargin)) {
		return out, nil // about to be adopted by another dispatcher: starting its workers now would start them twice
	}
	if err := s.sweepReturned(ctx, item, lease); err != nil || !found || !lease.DispatchedAt.IsZero() {
		return out, err
	}
	tasks, err := s.Tasks.Range(ctx, lease.Segment, lease.Held())
	if err != nil {
		return out, err
	}
	at := s.Now().UTC().Truncate(time.Millisecond)
	deadline := at.Add(term(l, lease.MaxDuration) - l.Cooldown)
	var starts []Start
	var ended []task.Task
	for _, t := range tasks {
		if t.Status.Terminal() || t.Attempt >= lease.Attempt {
			ended = append(ended, t)
			continue
		}
		starts = append(starts, Start{Task: t, Attempt: lease.Attempt, Event: s.event(t, lease.Attempt, deadline)})
	}
	if len(ended) > 0 { // cancelled while they waited, or closed by a worker that was believed not to have started
		released, settled, err := s.putRight(ctx, lease, ended)
		out.ended = released + settled
		if err != nil {
			return out, err
		}
	}
	var refused segment.Numbers
	var back []task.Task
	for i, err := range s.Starter.Start(ctx, l, starts) {
		t := starts[i].Task
		var never *Refusal
		switch {
		case err == nil:
			out.started++
			continue
		case errors.As(err, &never):
			out.failed++
			if err := s.fail(ctx, t, lease, at, never); err != nil {
				return out, err
			}
		default:
			out.refused++
			out.trouble = err
			refused, back = refused.Union(segment.Of(t.ID.N)), append(back, t)
		}
		out.errs = append(out.errs, fmt.Errorf("task %s: %w", t.ID, err))
	}
	if !refused.Empty() {
		if err := s.giveBack(ctx, lease, refused); err != nil {
			return out, err
		}
	}
	noted := true
	if out.started+out.failed > 0 {
		// Workers that were started hold their slots whether this can be noted or not. Were it an error of the step, their tasks would go
		// back in line while they run; as it is, what they have not ended when the lease is adopted is started once more.
		err := s.Control.Dispatched(ctx, lease, at, at.Add(term(l, lease.MaxDuration)))
		if noted = err == nil; err != nil && !errors.Is(err, queue.ErrChanged) {
			out.errs = append(out.errs, err)
		}
	}
	if len(back) > 0 {
		if err := s.Sweeper.Sweep(ctx, back); err != nil && noted {
			return out, err // a retry of the step, and the giving back that follows it, sweep what this lease has returned
		} else if err != nil {
			out.errs = append(out.errs, err) // an error of the step would return running tasks; who adopts the lease sweeps
		}
	}
	return out, nil
}

// sweepReturned sweeps the tasks that this lease, which may be gone by now, has returned to the queue: the dispatcher that returned them may
// have died before it read their jobs. It costs nothing for a lease that has returned nothing.
func (s *Service) sweepReturned(ctx context.Context, item string, l queue.Lease) error {
	at, numbers := l.Segment, l.Released
	if at == "" {
		gone, ok := queue.LeasedSegment(item)
		if !ok {
			return nil
		}
		at, numbers = gone, segment.Range(0, segment.Size-1)
	}
	if numbers.Empty() {
		return nil
	}
	tasks, err := s.Tasks.Range(ctx, at, numbers)
	if err != nil {
		return err
	}
	open := slices.DeleteFunc(tasks, func(t task.Task) bool { return t.Status.Terminal() })
	return s.Sweeper.Sweep(ctx, open)
}

// fail ends the attempt at a task that its target refuses. The scavenger goes on from there.
func (s *Service) fail(ctx context.Context, t task.Task, l queue.Lease, at time.Time, never *Refusal) error {
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

// GiveBack returns claimed tasks that were not dispatched to the queue, after a dispatcher failed altogether. It returns how many.
func (s *Service) GiveBack(ctx context.Context, execution, id string, items []string) (int, error) {
	given := 0
	for _, item := range items {
		lease, found, err := s.Control.Lease(ctx, id, item)
		if err != nil {
			return given, err
		}
		if found && lease.DispatchedAt.IsZero() && !lease.Held().Empty() {
			if err := s.giveBack(ctx, lease, lease.Held()); err != nil {
				return given, err
			}
			given += lease.Held().Len()
			lease.Released = lease.Tasks
		}
		if err := s.sweepReturned(ctx, item, lease); err != nil {
			return given, err
		}
	}
	return given, s.Control.Depart(ctx, id, execution)
}

// giveBack moves tasks from a lease back to the queue, for the same attempt, just before where they stood. A canceller of their jobs may not
// have seen them there, so the caller sweeps them afterwards.
func (s *Service) giveBack(ctx context.Context, l queue.Lease, numbers segment.Numbers) error {
	for range looks {
		back := numbers.Intersect(l.Held())
		if back.Empty() {
			return nil
		}
		err := s.Control.Requeue(ctx, l, queue.Entry{Labourer: l.Labourer, Due: l.Due.Add(-time.Millisecond), Segment: l.Segment,
			First: back.Min(), Tasks: back, Attempt: l.Attempt, MaxDuration: l.MaxDuration})
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		again, found, err := s.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil || !found || again.Claim != l.Claim || !again.ClaimedAt.Equal(l.ClaimedAt) || !again.DispatchedAt.Equal(l.DispatchedAt) {
			return err // gone, replaced, or another dispatcher has adopted or dispatched it: its tasks may run
		}
		l = again
	}
	return nil // it changes too fast: the lease is adopted later, as any that was not dispatched
}

// event is what the worker gets: the payload's attributes at the top, and beside them who it is.
func (s *Service) event(t task.Task, attempt int, deadline time.Time) []byte {
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
