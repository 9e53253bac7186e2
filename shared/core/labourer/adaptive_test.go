package labourer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
)

const cpuMetric = `{details: {MetricName: CPU, Namespace: N}`

func finding(toward, metric string) []byte {
	return []byte("labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: {min: 2, max: 200, toward: " + toward + "}, health_metrics: {CPU: " + metric + "}}}")
}

func TestACapThatFindsItself(t *testing.T) {
	c, warnings, errs := labourer.Read("f.yaml", finding("{CPU: 60}", cpuMetric+", feelings: {4: 90}}"))
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	l := c.Labourers["w"]
	require.Equal(t, &labourer.Adaptive{Min: 2, Max: 200, Toward: map[string]float64{"CPU": 60}}, l.Adaptive)
	require.EqualValues(t, 200, l.MaxSimultaneousInvocations)
	m := l.HealthMetrics["CPU"]
	require.Equal(t, map[string]adaptive.Aim{"CPU": {Metric: m.Key(), Target: adaptive.Target{Value: 60}, Period: time.Minute}}, l.Aims())
}

func TestAnAimKnowsTheTimeThatAValueIsAbout(t *testing.T) {
	for details, want := range map[string]time.Duration{
		"Period: 10":  10 * time.Second,
		"Period: 300": 5 * time.Minute,
		"Period: 60, MetricAggregationTimeSlice: 600": 10 * time.Minute,
	} {
		c, _, errs := labourer.Read("f.yaml", finding("{CPU: 60}", "{details: {MetricName: CPU, Namespace: N, "+details+"}}"))
		require.NoError(t, errs.Err())
		require.Equal(t, want, c.Labourers["w"].Aims()["CPU"].Period, details)
	}
}

func TestAMetricThatACapIsFoundByNeedsNoFeelings(t *testing.T) {
	c, warnings, errs := labourer.Read("f.yaml", finding("{CPU: 60}", cpuMetric+"}"))
	require.NoError(t, errs.Err())
	require.Empty(t, warnings)
	l := c.Labourers["w"]
	require.Empty(t, l.HealthMetrics["CPU"].Feelings)
	require.Equal(t, ecology.AtMost, l.HealthMetrics["CPU"].Operator)

	stored, err := labourer.Decode("w", l.Stored())
	require.NoError(t, err)
	require.Equal(t, l, stored)
}

func TestAMetricWithoutFeelingsThatNoCapIsFoundByIsRefused(t *testing.T) {
	const fixed = "labourers: {w: {target: {lambda: f}, health_metrics: {CPU: " + cpuMetric + "}}}}"
	_, _, errs := labourer.Read("f.yaml", []byte(fixed))
	require.ErrorContains(t, errs.Err(), "labourers.w.health_metrics.CPU: feelings are missing; want a target for each status, like {3: 50, 4: 25}, or the metric in toward")

	_, _, errs = labourer.Read("f.yaml", finding("{Other: 60}", cpuMetric+"}, Other: "+cpuMetric+"}"))
	require.ErrorContains(t, errs.Err(), "labourers.w.health_metrics.CPU: feelings are missing")
	require.NotContains(t, errs.Err().Error(), "health_metrics.Other")
}

func TestWhatHasNoEffectWithoutFeelingsIsAWarning(t *testing.T) {
	_, warnings, errs := labourer.Read("f.yaml", finding("{CPU: 60}", cpuMetric+", missing: bad, settle: 3m}"))
	require.NoError(t, errs.Err())
	require.Equal(t, []string{"f.yaml:1: labourers.w.health_metrics.CPU: missing has no effect without feelings",
		"f.yaml:1: labourers.w.health_metrics.CPU: settle has no effect without feelings"}, warnings)
}
