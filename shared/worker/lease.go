package worker

import (
	"context"
	"sync"
	"time"
)

// lease is a run's context. Unlike the contexts of the standard library, its deadline can be extended. It ends with DeadlineExceeded at its deadline,
// or like its parent if the parent ends first.
//
// Contexts made from it follow an extended deadline, because they wait for the lease and have no timer of their own.
type lease struct {
	context.Context // the parent, with its values and its end

	now    func() time.Time
	latest time.Time // no heartbeat extends the lease beyond it; zero: no limit

	mu      sync.Mutex
	end     time.Time // zero: only the parent has a deadline
	timer   *time.Timer
	err     error
	done    chan struct{}
	waiting map[*func()]struct{}
	detach  func() bool
}

// newLease makes a lease that ends at end, but never after latest. The zero time means no limit.
func newLease(parent context.Context, now func() time.Time, end, latest time.Time) *lease {
	l := &lease{Context: parent, now: now, latest: latest, done: make(chan struct{}), waiting: map[*func()]struct{}{}}
	l.mu.Lock()
	l.end = earlier(end, latest)
	if !l.end.IsZero() {
		l.timer = time.AfterFunc(l.end.Sub(now()), l.expire)
	}
	l.mu.Unlock()
	l.detach = context.AfterFunc(parent, func() { l.finish(parent.Err()) })
	return l
}

// extend moves the end to a later time. An earlier time changes nothing, and neither does a call on an ended lease.
func (l *lease) extend(end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end = earlier(end, l.latest)
	if l.err != nil || l.timer == nil || !end.After(l.end) {
		return
	}
	l.end = end
	l.timer.Reset(end.Sub(l.now()))
}

// expire runs when the timer fires. The end may have been extended just then, so it checks the end again.
func (l *lease) expire() {
	l.mu.Lock()
	left := l.end.Sub(l.now())
	if l.err == nil && left > 0 {
		l.timer.Reset(left)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.finish(context.DeadlineExceeded)
}

// stop frees the resources of the lease, and ends it and all contexts made from it.
func (l *lease) stop() {
	l.detach()
	l.finish(context.Canceled)
}

func (l *lease) finish(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	if l.timer != nil {
		l.timer.Stop()
	}
	close(l.done)
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	for f := range waiting {
		go (*f)()
	}
}

func (l *lease) Deadline() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end.IsZero() {
		return l.Context.Deadline()
	}
	return l.end, true
}

func (l *lease) Done() <-chan struct{} { return l.done }

func (l *lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// AfterFunc implements the method that package context looks for in a foreign context. With it, a context made from the lease needs no goroutine.
func (l *lease) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		go f()
		return func() bool { return false }
	}
	key := &f
	l.waiting[key] = struct{}{}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, was := l.waiting[key]
		delete(l.waiting, key)
		return was
	}
}

// earlier returns the earlier of two times. The zero time means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
