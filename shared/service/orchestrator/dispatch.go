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
	"github.com/drover-run/drover/shared/service/target"
)

// Dispatched counts what became of the tasks of a dispatch.
type Dispatched struct {
	Dispatched int      `json:"dispatched"`
	GivenBack  int      `json:"given_back,omitempty"` // returned to the queue, because they could not be started now
	Failed     int      `json:"failed,omitempty"`     // closed as failed, because they can never be started
	Ended      int      `json:"ended,omitempty"`      // had reached their end before
	Errors     []string `json:"errors,omitempty"`
	// Unreached counts the dispatches in a row that could not reach the target, this one included. 0 means that it was reached, or not tried.
	Unreached int `json:"unreached,omitempty"`
}

// Dispatch starts the workers of tasks that leases have in hand, and notes that they are started. It passes over tasks that are no longer in
// hand, or are started already.
func (s *Service) Dispatch(ctx context.Context, id string, handouts []Handout) (Dispatched, error) {
	l, err := s.labourer(ctx, id)
	if err != nil {
		return Dispatched{Errors: []string{}}, err
	}
	state, err := s.Control.State(ctx, id)
	if err != nil {
		return Dispatched{Errors: []string{}}, err
	}
	return s.dispatchAll(ctx, l, state, handouts)
}

// dispatchAll does what Dispatch does, for a labourer in this state.
func (s *Service) dispatchAll(ctx context.Context, l labourer.Labourer, state queue.State, handouts []Handout) (Dispatched, error) {
	out := Dispatched{Errors: []string{}}
	reports, failures := make([]dispatchReport, len(handouts)), make([]error, len(handouts))
	var g errgroup.Group // an error of one lease must not cancel the starts of another: it would be unknown which of them happened
	g.SetLimit(4)
	if l.Target.SQS != "" {
		g.SetLimit(1) // a queue keeps an order, so the leases are dispatched in theirs
	}
	var blocked atomic.Bool
	for i, h := range handouts {
		g.Go(func() error {
			reports[i], failures[i] = s.dispatch(ctx, l, h, l.Target.FIFO() && blocked.Load())
			if failures[i] != nil || !reports[i].unstarted().Empty() {
				blocked.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait()
	f := fates(reports, state.Probing())
	for i := range reports {
		if failures[i] == nil {
			failures[i] = s.finish(ctx, &reports[i], f)
		}
	}
	trouble, err := s.note(ctx, l.ID, state, f)
	err = errors.Join(errors.Join(failures...), err)
	if trouble != nil {
		out.Unreached = trouble.Times
	}
	unnoted := false
	for _, r := range reports {
		out.Dispatched += r.started
		out.GivenBack += r.returned.Len()
		out.Failed += r.failed
		out.Ended += r.ended
		unnoted = unnoted || r.unnoted
		for _, e := range r.errs {
			out.show(e)
		}
	}
	if err != nil && unnoted {
		// An error of the step would start the tasks of running workers again, or return them to the queue. The rest is done when another
		// dispatcher takes the tasks over.
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
	tried                  segment.Numbers
	started, failed, ended int
	back                   []target.Unstarted
	unseen                 segment.Numbers // tasks that could not be read, and return to the queue too
	unread                 error           // why
	returned               segment.Numbers // tasks that are in the queue again
	unnoted                bool            // workers run, and the lease still says that they are to be started
	errs                   []error
}

// dispatch starts the workers of a lease, a part of it at a time: the payloads of a whole lease may exceed a function's memory. Tasks that
// could not be started stay in the lease until finish knows what became of all leases. If held is set, dispatch starts nothing: a lease
// before this one failed, and its tasks must not be overtaken.
func (s *Service) dispatch(ctx context.Context, l labourer.Labourer, h Handout, held bool) (dispatchReport, error) {
	var out dispatchReport
	lease, numbers, found, err := s.handedOut(ctx, l.ID, h)
	if err != nil {
		return out, err
	}
	// What the handout names and the lease no longer holds has ended, or was returned to the queue by a dispatcher that may have died before it
	// read the tasks' jobs.
	if err := s.sweepTasks(ctx, lease.Segment, numbers.Minus(lease.Held())); err != nil || !found {
		return out, err
	}
	out.tried = numbers.Intersect(lease.By(queue.Undispatched)).Minus(lease.Forsaken(s.Now().Add(adoptionMargin))) // others may take these over soon
	if out.tried.Empty() {
		return out, nil
	}
	out.lease, out.at = lease, s.Now().UTC().Truncate(time.Millisecond)
	var blocked error
	if held {
		blocked = errors.New("a message of another lease was not taken")
	}
	seen := segment.Numbers{}
	for tasks, err := range s.Tasks.Chunks(ctx, lease.Segment, out.tried) {
		if unreadable, other := task.Unreadable(err); len(unreadable) > 0 {
			// These tasks stay in the lease until it ends, and block no other task. Those that have ended are repaired now.
			out.errs = append(out.errs, err)
			ended := slices.DeleteFunc(unreadable, func(t task.Task) bool { return !t.Status.Terminal() && t.Attempt < lease.AttemptAt(t.ID.N) })
			err = errors.Join(other, s.repairIn(ctx, &out, ended))
		}
		if err == nil {
			blocked, err = s.launch(ctx, l, tasks, blocked, &out)
		}
		if err != nil && out.started+out.failed == 0 {
			return out, err
		}
		if err != nil { // workers of the lease run, so that is noted; the tasks that were not tried return to the queue
			out.errs = append(out.errs, err)
			out.unseen, out.unread = out.tried.Minus(seen), err
			break
		}
		for _, t := range tasks {
			seen = seen.Union(segment.Of(t.ID.N))
		}
	}
	return out, nil
}

// launch starts workers. It returns why no later task of a FIFO queue may start.
func (s *Service) launch(ctx context.Context, l labourer.Labourer, tasks []task.Task, blocked error, out *dispatchReport) (error, error) {
	launched, err := s.Launcher.Launch(ctx, l, out.lease, tasks, out.at, blocked)
	if err != nil {
		return blocked, err
	}
	out.started, out.failed = out.started+launched.Started, out.failed+launched.Failed
	out.back, out.errs = append(out.back, launched.Back...), append(out.errs, launched.Errs...)
	// Cancelled while they waited, or closed by a worker whose start was reported as failed.
	return launched.Blocked, s.repairIn(ctx, out, launched.Ended)
}

// handedOut reads the lease of a handout, and the handout's numbers. If the lease is gone, found is false and only its segment is known.
func (s *Service) handedOut(ctx context.Context, id string, h Handout) (lease queue.Lease, numbers segment.Numbers, found bool, err error) {
	if numbers, err = segment.ParseNumbers(h.Tasks); err != nil {
		return lease, numbers, false, fmt.Errorf("lease %s, %w", h.Lease, err)
	}
	if lease, found, err = s.Control.Lease(ctx, id, h.Lease); err == nil && !found {
		lease.Segment, _ = queue.LeasedSegment(h.Lease)
	}
	return lease, numbers, found, err
}

// repairIn takes the ended tasks among those to be started out of the lease, and settles the failed ones.
func (s *Service) repairIn(ctx context.Context, r *dispatchReport, ended []task.Task) error {
	if len(ended) == 0 {
		return nil
	}
	released, settled, err := s.repair(ctx, r.lease, ended)
	r.ended += released + settled
	return err
}

// unstarted returns the tasks that are to return to the queue.
func (r *dispatchReport) unstarted() segment.Numbers {
	out := r.unseen
	for _, b := range r.back {
		out = out.Union(segment.Of(b.Task.ID.N))
	}
	return out
}

// finish notes which tasks are started, and returns those that could not be to the queue: they must not stay in hand until their attempt is
// over. f sums up all leases of the dispatch.
func (s *Service) finish(ctx context.Context, r *dispatchReport, f fate) error {
	if err := s.noteStarts(ctx, r, r.tried.Minus(r.unstarted())); err != nil {
		r.unnoted = r.started > 0
		r.errs = append(r.errs, err)
	}
	if err := s.putBack(ctx, r, f); err != nil {
		return err
	}
	// A retry of the step, GiveBack after it, and a dispatcher that takes the tasks over sweep the returned tasks as well.
	return errors.Join(s.sweepTasks(ctx, r.lease.Segment, r.returned), r.unread)
}

// noteStarts notes that tasks of a dispatch that are still in hand are started. Their time begins with the dispatch.
func (s *Service) noteStarts(ctx context.Context, r *dispatchReport, started segment.Numbers) error {
	for range feedTries {
		started = started.Intersect(r.lease.By(queue.Undispatched))
		if started.Empty() {
			return nil
		}
		stored, err := s.Leases.Save(ctx, r.lease, r.lease.Marked(started, queue.Dispatched, r.at))
		if err == nil {
			r.lease = stored
			return nil
		}
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		again, found, err := s.Control.Lease(ctx, r.lease.Labourer, r.lease.Item())
		if err != nil || !found || !again.ClaimedAt.Equal(r.lease.ClaimedAt) {
			return err // the lease is gone, or another one
		}
		started = again.Unmoved(r.lease, started)
		r.lease = again
	}
	return fmt.Errorf("noting the dispatch of %s: it changed %d times in between", r.lease.Item(), feedTries)
}
