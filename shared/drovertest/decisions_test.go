package drovertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// witness keeps what the orchestrate machine's executions show, and the lines of the functions' log.
type witness struct {
	t       *testing.T
	outputs []string // of executions, in the order of their ends
	log     bytes.Buffer
}

func watched(t *testing.T) (*drovertest.Drover, *witness) {
	t.Helper()
	d, w := drovertest.New(), &witness{t: t}
	d.Log = slog.New(slog.NewJSONHandler(&w.log, nil))
	d.StepFunctions.Record = func(machine, _, event string, data any) {
		if machine == fakeaws.OrchestrateMachine && event == "ExecutionSucceeded" {
			text, err := json.Marshal(data)
			require.NoError(t, err)
			w.outputs = append(w.outputs, string(text))
		}
	}
	return d, w
}

// shown returns the decisions in the executions' outputs.
func (w *witness) shown() []decision.Record {
	w.t.Helper()
	var all []decision.Record
	for _, text := range w.outputs {
		var out struct{ Decisions []decision.Record }
		require.NoError(w.t, json.Unmarshal([]byte(text), &out), text)
		all = append(all, out.Decisions...)
	}
	return all
}

// logged returns the decisions in the log.
func (w *witness) logged() []decision.Record {
	w.t.Helper()
	var all []decision.Record
	for line := range strings.Lines(w.log.String()) {
		var one struct {
			Msg string
			decision.Record
		}
		require.NoError(w.t, json.Unmarshal([]byte(line), &one), line)
		if one.Msg == decision.Logged {
			all = append(all, one.Record)
		}
	}
	return all
}

const crews = `
labourers:
  full: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/full"}, max_simultaneous_invocations: 2}
  gone: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/gone"}, max_simultaneous_invocations: 2}
  quiet: {target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/quiet"}}
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
`

func job(id, labourer string, tasks int) string {
	names := make([]string, tasks)
	for i := range names {
		names[i] = fmt.Sprintf(`"secret-%d"`, i)
	}
	return fmt.Sprintf(`{"job_id": %q, "labourer": %q, "sections": [%s], "isolate_sections": true}`, id, labourer, strings.Join(names, ","))
}

func TestAnExecutionShowsADecisionAboutEachLabourerAndLogsIt(t *testing.T) {
	d, w := watched(t)
	require.NoError(t, d.Apply(crews))
	hold := func(context.Context, worker.Task) (any, error) { return nil, errors.New("not yet") }
	require.NoError(t, d.Worker("full", 10*time.Minute, hold))
	d.Submit(job("a", "full", 95)) // more than a direct grant takes
	d.Submit(job("b", "gone", 1))
	d.RunFor(3 * time.Minute)

	byLabourer := map[string][]string{}
	for _, r := range w.shown() {
		byLabourer[r.Labourer] = append(byLabourer[r.Labourer], fmt.Sprintf("%s %d of %d due, %d running, %d free", r.Binding, r.Started, r.Due, r.Running, r.Free))
	}
	require.Equal(t, []string{"nothing_due 0 of 0 due, 0 running, 2 free", "cap 2 of 95 due, 0 running, 2 free", "cap 0 of 93 due, 2 running, 0 free", "cap 0 of 93 due, 2 running, 0 free"},
		byLabourer["full"][:4], "when it was applied, what was claimed, and each minute while it is not at rest")
	require.Equal(t, []string{"nothing_due 0 of 0 due, 0 running, 1 free"}, byLabourer["quiet"], "at rest nothing is decided")
	tries := 0 // starts that the target refused
	for _, r := range w.logged() {
		if r.Labourer == "gone" && r.Started > 0 {
			tries++
		}
	}
	require.Positive(t, tries)
	require.Contains(t, byLabourer["gone"], "target 0 of 1 due, 0 running, 2 free")
	require.Subset(t, w.logged(), w.shown(), "the log has the same records")
	require.Len(t, w.logged(), len(w.shown())+tries, "and each claim of a task whose target then failed")
	require.NotContains(t, w.log.String(), "secret", "no payload is logged")
	require.NotContains(t, strings.Join(w.outputs, ""), "secret")
}

func TestTheDecisionsOfManyLabourersFitIntoAnOutput(t *testing.T) {
	const many = 500
	d, w := watched(t)
	var text strings.Builder
	text.WriteString("labourers:\n")
	for i := range many {
		fmt.Fprintf(&text, "  %s-%03d: {target: {sqs: \"https://sqs.us-east-1.amazonaws.com/000000000000/w\"}, max_simultaneous_invocations: 1}\n", strings.Repeat("n", 60), i)
	}
	text.WriteString("job_schemas: {default: {chunkable_attrs: [[section, {}]]}}\n")
	require.NoError(t, d.Apply(text.String()))
	require.NoError(t, d.Worker(strings.Repeat("n", 60)+"-000", time.Hour, func(context.Context, worker.Task) (any, error) { return nil, nil }))
	for i := range many {
		d.Submit(job(fmt.Sprintf("j%d", i), fmt.Sprintf("%s-%03d", strings.Repeat("n", 60), i), 2))
	}
	d.RunFor(90 * time.Second)
	w.outputs = nil
	w.log.Reset()
	d.RunFor(time.Minute)
	largest := ""
	for _, o := range w.outputs {
		if len(o) > len(largest) {
			largest = o
		}
	}
	require.Less(t, len(largest), 256<<10, "a state's output")
	seen := map[string]bool{}
	for _, r := range w.logged() {
		seen[r.Labourer] = true
	}
	require.Len(t, seen, many, "each is logged")
	require.Greater(t, strings.Count(largest, `"binding"`), many*9/10)
}
