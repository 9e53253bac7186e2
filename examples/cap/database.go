package main

import (
	"context"
	"sync"
	"time"
)

// The toy database answers a query in 40 ms if it has no other one. Each further query makes all of them slower, as in a queue: at 33 it stands still.
const (
	alone = 40 * time.Millisecond
	room  = 33
	worst = 2 * time.Second
)

// The demo holds the database at the latency target.
const target = 100 * time.Millisecond

// At knee queries at once the latency is the target.
const knee = room * (1 - float64(alone)/float64(target))

// latencyAt returns how long the database takes for each of n queries at once.
func latencyAt(n int) time.Duration {
	if n >= room {
		return worst
	}
	return min(time.Duration(float64(alone)/(1-float64(n)/room)), worst)
}

// database simulates the toy. It is safe for concurrent use.
type database struct {
	mu     sync.Mutex
	active int
	took   time.Duration // by all queries since the last look
	ended  int
}

// query takes as long as the database is loaded.
func (d *database) query(ctx context.Context) error {
	d.mu.Lock()
	d.active++
	takes := latencyAt(d.active)
	d.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(takes):
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active--
	d.took, d.ended = d.took+takes, d.ended+1
	return err
}

// work queries the database for a time, one query after the other, as a task does.
func (d *database) work(ctx context.Context, lasts time.Duration) error {
	for until := time.Now().Add(lasts); time.Now().Before(until); {
		if err := d.query(ctx); err != nil {
			return err
		}
	}
	return nil
}

// look returns the mean latency since the last look, and false without a query.
func (d *database) look() (mean time.Duration, measured bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == 0 {
		return 0, false
	}
	mean = d.took / time.Duration(d.ended)
	d.took, d.ended = 0, 0
	return mean, true
}
