package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/local/demotest"
	"github.com/drover-run/drover/shared/core/labourer"
)

func TestTheDatabaseHasAKneeAtTheTarget(t *testing.T) {
	require.InDelta(t, 19.8, knee, 0.01)
	require.Less(t, latencyAt(19), target)
	require.Greater(t, latencyAt(20), target)
	require.Equal(t, worst, latencyAt(room))
}

func TestQueriesAtOnceMakeEachOtherSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d database
		_, measured := d.look()
		require.False(t, measured)
		for range 15 {
			go func() { _ = d.work(t.Context(), 10*time.Second) }()
		}
		time.Sleep(11 * time.Second)
		mean, measured := d.look()
		require.True(t, measured)
		require.InDelta(t, latencyAt(15).Seconds(), mean.Seconds(), 0.01)
	})
}

func TestTheLabourerOfTheDemoIsValid(t *testing.T) {
	c, warnings, errs := labourer.Read("labourers.yaml", []byte(strings.Replace(labourers, "QUEUE", "http://localhost:1/000000000000/q", 1)))
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	require.EqualValues(t, target.Milliseconds(), c.Labourers["reports"].Adaptive.Toward["latency"])
}

func TestALineShowsTheCapAndTheLatency(t *testing.T) {
	require.Equal(t, "  12 s  cap  8 ██████··                         53 ms ██████████          │", drawn(12*time.Second, 8, 6, 53*time.Millisecond))
	require.Equal(t, " 140 s  cap 20 ████████████████████            150 ms ████████████████████│█████████", drawn(140*time.Second, 20, 20, 150*time.Millisecond))
}

// TestTheCapRises runs what make demo-cap does until the first change of the cap, on its own local AWS, with the binaries of make build.
func TestTheCapRises(t *testing.T) {
	t.Parallel()
	said, err := demotest.Command(t, "-changes", "1").CombinedOutput()

	require.NoError(t, err, "%s", said)
	for _, part := range []string{"the cap is 8: ", "latency: the load is ", "drover labourer reports --caps", "that is the knee"} {
		require.Contains(t, string(said), part)
	}
}

func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	demotest.RequireItEndsCleanly(t, demotest.Command(t), "Deploying")
}
