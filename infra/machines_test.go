package infra_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The template sets all placeholders of a definition, and nothing else.
func TestTheTemplateSetsThePlaceholdersOfDefinitions(t *testing.T) {
	machines := read(t).of("AWS::Serverless::StateMachine")
	require.Equal(t, []string{"BackoffStateMachine", "OrchestrateStateMachine", "WorkflowStateMachine"}, keys(machines))
	for id, properties := range machines {
		definition, err := os.ReadFile(properties["DefinitionUri"].(string))
		require.NoError(t, err, id)
		open := map[string]bool{}
		for _, name := range placeholder.FindAllStringSubmatch(string(definition), -1) {
			open[name[1]] = true
		}
		require.Equal(t, keys(open), keys(at[object](properties, "DefinitionSubstitutions")), id)
	}
}

// A function times out before the state that calls it does, so that the state sees the function's error and can retry.
func TestStatesOutlastTheFunctionTheyCall(t *testing.T) {
	s := read(t)
	function := at[int](s.resources["OrchestratorFunction"], "Properties", "Timeout")
	text, err := os.ReadFile("../statemachines/orchestrate.asl.json")
	require.NoError(t, err)
	var definition any
	require.NoError(t, json.Unmarshal(text, &definition))
	steps := 0
	var look func(value any)
	look = func(value any) {
		switch value := value.(type) {
		case object:
			if value["Resource"] == "${OrchestratorFunctionArn}" {
				steps++
				require.Greater(t, value["TimeoutSeconds"], float64(function), value["Comment"])
			}
			for _, v := range value {
				look(v)
			}
		case []any:
			for _, v := range value {
				look(v)
			}
		}
	}
	look(definition)
	require.NotZero(t, steps)
}

// The console draws an Express execution from its log, so that log has everything by default. A backoff's input names workers' errors, which must
// not be logged.
func TestMachinesLogWhatTheConsoleNeedsAndNoErrorsOfWorkers(t *testing.T) {
	s := read(t)
	logging := func(id string) []any {
		return []any{at[any](s.resources[id], "Properties", "Logging", "Level"), at[any](s.resources[id], "Properties", "Logging", "IncludeExecutionData")}
	}
	require.Equal(t, []any{ref("OrchestrateLogLevel"), true}, logging("OrchestrateStateMachine"))
	require.Equal(t, "ALL", s.parameters["OrchestrateLogLevel"]["Default"])
	require.Equal(t, []any{"ALL", "ERROR", "FATAL", "OFF"}, s.parameters["OrchestrateLogLevel"]["AllowedValues"], "as Step Functions knows them")
	require.Equal(t, []any{"ERROR", false}, logging("BackoffStateMachine"))
	require.Equal(t, ref("OrchestrateType"), at[any](s.resources["OrchestrateStateMachine"], "Properties", "Type"))
	require.Equal(t, "EXPRESS", s.parameters["OrchestrateType"]["Default"])
	require.Equal(t, "STANDARD", at[any](s.resources["BackoffStateMachine"], "Properties", "Type"))
}

// The functions refer to the backoff machine, so it may refer to none of them: CloudFormation refuses circular dependencies.
func TestTheBackoffMachineDependsOnNoFunction(t *testing.T) {
	s := read(t)
	functions := s.of("AWS::Serverless::Function")
	for _, id := range mentioned([]any{s.resources["BackoffStateMachine"], s.resources["BackoffRole"]}) {
		require.NotContains(t, functions, id)
	}
}
