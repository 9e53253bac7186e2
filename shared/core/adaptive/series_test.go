package adaptive_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/adaptive"
)

// replayed returns the last cap of a replay of two hours under a fixed cap, with plenty due and the same value each minute.
func replayed(t *testing.T, running int, value float64, target adaptive.Target, known bool) int {
	r := adaptive.Replay{Aims: map[string]adaptive.Aim{"m": {Metric: "m", Target: target, Period: time.Minute}}, Min: 2, Max: 200}
	held := float64(running)
	var last adaptive.Found
	for minute := range 120 {
		at := time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
		s := adaptive.Sample{At: at, Running: running, Due: 1000, Metrics: map[string]*adaptive.Recorded{"m": {Value: &value, At: at}}}
		if known {
			s.Cap = &held
		}
		var err error
		last, _, err = r.Next(s)
		require.NoError(t, err)
	}
	return last.Cap
}

func TestAReplayTakesLoadsInProportionToWhatWouldHaveRun(t *testing.T) {
	below, above := adaptive.Target{Value: 60}, adaptive.Target{Value: 60, Over: true}
	require.InDelta(t, 20, replayed(t, 10, 30, below, true), 2, "at half the target a cap of 10 could have been twice as high")
	require.InDelta(t, 20, replayed(t, 40, 120, below, true), 3, "at twice the target a cap of 40 was twice too high")
	require.InDelta(t, 20, replayed(t, 10, 120, above, true), 2, "held from above, twice the target is half the load")
	require.InDelta(t, 20, replayed(t, 40, 30, above, true), 3)
}

func TestWithoutTheCapThatHeldValuesCountAsTheyAre(t *testing.T) {
	below := adaptive.Target{Value: 60}
	require.Equal(t, 200, replayed(t, 10, 30, below, false))
	require.Equal(t, 2, replayed(t, 40, 120, below, false))
}
