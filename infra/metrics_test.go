package infra_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/emf"
	"github.com/drover-run/drover/shared/worker"
)

// watched is a Drover in memory whose log is read for metrics.
type watched struct {
	*drovertest.Drover
	t    *testing.T
	log  bytes.Buffer
	fail bool // what the worker of crew does
}

// watch returns a Drover with a labourer and a workflow. A task of the labourer takes ten seconds, and gets two attempts.
func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{Drover: drovertest.New(), t: t}
	require.NoError(t, w.Apply(`
labourers: {crew: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:crew"}, max_attempts: 2, max_duration: 60s, retry: {initial: 10s}}}
workflows: {order intake: {activities: [ship], sla: 15m}}
plugins: {label: {activity: ship, stage: pre, labourer: crew}}
job_schemas: {default: {chunkable_attrs: [[part, {}]]}}`))
	require.NoError(t, w.Worker("crew", 10*time.Second, func(context.Context, worker.Task) (any, error) {
		if w.fail {
			return nil, errors.New("it failed")
		}
		return nil, nil
	}))
	w.Log = slog.New(slog.NewJSONHandler(&w.log, nil))
	return w
}

// job submits a job of some tasks.
func (w *watched) job(id string, tasks int) {
	w.Submit(map[string]any{"job_id": id, "labourer": "crew", "parts": make([]int, tasks), "isolate_parts": true})
}

// spend lets a span of time pass, and returns the points of its log.
func (w *watched) spend(span time.Duration) emf.Points {
	w.t.Helper()
	w.log.Reset()
	w.RunFor(span)
	points, err := emf.Read(w.log.String())
	require.NoError(w.t, err)
	return points
}

// series returns a metric of the stack by minutes, as an alarm on it sees it.
func (w *watched) series(metric, statistic string, minutes int) series {
	var out series
	for range minutes {
		values := w.spend(time.Minute).Of(metric, "Stack=drover")
		if len(values) == 0 {
			out = append(out, nil)
			continue
		}
		value := slices.Max(values)
		if statistic == "Sum" {
			value = 0
			for _, v := range values {
				value += v
			}
		}
		out = append(out, &value)
	}
	return out
}

// first returns after how many minutes an alarm fires, 0 for never.
func first(t *testing.T, alarm object, values series) int {
	t.Helper()
	for i := range values {
		if fires(t, alarm, values[:i+1]) {
			return i + 1
		}
	}
	return 0
}

func TestATaskThatIsDueForTooLongRaisesTheAlarm(t *testing.T) {
	alarm := read(t).resources["OldestDueAlarm"]["Properties"].(object)
	require.Equal(t, []any{metric.Namespace, metric.OldestDueAge, "Maximum", 60}, []any{alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], alarm["Period"]})
	w := watch(t)
	w.job("healthy", 20)
	require.Zero(t, first(t, alarm, w.series(metric.OldestDueAge, "Maximum", 10)), "a stack at work")

	require.NoError(t, w.Pause("crew")) // nothing is decided about it but that it waits
	w.job("late", 3)
	fired := first(t, alarm, w.series(metric.OldestDueAge, "Maximum", 75))

	require.InDelta(t, 64, fired, 2, "an hour, and three of five minutes")
	require.NoError(t, w.Resume("crew"))
	require.Zero(t, first(t, alarm, w.series(metric.OldestDueAge, "Maximum", 10)[5:]), "it ends when the task is handed out")
}

func TestTasksThatDieRaiseTheAlarm(t *testing.T) {
	alarm := read(t).resources["DeadTasksAlarm"]["Properties"].(object)
	require.Equal(t, []any{metric.Namespace, metric.Dead, "Sum", 300}, []any{alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], alarm["Period"]})
	w := watch(t)
	five := func() series {
		sum := w.spend(5*time.Minute).Sum(metric.Dead, "Stack=drover")
		return series{&sum}
	}
	w.job("healthy", 5)
	require.False(t, fires(t, alarm, five()))

	w.fail = true
	w.job("broken", 1)
	require.True(t, fires(t, alarm, five()))
	require.False(t, fires(t, alarm, five()), "it ends when no more tasks die")
}

// A labourer at rest is not decided about, so its gauges have to be right before.
func TestALabourerThatComesToRestReportsItsGaugesOnceMore(t *testing.T) {
	gauges := func(points emf.Points) map[string]float64 {
		last := map[string]float64{}
		for _, name := range []string{metric.Due, metric.Running, metric.Cap, metric.OldestDueAge} {
			if values := points.Of(name, "Stack=drover", "Labourer=crew"); len(values) > 0 {
				last[name] = values[len(values)-1]
			}
		}
		return last
	}
	atRest := map[string]float64{metric.Due: 0, metric.Running: 0, metric.Cap: 1, metric.OldestDueAge: 0}
	for name, fail := range map[string]bool{"its last task completes": false, "its last task dies": true} {
		t.Run(name, func(t *testing.T) {
			w := watch(t)
			w.fail = fail
			w.job("j", 2)
			busy := gauges(w.spend(5 * time.Second))
			require.NotZero(t, busy[metric.Due]+busy[metric.Running], busy)
			require.Equal(t, atRest, gauges(w.spend(4*time.Minute)))
			require.Empty(t, w.spend(5*time.Minute).Of(metric.Due, "Stack=drover", "Labourer=crew"), "a labourer at rest costs nothing")
		})
	}
	t.Run("its tasks are cancelled while it is paused", func(t *testing.T) {
		w := watch(t)
		require.NoError(t, w.Pause("crew"))
		w.job("j", 2)
		require.Equal(t, map[string]float64{metric.Due: 2, metric.Running: 0, metric.Cap: 1, metric.OldestDueAge: 120}, rounded(gauges(w.spend(2*time.Minute+time.Second))))
		w.Put("CancelJob", map[string]any{"job_id": "j"})
		require.Equal(t, atRest, gauges(w.spend(time.Minute)))
	})
}

// rounded returns values to ten.
func rounded(values map[string]float64) map[string]float64 {
	if age, is := values[metric.OldestDueAge]; is {
		values[metric.OldestDueAge] = float64(int(age+5) / 10 * 10)
	}
	return values
}

var searched = regexp.MustCompile(`SEARCH\('\{Drover,Stack,(\w+)\} Stack="\$\{AWS::StackName\}" MetricName="(\w+)"', '(\w+)', 60\)`)

// TestAlarmsAndDashboardShowMetricsThatAreReported: a misspelt metric has no values, and nothing else says so.
func TestAlarmsAndDashboardShowMetricsThatAreReported(t *testing.T) {
	s := read(t)
	needed := map[string]bool{} // the dimensions and the name of a metric of Drover's own
	for _, properties := range s.of("AWS::CloudWatch::Alarm") {
		if properties["Namespace"] == metric.Namespace {
			needed["Stack "+properties["MetricName"].(string)] = true
		}
	}
	var dashboard struct {
		Widgets []struct{ Properties struct{ Metrics [][]any } }
	}
	require.NoError(t, json.Unmarshal([]byte(at[string](s.resources["Dashboard"], "Properties", "DashboardBody", "Fn::Sub")), &dashboard))
	for _, widget := range dashboard.Widgets {
		for _, shown := range widget.Properties.Metrics {
			switch first := shown[0].(type) {
			case map[string]any:
				found := searched.FindStringSubmatch(first["expression"].(string))
				require.NotNil(t, found, first["expression"])
				needed["Stack,"+found[1]+" "+found[2]] = true
			case string:
				if first == metric.Namespace {
					require.Equal(t, []any{"Stack", "${AWS::StackName}"}, shown[2:4])
					needed["Stack "+shown[1].(string)] = true
				}
			}
		}
	}
	reported := map[string]bool{ // TestFunctionsThatAreDeniedTheirTablesRaiseTheAlarm and others read these from the functions' logs
		"Stack SchedulerFailures": true, "Stack OrchestratorFailures": true, "Stack WorkerAssistantFailures": true, "Stack ScavengerFailures": true,
		"Stack ArchiverFailures": true, "Stack WorkflowFailures": true, "Stack TargetFailures": true,
		"Stack FunctionFailures": true, "Stack TableThrottles": true,
	}
	w := watch(t)
	w.job("good", 3)
	points := w.spend(5 * time.Minute)
	w.StartWorkflow(`{"workflow": "order intake", "uid": "good"}`)
	points = append(points, w.spend(2*time.Minute)...)
	w.fail = true
	w.job("bad", 1)
	w.StartWorkflow(`{"workflow": "order intake", "uid": "bad"}`)
	points = append(points, w.spend(20*time.Minute)...)
	w.Lambda.OnFailure, w.fail = func([]byte) {}, false
	require.NoError(t, w.Worker("crew", time.Second, func(context.Context, worker.Task) (any, error) { return nil, drovertest.ErrCrash }))
	w.job("lost", 1)
	w.StartWorkflow(`{"workflow": "order intake", "uid": "late"}`)
	points = append(points, w.spend(40*time.Minute)...)
	for _, p := range points {
		require.Equal(t, metric.Namespace, p.Namespace)
		reported[strings.Join(keys(p.Dimensions), ",")+" "+p.Metric] = true
	}

	for name := range needed {
		dimensions, metric, _ := strings.Cut(name, " ")
		ordered := strings.Split(dimensions, ",")
		slices.Sort(ordered)
		require.Contains(t, keys(reported), strings.Join(ordered, ",")+" "+metric)
	}
	for _, name := range []string{metric.Due, metric.Running, metric.Cap, metric.OldestDueAge, metric.Claimed, metric.Completed, metric.Failed, metric.Expired,
		metric.Dead, metric.Retried, metric.TaskDuration, metric.StartLatency} {
		require.Contains(t, keys(needed), "Stack,Labourer "+name, "the dashboard")
		require.Contains(t, keys(reported), "Labourer,Stack "+name)
	}
	for _, name := range []string{metric.ActiveRuns, metric.StartedRuns, metric.CompletedRuns, metric.FailedRuns, metric.OverdueRuns, metric.RunDuration} {
		require.Contains(t, keys(needed), "Stack,Workflow "+name, "the dashboard")
		require.Contains(t, keys(reported), "Stack,Workflow "+name)
	}
}
