package moe_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/workflow"
)

func input(t testing.TB, name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return text
}

func TestAPluginInfoBecomesAPluginAndALabourer(t *testing.T) {
	r, err := moe.ReadInfo([]byte(`{"pluginName": "check_stock", "description": "Counts what is there.", "order": 10, "alwaysRun": true, "idempotent": true,
		"default": {"mandatory": false, "pluginRegisterTimeout": 9000}, "overrides": {"ship": {"mandatory": true}, "bill": {"mandatory": true}}, "team": "x"}`))
	require.NoError(t, err)
	r.Function, r.Activity, r.Stage = "arn:aws:lambda:us-west-2:000000000000:function:check-stock", "ship", workflow.Parallel

	all, err := moe.Import([]moe.Registration{r})

	require.NoError(t, err)
	require.Equal(t, `labourers:
  check_stock: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:check-stock"}}
plugins:
  check_stock:
    description: "Counts what is there."
    activity: ship
    stage: parallel
    envelope: moe
    mandatory: false
    order: 10
    always_run: true
    overrides:
      ship: {mandatory: true}
`, string(all.YAML()))
	require.Equal(t, []string{
		`plugins.check_stock: its override for activity "bill" is left out, as it is registered in ship alone`,
		"plugins.check_stock: idempotent is left out; Drover never starts a turn that is Complete",
		"plugins.check_stock: pluginRegisterTimeout is left out; Drover knows its plugins before a run begins, and waits for none to appear",
		"plugins.check_stock: a filter policy of its subscription is in its stack and not here: write it as its filter",
		`plugins.check_stock: "team" is left out, as moe gives it no meaning`,
	}, all.Differs)
}

func TestAnAnswerThatIsNoPluginInfoSaysWhatItIs(t *testing.T) {
	for answer, reason := range map[string]string{
		`"Error: Invalid message"`:                       `it answered "Error: Invalid message"`,
		`{"errorType": "Error", "errorMessage": "boom"}`: "it failed: boom",
		`null`:                "no PluginInfo",
		`{"statusCode": 200}`: "no pluginName",
		`{"pluginName": 7}`:   "no pluginName",
		`{"pluginName": "a", "default": {"mandatory": 7}}`: `default of plugin "a": mandatory`,
		`{"pluginName": "a", "order": 1.5}`:                `order of plugin "a" is 1.5; want a whole number`,
	} {
		_, err := moe.ReadInfo([]byte(answer))

		require.ErrorContains(t, err, reason, answer)
	}
}

// TestThePluginTableBecomesDefinitionsThatApplyAccepts reads what a scan of the table prints, and the same as a plain list.
func TestThePluginTableBecomesDefinitionsThatApplyAccepts(t *testing.T) {
	rows, err := moe.ReadRows(input(t, "plugins.scan.json"))
	require.NoError(t, err)
	plain, err := moe.ReadRows(input(t, "plugins.json"))
	require.NoError(t, err)
	require.Equal(t, plain, rows)

	all, err := moe.Import(rows)

	require.NoError(t, err)
	golden(t, "plugins.yaml", string(all.YAML()))
	golden(t, "plugins.differs", lines(all.Differs))
	definitions := reread(t, all)
	require.Equal(t, all.Plugins, definitions.Plugins, "the file says what was imported")
}

func TestWhatCannotBeCarriedOverIsAnError(t *testing.T) {
	of := func(plugin, function, activity string, stage workflow.Stage) moe.Registration {
		return moe.Registration{Plugin: plugin, Function: function, Activity: activity, Stage: stage}
	}
	for reason, rows := range map[string][]moe.Registration{
		`"check stock" cannot be a name`:                         {of("check stock", "f", "a", workflow.Pre)},
		`"a/b" cannot be a name`:                                 {of("p", "f", "a/b", workflow.Pre)},
		"plugin p is in stage pre of activity a and in stage po": {of("p", "f", "a", workflow.Pre), of("p", "f", "b", workflow.Post)},
		"plugin p is of function f and of function g":            {of("p", "f", "a", workflow.Pre), of("p", "g", "b", workflow.Pre)},
	} {
		_, err := moe.Import(rows)

		require.ErrorContains(t, err, reason)
	}
	for text, reason := range map[string]string{
		`{}`: "neither a list of rows nor a member Items",
		`[{"pluginName": "p", "orchestratorId": "a|parallel"}]`:                           `row 1: orchestratorId is "a|parallel"`,
		`[{"functionName": "f"}]`:                                                         "row 1: it has no pluginName",
		`{"Items": [{"pluginName": "p"}]}`:                                                "attribute pluginName: it is not a typed value",
		`{"Items": [{"pluginName": {"B": "cA=="}}]}`:                                      "its type B is none that a row has",
		`{"Items": [{"pluginName": {"S": "p"}, "order": {"N": "many"}}]}`:                 "its type N",
		`{"Items": [{"pluginName": {"S": "p"}, "overrides": {"M": {"a": "mandatory"}}}]}`: "not a typed value",
	} {
		_, err := moe.ReadRows([]byte(text))

		require.ErrorContains(t, err, reason, text)
	}
}

func TestAWorkflowFileBecomesAListOfActivities(t *testing.T) {
	w, differs, err := moe.ReadMachine("file", input(t, "workflow.json"))

	require.NoError(t, err)
	require.Equal(t, "Order Intake", w.Name)
	require.Equal(t, []string{"Validate", "Ship"}, w.Activities)
	require.Equal(t, []string{
		`workflows.Order Intake: the Task state "Notify" is not carried over: make it a plugin`,
		`workflows.Order Intake: the Wait state "Breathe" is not carried over: activities follow one another at once`,
		`workflows.Order Intake: the state "ShipError" is a Pass and not carried over: after an error the run ends; on_error: wait_all and post: always are what an activity can do about it`,
	}, differs)
	all := moe.Imported{Workflows: map[string]workflow.Workflow{w.Name: w}}
	require.Equal(t, "workflows:\n  \"Order Intake\": {activities: [Validate, Ship]}\n", string(all.YAML()))
}

func TestAWorkflowFileThatIsNoListIsRefused(t *testing.T) {
	for text, reason := range map[string]string{
		`{"StartAt": "x"}`: "it has no States",
		`{"StartAt": "x", "States": {"x": {"Type": "Pass"}}}`:                                                      "it names no activity",
		`{"StartAt": "x", "States": {"Step:A": "A", "x": {"Type": "Choice"}}}`:                                     `state "x" is a Choice: a workflow is a list of activities`,
		`{"StartAt": "x", "States": {"Step:A": "A", "x": {"Type": "Succeed"}}}`:                                    `no way leads from StartAt to activity "A"`,
		`{"StartAt": "AStart", "States": {"Step:A": "A"}}`:                                                         `state "AComplete" is missing`,
		`{"StartAt": "A/Start", "States": {"Step:A/": "A/", "A/Complete": {"Type": "Succeed"}}}`:                   `"A/" cannot be the name of an activity`,
		`{"StartAt": "x", "States": {"Step:A": "A", "x": {"Type": "Pass", "Next": "x"}}}`:                          "no way leads",
		`{"StartAt": "x", "States": {"Step:A": "A", "x": {"Result": "a/b", "ResultPath": "$.metadata.workflow"}}}`: `"a/b" cannot be the name of a workflow`,
	} {
		_, _, err := moe.ReadMachine("file", []byte(text))

		require.ErrorContains(t, err, reason, text)
	}
}

// reread reads an import as apply reads files.
func reread(t testing.TB, all moe.Imported) workflow.Definitions {
	t.Helper()
	root, err := document.Parse("import.yaml", all.YAML())
	require.NoError(t, err, "%s", all.YAML())
	r := &document.Reader{}
	sections := r.Fields(document.Value{Node: root}, append([]string{"labourers"}, workflow.Sections...)...)
	delete(sections, "labourers")
	definitions := workflow.Read(r, sections)
	require.Empty(t, r.Errors, "%s", all.YAML())
	return definitions
}

func FuzzReadInfo(f *testing.F) {
	f.Add([]byte(`{"pluginName": "no", "default": {"mandatory": false}, "order": -3, "overrides": {"a": {"mandatory": true}}, "description": "x: # \" y"}`))
	f.Add([]byte(`"Error: x"`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		r, err := moe.ReadInfo(answer)
		if err != nil {
			return
		}
		r.Function, r.Activity = "f", "true"
		all, err := moe.Import([]moe.Registration{r})
		if err != nil || len(r.Text) > 4<<10 {
			return
		}
		back := reread(t, all).Plugins[r.Plugin]
		back.Description, r.Text = "", ""
		want := all.Plugins[r.Plugin]
		want.Description = ""
		require.Equal(t, want, back)
	})
}
