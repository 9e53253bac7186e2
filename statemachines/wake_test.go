package statemachines_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Wakes are facts like any other: their source is drover, their id stays the same when the state is retried, and their version is 1.
func TestWakesAreTasksDueEvents(t *testing.T) {
	for file, wakes := range map[string]map[string]object{
		"orchestrate.asl.json": {"HandOver": {
			"id.$": "States.Format('handover-{}-{}', $$.Execution.Name, $.labourer)", "version": json.Number("1"), "labourers.$": "States.Array($.labourer)",
		}},
		"backoff.asl.json": {"WakeOrchestrator": {
			"id.$": "States.Format('due-{}', $$.Execution.Name)", "version": json.Number("1"), "labourers.$": "$.labourers",
		}},
	} {
		got := map[string]object{}
		for name, state := range allStates(read(t, file)) {
			if state["Resource"] != "arn:${Partition}:states:::events:putEvents" {
				continue
			}
			parameters, _ := state["Parameters"].(object)
			entries, _ := parameters["Entries"].([]any)
			require.Len(t, entries, 1, name)
			entry, _ := entries[0].(object)
			require.Equal(t, "${EventBusName}", entry["EventBusName"], name)
			require.Equal(t, "drover", entry["Source"], name)
			require.Equal(t, "TasksDue", entry["DetailType"], name)
			got[name], _ = entry["Detail"].(object)

			// Refused entries raise EventBridge.FailedEntry and throttles raise another error; States.TaskFailed covers both.
			retriers, _ := state["Retry"].([]any)
			require.Len(t, retriers, 1, name)
			require.Equal(t, []any{"States.TaskFailed"}, retriers[0].(object)["ErrorEquals"], name)
			require.Equal(t, "FULL", retriers[0].(object)["JitterStrategy"], name)
		}
		require.Equal(t, wakes, got, file)
	}
}

// A Standard transition costs as much as forty writes, so a batch only waits and wakes.
func TestABackoffTakesTwoTransitions(t *testing.T) {
	machine := read(t, "backoff.asl.json")
	states := allStates(machine)
	name, taken := text(machine["StartAt"]), 1
	for states[name]["End"] != true {
		next := ways(states[name])
		require.Len(t, next, 1, name)
		name, taken = next[0].to, taken+1
	}
	require.Equal(t, 2, taken)
}

// A backoff may last a year, like any Standard execution
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
func TestABackoffMayLastAYear(t *testing.T) {
	require.Equal(t, json.Number("31536000"), read(t, "backoff.asl.json")["TimeoutSeconds"])
}
