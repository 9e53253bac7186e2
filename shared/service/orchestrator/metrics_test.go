package orchestrator_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/service/orchestrator"
)

type noMetrics struct{}

func (noMetrics) Readings(context.Context, map[string]ecology.Metric) (map[string]ecology.Reading, error) {
	return nil, errors.New("the metrics cannot be read")
}

// TestG8UnreadableMetricsAffectOnlyTheirLabourers: the labourers that depend on them fail in their own branches.
func TestG8UnreadableMetricsAffectOnlyTheirLabourers(t *testing.T) {
	y := newYard(t, "one")
	y.Health = noMetrics{}

	planned, err := y.Plan(t.Context(), "execution", orchestrator.PlanInput{})

	require.NoError(t, err)
	require.Equal(t, "the metrics cannot be read", planned.Unread)
	require.Equal(t, []orchestrator.Turn{undecided("hasty")}, planned.Labourers)
	require.Len(t, y.claim(t), 1)
}
