// Package retry decides how long a failed task waits before it is due again.
//
// The wait is exponential with full jitter: after the n-th failure it is uniform in
//
//	[Min, min(Max, Initial × Rate^(n−1))]
//
// and never under Min, so that workers that failed together do not come back together and a thing that is down
// gets the rest that its owner asked for. Full jitter is the variant that spreads a herd best for the least total
// work (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
//
// The random number is a parameter: the package has no randomness and no clock of its own.
package retry

import (
	"math"
	"time"
)

// Policy is a labourer's rule of waiting. The zero Policy never waits.
//
// Where Min is above what the exponent has reached, the wait is Min itself; where Min is above Max, Min wins.
type Policy struct {
	Min     time.Duration // no wait is shorter
	Initial time.Duration // upper end of the wait after the first failure
	Max     time.Duration // no wait is longer, however many failures
	Rate    float64       // growth of the upper end with each failure; 1 keeps it at Initial
}

// Default is the policy of a labourer that names none.
func Default() Policy {
	return Policy{Min: time.Second, Initial: 30 * time.Second, Max: time.Hour, Rate: 2}
}

// Delay is the wait after the n-th failure, n = failures ≥ 1 (less counts as 1).
//
// asked is what the worker wished for with retry_after; above 0 it is taken instead of the exponent, brought within
// [Min, Max] and without jitter, for the worker knows when the thing it depends on will take it back. u is the random number in
// [0, 1); what lies outside is brought inside. The result is within [Min, max(Min, Max)] for every input.
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
	// A span above 2^53 ns (104 days) is rounded as a float64 and may come out longer than it is.
	return lowest + min(time.Duration(unit(u)*float64(span)), span)
}

// ceiling is Initial × Rate^(n−1), at most Max; computed as a float64, which becomes infinite where an integer would wrap around.
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

// unit brings u within [0, 1).
func unit(u float64) float64 {
	if !(u > 0) {
		return 0
	}
	return min(u, math.Nextafter(1, 0))
}
