package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstWait   = 200 * time.Millisecond
	longestWait = 10 * time.Second
)

// backoff returns the wait after the n-th failed try. It doubles each time, and its upper half is random, so that workers that failed together do not
// return together.
func backoff(try int) time.Duration {
	whole := min(firstWait<<min(try-1, 16), longestWait)
	return whole/2 + rand.N(whole/2)
}

// pause waits for d. It returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// repeat calls f at every interval, one call at a time and each limited to an interval, until ctx ends or the returned function is called. That
// function waits for a call in progress.
func repeat(ctx context.Context, every time.Duration, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var finished sync.WaitGroup
	finished.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			call, done := context.WithTimeout(ctx, every)
			f(call)
			done()
		}
	})
	return func() { cancel(); finished.Wait() }
}
