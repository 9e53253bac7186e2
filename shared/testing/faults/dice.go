package faults

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
)

// dice decides by seed which requests go wrong. Each operation has its own draws, so that the faults of one goroutine do not depend on what others do at
// the same time, as long as they call other operations.
type dice struct {
	plan     Plan
	instance string

	mu     sync.Mutex
	throws map[string]uint64 // number of throws so far, by service and operation
}

// throw returns the source of randomness for the next attempt of an operation.
func (d *dice) throw(service, operation, what string) *rand.Rand {
	name := service + "." + operation + "." + what
	d.mu.Lock()
	d.throws[name]++
	n := d.throws[name]
	d.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprint(h, d.instance, "\x00", name, "\x00", n)
	return rand.New(rand.NewPCG(d.plan.Seed, h.Sum64()))
}

// pick returns the kind of fault for an attempt among the possible kinds, or "" for none.
func (d *dice) pick(r *rand.Rand, service, operation string, possible ...Kind) Kind {
	u := r.Float64()
	for _, k := range possible {
		c := d.plan.chance(k, service, operation)
		if u < c {
			return k
		}
		u -= c
	}
	return ""
}
