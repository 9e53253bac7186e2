package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/retry"
)

// almostOne holds the greatest possible random number.
var almostOne = math.Nextafter(1, 0)

func TestTheUpperBoundGrowsByTheRateUpToMax(t *testing.T) {
	policy := retry.Default()
	for failures, upper := range map[int]time.Duration{
		1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 4: 4 * time.Minute,
		7: 32 * time.Minute, 8: time.Hour, 9: time.Hour, 1000: time.Hour, math.MaxInt: time.Hour,
	} {
		require.InDelta(t, float64(upper), float64(policy.Delay(failures, 0, almostOne)), float64(time.Microsecond), "after %d failures", failures)
		require.Equal(t, time.Second, policy.Delay(failures, 0, 0), "the lower end after %d failures", failures)
	}
}

func TestTheWaitIsUniformBetweenItsBounds(t *testing.T) {
	policy := retry.Policy{Min: 10 * time.Second, Initial: 30 * time.Second, Max: time.Hour, Rate: 2}
	for u, want := range map[float64]time.Duration{0: 10 * time.Second, 0.25: 15 * time.Second, 0.5: 20 * time.Second, 0.75: 25 * time.Second} {
		require.Equal(t, want, policy.Delay(1, 0, u), "u = %v", u)
	}
}

func TestDelay(t *testing.T) {
	policy := retry.Policy{Min: 5 * time.Second, Initial: 10 * time.Second, Max: time.Minute, Rate: 3}
	tests := map[string]struct {
		policy   retry.Policy
		failures int
		asked    time.Duration
		u        float64
		want     time.Duration
	}{
		"a wish within the bounds is granted unchanged":         {policy, 1, 42 * time.Second, 0.9, 42 * time.Second},
		"a wish under the minimum becomes the minimum":          {policy, 1, time.Second, 0.9, 5 * time.Second},
		"a wish over the maximum becomes the maximum":           {policy, 1, time.Hour, 0, time.Minute},
		"a negative wish is ignored":                            {policy, 1, -time.Second, 0, 5 * time.Second},
		"no failure counts as the first":                        {policy, 0, 0, 0.5, 7500 * time.Millisecond},
		"a negative number of failures counts as the first":     {policy, math.MinInt, 0, 0.5, 7500 * time.Millisecond},
		"a rate of one stays at the initial wait":               {retry.Policy{Initial: time.Minute, Max: time.Hour, Rate: 1}, 50, 0, 0.5, 30 * time.Second},
		"a minimum above the exponent is the wait":              {retry.Policy{Min: time.Minute, Initial: time.Second, Max: time.Hour, Rate: 2}, 1, 0, 0.99, time.Minute},
		"a minimum above the maximum wins":                      {retry.Policy{Min: time.Hour, Initial: time.Second, Max: time.Minute, Rate: 2}, 9, 0, 0.99, time.Hour},
		"a minimum above the maximum wins over a wish":          {retry.Policy{Min: time.Hour, Max: time.Minute}, 9, time.Second, 0, time.Hour},
		"an initial wait above the maximum is cut to it":        {retry.Policy{Initial: time.Hour, Max: time.Minute, Rate: 2}, 1, 0, 0.5, 30 * time.Second},
		"the zero policy never waits":                           {retry.Policy{}, 3, 0, 0.5, 0},
		"no initial wait leaves the minimum, whatever the rate": {retry.Policy{Min: time.Second, Max: time.Hour, Rate: math.Inf(1)}, 3, 0, 0.5, time.Second},
		"a negative minimum is zero":                            {retry.Policy{Min: -time.Hour, Initial: time.Minute, Max: time.Hour, Rate: 2}, 1, 0, 0.5, 30 * time.Second},
		"a random number below its range is clamped":            {policy, 1, 0, -3, 5 * time.Second},
		"a random number that is NaN is clamped":                {policy, 1, 0, math.NaN(), 5 * time.Second},
		"a rate that is NaN goes to the maximum":                {retry.Policy{Initial: time.Second, Max: time.Minute, Rate: math.NaN()}, 2, 0, 0.5, 30 * time.Second},
		"the longest span does not overflow": {
			retry.Policy{Initial: math.MaxInt64, Max: math.MaxInt64, Rate: math.MaxFloat64}, math.MaxInt, 0, 0.5, 1 << 62,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, test.policy.Delay(test.failures, test.asked, test.u))
		})
	}
}

// TestG10EveryDelayIsWithinTheBounds: never shorter than the policy's minimum, never longer than its maximum.
func TestG10EveryDelayIsWithinTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := retry.Policy{
			Min:     time.Duration(rapid.Int64().Draw(t, "min")),
			Initial: time.Duration(rapid.Int64().Draw(t, "initial")),
			Max:     time.Duration(rapid.Int64().Draw(t, "max")),
			Rate:    rapid.Float64().Draw(t, "rate"),
		}
		delay := policy.Delay(rapid.Int().Draw(t, "failures"), time.Duration(rapid.Int64().Draw(t, "asked")), rapid.Float64().Draw(t, "u"))
		require.GreaterOrEqual(t, delay, max(policy.Min, 0))
		require.LessOrEqual(t, delay, max(policy.Min, policy.Max, 0))
	})
}

func TestMoreFailuresOrAGreaterRandomNumberNeverWaitLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minimum := rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "min")
		policy := retry.Policy{
			Min:     time.Duration(minimum),
			Initial: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "initial")),
			Max:     time.Duration(rapid.Int64Range(minimum, int64(336*time.Hour)).Draw(t, "max")),
			Rate:    rapid.Float64Range(1, 100).Draw(t, "rate"),
		}
		failures, u := rapid.IntRange(1, 1000).Draw(t, "failures"), rapid.Float64Range(0, almostOne).Draw(t, "u")
		delay := policy.Delay(failures, 0, u)
		require.GreaterOrEqual(t, policy.Delay(failures+1, 0, u), delay)
		require.GreaterOrEqual(t, policy.Delay(failures, 0, min(u*2, almostOne)), delay)
	})
}

// TestG10WakesOfTasksThatWaitForAboutTheSameTimeCoincide: none is early, and none is late by more than a second, or by a twentieth of the wait.
func TestG10WakesOfTasksThatWaitForAboutTheSameTimeCoincide(t *testing.T) {
	epoch := time.Unix(0, 0).UTC()
	for wait, want := range map[time.Duration]time.Duration{
		0:                                 0,
		time.Millisecond:                  time.Second,
		30 * time.Second:                  30 * time.Second,
		30*time.Second + time.Millisecond: 31 * time.Second,
		41 * time.Second:                  42 * time.Second,
		601 * time.Second:                 608 * time.Second,
		608 * time.Second:                 608 * time.Second,
		3600 * time.Second:                3712 * time.Second,
	} {
		require.Equal(t, want, retry.Wake(epoch, epoch.Add(wait)).Sub(epoch), "%s", wait)
	}
	rapid.Check(t, func(t *rapid.T) {
		now := epoch.Add(time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "now")))
		wait := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "wait"))

		late := retry.Wake(now, now.Add(wait)).Sub(now.Add(wait))

		require.GreaterOrEqual(t, late, time.Duration(0))
		require.Less(t, late, max(time.Second, wait/20))
	})
}
