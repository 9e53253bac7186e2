package orchestrator

import (
	"context"
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

// Dispatched counts what became of the tasks of a dispatch.
type Dispatched struct {
	Dispatched int      `json:"dispatched"`
	GivenBack  int      `json:"given_back"` // returned to the queue, because they could not be started now
	Failed     int      `json:"failed"`     // closed as failed, because they can never be started
	Ended      int      `json:"ended"`      // had reached their end before
	Errors     []string `json:"errors"`
	// Unreached counts the dispatches in a row that could not reach the target, this one included. 0 means that it was reached, or not tried.
	Unreached int `json:"unreached,omitempty"`
}

// Dispatch starts the workers of these leases and marks the leases as dispatched. It passes over a lease that is gone or already dispatched.
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
	var g errgroup.Group // an error of one lease must not cancel the starts of another: it would be unknown which of them happened
	g.SetLimit(4)
	if l.Target.SQS != "" {
		g.SetLimit(1) // a queue keeps an order, so the leases are dispatched in theirs
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
	err = errors.Join(errors.Join(failures...), err)
	if trouble != nil {
		out.Unreached = trouble.Times
	}
	unnoted := false
	for _, r := range reports {
		out.Dispatched += r.started
		out.GivenBack += len(r.back) + r.unseen.Len()
		out.Failed += r.failed
		out.Ended += r.ended
		unnoted = unnoted || r.unnoted
		for _, e := range r.errs {
			out.show(e)
		}
	}
	if err != nil && unnoted {
		// An error of the step would start the tasks of running workers again, or return them to the queue. The rest is done when another
		// dispatcher adopts the lease.
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

// dispatchReport says what became of the tasks of one lease.
type dispatchReport struct {
	lease                  queue.Lease
	at                     time.Time // of the dispatch
	started, failed, ended int
	back                   []unstarted
	unseen                 segment.Numbers // tasks that could not be read, and return to the queue too
	unread                 error           // why
	unnoted                bool            // workers run, and the lease still looks undispatched
	errs                   []error
}

// unstarted is a task that returns to the queue, and the reason. It holds no payload.
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

// dispatch starts the workers of a lease, a part of it at a time: the payloads of a whole lease may exceed a function's memory. Tasks that
// could not be started stay in the lease until finish knows what became of all leases. If held is set, dispatch starts nothing: a lease
// before this one failed, and its tasks must not be overtaken.
func (s *Service) dispatch(ctx context.Context, l labourer.Labourer, item string, held bool) (dispatchReport, error) {
	var out dispatchReport
	lease, found, err := s.Control.Lease(ctx, l.ID, item)
	if err != nil {
		return out, err
	}
	if found && lease.Undispatched(s.Now().Add(adoptionMargin)) {
		return out, nil // another dispatcher may adopt the lease soon, and would start its workers a second time
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
			// These tasks stay in the lease until it ends, and block no other task. Those that have ended are repaired now.
			out.errs = append(out.errs, err)
			ended := slices.DeleteFunc(unreadable, func(t task.Task) bool { return !t.Status.Terminal() && t.Attempt < lease.Attempt })
			released, settled, wrong := s.repair(ctx, lease, ended)
			out.ended, err = out.ended+released+settled, errors.Join(other, wrong)
		}
		if err == nil {
			blocked, err = s.startChunk(ctx, l, tasks, blocked, &out)
		}
		if err != nil && out.started+out.failed == 0 {
			return out, err
		}
		if err != nil { // workers of the lease run, so it is marked; the tasks that were not tried return to the queue
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

// startChunk starts the workers of some tasks of a lease. blocked says why none may start: the start of a task before them in a FIFO queue
// failed. The first result is the same for the tasks behind these.
func (s *Service) startChunk(ctx context.Context, l labourer.Labourer, tasks []task.Task, blocked error, out *dispatchReport) (error, error) {
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
	if len(ended) > 0 { // cancelled while they waited, or closed by a worker whose start was reported as failed
		released, settled, err := s.repair(ctx, lease, ended)
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
				err = &Unsent{unsaved} // the next start is refused as well
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

// finish returns the tasks that could not be started to the queue, and then marks the lease as dispatched. A task that was not started must
// not wait in a dispatched lease until its attempt is over. f sums up all leases of the dispatch.
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
	// A retry of the step, GiveBack after it, and a dispatcher that adopts the lease sweep the returned tasks as well.
	return errors.Join(s.Sweeper.Sweep(ctx, tasks), r.unread)
}

// fail closes the attempt at a task that its target refuses. The scavenger settles it.
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
