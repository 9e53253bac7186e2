// Package retry decides how long a failed task waits before it is due again.
//
// The wait is exponential with full jitter: after the n-th failure it is uniform in
//
//	[Min, min(Max, Initial × Rate^(n−1))]
//
// and never shorter than Min. So workers that failed together do not return together, and a failing dependency gets the pause that its owner set. Full
// jitter spreads retries best for the least total work
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
//
// The random number is a parameter: the package has no clock and no source of randomness.
package retry

import (
	"math"
	"time"
)

// Policy sets how long a labourer's failed tasks wait. The zero Policy never waits.
//
// If Min exceeds the exponential bound or Max, the wait is Min.
type Policy struct {
	Min     time.Duration // no wait is shorter
	Initial time.Duration // upper bound of the wait after the first failure
	Max     time.Duration // no wait is longer, after any number of failures
	Rate    float64       // growth of the upper bound with each failure; 1 keeps it at Initial
}

// Default returns the policy of a labourer that configures none.
func Default() Policy {
	return Policy{Min: time.Second, Initial: 30 * time.Second, Max: time.Hour, Rate: 2}
}

// Delay returns the wait after the n-th failure, where n is failures, and at least 1.
//
// asked holds the worker's retry_after. If it is above 0, it replaces the exponential wait, clamped to [Min, Max] and without jitter, because the worker
// knows when its dependency will be ready. u is a random number in [0, 1); other values are clamped. The result is within [Min, max(Min, Max)] for
// every input.
func (p Policy) Delay(failures int, asked time.Duration, u float64) time.Duration {
	lowest := max(p.Min, 0)
	highest := max(p.Max, lowest)
	if asked > 0 {
		return min(max(asked, lowest), highest)
	}

	span := min(p.ceiling(failures), highest) - lowest
	if span <= 0 {
		return lowest
	}
	// A span above 2^53 ns (104 days) is rounded as a float64 and may become longer.
	return lowest + min(time.Duration(unit(u)*float64(span)), span)
}

// ceiling returns Initial × Rate^(n−1), at most Max. It computes with float64, which becomes infinite where an integer would overflow.
func (p Policy) ceiling(failures int) time.Duration {
	if p.Initial <= 0 || p.Max <= 0 {
		return 0
	}
	reached := float64(p.Initial) * math.Pow(p.Rate, float64(max(failures, 1)-1))
	if reached >= 0 && reached < float64(p.Max) {
		return time.Duration(reached)
	}
	return p.Max
}

// unit clamps u to [0, 1).
func unit(u float64) float64 {
	if !(u > 0) {
		return 0
	}
	return min(u, math.Nextafter(1, 0))
}

// Wake returns the time at which to wake up for tasks that wait from now until due: due, rounded up so that the wakes of many tasks coincide.
// It is later than due by less than a second, or by at most a twentieth of a longer wait.
func Wake(now, due time.Time) time.Time {
	bucket := time.Second
	for bucket*2 <= due.Sub(now)/20 {
		bucket *= 2
	}
	return due.Add(bucket - 1).Truncate(bucket)
}
