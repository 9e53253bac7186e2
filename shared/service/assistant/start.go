package assistant

import (
	"context"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// startable returns the tasks in hand that messages of the batch have fed, now or in an earlier delivery, and that are not tried yet.
func (f *feeding) startable() segment.Numbers {
	var out segment.Numbers
	for n, h := range f.lease.Hands {
		if by := f.senders[h.By]; by != nil {
			out = out.Union(segment.Of(n))
		}
	}
	return out.Minus(f.tried)
}

// start starts the workers of tasks in hand, in the order of their times. It finds out which tasks are to leave the lease, because they have
// ended, and which are to be left to the orchestrator.
func (f *feeding) start(ctx context.Context, numbers segment.Numbers) {
	f.tried = f.tried.Union(numbers)
	l, err := f.Labourers.Recent(ctx, f.lease.Labourer)
	if err != nil {
		f.leave(numbers, err)
		return
	}
	for _, turn := range turns(f.lease, numbers) {
		f.launch(ctx, l, turn.numbers, turn.since)
	}
	if f.lease.Ordered {
		f.noted = numbers.Minus(f.unstarted)
	}
}

// turn holds tasks in hand whose time began at once.
type turn struct {
	since   time.Time
	numbers segment.Numbers
}

// turns sorts tasks in hand by the time at which their own time began: their deadline depends on it, also when they are started again.
func turns(l queue.Lease, numbers segment.Numbers) []turn {
	var out []turn
	for n := range numbers.All() {
		since := l.Hands[n].Since
		i := slices.IndexFunc(out, func(t turn) bool { return t.since.Equal(since) })
		if i < 0 {
			i = len(out)
			out = append(out, turn{since: since})
		}
		out[i].numbers = out[i].numbers.Union(segment.Of(n))
	}
	slices.SortFunc(out, func(a, b turn) int { return a.since.Compare(b.since) })
	return out
}

func (f *feeding) launch(ctx context.Context, l labourer.Labourer, numbers segment.Numbers, since time.Time) {
	missing := numbers
	for tasks, err := range f.Tasks.Chunks(ctx, f.lease.Segment, numbers) {
		unreadable, other := task.Unreadable(err)
		if other != nil {
			f.leave(missing, other)
			return
		}
		if err != nil {
			f.show(err) // they stay in hand until their time is over, and block no other task
		}
		launched, err := f.Launcher.Launch(ctx, l, f.lease, tasks, since, f.blocked)
		if err != nil {
			f.leave(missing, err)
			return
		}
		f.blocked = launched.Blocked
		f.show(launched.Errs...)
		if numbers.Intersect(f.fed).Empty() {
			f.restarted += launched.Started
		}
		for _, b := range launched.Back {
			f.spent = true
			f.unstarted = f.unstarted.Union(segment.Of(b.Task.ID.N))
		}
		f.finish(launched.Ended)
		f.finish(slices.DeleteFunc(slices.Clone(unreadable), func(t task.Task) bool { return !t.Status.Terminal() && t.Attempt < f.lease.AttemptAt(t.ID.N) }))
		for _, t := range append(tasks, unreadable...) {
			missing = missing.Minus(segment.Of(t.ID.N))
		}
	}
	for n := range missing.All() { // nothing is stored of them any more
		f.end(n, false)
	}
}

// leave leaves tasks to the orchestrator that cannot be started now.
func (f *feeding) leave(numbers segment.Numbers, err error) {
	f.spent = true
	f.unstarted = f.unstarted.Union(numbers)
	f.show(err)
}

// errorsShown limits how many errors of starts the log shows for a lease.
const errorsShown = 5

func (f *feeding) show(errs ...error) {
	f.errs = append(f.errs, errs[:min(len(errs), errorsShown-len(f.errs))]...)
}

// finish sees to tasks whose attempt has ended before its start: they were cancelled while they waited, or their worker runs since an earlier
// start that was reported as failed. The orchestrator settles those that have failed.
func (f *feeding) finish(tasks []task.Task) {
	for _, t := range tasks {
		if t.Status.Terminal() {
			f.end(t.ID.N, t.Status == task.Completed)
		} else {
			f.unstarted = f.unstarted.Union(segment.Of(t.ID.N))
		}
	}
}

// end takes a task out of the lease that a message of the batch has fed. Its slot is that message's again.
func (f *feeding) end(n int, completed bool) {
	f.ended = append(f.ended, ended{n: n, completed: completed, by: f.senders[f.lease.Hands[n].By]})
}
