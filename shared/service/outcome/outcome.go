// Package outcome settles attempts that did not succeed: it schedules another attempt after a wait, or ends the task. And it ends jobs when
// every task of them has reached an end.
//
// The lease holds a failed task until the outcome is durable: one transaction takes the task out of the lease and writes the entry of its next attempt,
// or its death. A task that the worker assistant has set to start again in its lease is settled, but for the wake at its time. So the scavenger (by the
// stream) and the orchestrator (at the end of the attempt's time) settle any failed task that they find in a lease. However often a task is settled, the
// result is one entry or one death.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/retry"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks stores the tasks.
type Tasks interface {
	// Chunks reads tasks of a segment some at a time: together, their payloads may exceed a function's memory.
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
}

// Control reads the leases.
type Control interface {
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
}

// Leases moves tasks out of leases, and returns each lease as it is stored afterwards. queue.ErrChanged: the lease, or one of the tasks, has
// changed since it was read, and nothing was written.
type Leases interface {
	Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error)
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) (queue.Lease, error)
	Kill(ctx context.Context, l queue.Lease, failed, dead []task.Task) (queue.Lease, error)
}

// Registry stores the labourers that were applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
}

// Sweeper cancels those of the tasks that are queued and whose jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
}

// Waiter wakes the orchestrator when the tasks are due, or a little later. It may do so more than once.
type Waiter interface {
	Backoff(ctx context.Context, b Backoff) error
}

// Backoff holds failed tasks of a labourer for which the orchestrator is woken at the same time.
type Backoff struct {
	Labourer string
	Until    time.Time // when all of them are due
	Tasks    []task.Task
}

// Settler settles failed and expired attempts.
type Settler struct {
	Tasks    Tasks
	Control  Control
	Leases   Leases
	Registry Registry
	Waiter   Waiter
	Sweeper  Sweeper
	Now      func() time.Time
	Random   func() float64 // uniform in [0,1)
}

// Settled counts the tasks that Settle retried or ended.
type Settled struct {
	Retried, Dead int
	Freed         []string          // labourers with slots that became free now, or when an earlier settler, which may have died, settled these tasks
	Hungry        []string          // those of them whose slots can be filled from the same leases: tasks wait there
	Unreadable    map[string]string // labourers whose stored configuration cannot be read, and why: their tasks stay in their leases
}

// Exhausted reports whether no attempt may follow, and why.
func Exhausted(t task.Task, l labourer.Labourer) (bool, string) {
	most := l.MaxAttempts
	if t.MaxAttempts > 0 {
		most = t.MaxAttempts
	}
	failure := t.LastError()
	switch {
	case t.Permanent:
		return true, "the worker said that it is not retryable"
	case failure != nil && slices.Contains(l.NotRetryable, failure.Type):
		return true, fmt.Sprintf("errors of type %s are not retryable", failure.Type)
	case t.Failures() >= most:
		return true, fmt.Sprintf("%d of %d attempts have failed", t.Failures(), most)
	}
	return false, ""
}

// RetryDue returns when the next attempt at a task is due that has failed for the n-th time. asked holds its worker's retry_after, and u is a random
// number in [0, 1). The time is rounded up to a millisecond, the resolution of keys: never sooner than the policy's minimum.
func RetryDue(l labourer.Labourer, failures int, asked time.Duration, now time.Time, u float64) time.Time {
	return now.UTC().Add(l.Retry.Delay(failures, asked, u)).Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// held names the leases that may hold a failed task.
type held struct {
	labourer string
	segment  segment.ID
	attempt  int
}

// batch holds failed tasks that the same leases may hold. Those that are retried go into one entry for each lease.
type batch struct {
	held
	tasks []task.Task
}

// backoff holds failed tasks that wait for the same time.
type backoff struct {
	labourer   labourer.Labourer
	attempt    int
	failures   int
	retryAfter time.Duration
	batches    []batch
}

// Settle carries out what follows for tasks whose last attempt failed or expired, and passes over others. Its caller passes a chunk of tasks
// (see [task.Chunks]), whose payloads fit in memory. Settle stops at the first error: the next settler finds the rest in their leases. An
// unreadable labourer configuration is not an error, as trying again would not mend it: the labourer's tasks stay in their leases, and the
// orchestrator settles them once the labourer is applied again.
func (s Settler) Settle(ctx context.Context, ended []task.Task) (Settled, error) {
	var out Settled
	kept, waits, err := s.kept(ctx, ended)
	if err != nil {
		return out, err
	}
	deaths, backoffs, err := s.group(ctx, without(ended, kept), &out)
	if err != nil {
		return out, err
	}
	queued := kept // and those that an earlier settler queued, as it may have died before it read their jobs
	for _, b := range deaths {
		killed, err := s.kill(ctx, b, &out)
		out.Dead += killed.Len()
		if err != nil {
			return out, err
		}
		for _, t := range b.tasks {
			if !killed.Contains(t.ID.N) {
				queued = append(queued, t)
			}
		}
		out.free(b.labourer)
	}
	for _, group := range backoffs {
		now := s.Now().UTC()
		due := RetryDue(group.labourer, group.failures, group.retryAfter, now, s.Random())
		var waiting []task.Task
		for _, b := range group.batches {
			requeued, err := s.requeue(ctx, b, due, &out)
			if err != nil {
				return out, err
			}
			waiting = append(waiting, requeued...)
			// What it did not find, the assistant may have kept just then.
			_, more, err := s.kept(ctx, without(b.tasks, requeued))
			if err != nil {
				return out, err
			}
			waits = append(waits, more...)
			queued = append(queued, b.tasks...)
			out.Retried += len(requeued)
		}
		out.free(group.labourer.ID)
		waits = wait(waits, group.labourer.ID, retry.Wake(now, due), waiting)
	}
	// A job may be cancelled while its tasks return to the queue, and its canceller may miss them. One of the two sees the other: the canceller
	// marks the job before it reads the queue, and the settler reads the job after it has queued.
	if err := s.Sweeper.Sweep(ctx, queued); err != nil {
		return out, err
	}
	for _, w := range waits {
		// The entries are the truth. If the wait cannot be started, the minute tick finds them when they are due.
		if err := s.Waiter.Backoff(ctx, w); err != nil {
			return out, err
		}
	}
	return out, nil
}

// kept returns the failed tasks whose next attempt starts in their lease, and the waits of those for which its time has not come when they are read.
func (s Settler) kept(ctx context.Context, ended []task.Task) (kept []task.Task, waits []Backoff, err error) {
	var batches []batch
	for _, t := range ended {
		if t.Status == task.Failed && t.Turn == "" {
			batches = add(batches, t)
		}
	}
	for _, b := range batches {
		leases, err := s.Control.LeasesOn(ctx, b.labourer, b.segment)
		if err != nil {
			return nil, nil, err
		}
		for _, l := range leases {
			if l.Attempt > b.attempt { // a lease of the next attempt, which was granted from the queue
				continue
			}
			here := among(b.tasks, l.For(b.attempt+1))
			for _, t := range here {
				if again, waiting := l.Retries[t.ID.N]; waiting {
					waits = wait(waits, b.labourer, wakeAt(l, again.Due, s.Now().UTC()), []task.Task{t})
				}
			}
			kept = append(kept, here...)
		}
	}
	return kept, waits, nil
}

// spareWakes says how far apart the wakes of a labourer are that it rarely needs.
const spareWakes = time.Minute

// wakeAt returns when to wake for the next attempt at a task that starts in its lease. Where tasks wait in the lease, those that end give their slots to what
// is due in it, without a wake. A wake serves only if by then none waits any more, so it may be later, and be one for many retries.
func wakeAt(l queue.Lease, due, now time.Time) time.Time {
	if !l.Waiting.Empty() {
		return due.Add(spareWakes - 1).Truncate(spareWakes)
	}
	return retry.Wake(now, due)
}

// without returns the tasks that are not among others.
func without(tasks, others []task.Task) []task.Task {
	return slices.DeleteFunc(slices.Clone(tasks), func(t task.Task) bool {
		return slices.ContainsFunc(others, func(o task.Task) bool { return o.ID == t.ID && o.Attempt == t.Attempt })
	})
}

// wait adds tasks to the wait of their labourer for this time.
func wait(waits []Backoff, labourer string, until time.Time, tasks []task.Task) []Backoff {
	if len(tasks) == 0 {
		return waits
	}
	i := slices.IndexFunc(waits, func(w Backoff) bool { return w.Labourer == labourer && w.Until.Equal(until) })
	if i < 0 {
		i = len(waits)
		waits = append(waits, Backoff{Labourer: labourer, Until: until})
	}
	waits[i].Tasks = append(waits[i].Tasks, tasks...)
	return waits
}

// group sorts the failed tasks into those that die and those that wait, each in the order of their first tasks.
func (s Settler) group(ctx context.Context, ended []task.Task, out *Settled) (deaths []batch, backoffs []backoff, err error) {
	labourers := map[string]labourer.Labourer{}
	for _, t := range ended {
		if t.Status != task.Failed && t.Status != task.Expired || out.Unreadable[t.Labourer] != "" {
			continue
		}
		l, err := s.labourer(ctx, labourers, t.Labourer)
		if unreadable(err) {
			out.leave(t.Labourer, err)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if dead, _ := Exhausted(t, l); dead {
			deaths = add(deaths, t)
			continue
		}
		i := slices.IndexFunc(backoffs, func(b backoff) bool {
			return b.labourer.ID == t.Labourer && b.attempt == t.Attempt && b.failures == t.Failures() && b.retryAfter == t.RetryAfter
		})
		if i < 0 {
			i = len(backoffs)
			backoffs = append(backoffs, backoff{labourer: l, attempt: t.Attempt, failures: t.Failures(), retryAfter: t.RetryAfter})
		}
		backoffs[i].batches = add(backoffs[i].batches, t)
	}
	return deaths, backoffs, nil
}

// add adds a task to its batch, or to a new one.
func add(batches []batch, t task.Task) []batch {
	by := held{t.Labourer, t.ID.Segment, t.Attempt}
	i := slices.IndexFunc(batches, func(b batch) bool { return b.held == by })
	if i < 0 {
		i = len(batches)
		batches = append(batches, batch{held: by})
	}
	batches[i].tasks = append(batches[i].tasks, t)
	return batches
}

func (o *Settled) free(labourer string) {
	if !slices.Contains(o.Freed, labourer) {
		o.Freed = append(o.Freed, labourer)
	}
}

// feedable notes a lease in which tasks wait for a free slot.
func (o *Settled) feedable(l queue.Lease) {
	if l.Hungry() && !slices.Contains(o.Hungry, l.Labourer) {
		o.Hungry = append(o.Hungry, l.Labourer)
	}
}

func (o *Settled) leave(labourer string, why error) {
	if o.Unreadable == nil {
		o.Unreadable = map[string]string{}
	}
	o.Unreadable[labourer] = why.Error()
}

// unreadable reports whether the stored labourer is at fault, and not the request for it.
func unreadable(err error) bool {
	_, one := errors.AsType[document.Error](err)
	_, several := errors.AsType[document.Errors](err)
	return one || several
}

func (s Settler) labourer(ctx context.Context, known map[string]labourer.Labourer, id string) (labourer.Labourer, error) {
	if l, ok := known[id]; ok {
		return l, nil
	}
	l, found, err := s.Registry.Labourer(ctx, id)
	if err != nil {
		return l, err
	}
	if !found { // the labourer was removed while its tasks were running: they are settled by the defaults
		l = labourer.New(id)
	}
	known[id] = l
	return l, nil
}

// tries limits how often a write to a changed lease is repeated. Each change means that another component has moved tasks of the lease.
const tries = 10

// kill ends the tasks of a batch that leases still hold, and returns their numbers. A task that no lease holds with this attempt was settled
// before, and may run again. A task that has reached its end meanwhile only leaves its lease.
func (s Settler) kill(ctx context.Context, b batch, out *Settled) (killed segment.Numbers, err error) {
	for range tries {
		dead, raced, err := s.end(ctx, b, out)
		killed = killed.Union(dead)
		if err != nil || raced.Empty() {
			return killed, err
		}
		if b.tasks, err = s.again(ctx, b.segment, raced); err != nil {
			return killed, err
		}
	}
	return killed, fmt.Errorf("ending tasks %s of segment %s: they or their leases changed %d times in between", numbers(b.tasks), b.segment, tries)
}

// again reads tasks again after a race. It drops payloads that are stored apart from their task's item: killing a task does not write them.
func (s Settler) again(ctx context.Context, at segment.ID, raced segment.Numbers) ([]task.Task, error) {
	var out []task.Task
	for some, err := range s.Tasks.Chunks(ctx, at, raced) {
		unreadable, err := task.Unreadable(err)
		if err != nil {
			return nil, err
		}
		for _, t := range append(some, unreadable...) { // nor does it need unreadable parts
			if t.Parts > 0 || t.Status.Terminal() {
				t.Payload = nil
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// end takes the tasks of a batch out of the leases that hold them: failed ones by their death. It returns the numbers of those that it killed,
// and of those that have changed since they were read, or whose leases have.
func (s Settler) end(ctx context.Context, b batch, out *Settled) (killed, raced segment.Numbers, err error) {
	leases, err := s.Control.LeasesOn(ctx, b.labourer, b.segment)
	if err != nil {
		return killed, raced, err
	}
	for _, l := range leases {
		held := l.For(b.attempt)
		l, dead, err := s.endIn(ctx, l, among(b.tasks, held))
		killed = killed.Union(dead)
		if errors.Is(err, queue.ErrChanged) {
			raced = raced.Union(held.Intersect(numbers(b.tasks)).Minus(dead))
			continue
		}
		if err != nil {
			return killed, raced, err
		}
		out.feedable(l)
	}
	return killed, raced, nil
}

// endIn takes tasks out of the lease that holds them. It returns the lease as it is stored then, and the numbers of the tasks that it killed.
func (s Settler) endIn(ctx context.Context, l queue.Lease, tasks []task.Task) (_ queue.Lease, killed segment.Numbers, err error) {
	var failed, completed, gone []task.Task
	for _, t := range tasks {
		switch {
		case t.Status == task.Completed:
			completed = append(completed, t)
		case t.Status.Terminal():
			gone = append(gone, t)
		case t.Attempt == l.AttemptAt(t.ID.N):
			failed = append(failed, t)
		}
	}
	if len(completed)+len(gone) > 0 {
		if l, err = s.Leases.Save(ctx, l, l.Ended(numbers(completed)).Without(numbers(gone))); err != nil {
			return l, killed, err
		}
	}
	for len(failed) > 0 {
		some := task.Together(failed)
		failed = failed[len(some):]
		dead := make([]task.Task, len(some))
		for i, t := range some {
			if dead[i], err = t.Kill(s.Now()); err != nil {
				return l, killed, err
			}
		}
		if l, err = s.Leases.Kill(ctx, l, some, dead); err != nil {
			return l, killed, err
		}
		killed = killed.Union(numbers(some))
	}
	return l, killed, nil
}

// requeue moves the tasks of a batch that leases still hold into entries for their next attempt, and returns these tasks.
func (s Settler) requeue(ctx context.Context, b batch, due time.Time, out *Settled) ([]task.Task, error) {
	left := numbers(b.tasks)
	var moved segment.Numbers
	for range tries {
		leases, err := s.Control.LeasesOn(ctx, b.labourer, b.segment)
		if err != nil {
			return among(b.tasks, moved), err
		}
		raced := false
		for _, l := range leases {
			if held := l.For(b.attempt).Intersect(left); !held.Empty() {
				l, err = s.Leases.Requeue(ctx, l, l.Next(held, due))
				if errors.Is(err, queue.ErrChanged) {
					raced = true
					continue
				}
				if err != nil {
					return among(b.tasks, moved), err
				}
				moved, left = moved.Union(held), left.Minus(held)
			}
			out.feedable(l)
		}
		if !raced {
			return among(b.tasks, moved), nil
		}
	}
	return among(b.tasks, moved), fmt.Errorf("returning tasks %s of segment %s to the queue: the leases changed %d times in between", left, b.segment, tries)
}

func numbers(tasks []task.Task) segment.Numbers {
	var set segment.Numbers
	for _, t := range tasks {
		set = set.Union(segment.Of(t.ID.N))
	}
	return set
}

func among(tasks []task.Task, numbers segment.Numbers) []task.Task {
	var out []task.Task
	for _, t := range tasks {
		if numbers.Contains(t.ID.N) {
			out = append(out, t)
		}
	}
	return out
}
