// Package metric has functions tell CloudWatch what they did, in the log lines that they write anyway: CloudWatch makes metrics of lines
// in the embedded metric format, without a call and without a right.
//
// Lambda counts an error only when a whole invocation fails. A handler of a queue that gives back nine of ten messages, or all of them,
// succeeds: what it could not do is known from its own metric alone.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package metric

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Namespace is that of all metrics of Drover.
const Namespace = "Drover"

// Of each invocation, how many messages, records or steps could not be dealt with and have to come again. Names of metrics are part of
// the stack's template, whose alarms watch them by the stack.
const (
	SchedulerFailures       = "SchedulerFailures"
	OrchestratorFailures    = "OrchestratorFailures"
	WorkerAssistantFailures = "WorkerAssistantFailures"
	ScavengerFailures       = "ScavengerFailures"
)

// TargetFailures is, of each dispatch that could not reach its labourer's target, how many dispatches in a row could not, this one included.
// The next one comes after half a minute to five minutes.
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

// Counts returns what makes a line of a JSON log count for a stack: one attribute for the whole line. Zeros are left out, as a metric
// costs by the hour in which it has a value; without any other count the attribute is empty, and leaves no trace.
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
