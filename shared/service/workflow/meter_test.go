package workflow_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/metric"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// counts returns what was published about a workflow's runs, summed up, and its gauges.
func (m *memory) counts(workflow string) (sum metric.Runs, active []int) {
	for _, one := range m.metered {
		if one.workflow != workflow {
			continue
		}
		sum.Started, sum.Completed, sum.Failed, sum.Overdue = sum.Started+one.runs.Started, sum.Completed+one.runs.Completed, sum.Failed+one.runs.Failed, sum.Overdue+one.runs.Overdue
		sum.Duration += one.runs.Duration
		if one.runs.Active != nil {
			active = append(active, *one.runs.Active)
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
	require.Equal(t, metric.Runs{Started: 4, Completed: 1, Failed: 2, Overdue: 1, Duration: 2*time.Minute + 91*time.Minute}, counted)
	require.Equal(t, []int{4, 1, 1, 1, 1, 0}, active, "its last run has ended at the last tick but one: one zero follows")
	counted, active = m.counts("other")
	require.Equal(t, metric.Runs{Started: 1, Overdue: 1}, counted)
	require.Equal(t, []int{1, 1, 1, 1, 1, 1}, active)
	require.False(t, m.records[other].Head.Ended())
	require.Equal(t, []string{"other"}, m.gauged)

	m.metered = nil
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
	require.Equal(t, 1, counted.Started)
	require.Equal(t, []int{1}, active, "a run that waits is not active")

	m.end(first, "p", false)
	m.end(second, "p", true)

	counted, _ = m.counts("w")
	require.Equal(t, metric.Runs{Started: 2, Completed: 1, Failed: 1, Duration: counted.Duration}, counted)
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
			require.LessOrEqual(t, slices.Max([]int{counted.Started, counted.Completed, counted.Overdue}), 1, "request %d: %+v", at, counted)
			require.Zero(t, counted.Failed)
			if more = m.requests >= at; !more {
				require.Equal(t, metric.Runs{Started: 1, Completed: 1, Overdue: 1, Duration: counted.Duration}, counted, "without an interruption")
			}
		}
	}
}
