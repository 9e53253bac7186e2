// Package leasing writes leases. All components but the claim write them through it, so that no lease goes before what was completed under it
// is entered in its job's progress.
package leasing

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Control stores the leases. Its writes are conditioned on the lease's revision, remove a lease that is empty afterwards, and return
// queue.ErrChanged without any effect if the lease has changed since it was read.
type Control interface {
	Save(ctx context.Context, before, after queue.Lease) error
	Requeue(ctx context.Context, before, after queue.Lease, e queue.Entry) error
	SetWaitingAside(ctx context.Context, before, after queue.Lease, e queue.Entry, now time.Time) (queue.Aside, error)
}

// Deaths ends tasks that get no further attempt.
type Deaths interface {
	Kill(ctx context.Context, before, after queue.Lease, failed, dead []task.Task) error
}

// Progress enters the completions of a lease.
type Progress interface {
	Enter(ctx context.Context, l queue.Lease) error
}

// Writer writes leases.
type Writer struct {
	Control  Control
	Deaths   Deaths
	Progress Progress
}

// Save replaces a lease and returns it as it is stored.
func (w Writer) Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error) {
	if err := w.enter(ctx, after); err != nil {
		return before, err
	}
	return queue.Change{Before: before, After: after}.Written(), w.Control.Save(ctx, before, after)
}

// Requeue moves the tasks of an entry from the lease to the queue, and returns the lease as it is stored.
func (w Writer) Requeue(ctx context.Context, l queue.Lease, e queue.Entry) (queue.Lease, error) {
	after := l.Without(e.Tasks)
	if err := w.enter(ctx, after); err != nil {
		return l, err
	}
	return queue.Change{Before: l, After: after}.Written(), w.Control.Requeue(ctx, l, after, e)
}

// SetWaitingAside withdraws tasks that wait in a lease, for a slot or for their next attempt, as their job is being cancelled.
// Those that wait for different attempts are withdrawn one after the other.
func (w Writer) SetWaitingAside(ctx context.Context, l queue.Lease, numbers segment.Numbers, now time.Time) error {
	for _, some := range l.ByAttempt(numbers.Intersect(l.Idle())) {
		after := l.Without(some)
		if err := w.enter(ctx, after); err != nil {
			return err
		}
		if _, err := w.Control.SetWaitingAside(ctx, l, after, l.Returned(some), now); err != nil {
			return err
		}
		l = queue.Change{Before: l, After: after}.Written()
	}
	return nil
}

// Kill ends failed tasks of a lease, and returns the lease as it is stored.
func (w Writer) Kill(ctx context.Context, l queue.Lease, failed, dead []task.Task) (queue.Lease, error) {
	var numbers segment.Numbers
	for _, t := range failed {
		numbers = numbers.Union(segment.Of(t.ID.N))
	}
	after := l.Without(numbers)
	if err := w.enter(ctx, after); err != nil {
		return l, err
	}
	return queue.Change{Before: l, After: after}.Written(), w.Deaths.Kill(ctx, l, after, failed, dead)
}

// enter enters what was completed under a lease that is about to be removed. If the removal fails, it will be entered again, which changes
// nothing.
func (w Writer) enter(ctx context.Context, after queue.Lease) error {
	if !after.Empty() {
		return nil
	}
	return w.Progress.Enter(ctx, after)
}
