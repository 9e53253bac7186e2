package adaptive_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/adaptive"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// line drives the controller of one labourer, minute by minute.
type line struct {
	c       adaptive.Controller
	now     time.Time
	reason  string
	changes int
	need    adaptive.Member
	input   adaptive.Input
}

func begin(limit float64) *line {
	return &line{c: adaptive.Controller{Cap: limit, Changed: noon, Heard: noon}, now: noon, need: adaptive.Member{Min: 2, Max: 100}}
}

// minute passes one minute in which the cap is used, with a value about the minute before; below 0 there is none.
func (l *line) minute(load float64) float64 {
	l.now = l.now.Add(time.Minute)
	in := l.input
	in.Now, in.Period, in.Member, in.Need = l.now, time.Minute, "l", l.need
	if in.Need.Running == 0 {
		in.Need.Running, in.Need.Due = math.Floor(l.c.Cap), 50
	}
	if load >= 0 {
		in.Value = &adaptive.Value{Load: load, At: l.now}
	}
	var change *adaptive.Change
	l.c, change, l.reason = l.c.Step(in)
	if change != nil {
		l.changes++
	}
	return l.c.Cap
}

func (l *line) minutes(n int, load float64) float64 {
	for range n {
		l.minute(load)
	}
	return l.c.Cap
}

func TestTheCapBeginsAtItsMinimum(t *testing.T) {
	l := &line{now: noon, need: adaptive.Member{Min: 2, Max: 100}}
	require.InDelta(t, 2, l.minute(-1), 0)
	require.Equal(t, "the cap begins at its minimum", l.reason)
}

func TestAUsedCapRisesBelowTheTarget(t *testing.T) {
	l := begin(10)
	require.Greater(t, l.minutes(4, 0.4), 20.0)
	require.InDelta(t, 100, l.minutes(60, 0.4), 0, "it ends at its maximum")
}

func TestAHeldCapSaysWhyItChanged(t *testing.T) {
	l := &line{now: noon, need: adaptive.Member{Min: 2, Max: 100}}
	l.minute(-1)
	l.now = l.now.Add(-30 * time.Second)
	l.minute(-1)
	require.Equal(t, "the cap begins at its minimum; the cap changed 30s ago", l.reason)
}

func TestAHeldCapWithoutAStoredReasonSaysWhenItChanged(t *testing.T) {
	l := begin(10)
	l.now = l.now.Add(-30 * time.Second)
	l.minute(-1)
	require.Equal(t, "the cap changed 30s ago", l.reason)
}

func TestACapThatIsNotUsedStays(t *testing.T) {
	l := begin(10)
	l.need.Running = 5
	require.InDelta(t, 10, l.minutes(20, 0.4), 0)
	require.Equal(t, "the load is 40 % of the target, and the cap is not used", l.reason)
}

func TestACapIsNotUsedWhileSomethingElseBlocks(t *testing.T) {
	l := begin(10)
	l.need.Running, l.need.Due, l.input.Blocked = 5, 50, true
	require.InDelta(t, 10, l.minutes(20, 0.4), 0)
}

func TestTheCapIsHeldInTheBand(t *testing.T) {
	for _, load := range []float64{0.94, 1, 1.08} {
		require.InDelta(t, 10, begin(10).minutes(30, load), 0)
	}
}

func TestTheCapFallsAboveTheBand(t *testing.T) {
	require.InDelta(t, 8, begin(10).minutes(4, 1.12), 0, "by a fifth at least")
	require.InDelta(t, 5, begin(10).minutes(3, 1.45), 0, "by half at most")
	require.InDelta(t, 5, begin(10).minutes(2, 1.6), 0, "at once in an emergency")
	require.InDelta(t, 2, begin(10).minutes(120, 1.6), 0, "never below its minimum")
}

func TestOneNoisyValueLowersNoCap(t *testing.T) {
	l := begin(10)
	l.minutes(5, 1)
	require.InDelta(t, 10, l.minute(1.15), 0)
	require.InDelta(t, 10, l.minutes(5, 1), 0)
}

func TestThrottlesAndFailuresHalveTheCap(t *testing.T) {
	l := begin(10)
	l.input.Burst = true
	require.InDelta(t, 5, l.minutes(1, 1), 0)
}

func TestWithoutValuesTheCapHoldsThenDecaysAndNeverRises(t *testing.T) {
	l := begin(10)
	l.minutes(3, 1)
	require.InDelta(t, 10, l.minutes(3, -1), 0)
	before := l.c.Cap
	for range 60 {
		now := l.minute(-1)
		require.LessOrEqual(t, now, before)
		before = now
	}
	require.InDelta(t, 2, before, 0)
}

func TestAValueThatWasSeenBeforeIsNoNewOne(t *testing.T) {
	l := begin(10)
	for minute := range 20 {
		in := adaptive.Input{Now: noon.Add(time.Duration(minute) * time.Minute), Period: time.Minute, Member: "l", Need: adaptive.Member{Min: 2, Max: 100, Running: 10, Due: 5},
			Value: &adaptive.Value{Load: 0.9, At: noon.Add(time.Minute)}}
		l.c, _, l.reason = l.c.Step(in)
	}
	require.Less(t, l.c.Cap, 10.0, "it decays")
}

// TestACapThatWasTooMuchBoundsRaises: the next raise goes to the middle at most, until that is some minutes old.
func TestACapThatWasTooMuchBoundsRaises(t *testing.T) {
	l := begin(100)
	l.minutes(2, 1.6)
	require.InDelta(t, 50, l.c.Cap, 0)
	l.minutes(2, 0.4)
	require.InDelta(t, 75, l.c.Cap, 0)
	require.Contains(t, l.reason, "100 were too much")
	require.InDelta(t, 100, l.minutes(20, 0.4), 0)
}

func TestTheOwnersBoundsHoldAtOnce(t *testing.T) {
	l := begin(50)
	l.need.Max = 20
	require.InDelta(t, 20, l.minute(1), 0)
	l.need.Min = 5
	l.c.Cap = 3
	require.InDelta(t, 5, l.minute(1), 0)
}

// TestLoadOfOthersLowersNoCap: after a few changes of the cap moved nothing, lowering it again would not help either. An emergency lowers it all the same.
func TestLoadOfOthersLowersNoCap(t *testing.T) {
	l := begin(2)
	l.minutes(40, 0.5)
	require.InDelta(t, 100, l.c.Cap, 0)
	l.minutes(5, 1.3)
	require.InDelta(t, 100, l.c.Cap, 0)
	require.True(t, l.c.Foreign)
	require.Contains(t, l.reason, "little of it is the labourer's own")
	require.InDelta(t, 50, l.minutes(2, 1.7), 0)
}

func TestTasksAboveALoweredCapAreWaitedFor(t *testing.T) {
	l := begin(10)
	l.minutes(2, 1.6)
	require.InDelta(t, 5, l.c.Cap, 0)
	l.need.Running = 9
	require.InDelta(t, 5, l.minutes(4, 1.6), 0)
	require.Contains(t, l.reason, "still ending")
	l.minutes(4, 1.6)
	require.Less(t, l.c.Cap, 5.0, "but not for ever")
}

func TestTheLawKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := float64(rapid.IntRange(1, 5).Draw(t, "min"))
		most := least + float64(rapid.IntRange(0, 50).Draw(t, "more"))
		var c adaptive.Controller
		now, changed := noon, time.Time{}
		for range rapid.IntRange(1, 80).Draw(t, "assessments") {
			now = now.Add(time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second)
			in := adaptive.Input{Now: now, Period: time.Minute, Member: "l", Burst: rapid.IntRange(0, 9).Draw(t, "burst") == 0,
				Need: adaptive.Member{Min: least, Max: most, Running: float64(rapid.IntRange(0, 60).Draw(t, "running")), Due: float64(rapid.IntRange(0, 60).Draw(t, "due"))}}
			if rapid.Bool().Draw(t, "has value") {
				in.Value = &adaptive.Value{Load: rapid.Float64Range(0, 3).Draw(t, "load"), At: now.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "age")) * time.Second)}
			}
			before := c.Cap
			next, change, reason := c.Step(in)

			require.NotEmpty(t, reason)
			require.True(t, next.Cap >= least && next.Cap <= most, "%v is not in [%v, %v]", next.Cap, least, most)
			require.Equal(t, int(next.Cap), next.Share("l"))
			if change != nil {
				require.True(t, changed.IsZero() || now.Sub(changed) >= time.Minute, "two changes within %s", now.Sub(changed))
				changed = now
				require.True(t, in.Value != nil || next.Cap < before || before == 0 || len(c.Loads) > 0, "raised without a value")
			}
			text, err := json.Marshal(next)
			require.NoError(t, err)
			c = adaptive.Controller{}
			require.NoError(t, json.Unmarshal(text, &c))
			require.Equal(t, next, c, "what is stored is what is known")
		}
	})
}

func TestALoadIsAFractionOfTheTarget(t *testing.T) {
	require.InDelta(t, 0.5, adaptive.Target{Value: 60}.Load(30), 0)
	require.InDelta(t, 2, adaptive.Target{Value: 60}.Load(120), 0)
	require.InDelta(t, 0, adaptive.Target{Value: 60}.Load(-5), 0)
	require.InDelta(t, 2, adaptive.Target{Value: 60, Over: true}.Load(30), 0)
	require.InDelta(t, 100, adaptive.Target{Value: 60, Over: true}.Load(0), 0)
	require.InDelta(t, 100, adaptive.Target{Value: 60, Over: true}.Load(-1), 0)
	require.InDelta(t, 100, adaptive.Target{Value: 60}.Load(math.NaN()), 0)
}
