package endtoend

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/testing/emf"
)

// points returns the metrics of the test's labourer that the functions have logged since a time, by stack and labourer.
func (s *stack) points(t *testing.T, since time.Time) (found emf.Points, under []string) {
	t.Helper()
	for _, function := range []string{"OrchestratorFunctionName", "WorkerAssistantFunctionName", "ScavengerFunctionName"} {
		var lines strings.Builder
		for line := range strings.Lines(s.lines(t, s.group(t, s.out[function]), since)) {
			if strings.HasPrefix(line, "{") { // the local AWS adds lines of its own
				lines.WriteString(line)
			}
		}
		points, err := emf.Read(lines.String())
		require.NoError(t, err)
		found = append(found, points...)
	}
	for _, p := range found {
		if p.Dimensions["Labourer"] == named(t) {
			return found, []string{"Stack=" + p.Dimensions["Stack"], "Labourer=" + named(t)}
		}
	}
	return found, []string{"Labourer=" + named(t)}
}

// Each report is sent twice. Of twelve tasks ten complete, two of these at their second attempt, and two die.
func TestTheMetricsOfAJobAddUpAlsoWithDuplicates(t *testing.T) {
	t.Parallel()
	s := shared(t)
	d := s.desk(t)
	since := time.Now()
	s.apply(t, d.labourer(12, object{"max_attempts": 2, "retry": object{"min": "1s", "initial": "1s", "max": "1s"}}))
	s.submit(t, tasks(12, nil))

	failing := map[string]bool{}
	for i, one := range d.take(t, 12) {
		report := one.completed()
		if i < 4 {
			report, failing[one.taskID] = one.failed(nil), i < 2
		}
		s.report(t, report, report)
	}
	for _, one := range d.take(t, 4) {
		report := one.completed()
		if failing[one.taskID] {
			report = one.failed(nil)
		}
		s.report(t, report, report)
	}
	require.Equal(t, ledger.Counts{Completed: 10, Dead: 2}, s.ended(t, named(t)).Counts)
	s.settled(t, "CompletionsQueueUrl")

	want := map[string]float64{metric.Claimed: 16, metric.Completed: 10, metric.Failed: 6, metric.Expired: 0, metric.Retried: 4, metric.Dead: 2}
	await(t, "the functions' logs to have all counts", func() (map[string]float64, bool) {
		points, under := s.points(t, since)
		sums, there := map[string]float64{}, true
		for name := range want {
			sums[name] = points.Sum(name, under...)
			require.LessOrEqual(t, sums[name], want[name], name)
			there = there && sums[name] == want[name]
		}
		return sums, there
	})
	points, under := s.points(t, since)
	require.Len(t, points.Of(metric.TaskDuration, under...), 10)
	require.Len(t, points.Of(metric.StartLatency, under...), 16)
	require.Contains(t, points.Of(metric.Due, under...), 12., "the decision to start them")
	s.idle(t)
	await(t, "a labourer at rest to report its gauges", func() (map[string]float64, bool) {
		points, under := s.points(t, since)
		slices.SortStableFunc(points, func(a, b emf.Point) int { return a.At.Compare(b.At) })
		last := map[string]float64{}
		for _, name := range []string{metric.Due, metric.Running, metric.Cap, metric.OldestDueAge} {
			values := points.Of(name, under...)
			last[name] = values[len(values)-1]
		}
		return last, maps.Equal(last, map[string]float64{metric.Due: 0, metric.Running: 0, metric.Cap: 12, metric.OldestDueAge: 0})
	})
}
