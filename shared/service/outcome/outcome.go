// Package outcome settles attempts that did not succeed: it schedules another attempt after a wait, or ends the task. And it ends jobs when
// every task of them has reached an end.
//
// The lease holds a failed task until the outcome is durable. So the scavenger (by the stream) and the orchestrator (at the lease's end) settle
// any failed task that they find in a lease. However often a task is settled, the result is one entry or one death.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks stores the tasks.
type Tasks interface {
	// Chunks reads tasks of a segment in the order of their numbers, some at a time: together, their payloads may exceed a function's memory.
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
}

// Deaths ends tasks that get no further attempt.
type Deaths interface {
	// Kill replaces failed by dead and releases these tasks from their lease, or changes nothing and returns queue.ErrChanged.
	Kill(ctx context.Context, l queue.Lease, failed, dead []task.Task) error
}

// Control moves tasks from leases to entries.
type Control interface {
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error
}

// Registry stores the labourers that were applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
}

// Sweeper cancels those of the tasks that are queued and whose jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
}

// Waiter starts a wait that a person can watch, and that wakes the orchestrator when the tasks are due.
type Waiter interface {
	Backoff(ctx context.Context, b Backoff) error
}

// Backoff holds failed tasks of a labourer that are due again at the same time.
type Backoff struct {
	Labourer string
	Due      time.Time
	Attempt  int // the attempt that begins then
	Tasks    []task.Task
}

// Settler settles failed and expired attempts.
type Settler struct {
	Tasks    Tasks
	Deaths   Deaths
	Control  Control
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

// held names the leases that may hold a failed task.
type held struct {
	labourer string
	segment  segment.ID
	attempt  int
}

// batch holds failed tasks that the same leases may hold. Those that are retried go into one entry.
type batch struct {
	held
	maxDuration time.Duration // of the entry
	tasks       []task.Task
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
	deaths, backoffs, err := s.group(ctx, ended, &out)
	if err != nil {
		return out, err
	}
	var queued []task.Task // also those that an earlier settler queued, as it may have died before it read their jobs
	for _, b := range deaths {
		killed, err := s.kill(ctx, b.held, b.tasks)
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
	var waits []Backoff
	for _, group := range backoffs {
		delay := group.labourer.Retry.Delay(group.failures, group.retryAfter, s.Random())
		// Rounded up to a millisecond, the resolution of keys: never sooner than the policy's minimum.
		due := s.Now().UTC().Add(delay).Add(time.Millisecond - 1).Truncate(time.Millisecond)
		wait := Backoff{Labourer: group.labourer.ID, Due: due, Attempt: group.attempt + 1}
		for _, b := range group.batches {
			requeued, err := s.requeue(ctx, b, due)
			if err != nil {
				return out, err
			}
			wait.Tasks = append(wait.Tasks, requeued...)
			queued = append(queued, b.tasks...)
			out.Retried += len(requeued)
		}
		out.free(group.labourer.ID)
		if len(wait.Tasks) > 0 {
			waits = append(waits, wait)
		}
	}
	// A job may be cancelled while its tasks return to the queue, and its canceller may miss them. One of the two sees the other: the canceller
	// marks the job before it reads the queue, and the settler reads the job after it has queued.
	if err := s.Sweeper.Sweep(ctx, queued); err != nil {
		return out, err
	}
	for _, wait := range waits {
		// The entries are the truth. If the wait cannot be started, the minute tick finds them when they are due.
		if err := s.Waiter.Backoff(ctx, wait); err != nil {
			return out, err
		}
	}
	return out, nil
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
			deaths = add(deaths, t, 0)
			continue
		}
		i := slices.IndexFunc(backoffs, func(b backoff) bool {
			return b.labourer.ID == t.Labourer && b.attempt == t.Attempt && b.failures == t.Failures() && b.retryAfter == t.RetryAfter
		})
		if i < 0 {
			i = len(backoffs)
			backoffs = append(backoffs, backoff{labourer: l, attempt: t.Attempt, failures: t.Failures(), retryAfter: t.RetryAfter})
		}
		backoffs[i].batches = add(backoffs[i].batches, t, t.MaxDuration)
	}
	return deaths, backoffs, nil
}

// add adds a task to its batch, or to a new one.
func add(batches []batch, t task.Task, maxDuration time.Duration) []batch {
	by := held{t.Labourer, t.ID.Segment, t.Attempt}
	i := slices.IndexFunc(batches, func(b batch) bool { return b.held == by && b.maxDuration == maxDuration })
	if i < 0 {
		i = len(batches)
		batches = append(batches, batch{held: by, maxDuration: maxDuration})
	}
	batches[i].tasks = append(batches[i].tasks, t)
	return batches
}

func (o *Settled) free(labourer string) {
	if !slices.Contains(o.Freed, labourer) {
		o.Freed = append(o.Freed, labourer)
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
	_, one := errors.AsType[labourer.Error](err)
	_, several := errors.AsType[labourer.Errors](err)
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

// kill ends the tasks that leases still hold, and returns their numbers. A task that no lease holds with this attempt was settled before, and
// may run again. A task that has reached its end meanwhile is only released.
func (s Settler) kill(ctx context.Context, key held, tasks []task.Task) (killed segment.Numbers, err error) {
	for range tries {
		leases, err := s.Control.LeasesOn(ctx, key.labourer, key.segment)
		if err != nil {
			return killed, err
		}
		raced := false
		for _, l := range leases {
			if l.Attempt != key.attempt {
				continue
			}
			dead, err := s.killIn(ctx, l, tasks)
			killed = killed.Union(dead)
			if raced = raced || errors.Is(err, queue.ErrChanged); err != nil && !errors.Is(err, queue.ErrChanged) {
				return killed, err
			}
		}
		if !raced {
			return killed, nil
		}
		if tasks, err = s.stillDying(ctx, key, leases, tasks, killed); err != nil {
			return killed, err
		}
	}
	return killed, fmt.Errorf("ending %d tasks of segment %s: they or their leases changed %d times in between", len(tasks), key.segment, tries)
}

// killIn ends the tasks that a lease holds, and returns their numbers. It returns queue.ErrChanged if the lease, or one of the tasks, has
// changed since it was read.
func (s Settler) killIn(ctx context.Context, l queue.Lease, tasks []task.Task) (killed segment.Numbers, err error) {
	for left := among(tasks, l.Held()); len(left) > 0; {
		failed := task.Together(left)
		left = left[len(failed):]
		dead, numbers := make([]task.Task, len(failed)), segment.Numbers{}
		for i, t := range failed {
			if dead[i], err = t.Kill(s.Now()); err != nil {
				return killed, err
			}
			numbers = numbers.Union(segment.Of(t.ID.N))
		}
		if err := s.Deaths.Kill(ctx, l, failed, dead); err != nil {
			return killed, err
		}
		killed, l.Released = killed.Union(numbers), l.Released.Union(numbers)
	}
	return killed, nil
}

// stillDying reads tasks again after a race, and returns those that are still to be killed. It releases those that have reached their end
// meanwhile from the leases. It drops payloads that are stored apart from their task's item: killing a task does not write them.
func (s Settler) stillDying(ctx context.Context, key held, leases []queue.Lease, tasks []task.Task, killed segment.Numbers) ([]task.Task, error) {
	var left, ended segment.Numbers
	for _, t := range tasks {
		left = left.Union(segment.Of(t.ID.N))
	}
	var dying []task.Task
	for now, err := range s.Tasks.Chunks(ctx, key.segment, left.Minus(killed)) {
		if err != nil {
			return nil, err
		}
		for _, t := range now {
			switch {
			case t.Status.Terminal():
				ended = ended.Union(segment.Of(t.ID.N))
			case t.Attempt == key.attempt && (t.Status == task.Failed || t.Status == task.Expired):
				if t.Parts > 0 {
					t.Payload = nil
				}
				dying = append(dying, t)
			}
		}
	}
	for _, l := range leases {
		if l.Attempt != key.attempt {
			continue
		}
		if err := s.Control.Release(ctx, l, l.Held().Intersect(ended)); err != nil {
			return nil, err
		}
	}
	return dying, nil
}

// requeue moves the tasks of a batch that leases still hold into entries, and returns these tasks.
func (s Settler) requeue(ctx context.Context, b batch, due time.Time) ([]task.Task, error) {
	var left segment.Numbers
	for _, t := range b.tasks {
		left = left.Union(segment.Of(t.ID.N))
	}
	var moved segment.Numbers
	for range tries {
		leases, err := s.Control.LeasesOn(ctx, b.labourer, b.segment)
		if err != nil {
			return among(b.tasks, moved), err
		}
		raced := false
		for _, l := range leases {
			held := l.Held().Intersect(left)
			if l.Attempt != b.attempt || held.Empty() {
				continue
			}
			err := s.Control.Requeue(ctx, l, queue.Entry{Labourer: b.labourer, Due: due, Segment: b.segment, First: held.Min(),
				Tasks: held, Attempt: b.attempt + 1, MaxDuration: b.maxDuration})
			if errors.Is(err, queue.ErrChanged) {
				raced = true
				continue
			}
			if err != nil {
				return among(b.tasks, moved), err
			}
			moved, left = moved.Union(held), left.Minus(held)
		}
		if !raced {
			return among(b.tasks, moved), nil
		}
	}
	return among(b.tasks, moved), fmt.Errorf("returning tasks %s of segment %s to the queue: the leases changed %d times in between", left, b.segment, tries)
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
