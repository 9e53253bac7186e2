package workflow_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/workflow"
)

// brief returns what the worker of a plugin gets at the run's present stage. Each turn's result is the name of its plugin.
func brief(t *testing.T, r *run, plugin string) (payload map[string]any, group string) {
	t.Helper()
	details := map[workflow.Place]map[int]workflow.Detail{}
	for _, at := range r.subject.Places() {
		details[at] = map[int]workflow.Detail{}
		for _, turn := range plan(t, r.subject, at.Activity, at.Stage).Turns {
			details[at][turn.Number] = workflow.Detail{Result: json.RawMessage(`"` + turn.Plugin + `"`)}
		}
	}
	p := plan(t, r.subject, r.head.At.Activity, r.head.At.Stage)
	for _, turn := range p.Turns {
		if turn.Plugin == plugin {
			results, err := r.subject.Results(r.subject.Plan, p.Place, turn.Number, r.progress, details)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(r.subject.Brief("run-1", p, turn.Number, results, ""), &payload))
			require.NotContains(t, payload, "results_url")
			return payload, r.subject.Group(turn.GroupKey)
		}
	}
	t.Fatalf("there is no plugin %s", plugin)
	return nil, ""
}

const handing = `
workflows: {w: {activities: [a, b]}}
plugins:
  first: {activity: a, stage: pre, order: 1}
  bad: {activity: a, stage: pre, order: 2, mandatory: false}
  third: {activity: a, stage: pre, order: 3}
  one: {activity: a, stage: parallel, group_key: customer.id}
  two: {activity: a, stage: parallel, group_key: customer.nothing}
  next: {activity: b, stage: pre, group_key: items}
`

func TestAWorkerGetsTheResultsOfWhatWasCompleteBeforeIt(t *testing.T) {
	r := start(t, subject(t, handing, "w", `{"customer": {"id": "c-17"}, "items": [1, 2], "activity": "mine", "uid": 7}`))
	got, group := brief(t, r, "first")
	require.Equal(t, map[string]any{}, got["results"])
	require.Equal(t, "u", group)
	require.Equal(t, "a", got["activity"], "metadata does not replace what Drover says")
	require.Equal(t, map[string]any{"customer": map[string]any{"id": "c-17"}, "items": []any{1.0, 2.0}, "activity": "mine", "uid": 7.0}, got["metadata"])

	r.end("first", true)
	r.end("bad", false)
	got, _ = brief(t, r, "third")
	require.Equal(t, map[string]any{"a": map[string]any{"first": "first"}}, got["results"], "earlier ones of its own stage, if they were Complete")

	r.end("third", true)
	r.end("one", true)
	before, group := brief(t, r, "two")
	require.Equal(t, map[string]any{"a": map[string]any{"first": "first", "third": "third"}}, before["results"], "not those beside it")
	require.Equal(t, "u", group, "a path that leads nowhere is the uid")
	_, group = brief(t, r, "one")
	require.Equal(t, "c-17", group)

	r.end("two", true)
	got, group = brief(t, r, "next")
	require.Equal(t, map[string]any{"a": map[string]any{"first": "first", "third": "third", "one": "one", "two": "two"}}, got["results"])
	require.Equal(t, "[1,2]", group)
}

func TestTheAddressOfResultsStandsInTheirPlace(t *testing.T) {
	s := subject(t, handing, "w", `{}`)
	pre, parallel := plan(t, s, 0, workflow.Pre), plan(t, s, 0, workflow.Parallel)
	var payload map[string]any

	require.NoError(t, json.Unmarshal(s.Brief("run-1", pre, 2, nil, "s3://bucket/key"), &payload))

	require.Equal(t, "s3://bucket/key", payload["results_url"])
	require.NotContains(t, payload, "results")
	require.Equal(t, "third", payload["plugin"])
	require.Equal(t, "runs/run-1/a/pre/third.json", pre.ResultsKey("run-1", 2), "each turn of pre and post gets other results")
	require.Equal(t, "runs/run-1/a/parallel.json", parallel.ResultsKey("run-1", 1), "the turns of a parallel stage get the same")
}

func TestAnExecutionShowsWhereItsRunIs(t *testing.T) {
	r := start(t, subject(t, two, "w", `{}`))
	record := workflow.Record{ID: "run-1", Workflow: "w", UID: "u", Run: 1, Version: 1}
	record.Head = r.head
	require.Equal(t, "parallel", record.View(r.subject).Next)
	r.end("one", true)
	r.end("two", true)
	record.Head = r.head
	require.Equal(t, "post", record.View(r.subject).Next)
	r.end("last", true)
	record.Head = r.head
	require.Equal(t, "complete", record.View(r.subject).Next)
	require.Equal(t, workflow.Complete, record.View(r.subject).State)

	r = start(t, subject(t, two, "w", `{}`))
	r.cancel()
	record.Head = r.head
	v := record.View(r.subject)
	require.Equal(t, "failed", v.Next)
	require.Equal(t, workflow.Cancelled, v.State)
	require.NotEmpty(t, v.Message, "it becomes the cause of the execution's error")
}
