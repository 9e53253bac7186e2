package metric_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/metric"
)

func line(counts map[string]int) string {
	return written(metric.Counts("orders", time.UnixMilli(1764000000123), counts))
}

// written returns a line of a log with this attribute, without its time.
func written(attribute slog.Attr) string {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("scheduled", "failed", 2, attribute)
	return out.String()
}

// CloudWatch expects the directive, and the values that it names, at the top level of the line.
func TestALineCarriesItsCountsInTheEmbeddedMetricFormat(t *testing.T) {
	require.JSONEq(t, `{"level": "INFO", "msg": "scheduled", "failed": 2, "Stack": "orders", "SchedulerFailures": 2, "Zebras": 1,
		"_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [{"Namespace": "Drover", "Dimensions": [["Stack"]],
			"Metrics": [{"Name": "SchedulerFailures", "Unit": "Count"}, {"Name": "Zebras", "Unit": "Count"}]}]}}`,
		line(map[string]int{"Zebras": 1, metric.SchedulerFailures: 2, metric.ScavengerFailures: 0}))
}

func TestALineWithoutCountsHasNoMetric(t *testing.T) {
	for _, counts := range []map[string]int{nil, {metric.SchedulerFailures: 0}} {
		require.JSONEq(t, `{"level": "INFO", "msg": "scheduled", "failed": 2}`, line(counts))
	}
}

func TestTheRunsOfAWorkflowHaveTheirOwnDimensions(t *testing.T) {
	at, two, none := time.UnixMilli(1764000000123), 2, 0
	for name, c := range map[string]struct {
		workflow string
		runs     metric.Runs
		want     string
	}{
		"a run that completed": {"order intake", metric.Runs{Completed: 1, Duration: 1500 * time.Millisecond}, `{"level": "INFO", "msg": "scheduled", "failed": 2,
			"Stack": "orders", "Workflow": "order intake", "CompletedRuns": 1, "RunDuration": 1.5,
			"_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [{"Namespace": "Drover", "Dimensions": [["Stack", "Workflow"]],
				"Metrics": [{"Name": "CompletedRuns", "Unit": "Count"}, {"Name": "RunDuration", "Unit": "Seconds"}]}]}}`},
		"an overdue run counts for the stack as well": {"w", metric.Runs{Overdue: 1}, `{"level": "INFO", "msg": "scheduled", "failed": 2,
			"Stack": "orders", "Workflow": "w", "OverdueRuns": 1,
			"_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [
				{"Namespace": "Drover", "Dimensions": [["Stack", "Workflow"]], "Metrics": [{"Name": "OverdueRuns", "Unit": "Count"}]},
				{"Namespace": "Drover", "Dimensions": [["Stack"]], "Metrics": [{"Name": "OverdueRuns", "Unit": "Count"}]}]}}`},
		"active runs, of a name that CloudWatch refuses": {":w", metric.Runs{Active: &two}, `{"level": "INFO", "msg": "scheduled", "failed": 2,
			"Stack": "orders", "Workflow": "_:w", "ActiveRuns": 2,
			"_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [{"Namespace": "Drover", "Dimensions": [["Stack", "Workflow"]],
				"Metrics": [{"Name": "ActiveRuns", "Unit": "Count"}]}]}}`},
		"no active run any more": {"w", metric.Runs{Active: &none}, `{"level": "INFO", "msg": "scheduled", "failed": 2, "Stack": "orders", "Workflow": "w", "ActiveRuns": 0,
			"_aws": {"Timestamp": 1764000000123, "CloudWatchMetrics": [{"Namespace": "Drover", "Dimensions": [["Stack", "Workflow"]],
				"Metrics": [{"Name": "ActiveRuns", "Unit": "Count"}]}]}}`},
		"nothing": {"w", metric.Runs{}, `{"level": "INFO", "msg": "scheduled", "failed": 2}`},
	} {
		t.Run(name, func(t *testing.T) {
			require.JSONEq(t, c.want, written(metric.OfRuns("orders", c.workflow, at, c.runs)))
		})
	}
}
