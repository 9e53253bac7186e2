package statemachines_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const orchestratorFunction = "${OrchestratorFunctionArn}"

// expressLimit limits the duration of an Express execution on AWS, in seconds
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
const expressLimit = 300

func steps(t *testing.T) map[string]object {
	t.Helper()
	found := map[string]object{}
	for name, state := range allStates(read(t, "orchestrate.asl.json")) {
		if state["Resource"] == orchestratorFunction {
			found[name] = state
		}
	}
	return found
}

func TestOrchestrateAsksForEachStepByName(t *testing.T) {
	want := map[string]string{
		"Plan": "plan", "Reap": "reap", "Redispatch": "dispatch", "Claim": "claim", "Dispatch": "dispatch", "Revoke": "revoke",
		"GiveBack": "give_back", "GiveBackUndispatched": "give_back",
	}
	got := map[string]string{}
	for name, state := range steps(t) {
		parameters, _ := state["Parameters"].(object)
		got[name] = text(parameters["step"])
	}
	require.Equal(t, want, got)
}

func TestOrchestratePassesTheExecutionToEachStep(t *testing.T) {
	for name, state := range steps(t) {
		parameters, _ := state["Parameters"].(object)
		require.Equal(t, "$$.Execution.Id", parameters["execution.$"], name)
		if name != "Plan" {
			require.Equal(t, "$.labourer", parameters["labourer.$"], name)
		}
	}
}

// The machine retries throttles and faults of the services, steps that report throttling (ThrottledError), steps that ran out of time and steps
// whose process ended: every step may run twice.
func TestOrchestrateRetriesEachStepWithFullJitter(t *testing.T) {
	for name, state := range steps(t) {
		retriers, _ := state["Retry"].([]any)
		require.Len(t, retriers, 1, name)
		require.Equal(t, object{
			"ErrorEquals": []any{
				"ThrottledError",
				"Lambda.TooManyRequestsException", "Lambda.ClientExecutionTimeoutException",
				"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.Unknown",
				"Sandbox.Timedout", "Runtime.ExitError",
			},
			"IntervalSeconds": json.Number("1"), "BackoffRate": json.Number("2"), "MaxAttempts": json.Number("4"),
			"MaxDelaySeconds": json.Number("10"), "JitterStrategy": "FULL",
		}, retriers[0], name)
	}
}

// G8: any failure of one labourer ends in its own branch.
func TestOrchestrateLetsNoLabourerStopAnother(t *testing.T) {
	machine := read(t, "orchestrate.asl.json")
	inside := scopes("", machine)[1]
	require.Equal(t, "EachLabourer.", inside.where)
	for name, state := range inside.states {
		require.NotEqual(t, "Fail", state["Type"], name)
		if state["Type"] != "Task" {
			continue
		}
		catchers, _ := state["Catch"].([]any)
		require.NotEmpty(t, catchers, name)
		last, _ := catchers[len(catchers)-1].(object)
		require.Equal(t, []any{"States.ALL"}, last["ErrorEquals"], name)
		require.Equal(t, "$.failed", last["ResultPath"], name)
	}
}

// GiveBack gets the same list of leases as Dispatch.
func TestOrchestrateGivesBackWhatItCouldNotDispatch(t *testing.T) {
	states := allStates(read(t, "orchestrate.asl.json"))
	for name, state := range states {
		parameters, _ := state["Parameters"].(object)
		if parameters["step"] != "dispatch" {
			continue
		}
		caught := ways(state)
		back := states[caught[len(caught)-1].to]
		returned, _ := back["Parameters"].(object)
		require.Equal(t, "give_back", returned["step"], name)
		require.Equal(t, parameters["leases.$"], returned["leases.$"], name)
	}
}

// A labourer's branch shows the outcome of each step under its own name, and the last decision.
func TestOrchestrateKeepsTheFactsOfEachDecision(t *testing.T) {
	want := map[string]string{
		"Plan": "", "EachLabourer": "", "Reap": "$.reaped", "Redispatch": "$.redispatched", "Claim": "$.decided", "Revoke": "$.revoked",
		"Dispatch": "$.decided", "GiveBack": "$.given_back", "GiveBackUndispatched": "$.given_back", "HandOver": "$.handed_over",
	}
	got := map[string]string{}
	for name, state := range allStates(read(t, "orchestrate.asl.json")) {
		if state["Type"] == "Task" || state["Type"] == "Map" {
			got[name] = text(state["ResultPath"])
		}
	}
	require.Equal(t, want, got)
}

func TestOrchestrateEndsBeforeAnExpressExecutionWould(t *testing.T) {
	machine := read(t, "orchestrate.asl.json")
	limit, err := machine["TimeoutSeconds"].(json.Number).Int64()
	require.NoError(t, err)
	require.Less(t, limit, int64(expressLimit))
}

// The rounds end: the only way back to a claim checks their number, which each dispatch raises.
func TestOrchestrateHasABoundedNumberOfRounds(t *testing.T) {
	inside := scopes("", read(t, "orchestrate.asl.json"))[1]
	back := []string{}
	for _, name := range sortedKeys(inside.states) {
		for _, w := range ways(inside.states[name]) {
			if w.to == "Claim" && reaches(inside, "Claim", name) {
				back = append(back, name+" "+w.why)
			}
		}
	}
	require.Equal(t, []string{"MayStart when $.decided.start BooleanEquals true and $.decided.round NumericLessThan 20"}, back)
}

func reaches(s scope, from, to string) bool {
	seen := []string{}
	var reach func(name string) bool
	reach = func(name string) bool {
		if name == to {
			return true
		}
		if slices.Contains(seen, name) {
			return false
		}
		seen = append(seen, name)
		return slices.ContainsFunc(ways(s.states[name]), func(w way) bool { return reach(w.to) })
	}
	return reach(from)
}
