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

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Tasks is the tasks that are settled.
type Tasks interface {
	Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error)
}

// Deaths is where tasks end that get no further attempt.
type Deaths interface {
	// Kill writes dead in the place of failed and takes these tasks out of their lease, or does nothing: queue.ErrChanged.
	Kill(ctx context.Context, l queue.Lease, failed, dead []task.Task) error
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
	Deaths   Deaths
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

// held is failed tasks that the same leases may hold.
type held struct {
	labourer string
	segment  segment.ID
	attempt  int
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
	deaths, dying := map[held][]task.Task{}, []held{}
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
			key := held{t.Labourer, t.ID.Segment, t.Attempt}
			if deaths[key] == nil {
				dying = append(dying, key)
			}
			deaths[key] = append(deaths[key], t)
			continue
		}
		key := alike{t.Labourer, t.ID.Segment, t.Attempt, t.Failures(), t.RetryAfter, t.MaxDuration}
		if retries[key] == nil {
			order = append(order, key)
		}
		retries[key] = append(retries[key], t)
	}

	for _, key := range dying {
		killed, err := s.kill(ctx, key, deaths[key])
		out.Dead += killed.Len()
		if err != nil {
			return out, err
		}
		for _, t := range deaths[key] {
			if !killed.Contains(t.ID.N) {
				queued = append(queued, t)
			}
		}
		out.free(key.labourer)
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

// tries is how often a lost race for a lease is run again. Each one that is lost means that somebody else has moved tasks of it.
const tries = 10

// kill ends those of the tasks that leases still hold, and returns their numbers. A task that no lease holds with this attempt was settled
// before, and may be on its way again. One that has reached its end meanwhile is only released.
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

// killIn ends those of the tasks that a lease holds, and returns their numbers. queue.ErrChanged: the lease, or one of the tasks, is not as
// it was read.
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

// stillDying reads tasks again after a race, and returns those that are still to be killed. Those that have reached their end by another hand
// are released from the leases.
func (s Settler) stillDying(ctx context.Context, key held, leases []queue.Lease, tasks []task.Task, killed segment.Numbers) ([]task.Task, error) {
	var left, ended segment.Numbers
	for _, t := range tasks {
		left = left.Union(segment.Of(t.ID.N))
	}
	now, err := s.Tasks.Range(ctx, key.segment, left.Minus(killed))
	if err != nil {
		return nil, err
	}
	for _, t := range now {
		if t.Status.Terminal() {
			ended = ended.Union(segment.Of(t.ID.N))
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
	return slices.DeleteFunc(now, func(t task.Task) bool {
		return t.Attempt != key.attempt || t.Status != task.Failed && t.Status != task.Expired
	}), nil
}

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
