package metric_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/metric"
)

var (
	stack  = metric.Subject{}
	crew   = metric.Subject{Labourer: "crew"}
	order  = metric.Subject{Workflow: "order intake"}
	moment = time.UnixMilli(1764000000123)
)

// written returns the lines of a log that report figures, without their times.
func written(figures metric.Figures, whole bool) []string {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	for _, line := range metric.Lines("orders", moment, figures, whole) {
		log.Info("closed", line)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// CloudWatch expects the directive, and the values that it names, at the top level of the line.
func TestALineCarriesTheFiguresOfALabourerAndOfTheStack(t *testing.T) {
	var tally metric.Tally
	tally.Count(stack, metric.WorkerAssistantFailures, 2)
	tally.Count(crew, metric.Completed, 1)
	tally.Count(crew, metric.Completed, 1)
	tally.Count(crew, metric.Failed, 3)
	tally.Observe(crew, metric.TaskDuration, 1500*time.Millisecond, 1)
	tally.Observe(crew, metric.TaskDuration, 2*time.Second, 1)

	lines := written(tally.Take(), true)

	require.Len(t, lines, 1)
	require.JSONEq(t, `{"level": "INFO", "msg": "closed", "Stack": "orders", "Labourer": "crew", "WorkerAssistantFailures": 2, "Completed": 2, "Failed": 3,
		"TaskDuration": [1.5, 2], "_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [
			{"Namespace": "Drover", "Dimensions": [["Stack"]], "Metrics": [{"Name": "WorkerAssistantFailures", "Unit": "Count"}]},
			{"Namespace": "Drover", "Dimensions": [["Stack", "Labourer"]],
				"Metrics": [{"Name": "Completed", "Unit": "Count"}, {"Name": "TaskDuration", "Unit": "Seconds"}]},
			{"Namespace": "Drover", "Dimensions": [["Stack", "Labourer"], ["Stack"]], "Metrics": [{"Name": "Failed", "Unit": "Count"}]}]}}`, lines[0])
	require.Empty(t, tally.Take(), "figures are reported once")
}

func TestTheRunsOfAWorkflowHaveTheirOwnDimensions(t *testing.T) {
	var tally metric.Tally
	tally.Count(order, metric.OverdueRuns, 1)
	tally.Gauge(order, metric.ActiveRuns, 7)
	tally.Gauge(order, metric.ActiveRuns, 0)
	tally.Observe(order, metric.RunDuration, time.Minute, 1)

	lines := written(tally.Take(), true)

	require.Len(t, lines, 1)
	require.JSONEq(t, `{"level": "INFO", "msg": "closed", "Stack": "orders", "Workflow": "order intake", "OverdueRuns": 1, "ActiveRuns": 0, "RunDuration": 60,
		"_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [
			{"Namespace": "Drover", "Dimensions": [["Stack", "Workflow"]],
				"Metrics": [{"Name": "ActiveRuns", "Unit": "Count"}, {"Name": "RunDuration", "Unit": "Seconds"}]},
			{"Namespace": "Drover", "Dimensions": [["Stack", "Workflow"], ["Stack"]], "Metrics": [{"Name": "OverdueRuns", "Unit": "Count"}]}]}}`, lines[0])
}

// A line has one value for each dimension.
func TestEachFurtherLabourerTakesALineOfItsOwn(t *testing.T) {
	var tally metric.Tally
	for _, id := range []string{"b", "a", "c"} {
		tally.Count(metric.Subject{Labourer: id}, metric.Dead, 1)
	}
	tally.Count(stack, metric.ScavengerFailures, 1)

	lines := written(tally.Take(), true)

	require.Len(t, lines, 3)
	for i, id := range []string{"a", "b", "c"} {
		require.Contains(t, lines[i], fmt.Sprintf(`"Labourer":%q`, id))
		require.Equal(t, i == 0, strings.Contains(lines[i], metric.ScavengerFailures), lines[i])
	}
}

func TestWithoutTheMetricsOfLabourersTheStackKeepsItsOwn(t *testing.T) {
	var tally metric.Tally
	tally.Count(metric.Subject{Labourer: "a"}, metric.Completed, 5)
	tally.Count(metric.Subject{Labourer: "b"}, metric.Dead, 1)
	tally.Gauge(metric.Subject{Labourer: "b"}, metric.Cap, 10)

	lines := written(tally.Take(), false)

	require.Len(t, lines, 1, "a labourer without metrics of the stack takes no line")
	require.JSONEq(t, `{"level": "INFO", "msg": "closed", "Stack": "orders", "Labourer": "b", "Dead": 1, "_aws": {"Timestamp": 1764000000123,
		"CloudWatchMetrics": [{"Namespace": "Drover", "Dimensions": [["Stack"]], "Metrics": [{"Name": "Dead", "Unit": "Count"}]}]}}`, lines[0])
}

func TestALineWithoutFiguresHasNoMetric(t *testing.T) {
	var tally metric.Tally
	tally.Count(crew, metric.Dead, 0)
	tally.Observe(crew, metric.TaskDuration, time.Second, 0)
	for _, figures := range []metric.Figures{nil, tally.Take(), (*metric.Tally)(nil).Take()} {
		lines := written(figures, true)
		require.Len(t, lines, 1)
		require.JSONEq(t, `{"level": "INFO", "msg": "closed"}`, lines[0])
	}
}

// CloudWatch takes at most 100 values of a metric from a line.
func TestALineHasAtMostAHundredValuesOfAMetricWithTheirPercentiles(t *testing.T) {
	var tally metric.Tally
	for i := range 991 {
		tally.Observe(crew, metric.StartLatency, time.Duration(990-i)*time.Second, 1)
	}

	var line struct{ StartLatency []float64 }
	require.NoError(t, json.Unmarshal([]byte(written(tally.Take(), true)[0]), &line))

	require.Len(t, line.StartLatency, 100)
	for i, at := range map[int]float64{0: 0, 49: 490, 98: 980, 99: 990} {
		require.InDelta(t, at, line.StartLatency[i], 10)
	}
}

// CloudWatch refuses a dimension whose value begins with a colon.
func TestANameThatCloudWatchRefusesIsWrittenAnother(t *testing.T) {
	var tally metric.Tally
	tally.Count(metric.Subject{Workflow: ":w"}, metric.StartedRuns, 1)
	require.Contains(t, written(tally.Take(), true)[0], `"Workflow":"_:w"`)
}

func TestATallyOfNothingTakesAnything(t *testing.T) {
	var none *metric.Tally
	none.Count(crew, metric.Dead, 1)
	none.Gauge(crew, metric.Cap, 1)
	none.Observe(crew, metric.TaskDuration, time.Second, 1)
	require.Empty(t, none.Take())
}
