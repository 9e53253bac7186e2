// Package metric lets functions report counts to CloudWatch in the log lines that they write anyway. CloudWatch turns lines in the embedded metric
// format into metrics, without a call and without a permission.
//
// Lambda counts an error only if a whole invocation fails. For Lambda, a handler that returns nine of ten messages to the queue, or all of them,
// succeeds: only its own metric shows the failures.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package metric

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Namespace contains all of Drover's metrics.
const Namespace = "Drover"

// These count the messages, records or steps that an invocation could not handle and that will be redelivered. The stack's template has the names of
// the metrics, for its alarms.
const (
	SchedulerFailures       = "SchedulerFailures"
	OrchestratorFailures    = "OrchestratorFailures"
	WorkerAssistantFailures = "WorkerAssistantFailures"
	ScavengerFailures       = "ScavengerFailures"
	ArchiverFailures        = "ArchiverFailures"
)

// TargetFailures counts failed dispatches in a row, for each dispatch that could not reach its labourer's target. The next dispatch comes after half a
// minute to five minutes.
const TargetFailures = "TargetFailures"

type directive struct {
	Timestamp         int64 // milliseconds since 1970
	CloudWatchMetrics []set
}

type set struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type definition struct{ Name, Unit string }

// Counts returns the attribute that turns a line of a JSON log into metrics of a stack. It omits zeros, because CloudWatch charges for each hour in
// which a metric has a value. Without other counts the attribute is empty and adds nothing to the line.
func Counts(stack string, at time.Time, counts map[string]int) slog.Attr {
	of := set{Namespace: Namespace, Dimensions: [][]string{{"Stack"}}}
	values := []any{slog.String("Stack", stack)}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] == 0 {
			continue
		}
		of.Metrics = append(of.Metrics, definition{Name: name, Unit: "Count"})
		values = append(values, slog.Int(name, counts[name]))
	}
	if len(of.Metrics) == 0 {
		return slog.Attr{}
	}
	return slog.Group("", append(values, slog.Any("_aws", directive{Timestamp: at.UnixMilli(), CloudWatchMetrics: []set{of}}))...)
}
