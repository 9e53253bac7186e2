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
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("scheduled", "failed", 2, metric.Counts("orders", time.UnixMilli(1764000000123), counts))
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
