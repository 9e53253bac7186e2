package assistant

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/retry"
	"github.com/drover-run/drover/shared/core/task"
)

// drier reports whether a write leaves a lease with slots that no task of it takes, and these have become an eighth of its slots more, or none of its
// tasks is in hand any more. Tasks that end one after the other in a lease that runs out would otherwise wake the orchestrator one by one.
func drier(before, after queue.Lease) bool {
	return after.Waiting.Empty() && (len(after.Hands) == 0 || emptier(before, after))
}

// starved reports whether a write leaves a lease with slots that no task of it may take any more although some wait, and these have become an
// eighth of its slots more, or a target that keeps an order was the reason before.
func starved(before, after queue.Lease, now time.Time) bool {
	return after.Hungry() && !after.MayFeed(now) && (emptier(before, after) || before.Starting() && !after.Starting())
}

// relieved reports whether a write ends the time in which a lease has more tasks in hand than slots. Slots were taken back from it, and the cap may have
// been raised since. The slots over its own are the labourer's as these tasks end, and tasks that wait in the lease cannot take them.
func relieved(before, after queue.Lease) bool {
	return len(before.Hands) > before.Slots && len(after.Hands) <= after.Slots
}

func emptier(before, after queue.Lease) bool {
	some := max((after.Slots+7)/8, 1)
	return idle(after)/some > idle(before)/some
}

// idle returns how many more tasks may be in hand by a lease's slots.
func idle(l queue.Lease) int { return max(l.Slots-len(l.Hands), 0) }

// neglected reports whether a lease has idle slots and tasks that wait and may not be fed any more, or tasks in hand that the orchestrator is
// to start at once: it knows what to do.
func neglected(l queue.Lease, now time.Time) bool {
	return l.Unreadable == nil && (l.Hungry() && !l.MayFeed(now) || !l.Forsaken(now).Empty())
}

// wake is a message that only wakes the orchestrator.
type wake struct {
	completion.Wake
	by *sender
}

// messages returns what to redeliver after an error: nothing after the last delivery, as the minute tick finds what is due.
func (w wake) messages() []string {
	if w.by.last {
		return nil
	}
	return []string{w.by.message}
}

// early sends the wakes again that are not due yet: because their waits are longer than the delay of a message, or by a clock that is behind. Those
// that are due at the same time become one.
func (b *batch) early(ctx context.Context) {
	now := b.Now()
	labourers, messages := map[time.Time][]string{}, map[time.Time][]string{}
	for _, w := range b.wakes {
		if w.DueAt.After(now) {
			at := w.DueAt.UTC()
			labourers[at], messages[at] = append(labourers[at], w.Labourers...), append(messages[at], w.messages()...)
			b.summary.Early++
		}
	}
	b.wakes = slices.DeleteFunc(b.wakes, func(w wake) bool { return w.DueAt.After(now) })
	for _, at := range slices.SortedFunc(maps.Keys(labourers), time.Time.Compare) {
		named := slices.Compact(slices.Sorted(slices.Values(labourers[at])))
		if err := b.Timer.WakeAt(ctx, at, named...); err != nil {
			b.fail(err, messages[at]...)
		}
	}
}

// wish is why the orchestrator is to be woken for a labourer.
type wish struct {
	surely   bool     // it has something to do
	idle     bool     // slots have become idle: it has something to do if a task is due, or waits in a lease. Otherwise a task must be due, and a slot free
	messages []string // to redeliver if it cannot be woken
}

// wake wakes the orchestrator for the labourers of the batch, with one event. Completions whose slots were fed wake nothing. A message that
// changed nothing wakes the orchestrator if it may have been delivered before: the assistant that processed it may have died before it did.
func (b *batch) wake(ctx context.Context, closed []closing, fed []*feeding) {
	wishes := map[string]*wish{}
	add := func(labourer string, more wish) {
		if wishes[labourer] == nil {
			wishes[labourer] = &wish{}
		}
		w := wishes[labourer]
		w.surely, w.idle, w.messages = w.surely || more.surely, w.idle || more.idle, append(w.messages, more.messages...)
	}
	for _, f := range fed {
		if surely := f.out > 0 || f.waits; surely || f.dry {
			add(f.lease.Labourer, wish{surely, true, f.messages})
		}
	}
	for _, c := range closed {
		if c.by.again && (c.did == repeat || c.did == ignore && c.task.Status.Terminal()) {
			leases := b.places[placeOf(c.task)].leases
			surely := slices.ContainsFunc(leases, func(l queue.Lease) bool { return neglected(l, b.Now()) })
			add(c.task.Labourer, wish{surely, true, []string{c.by.message}})
		}
	}
	for _, w := range b.wakes {
		b.summary.Woken++
		for _, labourer := range w.Labourers {
			add(labourer, wish{messages: w.messages()})
		}
	}
	named := slices.Sorted(maps.Keys(wishes))
	is, errs, rests := make([]bool, len(named)), make([]error, len(named)), make([]bool, len(named))
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, labourer := range named {
		g.Go(func() error {
			is[i], rests[i], errs[i] = b.worthwhile(ctx, labourer, *wishes[labourer])
			return nil
		})
	}
	_ = g.Wait()
	var labourers, messages, rested []string
	for i, labourer := range named {
		w := wishes[labourer]
		if rests[i] {
			rested = append(rested, labourer)
		}
		if errs[i] != nil {
			b.fail(errs[i], w.messages...)
		} else if is[i] {
			labourers, messages = append(labourers, labourer), append(messages, w.messages...)
		}
	}
	if len(rested) > 0 {
		b.Gauge.Rested(ctx, rested...)
	}
	if len(labourers) == 0 {
		return
	}
	if err := b.Bus.Publish(ctx, event.TasksDue(b.invocation, labourers...)); err != nil {
		b.fail(err, messages...)
	}
}

// worthwhile reports whether the orchestrator has something to do, and whether the labourer is at rest, as far as it had to look. The reads are strongly
// consistent: an entry that is put later has a wake of its own, which finds the slots free.
func (b *batch) worthwhile(ctx context.Context, labourer string, w wish) (is, rests bool, err error) {
	switch {
	case w.surely:
		return true, false, nil
	case w.idle:
		return b.uses(ctx, labourer)
	default:
		is, err = b.starts(ctx, labourer)
		return is, false, err
	}
}

// uses reports whether a task is due for slots that have become idle, or waits for one in a lease, and whether the labourer is at rest. If nothing can use
// them yet, it sends wakes for the retries that wait for their time in leases: while others waited there too, theirs were sent for a later time.
func (b *batch) uses(ctx context.Context, labourer string) (is, rests bool, err error) {
	due, leases, err := b.Control.Remains(ctx, labourer, b.Now())
	if err != nil || due {
		return due, false, err
	}
	now := b.Now()
	if queue.Waiting(leases)+queue.Ripe(leases, now) > 0 {
		return true, false, nil
	}
	return false, queue.Resting(leases, now), b.remind(ctx, labourer, leases, now)
}

// remind sends wakes for the retries in leases.
func (b *batch) remind(ctx context.Context, labourer string, leases []queue.Lease, now time.Time) error {
	var times []time.Time
	for _, l := range leases {
		for _, again := range l.Retries {
			times = append(times, retry.Wake(now, again.Due))
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range slices.CompactFunc(times, time.Time.Equal) {
		if err := b.Timer.Remind(ctx, at, labourer); err != nil {
			return err
		}
	}
	return nil
}

// starts reports whether a slot may be free for a task that is due, in the queue or in a lease.
func (b *batch) starts(ctx context.Context, labourer string) (bool, error) {
	leases, err := b.Control.Leases(ctx, labourer)
	if err != nil || b.full(ctx, labourer, leases) {
		return false, err
	}
	if queue.Ripe(leases, b.Now()) > 0 {
		return true, nil
	}
	return b.due(ctx, labourer)
}

// due reports whether an entry of the queue is due.
func (b *batch) due(ctx context.Context, labourer string) (bool, error) {
	entries, err := b.Control.Due(ctx, labourer, b.Now(), 1)
	return len(entries) > 0, err
}

// full reports whether exactly as many tasks are in hand as the labourer's cap allows: then what is due starts as these end. A cap that finds itself is
// not known here. A labourer with more tasks in hand has a pin, of which the assistant does not know either.
func (b *batch) full(ctx context.Context, id string, leases []queue.Lease) bool {
	l, err := b.Labourers.Recent(ctx, id)
	return err == nil && l.Adaptive == nil && queue.Running(leases) == int(l.MaxSimultaneousInvocations)
}

// restart delays a task whose function could not be started.
const restart = 5 * time.Second

// returned sees to the tasks that never started and are in the queue again, from this delivery of their messages or from an earlier one: the
// assistant that put them back may have died before it did this.
func (b *batch) returned(ctx context.Context, closed []closing) {
	var tasks []task.Task
	var messages []string
	labourers := map[string]bool{}
	for _, c := range closed {
		if (c.did == putBack || c.did == setTimer) && !slices.Contains(b.failed, c.by.message) {
			tasks, messages = append(tasks, c.task), append(messages, c.by.message)
			labourers[c.task.Labourer] = true
		}
	}
	if len(tasks) == 0 {
		return
	}
	// The canceller of a job that was being cancelled meanwhile has not seen these tasks in the queue.
	slices.SortFunc(tasks, func(x, y task.Task) int { return strings.Compare(x.ID.String(), y.ID.String()) })
	if err := b.Sweeper.Sweep(ctx, tasks); err != nil {
		b.fail(err, messages...)
	}
	// One timer for all labourers of the batch.
	if err := b.Timer.WakeAt(ctx, b.restartAt, slices.Sorted(maps.Keys(labourers))...); err != nil {
		b.fail(err, messages...)
	}
}
