package orchestrator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
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

// throttleHold is how long a labourer is left alone whose target only had too much to do.
const throttleHold = 3 * time.Second

// Dispatched is what a dispatcher did.
type Dispatched struct {
	Dispatched int      `json:"dispatched"`
	Refused    int      `json:"refused"` // given back, because the target could not be reached
	Failed     int      `json:"failed"`  // closed as failed, because they can never be started
	Ended      int      `json:"ended"`   // had reached their end before
	Errors     []string `json:"errors"`
	// Unreached is how many dispatches in a row could not reach the target, this one included; 0: it was reached, or not tried.
	Unreached int `json:"unreached,omitempty"`
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
	reports, failures := make([]dispatchReport, len(items)), make([]error, len(items))
	var g errgroup.Group // one lease's trouble must not break off the starts of another: nobody would know which of them happened
	g.SetLimit(4)
	if l.Target.SQS != "" {
		g.SetLimit(1) // a queue has an order, and so have the leases
	}
	var blocked atomic.Bool
	for i, item := range items {
		g.Go(func() error {
			reports[i], failures[i] = s.dispatch(ctx, l, item, l.Target.FIFO() && blocked.Load())
			if len(reports[i].back) > 0 {
				blocked.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait()
	f := fates(reports, state.Probing())
	for i := range reports {
		if failures[i] == nil {
			failures[i] = s.finish(ctx, l, &reports[i], f)
		}
	}
	trouble, err := s.note(ctx, id, state, f)
	err = errors.Join(append(failures, err)...)
	if trouble != nil {
		out.Unreached = trouble.Times
	}
	unnoted := false
	for _, r := range reports {
		out.Dispatched += r.started
		out.Refused += len(r.back) + r.unseen.Len()
		out.Failed += r.failed
		out.Ended += r.ended
		unnoted = unnoted || r.unnoted
		for _, e := range r.errs {
			out.show(e)
		}
	}
	if err != nil && unnoted {
		// An error of the step would have the tasks of running workers started again, or put back in line. What is left to do waits for the
		// adoption of its lease.
		out.show(err)
		return out, nil
	}
	return out, err
}

func (d *Dispatched) show(err error) {
	if len(d.Errors) < errorsShown {
		d.Errors = append(d.Errors, err.Error())
	}
}

// fate is what became of the starts of all leases of a dispatch.
type fate struct {
	started  int
	troubled int   // starts that failed by what may be the target's trouble
	trouble  error // the last of these
	throttle error // the last start that failed as the target had too much to do
	reached  bool  // the target can be reached: it was the last time, or others have started
}

// fates returns what became of all starts. probing: the target could not be reached the last time.
func fates(reports []dispatchReport, probing bool) fate {
	out := fate{reached: !probing}
	for _, r := range reports {
		out.started += r.started
		out.reached = out.reached || r.started > 0
	}
	for _, r := range reports {
		for _, b := range r.back {
			switch {
			case b.throttled():
				out.throttle = b.err
			case !b.unsent() && !out.blames(r.lease):
				out.troubled++
				out.trouble = b.err
			}
		}
	}
	return out
}

// blames tells whether a start of this lease failed by the task itself: its target can be reached, and it has failed so before.
func (f fate) blames(l queue.Lease) bool { return f.reached && l.Misfires > 0 }

// note records why the target could not be reached, where people look, or that it can be. It returns the trouble that it records.
func (s *Service) note(ctx context.Context, id string, before queue.State, f fate) (*queue.Trouble, error) {
	now := s.Now().UTC().Truncate(time.Millisecond)
	var t *queue.Trouble
	switch {
	case f.trouble != nil && f.started == 0:
		t = queue.Troubled(before.Trouble, f.trouble.Error(), now)
	case f.troubled > 1: // and others started
		t = queue.Troubled(nil, f.trouble.Error(), now)
	case f.throttle != nil:
		t = &queue.Trouble{Error: f.throttle.Error(), At: now, Since: now, Until: now.Add(throttleHold)}
	case before.Trouble == nil || f.started == 0:
		return nil, nil
	}
	return t, s.Control.SetTrouble(ctx, id, t)
}

// dispatchReport is what became of the tasks of one lease.
type dispatchReport struct {
	lease                  queue.Lease
	at                     time.Time // of the dispatch
	started, failed, ended int
	back                   []unstarted
	unseen                 segment.Numbers // tasks that could not be read, and go back too
	unread                 error           // why
	unnoted                bool            // workers run and the lease does not say so: it looks as if it were still to be dispatched
	errs                   []error
}

// unstarted is a task that goes back to the queue, and why. Its payload is not kept.
type unstarted struct {
	task task.Task
	err  error
}

func (u unstarted) throttled() bool {
	var throttled *Throttled
	return errors.As(u.err, &throttled)
}

func (u unstarted) unsent() bool {
	var unsent *Unsent
	return errors.As(u.err, &unsent)
}

// dispatch starts the workers of a lease, a part of it at a time: the payloads of a whole lease may be more than a function's memory. What
// could not be started stays in the lease until finish has looked at what became of all leases. held: nothing is to be started, as a lease
// before this one failed whose tasks must not be overtaken.
func (s *Service) dispatch(ctx context.Context, l labourer.Labourer, item string, held bool) (dispatchReport, error) {
	var out dispatchReport
	lease, found, err := s.Control.Lease(ctx, l.ID, item)
	if err != nil {
		return out, err
	}
	if found && lease.Undispatched(s.Now().Add(adoptionMargin)) {
		return out, nil // about to be adopted by another dispatcher: starting its workers now would start them twice
	}
	if err := s.sweepReturned(ctx, item, lease); err != nil || !found || !lease.DispatchedAt.IsZero() {
		return out, err
	}
	out.lease, out.at = lease, s.Now().UTC().Truncate(time.Millisecond)
	var blocked error
	if held {
		blocked = errors.New("a message of another lease was not taken")
	}
	seen := segment.Numbers{}
	for tasks, err := range s.Tasks.Chunks(ctx, lease.Segment, lease.Held()) {
		if unreadable, other := task.Unreadable(err); len(unreadable) > 0 {
			// They stay in the lease until it ends, and hold up none of the others. What has ended of them is put right now.
			out.errs = append(out.errs, err)
			ended := slices.DeleteFunc(unreadable, func(t task.Task) bool { return !t.Status.Terminal() && t.Attempt < lease.Attempt })
			released, settled, wrong := s.putRight(ctx, lease, ended)
			out.ended, err = out.ended+released+settled, errors.Join(other, wrong)
		}
		if err == nil {
			blocked, err = s.startChunk(ctx, l, tasks, blocked, &out)
		}
		if err != nil && out.started+out.failed == 0 {
			return out, err
		}
		if err != nil { // workers of it run, so the lease is noted; what was not tried goes back
			out.errs = append(out.errs, err)
			out.unseen, out.unread = lease.Held().Minus(seen), err
			break
		}
		for _, t := range tasks {
			seen = seen.Union(segment.Of(t.ID.N))
		}
	}
	return out, nil
}

// startChunk starts the workers of some tasks of a lease. blocked is why none may be started, as one before them in a FIFO queue was not;
// it returns the same for the tasks behind.
func (s *Service) startChunk(ctx context.Context, l labourer.Labourer, tasks []task.Task, blocked error, out *dispatchReport) (error, error) { //nolint:revive // the first error is a value, not a failure
	lease := out.lease
	deadline := out.at.Add(term(l, lease.MaxDuration) - l.Cooldown)
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
		out.ended += released + settled
		if err != nil {
			return blocked, err
		}
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
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			if unsaved := s.fail(ctx, t, lease, out.at, refusal); unsaved != nil {
				err = &Unsent{unsaved} // it is refused again when it is tried again
			}
		}
		switch {
		case err == nil:
			out.started++
			continue
		case refused(err):
			out.failed++
		default:
			if l.Target.FIFO() && blocked == nil {
				blocked = err
			}
			out.back = append(out.back, unstarted{task.Task{ID: t.ID, JobID: t.JobID, Labourer: t.Labourer}, err})
		}
		out.errs = append(out.errs, fmt.Errorf("task %s: %w", t.ID, err))
	}
	return blocked, nil
}

func refused(err error) bool {
	var refusal *Refusal
	return errors.As(err, &refusal)
}

// finish returns what could not be started to the queue, and then notes the dispatch of the rest: a task that was not started must not wait
// in a dispatched lease until its attempt is over. f is what became of all leases of the dispatch.
func (s *Service) finish(ctx context.Context, l labourer.Labourer, r *dispatchReport, f fate) error {
	r.unnoted = r.started > 0
	if err := s.putBack(ctx, r, f); err != nil {
		return err
	}
	if r.started+r.failed > 0 {
		err := s.Control.Dispatched(ctx, r.lease, r.at, r.at.Add(term(l, r.lease.MaxDuration)))
		if err == nil {
			r.unnoted = false
		} else if !errors.Is(err, queue.ErrChanged) {
			r.errs = append(r.errs, err)
		}
	}
	if len(r.back) == 0 {
		return r.unread
	}
	tasks := make([]task.Task, len(r.back))
	for i, b := range r.back {
		tasks[i] = b.task
	}
	// A retry of the step, the giving back that follows it, and an adopter of the lease sweep what it has returned as well.
	return errors.Join(s.Sweeper.Sweep(ctx, tasks), r.unread)
}

// putBack returns the tasks that were not started to the queue. One that may itself be to blame gets an entry of its own.
func (s *Service) putBack(ctx context.Context, r *dispatchReport, f fate) error {
	back := r.unseen
	for _, b := range r.back {
		switch blamed := f.blames(r.lease); {
		case b.throttled() || b.unsent() || !blamed && f.troubled > 1:
			back = back.Union(segment.Of(b.task.ID.N))
		case !f.reached:
			if err := s.requeue(ctx, r.lease, r.lease.Suspected(b.task.ID.N)); err != nil {
				return err
			}
		default:
			failed, err := s.misfire(ctx, r.lease, b, blamed || f.started > 0, r.at)
			if err != nil {
				return err
			}
			if failed {
				r.failed++
			}
		}
	}
	return s.giveBack(ctx, r.lease, back)
}

// misfire returns a task to the queue that could not be started although its target can be reached. apart: it waits by itself. The count of that is in its entry, and
// goes to its next lease: it costs no write. After so many times the cause lies with the task, and the attempt fails; misfire tells whether
// it did.
func (s *Service) misfire(ctx context.Context, l queue.Lease, b unstarted, apart bool, at time.Time) (bool, error) {
	if l.Misfires+1 < queue.MisfiresMost {
		return false, s.requeue(ctx, l, l.Misfired(b.task.ID.N, apart, at))
	}
	for tasks, err := range s.Tasks.Chunks(ctx, l.Segment, segment.Of(b.task.ID.N)) {
		if err != nil {
			return false, err
		}
		for _, t := range tasks {
			return true, s.fail(ctx, t, l, at, &Refusal{Type: "Unstartable", Retryable: true, Reason: fmt.Sprintf(
				"its start failed %d times while others of its labourer could be started: %v", queue.MisfiresMost, b.err)})
		}
	}
	return false, nil
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
	var open []task.Task // without what makes them large
	for tasks, err := range s.Tasks.Chunks(ctx, at, numbers) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return err
		}
		for _, t := range append(tasks, unreadable...) {
			if !t.Status.Terminal() {
				open = append(open, task.Task{ID: t.ID, JobID: t.JobID, Labourer: t.Labourer})
			}
		}
	}
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
	if numbers.Empty() {
		return nil
	}
	return s.requeue(ctx, l, l.Returned(numbers))
}

// requeue moves the tasks of an entry that the lease still holds from the lease to the queue.
func (s *Service) requeue(ctx context.Context, l queue.Lease, e queue.Entry) error {
	for range looks {
		e.Tasks = e.Tasks.Intersect(l.Held())
		if e.Tasks.Empty() {
			return nil
		}
		e.First = e.Tasks.Min()
		err := s.Control.Requeue(ctx, l, e)
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
