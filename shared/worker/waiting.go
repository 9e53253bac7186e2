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

// backoff returns the wait after the n-th failed try: doubled each time, with the upper half left to chance so that many
// workers that failed together do not come back together.
func backoff(try int) time.Duration {
	whole := min(firstWait<<min(try-1, 16), longestWait)
	return whole/2 + rand.N(whole/2)
}

// pause waits for d; false if ctx ended first.
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

// repeat calls f at every interval, one call at a time and each for an interval at most, until ctx ends or the function it
// returns is called, which waits for the call that is under way.
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
