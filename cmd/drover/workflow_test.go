package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

const flows = `
labourers:
  crew: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/crew"}, max_simultaneous_invocations: 10, max_attempts: 1}
workflows:
  Order intake: {activities: [validate], metadata_schema: {type: object, required: [country]}}
plugins:
  first: {activity: validate, stage: pre, labourer: crew}
  stock: {activity: validate, stage: parallel, labourer: crew, filter: {country: [AT]}}
  risky: {activity: validate, stage: parallel, labourer: crew, mandatory: false}
`

func flowFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestAWorkflowIsAppliedStartedAndSeen(t *testing.T) {
	g := newGround(t)
	path := flowFile(t, flows)
	said := g.drover("--json", "apply", "-f", path).one()
	require.ElementsMatch(t, []any{"crew", "plugins.first", "plugins.risky", "plugins.stock", "workflows.Order intake"}, said["applied"])
	said = g.drover("--json", "apply", "-f", path).one()
	require.Empty(t, said["applied"])
	require.NoError(t, g.Worker("crew", time.Second, func(_ context.Context, task worker.Task) (any, error) {
		var p struct{ Plugin string }
		if err := json.Unmarshal(task.Payload, &p); err != nil {
			return nil, err
		}
		if p.Plugin == "risky" {
			return nil, errors.New("no luck")
		}
		return map[string]string{"by": p.Plugin}, nil
	}))

	g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{}`)).fails(misuse, "country")
	g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `[]`)).fails(misuse, "metadata")
	g.drover("--json", "workflow", "start", "nothing").fails(failed, "nothing")
	started := g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{"country": "FR"}`), "--wait")
	tree := started.one()

	require.Equal(t, "Optional Task Error", tree["state"])
	require.Contains(t, started.err, " ended", "it reports progress")
	require.Equal(t, map[string]any{"country": "FR"}, tree["metadata"])
	activity := tree["activities"].([]any)[0].(map[string]any)
	require.Equal(t, "Skipped", activity["parallel"].(map[string]any)["mandatory"].(map[string]any)["stock"].(map[string]any)["state"])
	first := activity["pre"].(map[string]any)["mandatory"].(map[string]any)["first"].(map[string]any)
	require.Equal(t, map[string]any{"by": "first"}, first["result"])
	require.NotEmpty(t, first["task_id"])
	require.Contains(t, activity["parallel"].(map[string]any)["optional"].(map[string]any)["risky"].(map[string]any)["message"], "no luck")
	id := tree["run_id"].(string)
	require.Equal(t, id, g.drover("--json", "workflow", "runs", "--workflow", "Order intake").one()["run_id"])
	require.Empty(t, g.drover("--json", "workflow", "runs", "--state", "Error").ok())
	require.Contains(t, g.drover("workflow", "graph", "Order intake", "--run", id).ok(), "stock<br/>Skipped")
	require.Regexp(t, `^Order intake u, run 1: Optional Task Error after [0-9.]+s
`+id+`, begun 2026-01-01 00:00:00Z
└─ validate                Optional Task Error
   ├─ pre                  Complete
   │  └─ first             Complete             [0-9.]+s
   └─ parallel             Optional Task Error
      ├─ risky \(optional\)  Error                [0-9.]+s; Error: no luck; task [a-z0-9]+\.0
      └─ stock             Skipped              country is "FR"; want \["AT"\]
$`, g.drover("workflow", "run", id).ok())
	require.Equal(t, map[string]any{"run_id": id, "state": "Optional Task Error"}, g.drover("--json", "workflow", "cancel", id).one())
	g.drover("workflow", "run", "run-none").fails(failed, "run-none")
}

func TestAWorkflowIsExplainedAndDrawnWithoutAWS(t *testing.T) {
	path := flowFile(t, flows)
	out := pure(t, "--json", "workflow", "explain", "Order intake", "-f", path, "--metadata", flowFile(t, `{"country": "DE"}`)).ok()
	var said struct {
		Workflow string
		Plugins  []struct {
			Plugin  string
			Matches bool
			Reason  string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &said))
	require.Len(t, said.Plugins, 3)
	require.False(t, said.Plugins[2].Matches)
	require.Contains(t, said.Plugins[2].Reason, `country is "DE"`)
	require.Contains(t, pure(t, "workflow", "graph", "Order intake", "-f", path).ok(), "flowchart TB")
}

func TestAPluginOfAnUnknownLabourerIsRefused(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", flowFile(t, `plugins: {p: {activity: a, stage: pre, labourer: nobody}}`)).fails(misuse, "plugins.p.labourer")
}

func TestDefinitionsAreRemovedByTheirIDs(t *testing.T) {
	g := newGround(t)
	path := flowFile(t, flows)
	g.drover("apply", "-f", path).ok()
	require.NoError(t, g.Worker("crew", time.Second, well))
	id := g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{"country": "FR"}`), "--wait").one()["run_id"]

	g.drover("apply", "-f", path, "--remove", "plugins.risky").fails(misuse, "plugins.risky is also in the files")
	g.drover("apply", "--remove", "plugins.nothing").fails(failed, "nothing")
	require.Equal(t, []any{"plugins.risky"}, g.drover("--json", "apply", "--remove", "plugins.risky").one()["removed"])
	require.NotContains(t, g.drover("workflow", "graph", "Order intake").ok(), "risky")
	require.Contains(t, g.drover("workflow", "graph", "Order intake", "--run", id.(string)).ok(), "risky", "a run keeps the definition that it began with")

	require.Contains(t, g.drover("apply", "--remove", "workflows.Order intake").ok(), "Removed 1 workflow.")
	g.drover("workflow", "start", "Order intake", "--uid", "v").fails(failed, "Order intake")
	require.Equal(t, id, g.drover("--json", "workflow", "runs").one()["run_id"], "runs of removed workflows are listed too")
	g.drover("apply", "-f", path).ok()
	require.Contains(t, g.drover("workflow", "graph", "Order intake").ok(), "risky")
}

func TestTheLabourerOfAPluginIsNotRemovedBeforeItAndItsRuns(t *testing.T) {
	g := newGround(t)
	path := flowFile(t, flows)
	g.drover("apply", "-f", path).ok()
	require.NoError(t, g.Worker("crew", time.Minute, well))

	said := g.drover("apply", "--remove", "crew", "--remove", "plugins.risky")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "labourers.crew: plugins.first is one of its plugins, in the workflow Order intake: remove it too, or give it another labourer")
	require.Contains(t, said.err, "plugins.stock is one of its plugins")
	require.NotContains(t, said.err, "plugins.risky is")
	require.Contains(t, g.drover("workflow", "graph", "Order intake").ok(), "risky", "nothing was removed")

	id := g.drover("--json", "workflow", "start", "Order intake", "--uid", "v", "--metadata", flowFile(t, `{"country": "FR"}`)).one()["run_id"].(string)
	g.RunFor(time.Second)
	everything := []string{"apply", "--remove", "crew", "--remove", "plugins.risky", "--remove", "plugins.first", "--remove", "plugins.stock"}
	said = g.drover(everything...)
	require.Equal(t, failed, said.code)
	require.Contains(t, said.err, "crew has work left: ")
	require.Contains(t, said.err, "1 run of workflows under way ("+id+")")
	require.Contains(t, g.drover("apply", "--remove", "crew", "--drain").ok(), "Removed 1 labourer", "the plugins were removed before")
	require.Equal(t, "Complete", g.drover("--json", "workflow", "run", id).one()["state"])
}

func TestWhatARemovalMeansForWorkflowsIsAWarning(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", flowFile(t, flows+"activities: {validate: {post: always}}\n")).ok()
	g.drover("workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{"country": "FR"}`)).ok()
	g.RunFor(time.Second)

	warnings := func(ids ...string) []any {
		arguments := []string{"--json", "apply"}
		for _, id := range ids {
			arguments = append(arguments, "--remove", id)
		}
		return g.drover(arguments...).one()["warnings"].([]any)
	}
	require.Empty(t, warnings("plugins.risky"), "others are left")
	require.Equal(t, []any{"activities.validate: it has the default options from now on in the workflow Order intake"}, warnings("activities.validate"))
	require.Equal(t, []any{"plugins.first: the activity validate of the workflow Order intake has no plugins any more: it is empty and Complete",
		"plugins.stock: the activity validate of the workflow Order intake has no plugins any more: it is empty and Complete"}, warnings("plugins.first", "plugins.stock"))
	require.Equal(t, []any{"workflows.Order intake: not ended: 1 run; those under way go on as they began, those that wait are refused"}, warnings("workflows.Order intake"))
}

func TestRunsAreListedByTheirStoredState(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", flowFile(t, flows)).ok()
	require.NoError(t, g.Worker("crew", time.Minute, well))
	id := g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{"country": "FR"}`)).one()["run_id"].(string)
	g.RunFor(5 * time.Second)

	g.drover("workflow", "pause", id).ok()

	for _, state := range []string{"Paused", "In Progress"} {
		require.Equal(t, "Paused", g.drover("--json", "workflow", "runs", "--state", state).one()["state"], state)
	}
	require.Empty(t, g.drover("--json", "workflow", "runs", "--state", "Complete").ok())
	g.drover("workflow", "runs", "--state", "Resting").fails(misuse, "Resting")
}
