package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// run returns the tree of a run as it should end for the second time, with one plugin in another state.
func run(state, wind workflow.State) inspect.RunTree {
	complete := inspect.RunPlugin{State: workflow.Complete}
	return inspect.RunTree{Run: inspect.Run{RunID: "run-a", State: state}, Activities: []inspect.RunActivity{
		{Activity: "summarise", Pre: inspect.RunStage{Mandatory: map[string]inspect.RunPlugin{"validate": complete}}, Parallel: inspect.RunStage{
			Mandatory: map[string]inspect.RunPlugin{"temperature": complete, "rain": complete, "snow": {State: workflow.Skipped}},
			Optional:  map[string]inspect.RunPlugin{"wind": {State: wind}}}},
		{Activity: "publish", Parallel: inspect.RunStage{Mandatory: map[string]inspect.RunPlugin{"report": complete}}},
	}}
}

func TestARunThatEndedAsPlannedPassesTheCheck(t *testing.T) {
	require.NoError(t, first.check(run(workflow.OptionalTaskError, workflow.Error)))
	require.NoError(t, second.check(run(workflow.Complete, workflow.Complete)))
}

func TestTheCheckNamesEachDifference(t *testing.T) {
	err := second.check(run(workflow.OptionalTaskError, workflow.Error))
	require.EqualError(t, err, "run run-a is Optional Task Error; want Complete\nplugin wind is \"Error\"; want Complete")

	require.EqualError(t, second.check(inspect.RunTree{Run: inspect.Run{State: workflow.Complete}, Activities: run("", workflow.Complete).Activities[:1]}),
		`plugin report is ""; want Complete`)
	require.EqualError(t, same("a\n", "b\n"), `the report is "a\n"; a single computation makes "b\n"`)
	require.NoError(t, same("a\n", "a\n"))
}

func TestACommandIsShownAsItIsTyped(t *testing.T) {
	require.Equal(t, `drover workflow start "climate report" --wait`, shown([]string{"workflow", "start", "climate report", "--wait"}))
}
