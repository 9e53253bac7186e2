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
	"strings"
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
	WorkflowFailures        = "WorkflowFailures"
	ArchiverFailures        = "ArchiverFailures"
)

// TargetFailures counts failed dispatches in a row, for each dispatch that could not reach its labourer's target. The next dispatch comes after half a
// minute to five minutes.
const TargetFailures = "TargetFailures"

// The metrics of runs, by stack and workflow.
const (
	ActiveRuns    = "ActiveRuns"    // runs that have begun and not ended, at a tick
	StartedRuns   = "StartedRuns"   // runs that began
	CompletedRuns = "CompletedRuns" // runs that ended Complete or Optional Task Error
	FailedRuns    = "FailedRuns"    // runs that ended Error or Timed Out
	OverdueRuns   = "OverdueRuns"   // runs that took longer than their workflow's sla; also by stack alone, for the alarm
	RunDuration   = "RunDuration"   // seconds from the start to the end of a run that completed or failed
)

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

// Runs holds figures of a workflow's runs. Zeros are no metrics.
type Runs struct {
	Active    *int // nil: it was not counted
	Started   int
	Completed int
	Failed    int
	Overdue   int
	Duration  time.Duration
}

// OfRuns returns the attribute that turns a line of a JSON log into metrics of a workflow's runs.
func OfRuns(stack, workflow string, at time.Time, r Runs) slog.Attr {
	of := set{Namespace: Namespace, Dimensions: [][]string{{"Stack", "Workflow"}}}
	values := []any{slog.String("Stack", stack), slog.String("Workflow", dimension(workflow))}
	for _, one := range []struct {
		name  string
		value int
	}{{StartedRuns, r.Started}, {CompletedRuns, r.Completed}, {FailedRuns, r.Failed}, {OverdueRuns, r.Overdue}} {
		if one.value > 0 {
			of.Metrics = append(of.Metrics, definition{one.name, "Count"})
			values = append(values, slog.Int(one.name, one.value))
		}
	}
	if r.Active != nil {
		of.Metrics = append(of.Metrics, definition{ActiveRuns, "Count"})
		values = append(values, slog.Int(ActiveRuns, *r.Active))
	}
	if r.Duration > 0 {
		of.Metrics = append(of.Metrics, definition{RunDuration, "Seconds"})
		values = append(values, slog.Float64(RunDuration, r.Duration.Seconds()))
	}
	if len(of.Metrics) == 0 {
		return slog.Attr{}
	}
	sets := []set{of}
	if r.Overdue > 0 {
		sets = append(sets, set{Namespace: Namespace, Dimensions: [][]string{{"Stack"}}, Metrics: []definition{{OverdueRuns, "Count"}}})
	}
	return slog.Group("", append(values, slog.Any("_aws", directive{Timestamp: at.UnixMilli(), CloudWatchMetrics: sets}))...)
}

// dimension returns a name as CloudWatch takes it for the value of a dimension: it must not begin with a colon.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
func dimension(name string) string {
	if strings.HasPrefix(name, ":") {
		return "_" + name
	}
	return name
}

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
