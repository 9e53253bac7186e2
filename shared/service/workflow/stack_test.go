package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const whole = `
labourers:
  crew: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/crew"}, max_simultaneous_invocations: 10, max_attempts: 1}
workflows:
  order: {activities: [validate, ship]}
plugins:
  first: {activity: validate, stage: pre, labourer: crew}
  stock: {activity: validate, stage: parallel, labourer: crew}
  risky: {activity: validate, stage: parallel, labourer: crew, mandatory: false}
  vip: {activity: validate, stage: parallel, labourer: crew, filter: {vip: [true]}}
  audit: {activity: [validate, ship], stage: post, labourer: crew}
`

// TestAWorkflowRunsOnTheWholeStack: by an event and by a user's execution, with the definitions, functions, machine and tables as they are deployed.
func TestAWorkflowRunsOnTheWholeStack(t *testing.T) {
	d := drovertest.New()
	require.NoError(t, d.Apply(whole))
	var mu sync.Mutex
	came := map[string][]string{} // by uid
	results := map[string]string{}
	require.NoError(t, d.Worker("crew", time.Second, func(_ context.Context, task worker.Task) (any, error) {
		var p struct {
			UID, Activity, Plugin string
			Results               json.RawMessage
		}
		if err := json.Unmarshal(task.Payload, &p); err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		came[p.UID] = append(came[p.UID], p.Activity+"/"+p.Plugin)
		results[p.UID+"/"+p.Activity+"/"+p.Plugin] = string(p.Results)
		if p.Plugin == "risky" {
			return nil, errors.New("no luck")
		}
		return map[string]string{"by": p.Plugin}, nil
	}))

	event := d.Put("StartWorkflow", map[string]any{"workflow": "order", "uid": "one", "metadata": map[string]any{"vip": false}})
	arn := fakeaws.WorkflowMachine
	startExecution(t, d, arn, "by-hand", `{"workflow": "order", "metadata": {"vip": true}}`)
	require.NoError(t, d.Run())

	store := dynamo.Runs{API: d.DynamoDB, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable}
	for uid, id := range map[string]string{"one": flow.RunID(event), "by-hand": flow.RunID("arn:aws:states:us-west-2:000000000000:execution:workflow:by-hand")} {
		r, found, err := store.Get(t.Context(), id)
		require.NoError(t, err)
		require.True(t, found, uid)
		require.Equal(t, flow.OptionalTaskError, r.Head.State, "%s: %s", uid, r.Head.Message)
		require.Equal(t, uid, r.UID)
	}
	require.Equal(t, []string{"validate/first"}, came["one"][:1])
	require.ElementsMatch(t, []string{"validate/stock", "validate/risky"}, came["one"][1:3])
	require.Equal(t, []string{"validate/audit", "ship/audit"}, came["one"][3:])
	require.Contains(t, came["by-hand"], "validate/vip")
	require.JSONEq(t, `{"validate": {"first": {"by": "first"}, "stock": {"by": "stock"}}}`, results["one/validate/audit"])
	for _, kind := range []string{"WorkflowStarted", "WorkflowCompleted"} {
		require.Len(t, ids(t, d, kind), 2, kind)
	}
	require.Len(t, ids(t, d, "ActivityCompleted"), 4)
	require.Zero(t, d.StepFunctions.Running(arn))
	active, err := store.Active(t.Context())
	require.NoError(t, err)
	require.Empty(t, active)
	require.Empty(t, d.Facts("JobCompleted"), "turns are no jobs")
}

func startExecution(t *testing.T, d *drovertest.Drover, machine, name, input string) {
	t.Helper()
	_, err := d.StepFunctions.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: &input})
	require.NoError(t, err)
}

// ids returns the ids of the facts of a type.
func ids(t *testing.T, d *drovertest.Drover, kind string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, e := range d.Facts(kind) {
		var detail struct{ ID string }
		require.NoError(t, json.Unmarshal(e.Detail, &detail))
		out[detail.ID]++
	}
	return out
}

// TestScenario24TwoHundredPluginsAtOnceStayWithinTheirCosts: whether their workers end together, or each at a time of its own.
func TestScenario24TwoHundredPluginsAtOnceStayWithinTheirCosts(t *testing.T) {
	for name, of := range map[string]struct {
		labourers    int
		units, calls float64 // for each plugin
	}{
		"one labourer, ends together": {1, 3.3, 2.8},
		"8 labourers, ends apart":     {8, 4.4, 4.9},
		"40 labourers, caps of 1":     {40, 5.8, 9.4},
		"a labourer for each":         {200, 10.5, 14},
	} {
		t.Run(name, func(t *testing.T) {
			text := "workflows: {w: {activities: [a]}}\nplugins:\n"
			for i := range 200 {
				text += fmt.Sprintf("  p%03d: {activity: a, stage: parallel, labourer: crew%d}\n", i, i%of.labourers)
			}
			text += "labourers:\n"
			for i := range of.labourers {
				text += fmt.Sprintf("  crew%d: {target: {sqs: \"https://sqs.us-west-2.amazonaws.com/000000000000/crew%d\"}, max_simultaneous_invocations: %d}\n", i, i, max(1, 50/of.labourers))
			}
			d := drovertest.New()
			require.NoError(t, d.Apply(text))
			for i := range of.labourers {
				require.NoError(t, d.Worker(fmt.Sprintf("crew%d", i), time.Duration(1000+277*i)*time.Millisecond,
					func(context.Context, worker.Task) (any, error) { return map[string]int{"rows": 1}, nil }))
			}
			require.NoError(t, d.Run(), "what apply wakes is not part of the run")
			spent := meter(d)

			event := d.Put("StartWorkflow", map[string]any{"workflow": "w", "uid": "u"})
			require.NoError(t, d.Run())

			units, calls := spent()
			require.Equal(t, 5, d.StepFunctions.Transitions(fakeaws.WorkflowMachine), "two to begin, two for the stage, one to end")
			t.Logf("%.1f write units and %.1f calls for each plugin", units/200, calls/200)
			require.LessOrEqual(t, units/200, of.units)
			require.LessOrEqual(t, calls/200, of.calls)
			r, _, err := dynamo.Runs{API: d.DynamoDB, Table: fakeaws.RunsTable}.Get(t.Context(), flow.RunID(event))
			require.NoError(t, err)
			require.Equal(t, flow.Complete, r.Head.State)
		})
	}
}

// meter counts from now on. It returns a function that returns the write units of DynamoDB, and the calls of AWS that Drover's functions made.
func meter(d *drovertest.Drover) func() (units, calls float64) {
	var counted atomic.Int64
	var inside atomic.Bool
	invoke := d.Invoke
	d.Invoke = func(i fakeaws.Invocation) {
		inside.Store(true)
		defer inside.Store(false)
		invoke(i)
	}
	for _, hooks := range []*fakeaws.Hooks{&d.DynamoDB.Hooks, &d.SQS.Hooks, &d.EventBridge.Hooks, &d.StepFunctions.Hooks, &d.Lambda.Hooks, &d.S3.Hooks, &d.SNS.Hooks} {
		hooks.Before = func(context.Context, fakeaws.Request) error {
			if inside.Load() {
				counted.Add(1)
			}
			return nil
		}
	}
	d.DynamoDB.ResetUsage()
	return func() (units, calls float64) {
		for _, cost := range d.DynamoDB.Usage() {
			units += cost.WriteUnits
		}
		return units, float64(counted.Load())
	}
}

// BenchmarkAThousandRunsAtOnce counts what a run of a small workflow costs while many are under way. Virtual time passes, so the counts are the
// same on every machine. It computes for two minutes.
func BenchmarkAThousandRunsAtOnce(b *testing.B) {
	if os.Getenv("BENCH_LONG") == "" {
		b.Skip("takes minutes: set BENCH_LONG=1")
	}
	const runs = 1000
	for b.Loop() {
		d := drovertest.New()
		require.NoError(b, d.Apply(strings.Replace(whole, "max_simultaneous_invocations: 10", "max_simultaneous_invocations: 100", 1)))
		require.NoError(b, d.Worker("crew", time.Second, func(context.Context, worker.Task) (any, error) { return map[string]int{"rows": 1}, nil }))
		require.NoError(b, d.Run())
		spent := meter(d)
		for i := range runs {
			d.Put("StartWorkflow", map[string]any{"workflow": "order", "uid": fmt.Sprint("order-", i), "metadata": map[string]any{"vip": i%2 == 0}})
		}
		require.NoError(b, d.Run())
		require.Len(b, d.Facts("WorkflowCompleted"), runs)
		units, calls := spent()
		b.ReportMetric(units/runs, "units/run")
		b.ReportMetric(calls/runs, "calls/run")
		b.ReportMetric(float64(d.StepFunctions.Transitions(fakeaws.WorkflowMachine))/runs, "transitions/run")
	}
}
