package assistant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// closing records what the assistant did about a report before it touched a lease.
type closing struct {
	report
	task    task.Task // as it then is, without what it holds
	attempt int
	did     action
	held    bool        // the task was in a lease for this attempt
	moved   bool        // the task was in the queue: a lease may hold it by now
	again   time.Time   // when the next attempt is due, if the task may wait for it in its lease; zero: it may not
	failed  task.Task   // whose attempt has ended, perhaps in failure
	lease   queue.Lease // that had it in hand
	err     error
}

// close acts on the tasks of the reports, some tasks at a time. It returns what it did, and fails the messages of what it could not do.
func (b *batch) close(ctx context.Context) []closing {
	var ids []task.ID
	of := map[task.ID][]report{}
	for _, r := range b.reports {
		if len(of[r.id]) == 0 {
			ids = append(ids, r.id)
		}
		of[r.id] = append(of[r.id], r)
	}
	var done []closing
	for part := range slices.Chunk(ids, together) {
		var reports []report
		for _, id := range part {
			reports = append(reports, of[id]...)
		}
		done = append(done, b.closePart(ctx, reports)...)
	}
	return slices.DeleteFunc(done, func(c closing) bool {
		if c.err != nil {
			b.fail(c.err, c.by.message)
			return true
		}
		b.count(c)
		return false
	})
}

// closePart processes the reports of some tasks: those of each task in the order in which they came, and several tasks at once.
func (b *batch) closePart(ctx context.Context, reports []report) []closing {
	tasks, reports := b.load(ctx, reports)
	b.lookUp(ctx, tasks, reports)
	done := make([]closing, len(reports))
	var g errgroup.Group
	g.SetLimit(parallel)
	for first := 0; first < len(reports); {
		after := first + 1
		for after < len(reports) && reports[after].id == reports[first].id {
			after++
		}
		some, t := done[first:after], tasks[reports[first].id]
		for i, r := range reports[first:after] {
			some[i].report = r
		}
		g.Go(func() error {
			for i := range some {
				t = b.apply(ctx, t, &some[i])
				some[i].task = bare(t)
			}
			return nil
		})
		first = after
	}
	_ = g.Wait()
	for i := range done { // one after the other: in virtual time, the same batch draws the same random numbers
		c := &done[i]
		c.again = b.again(ctx, c.failed, c.lease)
		c.failed, c.lease = task.Task{}, queue.Lease{}
	}
	return done
}

// bare returns a task without its payload, result and attempts.
func bare(t task.Task) task.Task {
	return task.Task{ID: t.ID, JobID: t.JobID, Labourer: t.Labourer, Status: t.Status, Attempt: t.Attempt}
}

// apply does what the verdict on a report says of its task, and returns the task as it then is.
func (b *batch) apply(ctx context.Context, t task.Task, c *closing) task.Task {
	p := b.places[placeOf(t)]
	if c.err = p.err; c.err != nil {
		return t
	}
	return b.carryOut(ctx, t, decide(t, p.leases, c.Report), c)
}

func (b *batch) carryOut(ctx context.Context, t task.Task, v verdict, c *closing) task.Task {
	c.did, c.attempt, c.held = v.action, v.attempt, v.held
	switch v.action {
	case hear:
		if err := b.Control.Hear(ctx, v.lease, t.ID.N, b.Now()); !errors.Is(err, queue.ErrChanged) {
			c.err = err
		}
	case end:
		return b.end(ctx, t, v, c)
	case endIfTried:
		return b.endIfTried(ctx, t, v, c)
	case repeat:
		c.failed, c.lease = t, v.lease // the assistant that closed the attempt may have died before it fed the lease
	case ignore, putBack, setTimer:
		// The task stays as it is; its lease or the timer is seen to later.
	}
	return t
}

// endIfTried closes an attempt that no lease held when the batch read the leases, if the queue holds it after an earlier start: the component
// that started the worker did not hear that it had, and returned the task. The worker's report still ends the attempt.
func (b *batch) endIfTried(ctx context.Context, t task.Task, v verdict, c *closing) task.Task {
	c.moved = true
	entries, err := b.Control.Queue(ctx, t.Labourer)
	if err != nil {
		c.err = err
		return t
	}
	for _, e := range entries {
		if e.Segment != t.ID.Segment || e.Attempt != v.attempt || !e.Tasks.Contains(t.ID.N) {
			continue
		}
		if e.Tried {
			return b.end(ctx, t, v, c)
		}
		c.did = ignore
		return t
	}
	return b.lookAgain(ctx, t, c)
}

// lookAgain decides anew about the end of an attempt that was neither in a lease nor, a moment later, in the queue: a claim may have moved it
// from the queue to a lease in between. If it is in neither again, it is on its way, and its report is redelivered: no end may be lost.
func (b *batch) lookAgain(ctx context.Context, t task.Task, c *closing) task.Task {
	found, err := b.Tasks.Load(ctx, []task.ID{t.ID})
	if err != nil {
		c.err = err
		return t
	}
	leases, err := b.Control.LeasesOn(ctx, t.Labourer, t.ID.Segment)
	if err != nil {
		c.err = err
		return t
	}
	again, exists := found[t.ID]
	v := decide(again, leases, c.Report)
	_, unsettled := queue.Holding(leases, t.ID, again.Attempt)
	switch {
	case !exists || v.action == endIfTried && unsettled: // the attempt has not begun
		c.did = ignore
	case v.action == endIfTried:
		c.err = fmt.Errorf("neither the queue nor a lease holds attempt %d of task %s now", v.attempt, t.ID)
	default:
		return b.carryOut(ctx, again, v, c)
	}
	return t
}

// end closes an attempt. If another component has closed it meanwhile, the report is a repetition.
func (b *batch) end(ctx context.Context, t task.Task, v verdict, c *closing) task.Task {
	c.did = end
	dispatchedAt := v.lease.ClaimedAt
	if h, inHand := v.lease.Hands[t.ID.N]; inHand {
		dispatchedAt = begun(h, v.lease)
	}
	closed, err := b.save(ctx, t, c.End(v.attempt, dispatchedAt, b.Now()))
	if errors.Is(err, task.ErrStale) {
		c.did = repeat
		var found map[task.ID]task.Task
		if found, c.err = b.Tasks.Load(ctx, []task.ID{t.ID}); c.err == nil {
			t = found[t.ID]
		}
		return t
	}
	if err != nil {
		c.err = err
		return t
	}
	c.failed, c.lease = closed, v.lease
	return closed
}

// begun returns when the time of a task in hand began. A task that is left to the orchestrator has the earliest time there is.
func begun(h queue.Hand, l queue.Lease) time.Time {
	if h.Since.Before(l.ClaimedAt) {
		return l.ClaimedAt
	}
	return h.Since
}

// save closes an attempt at a task. It drops the result and the stats if there is no room for them next to the task's payload.
func (b *batch) save(ctx context.Context, t task.Task, e task.End) (task.Task, error) {
	closed, err := t.Close(e)
	if err == nil {
		err = b.Tasks.Save(ctx, t, closed)
	}
	if large, is := errors.AsType[*task.TooLargeError](err); is && (e.Result != nil || e.Stats != nil) {
		return b.save(ctx, t, e.Without(large.Error()))
	}
	return closed, err
}

// count adds a report to the summary. Those that put a task back are counted where that happens.
func (b *batch) count(c closing) {
	switch {
	case c.did == ignore || c.did == setTimer:
		b.summary.Stale++
	case c.did == repeat:
		b.summary.Repeated++
	case c.did == hear:
		b.summary.Heard++
	case c.did == putBack:
		b.summary.NeverStarted++
	case c.task.Status == task.Failed:
		b.summary.Failed++
	default:
		b.summary.Completed++
	}
}
