package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// underWay returns a run whose second activity is under way.
func underWay() (inspect.RunTree, flow.Tree, time.Time) {
	began := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	at := func(after time.Duration) *time.Time { moment := began.Add(after); return &moment }
	turn := func(plugin string, number int, mandatory bool, state flow.State) flow.TurnTree {
		return flow.TurnTree{Turn: flow.Turn{Plugin: plugin, Number: number, Mandatory: mandatory}, State: state}
	}
	run := inspect.RunTree{Run: inspect.Run{RunID: "run-a", Workflow: "order intake", UID: "order-7", Run: 2, State: flow.InProgress, StartedAt: began}}
	run.Activities = []inspect.RunActivity{
		{Activity: "validate", State: flow.Complete, Pre: inspect.RunStage{State: flow.Complete, Mandatory: map[string]inspect.RunPlugin{
			"zip": {State: flow.Complete, StartedAt: at(0), FinishedAt: at(1500 * time.Millisecond), Attempts: 3},
			"age": {State: flow.Skipped, Message: "country is \"AT\";\nwant [\"DE\"]"},
		}}},
		{Activity: "ship", State: flow.InProgress, Parallel: inspect.RunStage{State: flow.MandatoryCompleted,
			Mandatory: map[string]inspect.RunPlugin{"label": {State: flow.Complete, StartedAt: at(2 * time.Second), FinishedAt: at(3 * time.Second), Attempts: 1}},
			Optional:  map[string]inspect.RunPlugin{"notify": {State: flow.InProgress, StartedAt: at(2 * time.Second), Attempts: 1, TaskID: "abc.1"}}}},
	}
	tree := flow.Tree{State: flow.InProgress, Activities: []flow.ActivityTree{
		{Activity: "validate", State: flow.Complete, Stages: [3]flow.StageTree{
			{Place: flow.Place{Activity: 0, Stage: flow.Pre}, State: flow.Complete, Turns: []flow.TurnTree{turn("zip", 0, true, flow.Complete), turn("age", 1, true, flow.Skipped)}}}},
		{Activity: "ship", State: flow.InProgress, Stages: [3]flow.StageTree{
			{}, {Place: flow.Place{Activity: 1, Stage: flow.Parallel}, State: flow.MandatoryCompleted,
				Turns: []flow.TurnTree{turn("label", 0, true, flow.Complete), turn("notify", 1, false, flow.InProgress)}}}},
	}}
	return run, tree, began.Add(62 * time.Second)
}

func TestARunIsATreeInTheOrderOfTheRun(t *testing.T) {
	run, tree, now := underWay()
	var out bytes.Buffer

	(&shell{out: &out, now: func() time.Time { return now }}).printTree(run, tree)

	require.Equal(t, `order intake order-7, run 2: In Progress for 1m2s
run-a, begun 2026-11-28 08:00:00Z
├─ validate                 Complete
│  └─ pre                   Complete
│     ├─ zip                Complete             1.5s; 3 attempts
│     └─ age                Skipped              country is "AT"; want ["DE"]
└─ ship                     In Progress
   └─ parallel              Mandatory Completed
      ├─ label              Complete             1s
      └─ notify (optional)  In Progress          for 1m0s; task abc.1
`, out.String())
}

func TestTheProgressOfARunIsALine(t *testing.T) {
	run, tree, _ := underWay()

	bar, text := describeRun(run, tree)

	require.Equal(t, "[#############       ]", bar)
	require.Equal(t, "run run-a In Progress: ship/parallel: 2 of 3 plugins ended, running notify", text)

	_, text = describeRun(inspect.RunTree{Run: inspect.Run{RunID: "run-b", State: flow.NotStarted}}, flow.Tree{})
	require.Equal(t, "run run-b Not Started: 0 of 0 plugins ended", text, "it waits for another run")
}
