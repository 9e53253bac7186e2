package labourer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
)

func TestALabourerHasALaneForEachPartOfALargeCap(t *testing.T) {
	for limit, lanes := range map[float64]int{0: 0, 0.5: 0, 1: 0, 1000: 0, 1000.5: 2, 1250: 2, 1251: 3, 2000: 4, 10_000: 16, labourer.MaxCap: 16} {
		require.Equal(t, lanes, labourer.Labourer{MaxSimultaneousInvocations: limit}.Lanes(), "cap %g", limit)
	}
	found := labourer.Labourer{MaxSimultaneousInvocations: 4, Adaptive: &labourer.Adaptive{Min: 1, Max: 2000}}
	require.Equal(t, 4, found.Lanes(), "a cap that finds itself may become so large")
}
