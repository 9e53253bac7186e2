// Package metric lets functions report figures to CloudWatch in the log lines that they write anyway. CloudWatch turns lines in the embedded metric
// format into metrics, without a call and without a permission.
//
// Lambda counts an error only if a whole invocation fails. For Lambda, a handler that returns nine of ten messages to the queue, or all of them,
// succeeds: only its own metric shows the failures.
//
// A line has one value for each of its dimensions, as the format takes a dimension's value from the line's top level. So an invocation writes
// one line, and a further one for each further labourer or workflow that it has figures of.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package metric

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Namespace contains all of Drover's metrics.
const Namespace = "Drover"

// These count, by stack alone, the messages, records or steps that an invocation could not handle and that will be redelivered. FunctionFailures
// counts those of all functions, for the alarm of the stack's template; its dashboard shows the others.
const (
	FunctionFailures        = "FunctionFailures"
	SchedulerFailures       = "SchedulerFailures"
	OrchestratorFailures    = "OrchestratorFailures"
	WorkerAssistantFailures = "WorkerAssistantFailures"
	ScavengerFailures       = "ScavengerFailures"
	WorkflowFailures        = "WorkflowFailures"
	ArchiverFailures        = "ArchiverFailures"
)

// TableThrottles counts the requests of the functions that DynamoDB throttled, those that were repeated with success included. By stack alone.
const TableThrottles = "TableThrottles"

// TargetFailures counts failed dispatches in a row, for each dispatch that could not reach its labourer's target. The next dispatch comes after half a
// minute to five minutes. By stack alone.
const TargetFailures = "TargetFailures"

// The metrics of tasks, by stack and labourer. OldestDueAge, Failed, Expired and Dead are metrics of the stack alone as well, for its alarms.
const (
	Due          = "Due"          // tasks that wait for a slot, at a decision
	Running      = "Running"      // tasks in hand, at a decision
	Cap          = "Cap"          // the most tasks that may be in hand, at a decision
	OldestDueAge = "OldestDueAge" // seconds since the first of the due tasks became due; 0: none is due
	Claimed      = "Claimed"      // tasks taken in hand
	Completed    = "Completed"    // attempts that completed
	Failed       = "Failed"       // attempts that failed, expired ones not included
	Expired      = "Expired"      // attempts given up as lost
	Retried      = "Retried"      // failed or expired attempts that another attempt follows
	Dead         = "Dead"         // tasks that get no further attempt
	TaskDuration = "TaskDuration" // seconds from the start to the end of an attempt that completed
	StartLatency = "StartLatency" // seconds from when a task was due to when it was taken in hand
)

// The metrics of runs, by stack and workflow. OverdueRuns is a metric of the stack alone as well, for its alarm.
const (
	ActiveRuns    = "ActiveRuns"    // runs that have begun and not ended, at a tick
	StartedRuns   = "StartedRuns"   // runs that began
	CompletedRuns = "CompletedRuns" // runs that ended Complete or Optional Task Error
	FailedRuns    = "FailedRuns"    // runs that ended Error or Timed Out
	OverdueRuns   = "OverdueRuns"   // runs that took longer than their workflow's sla
	RunDuration   = "RunDuration"   // seconds from the start to the end of a run that completed or failed
)

var (
	inSeconds = []string{OldestDueAge, TaskDuration, StartLatency, RunDuration}
	ofStack   = []string{OldestDueAge, Failed, Expired, Dead, OverdueRuns}
)

// Subject names what figures are about: a labourer, a workflow, or, if it is the zero value, the stack.
type Subject struct{ Labourer, Workflow string }

func (s Subject) compare(other Subject) int {
	return cmp.Or(strings.Compare(s.Labourer, other.Labourer), strings.Compare(s.Workflow, other.Workflow))
}

// Dimension returns the name and the value of the subject's dimension beside the stack.
func (s Subject) Dimension() (name, value string) {
	name, value = "Labourer", s.Labourer
	if s.Workflow != "" {
		name, value = "Workflow", s.Workflow
	}
	if strings.HasPrefix(value, ":") { // CloudWatch refuses it: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
		value = "_" + value
	}
	return name, value
}

// Figures holds the values of metrics, by subject and name. A count and a gauge have one value.
type Figures map[Subject]map[string][]float64

// Tally gathers the figures of an invocation. It is safe for concurrent use. A nil Tally gathers nothing.
type Tally struct {
	mu      sync.Mutex
	figures Figures
}

// Count adds n to a metric. It adds no zero: CloudWatch charges for each hour in which a metric has a value.
func (t *Tally) Count(of Subject, metric string, n int) {
	if n == 0 {
		return
	}
	t.change(of, metric, func(values []float64) []float64 {
		if len(values) == 0 {
			values = []float64{0}
		}
		values[0] += float64(n)
		return values
	})
}

// Gauge sets a metric to what it is now.
func (t *Tally) Gauge(of Subject, metric string, value float64) {
	t.change(of, metric, func([]float64) []float64 { return []float64{value} })
}

// Observe adds n times the same duration to those of a metric.
func (t *Tally) Observe(of Subject, metric string, d time.Duration, n int) {
	if n == 0 {
		return
	}
	t.change(of, metric, func(values []float64) []float64 {
		return append(values, slices.Repeat([]float64{milliseconds(d)}, n)...)
	})
}

// milliseconds returns a duration in seconds, to the millisecond.
func milliseconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func (t *Tally) change(of Subject, metric string, by func([]float64) []float64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.figures == nil {
		t.figures = Figures{}
	}
	if t.figures[of] == nil {
		t.figures[of] = map[string][]float64{}
	}
	t.figures[of][metric] = by(t.figures[of][metric])
}

// Empty reports whether nothing was gathered.
func (t *Tally) Empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.figures) == 0
}

// Take returns the figures that were gathered, and forgets them.
func (t *Tally) Take() Figures {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.figures
	t.figures = nil
	return taken
}

// Lines returns an attribute for each log line that reports figures. There is one line at least, the invocation's own, whose attribute is empty if
// there is nothing to report. If whole is false, only metrics of the stack alone are reported.
func Lines(stack string, at time.Time, figures Figures, whole bool) []slog.Attr {
	documents := []document{{}}
	for _, of := range slices.SortedFunc(maps.Keys(figures), Subject.compare) { // the stack comes first, and shares its line
		last := &documents[len(documents)-1]
		if last.full {
			documents = append(documents, document{})
			last = &documents[len(documents)-1]
		}
		last.add(of, figures[of], whole)
	}
	var lines []slog.Attr
	for i, d := range documents {
		if i == 0 || len(d.sets) > 0 {
			lines = append(lines, d.attribute(stack, at))
		}
	}
	return lines
}

// document is a line in the embedded metric format: members at the top level, and which of them are metrics.
type document struct {
	members []any
	sets    []set
	full    bool // it has a labourer or a workflow
}

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

// add adds the figures of a subject. A document takes those of the stack and of one other subject.
func (d *document) add(of Subject, figures map[string][]float64, whole bool) {
	name, value := of.Dimension()
	own, both := set{Namespace: Namespace}, set{Namespace: Namespace, Dimensions: [][]string{{"Stack"}}}
	switch {
	case of == Subject{}:
		own.Dimensions = both.Dimensions
	case whole:
		own.Dimensions = [][]string{{"Stack", name}}
		both.Dimensions = [][]string{{"Stack", name}, {"Stack"}}
	}
	before := len(d.members)
	for _, metric := range slices.Sorted(maps.Keys(figures)) {
		into := &own
		if slices.Contains(ofStack, metric) {
			into = &both
		}
		if into.Dimensions == nil {
			continue
		}
		unit := "Count"
		if slices.Contains(inSeconds, metric) {
			unit = "Seconds"
		}
		into.Metrics = append(into.Metrics, definition{metric, unit})
		d.members = append(d.members, slog.Any(metric, written(figures[metric])))
	}
	if len(d.members) > before && of != (Subject{}) {
		d.members, d.full = append(d.members, slog.String(name, value)), true
	}
	for _, s := range []set{own, both} {
		if len(s.Metrics) > 0 {
			d.sets = append(d.sets, s)
		}
	}
}

// written returns the value of a metric's member.
func written(values []float64) any {
	if len(values) == 1 {
		return values[0]
	}
	return thinned(values)
}

// mostValues limits the values of one metric in a line.
const mostValues = 100

// thinned returns at most as many values as a line takes, from the smallest to the largest at even distances in their order: percentiles stay
// about what they are.
func thinned(values []float64) []float64 {
	if len(values) <= mostValues {
		return values
	}
	slices.Sort(values)
	out := make([]float64, mostValues)
	for i := range out {
		out[i] = values[i*(len(values)-1)/(mostValues-1)]
	}
	return out
}

// attribute returns the attribute that turns a line of a JSON log into metrics. Without metrics it adds nothing to the line.
func (d document) attribute(stack string, at time.Time) slog.Attr {
	if len(d.sets) == 0 {
		return slog.Attr{}
	}
	return slog.Group("", append(d.members, slog.String("Stack", stack), slog.Any("_aws", directive{at.UnixMilli(), d.sets}))...)
}
