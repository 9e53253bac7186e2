package workflow_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/metric"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// counts returns what was reported about a workflow's runs, summed up, and the gauges of the ticks.
func (m *memory) counts(workflow string) (sum map[string]float64, active []float64) {
	m.reported = append(m.reported, m.tally.Take())
	sum = map[string]float64{}
	for _, figures := range m.reported {
		for name, values := range figures[metric.Subject{Workflow: workflow}] {
			if name == metric.ActiveRuns {
				active = append(active, values...)
				continue
			}
			for _, v := range values {
				sum[name] += v
			}
		}
	}
	return sum, active
}

const intake = `
workflows: {order intake: {activities: [a], sla: 15m, timeout: 1h}, other: {activities: [a]}}
plugins: {p: {activity: a, stage: parallel}}
`

func TestScenario22RunsOfAWorkflowWhoseNameHasASpaceAreCounted(t *testing.T) {
	m := world(t, intake)
	good := m.start("e-1", `{"workflow": "order intake", "uid": "good"}`)
	bad := m.start("e-2", `{"workflow": "order intake", "uid": "bad"}`)
	slow := m.start("e-3", `{"workflow": "order intake", "uid": "slow"}`)
	cancelled := m.start("e-4", `{"workflow": "order intake", "uid": "cancelled"}`)
	other := m.start("e-5", `{"workflow": "other", "uid": "u"}`)
	m.tick(time.Minute)
	m.end(good, "p", true)
	m.end(bad, "p", false)
	require.NoError(t, m.service.CancelRun(t.Context(), cancelled))
	for range 2 { // another start of the same id, and another cancellation, count nothing
		m.start("e-3", `{"workflow": "order intake", "uid": "slow"}`)
		require.NoError(t, m.service.CancelRun(t.Context(), cancelled))
	}
	for range 3 {
		m.tick(10 * time.Minute)
	}
	m.tick(time.Hour)
	m.tick(time.Minute)

	require.Equal(t, flow.TimedOut, m.records[slow].Head.State)
	counted, active := m.counts("order intake")
	require.Equal(t, map[string]float64{metric.StartedRuns: 4, metric.CompletedRuns: 1, metric.FailedRuns: 2, metric.OverdueRuns: 1,
		metric.RunDuration: (2*time.Minute + 91*time.Minute).Seconds()}, counted)
	require.Equal(t, []float64{4, 1, 1, 1, 1, 0}, active, "its last run has ended at the last tick but one: one zero follows")
	counted, active = m.counts("other")
	require.Equal(t, map[string]float64{metric.StartedRuns: 1, metric.OverdueRuns: 1}, counted)
	require.Equal(t, []float64{1, 1, 1, 1, 1, 1}, active)
	require.False(t, m.records[other].Head.Ended())
	require.Equal(t, []string{"other"}, m.gauged)

	m.reported = nil
	m.tick(time.Minute)
	_, active = m.counts("order intake")
	require.Empty(t, active, "a workflow at rest costs nothing")
}

func TestARunThatWaitedIsStartedWhenItsTurnComes(t *testing.T) {
	m := world(t, `
workflows: {w: {activities: [a], concurrency: queue}}
plugins: {p: {activity: a, stage: parallel}}
`)
	first := m.start("e-1", `{"workflow": "w", "uid": "u"}`)
	second := m.start("e-2", `{"workflow": "w", "uid": "u"}`)
	m.tick(time.Minute)
	counted, active := m.counts("w")
	require.Equal(t, map[string]float64{metric.StartedRuns: 1}, counted)
	require.Equal(t, []float64{1}, active, "a run that waits is not active")

	m.end(first, "p", false)
	m.end(second, "p", true)

	counted, _ = m.counts("w")
	require.Equal(t, map[string]float64{metric.StartedRuns: 2, metric.CompletedRuns: 1, metric.FailedRuns: 1, metric.RunDuration: counted[metric.RunDuration]}, counted)
}

// TestAnInterruptionCountsNothingTwice: each request is interrupted once, before its effect or after it.
func TestAnInterruptionCountsNothingTwice(t *testing.T) {
	for _, before := range []bool{true, false} {
		for at, more := 1, true; more; at++ {
			m := world(t, intake)
			m.interrupt = func(n int, _ string) (error, error) {
				switch {
				case n != at:
					return nil, nil
				case before:
					return errInterrupted, nil
				}
				return nil, errInterrupted
			}
			run := m.start("e-1", `{"workflow": "order intake", "uid": "u"}`)
			m.tick(20 * time.Minute)
			m.tick(10 * time.Minute) // repeats an alert that was interrupted
			m.end(run, "p", true)
			m.tick(time.Minute)

			counted, _ := m.counts("order intake")
			for _, name := range []string{metric.StartedRuns, metric.CompletedRuns, metric.OverdueRuns} {
				require.LessOrEqual(t, counted[name], 1., "request %d: %+v", at, counted)
			}
			require.Zero(t, counted[metric.FailedRuns])
			if more = m.requests >= at; !more {
				require.Equal(t, map[string]float64{metric.StartedRuns: 1, metric.CompletedRuns: 1, metric.OverdueRuns: 1,
					metric.RunDuration: counted[metric.RunDuration]}, counted, "without an interruption")
			}
		}
	}
}
