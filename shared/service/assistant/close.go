package assistant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// outcome records what the assistant did about a report.
type outcome struct {
	report
	did     action
	as      task.Status  // the status with which the attempt was closed
	release *queue.Lease // the lease from which to release the task; nil: none
	err     error
}

// queued reports whether the task is in the queue because its attempt never began.
func (o outcome) queued() bool {
	return o.err == nil && (o.did == putBack || o.did == setTimer)
}

// closeTask processes the reports of one task in the order in which they came.
func (b *batch) closeTask(ctx context.Context, t task.Task, reports []report) []outcome {
	out := make([]outcome, len(reports))
	for i, r := range reports {
		out[i] = outcome{report: r, err: r.at.err}
		if r.at.err == nil {
			t = b.apply(ctx, t, &out[i])
		}
	}
	return out
}

// apply does what the verdict on a report says, and returns the task as it then is.
func (b *batch) apply(ctx context.Context, t task.Task, o *outcome) task.Task {
	return b.carryOut(ctx, t, decide(t, o.at.leases, o.Report), o)
}

func (b *batch) carryOut(ctx context.Context, t task.Task, v verdict, o *outcome) task.Task {
	o.did = v.action
	switch v.action {
	case ignore, repeat:
		if v.held && t.Status.Terminal() {
			o.release = &v.lease
		}
	case hear:
		if err := b.service.Control.Hear(ctx, v.lease, t.ID.N, b.service.Now()); !errors.Is(err, queue.ErrChanged) {
			o.err = err
		}
	case putBack:
		o.err = b.putBack(ctx, t, v.lease)
	case setTimer:
		// The batch sets it for all such tasks.
	case end:
		return b.end(ctx, t, v, o)
	case endIfTried:
		return b.endIfTried(ctx, t, v, o)
	}
	return t
}

// endIfTried closes an attempt that no lease held when the batch read the leases, if the queue holds it after an earlier start: the dispatcher
// did not hear that it had started the worker, and returned the task. The worker's report still ends the attempt.
func (b *batch) endIfTried(ctx context.Context, t task.Task, v verdict, o *outcome) task.Task {
	entries, err := b.service.Control.Queue(ctx, t.Labourer)
	if err != nil {
		o.err = err
		return t
	}
	for _, e := range entries {
		if e.Segment != t.ID.Segment || e.Attempt != v.attempt || !e.Tasks.Contains(t.ID.N) {
			continue
		}
		if e.Tried {
			return b.end(ctx, t, v, o)
		}
		o.did = ignore
		return t
	}
	return b.lookAgain(ctx, t, o)
}

// lookAgain decides anew about the end of an attempt that was neither in a lease nor, a moment later, in the queue: a claim may have moved it
// from the queue to a lease in between. If it is in neither again, it is on its way, and its report is redelivered: no end may be lost.
func (b *batch) lookAgain(ctx context.Context, t task.Task, o *outcome) task.Task {
	found, err := b.service.Tasks.Load(ctx, []task.ID{t.ID})
	if err != nil {
		o.err = err
		return t
	}
	leases, err := b.service.Control.LeasesOn(ctx, t.Labourer, t.ID.Segment)
	if err != nil {
		o.err = err
		return t
	}
	again, exists := found[t.ID]
	v := decide(again, leases, o.Report)
	_, unsettled := queue.Holding(leases, t.ID, again.Attempt)
	switch {
	case !exists || v.action == endIfTried && unsettled: // the attempt has not begun
		o.did = ignore
	case v.action == endIfTried:
		o.err = fmt.Errorf("neither the queue nor a lease holds attempt %d of task %s now", v.attempt, t.ID)
	default:
		return b.carryOut(ctx, again, v, o)
	}
	return t
}

// end closes an attempt. If another component has closed it meanwhile, the report is a repetition.
func (b *batch) end(ctx context.Context, t task.Task, v verdict, o *outcome) task.Task {
	o.did = end
	dispatchedAt := v.lease.DispatchedAt
	if dispatchedAt.IsZero() { // the report overtook the dispatcher, or the dispatcher did not hear that it had started the worker
		dispatchedAt = v.lease.ClaimedAt
	}
	closed, err := b.save(ctx, t, o.End(v.attempt, dispatchedAt, b.service.Now()))
	if errors.Is(err, task.ErrStale) {
		return b.readAgain(ctx, t, o)
	}
	if err != nil {
		o.err = err
		return t
	}
	o.as = closed.Status
	if !v.held {
		o.release, o.err = b.claimedSince(ctx, closed)
	} else if closed.Status.Terminal() {
		o.release = &v.lease
	}
	return closed
}

// readAgain reads a task whose attempt another component has closed meanwhile.
func (b *batch) readAgain(ctx context.Context, t task.Task, o *outcome) task.Task {
	o.did = repeat
	found, err := b.service.Tasks.Load(ctx, []task.ID{t.ID})
	if err != nil {
		o.err = err
		return t
	}
	t = found[t.ID]
	if l, held := queue.Holding(o.at.leases, t.ID, t.Attempt); held && t.Status.Terminal() {
		o.release = &l
	}
	return t
}

// save closes an attempt at a task. It drops the result and the stats if there is no room for them next to the task's payload.
func (b *batch) save(ctx context.Context, t task.Task, e task.End) (task.Task, error) {
	closed, err := t.Close(e)
	if err == nil {
		err = b.service.Tasks.Save(ctx, t, closed)
	}
	if large, is := errors.AsType[*task.TooLargeError](err); is && (e.Result != nil || e.Stats != nil) {
		return b.save(ctx, t, e.Without(large.Error()))
	}
	return closed, err
}

// claimedSince returns the lease from which to release a task whose end was reported while it was queued: the dispatcher did not hear that
// it had started the worker, and returned the task. A claim made before the end was written may have moved the task to a lease. A later
// claim finds the end and releases the task itself.
func (b *batch) claimedSince(ctx context.Context, closed task.Task) (*queue.Lease, error) {
	if !closed.Status.Terminal() {
		return nil, nil // the scavenger settles it in its lease, or the dispatcher that claims it does
	}
	leases, err := b.service.Control.LeasesOn(ctx, closed.Labourer, closed.ID.Segment)
	if err != nil {
		return nil, err
	}
	if l, held := queue.Holding(leases, closed.ID, closed.Attempt); held {
		return &l, nil
	}
	return nil, nil
}

// restart delays a task whose function could not be started.
const restart = 5 * time.Second

// tries limits how often a lost race for a lease is retried. A lost race means that another component has moved tasks of the lease.
const tries = 2 * parallel

// putBack queues a task again for the same attempt, which never began. Other tasks of the same lease are put back at the same time: a
// throttled function refuses many starts.
func (b *batch) putBack(ctx context.Context, t task.Task, l queue.Lease) error {
	for range tries {
		err := b.service.Control.Requeue(ctx, l, queue.Entry{Labourer: t.Labourer, Due: b.restartAt, Segment: t.ID.Segment,
			First: t.ID.N, Tasks: segment.Of(t.ID.N), Attempt: l.Attempt, MaxDuration: l.MaxDuration, Tried: true, Misfires: l.Misfires})
		if !errors.Is(err, queue.ErrChanged) {
			return err
		}
		leases, err := b.service.Control.LeasesOn(ctx, t.Labourer, t.ID.Segment)
		if err != nil {
			return err
		}
		again, held := queue.Holding(leases, t.ID, l.Attempt)
		if !held || again.Claim != l.Claim {
			return nil // it was put back and perhaps started again, or it has ended
		}
		l = again
	}
	return fmt.Errorf("putting task %s back: its lease changed %d times in between", t.ID, tries)
}

// note counts an outcome and adds its effects to its place.
func (b *batch) note(o outcome) {
	if o.err != nil {
		b.fail(o.err, o.message)
		return
	}
	switch o.did {
	case ignore, setTimer:
		b.summary.Stale++
	case repeat:
		b.summary.Repeated++
	case hear:
		b.summary.Heard++
	case putBack:
		b.summary.NeverStarted++
	default:
		if o.as == task.Failed {
			b.summary.Failed++
		} else {
			b.summary.Completed++
		}
	}
	if o.release != nil {
		o.at.release(*o.release, o.id.N)
	}
	// A repetition wakes the orchestrator too: the assistant that processed the report before may have died before the wake.
	if o.release != nil || o.did == repeat {
		o.at.messages = append(o.at.messages, o.message)
	}
	if o.queued() {
		o.at.restarts = append(o.at.restarts, o.message)
	}
}
