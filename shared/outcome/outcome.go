// Package outcome decides what follows the end of an attempt that did not succeed, and carries it out: another attempt after a wait,
// or the end of the task.
//
// The lease holds a failed task until what follows is durable. So whoever finds a failed task in a lease, the scavenger by the stream
// or the orchestrator by the lease's end, settles it, and however often it is settled one entry or one death comes of it.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
)

// Tasks is where a task's death is written.
type Tasks interface {
	Save(ctx context.Context, before, after task.Task) error
}

// Control is where tasks are moved from leases to entries.
type Control interface {
	LeasesOn(ctx context.Context, labourer string, s segment.ID) ([]queue.Lease, error)
	Release(ctx context.Context, l queue.Lease, numbers segment.Numbers) error
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) error
}

// Registry is what owners have applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
}

// Sweeper takes back what is queued of these tasks, where their jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
}

// Waiter lets tasks wait, where a person can watch them do so, and wakes the orchestrator when they are due.
type Waiter interface {
	Backoff(ctx context.Context, b Backoff) error
}

// Backoff is failed tasks of a labourer that are due again at the same time.
type Backoff struct {
	Labourer string
	Due      time.Time
	Attempt  int // that which begins then
	Tasks    []task.Task
}

// Settler settles failed and expired attempts.
type Settler struct {
	Tasks    Tasks
	Control  Control
	Registry Registry
	Waiter   Waiter
	Sweeper  Sweeper
	Now      func() time.Time
	Random   func() float64 // uniform in [0,1)
}

// Settled is what was done.
type Settled struct {
	Retried, Dead int
	Freed         []string          // labourers of whom slots became free, now or when these tasks were settled before: who did may not have told
	Unreadable    map[string]string // labourers whose stored configuration can not be read, and why: their tasks stay in their leases
}

// Exhausted tells whether no attempt may follow, and why.
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

// alike is failed tasks that wait for the same time and go into the same entry.
type alike struct {
	labourer    string
	segment     segment.ID
	attempt     int
	failures    int
	retryAfter  time.Duration
	maxDuration time.Duration
}

// waiting is failed tasks that wait for the same time.
type waiting struct {
	labourer   string
	attempt    int
	failures   int
	retryAfter time.Duration
}

// Settle carries out what follows for tasks whose last attempt failed or expired; others are passed over. It stops at the first error:
// what was not settled is found in its lease the next time. That a labourer's configuration can not be read is no error, as no next time
// would mend it: its tasks stay in their leases, and the orchestrator comes back to them once it is applied again.
func (s Settler) Settle(ctx context.Context, ended []task.Task) (Settled, error) {
	var out Settled
	labourers := map[string]labourer.Labourer{}
	retries := map[alike][]task.Task{}
	var queued []task.Task // those as well that were queued before, by a settler that may have died before it read their jobs
	var order []alike
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
			return out, err
		}
		if dead, _ := Exhausted(t, l); dead {
			killed, err := s.kill(ctx, t)
			if err != nil {
				return out, err
			}
			if killed {
				out.Dead++
			} else {
				queued = append(queued, t)
			}
			out.free(t.Labourer)
			continue
		}
		key := alike{t.Labourer, t.ID.Segment, t.Attempt, t.Failures(), t.RetryAfter, t.MaxDuration}
		if retries[key] == nil {
			order = append(order, key)
		}
		retries[key] = append(retries[key], t)
	}

	due := map[waiting]time.Time{}
	backoffs := map[waiting]*Backoff{}
	var waits []waiting // in their order
	for _, key := range order {
		w := waiting{key.labourer, key.attempt, key.failures, key.retryAfter}
		if due[w].IsZero() {
			wait := labourers[key.labourer].Retry.Delay(key.failures, key.retryAfter, s.Random())
			// Up to the next millisecond, as keys have no finer time: never sooner than the policy's minimum.
			due[w] = s.Now().UTC().Add(wait).Add(time.Millisecond - 1).Truncate(time.Millisecond)
			backoffs[w] = &Backoff{Labourer: key.labourer, Due: due[w], Attempt: key.attempt + 1}
			waits = append(waits, w)
		}
		requeued, err := s.requeue(ctx, key, retries[key], due[w])
		backoffs[w].Tasks = append(backoffs[w].Tasks, requeued...)
		queued = append(queued, retries[key]...)
		if err != nil {
			return out, err
		}
		out.Retried += len(requeued)
		out.free(key.labourer)
	}
	// A job may be cancelled while its tasks are being queued again, and its canceller may not have seen them. One of the two sees the
	// other: the canceller marks the job before it reads the queue, and the settler reads the job after it has queued.
	if err := s.Sweeper.Sweep(ctx, queued); err != nil {
		return out, err
	}
	for _, w := range waits {
		b := backoffs[w]
		if len(b.Tasks) == 0 {
			continue
		}
		// The entries are the truth. Where the wait can not be started, the minute tick finds them when they are due.
		if err := s.Waiter.Backoff(ctx, *b); err != nil {
			return out, err
		}
	}
	return out, nil
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

// unreadable tells whether an error is about what is stored of a labourer, and not about getting it.
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
	if !found { // removed while tasks of it were running: they end by the defaults
		l = labourer.New(id)
	}
	known[id] = l
	return l, nil
}

// kill writes the death of a task that its lease still holds, and then releases it. A task that no lease holds with this attempt was
// settled before, and may be on its way again. One that is dead and still held is only released.
func (s Settler) kill(ctx context.Context, t task.Task) (bool, error) {
	leases, err := s.Control.LeasesOn(ctx, t.Labourer, t.ID.Segment)
	if err != nil {
		return false, err
	}
	l, held := queue.Holding(leases, t.ID, t.Attempt)
	if !held {
		return false, nil
	}
	dead, err := t.Kill(s.Now())
	if err != nil {
		return false, err
	}
	if err := s.Tasks.Save(ctx, t, dead); err != nil && !errors.Is(err, task.ErrStale) {
		return false, err
	}
	return true, s.Control.Release(ctx, l, segment.Of(t.ID.N))
}

// tries is how often a lost race for a lease is run again. Each one that is lost means that somebody else has moved tasks of it.
const tries = 10

// requeue moves those of the tasks that leases still hold into entries, and is these.
func (s Settler) requeue(ctx context.Context, key alike, tasks []task.Task, due time.Time) ([]task.Task, error) {
	var left segment.Numbers
	for _, t := range tasks {
		left = left.Union(segment.Of(t.ID.N))
	}
	var moved segment.Numbers
	for range tries {
		leases, err := s.Control.LeasesOn(ctx, key.labourer, key.segment)
		if err != nil {
			return among(tasks, moved), err
		}
		raced := false
		for _, l := range leases {
			held := l.Held().Intersect(left)
			if l.Attempt != key.attempt || held.Empty() {
				continue
			}
			err := s.Control.Requeue(ctx, l, queue.Entry{Labourer: key.labourer, Due: due, Segment: key.segment, First: held.Min(),
				Tasks: held, Attempt: key.attempt + 1, MaxDuration: key.maxDuration})
			if errors.Is(err, queue.ErrChanged) {
				raced = true
				continue
			}
			if err != nil {
				return among(tasks, moved), err
			}
			moved, left = moved.Union(held), left.Minus(held)
		}
		if !raced {
			return among(tasks, moved), nil
		}
	}
	return among(tasks, moved), fmt.Errorf("queueing tasks %s of segment %s again: the leases changed %d times in between", left, key.segment, tries)
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
