package infra_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRulesSendEachEventToItsTarget(t *testing.T) {
	s := read(t)
	rule := func(id string) object { return at[object](s.resources[id], "Properties") }
	require.Equal(t, []string{"CommandsRule", "TasksDueRule", "TickRule", "WorkerStateMachinesRule", "WorkflowCommandsRule", "WorkflowExecutionsRule", "WorkflowTickRule"},
		keys(s.of("AWS::Events::Rule")))

	commands := rule("CommandsRule")
	require.Equal(t, ref("EventBus"), commands["EventBusName"])
	require.Equal(t, object{"detail-type": []any{"SubmitJob", "CancelJob", "ReplayTasks"}}, commands["EventPattern"], "from any source")
	requireTarget(t, commands, getAtt("JobsQueue", "Arn"), object{})

	due := rule("TasksDueRule")
	require.Equal(t, ref("EventBus"), due["EventBusName"])
	require.Equal(t, object{"detail-type": []any{"TasksDue"}}, due["EventPattern"])
	requireTarget(t, due, ref("OrchestrateStateMachine"), object{"InputPath": "$.detail"})

	tick := rule("TickRule")
	require.Equal(t, "rate(1 minute)", tick["ScheduleExpression"])
	require.Equal(t, ref("TickState"), tick["State"])
	requireTarget(t, tick, ref("OrchestrateStateMachine"), object{"Input": "{}"})

	workers := rule("WorkerStateMachinesRule")
	require.NotContains(t, workers, "EventBusName", "Step Functions uses the default bus")
	require.Equal(t, object{
		"source":      []any{"aws.states"},
		"detail-type": []any{"Step Functions Execution Status Change"},
		"detail": object{
			"name":   []any{object{"prefix": "drover-"}},
			"status": []any{"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"},
		},
	}, workers["EventPattern"])
	requireTarget(t, workers, getAtt("CompletionsQueue", "Arn"), object{})

	workflows := rule("WorkflowCommandsRule")
	require.Equal(t, ref("EventBus"), workflows["EventBusName"])
	require.Equal(t, object{"detail-type": []any{"StartWorkflow", "CancelWorkflow"}}, workflows["EventPattern"], "from any source")
	requireTarget(t, workflows, getAtt("RunsQueue", "Arn"), object{})

	runs := rule("WorkflowTickRule")
	require.Equal(t, "rate(1 minute)", runs["ScheduleExpression"])
	require.Equal(t, ref("TickState"), runs["State"])
	requireTarget(t, runs, getAtt("RunsQueue", "Arn"), object{})

	stopped := rule("WorkflowExecutionsRule")
	require.NotContains(t, stopped, "EventBusName", "Step Functions uses the default bus")
	require.Equal(t, object{
		"source":      []any{"aws.states"},
		"detail-type": []any{"Step Functions Execution Status Change"},
		"detail":      object{"stateMachineArn": []any{ref("WorkflowStateMachine")}, "status": []any{"FAILED", "TIMED_OUT", "ABORTED"}},
	}, stopped["EventPattern"])
	requireTarget(t, stopped, getAtt("RunsQueue", "Arn"), object{})
}

// requireTarget requires that a rule has one target, which gets the event in this shape, and a queue for undelivered events.
func requireTarget(t *testing.T, rule object, arn any, shape object) {
	t.Helper()
	targets := at[[]any](rule, "Targets")
	require.Len(t, targets, 1)
	target, _ := targets[0].(object)
	require.Equal(t, arn, target["Arn"])
	require.Equal(t, getAtt("EventFailuresQueue", "Arn"), at[object](target, "DeadLetterConfig", "Arn"))
	for _, key := range []string{"Input", "InputPath", "InputTransformer"} {
		require.Equal(t, shape[key], target[key], key)
	}
}

// A queue accepts messages only from the rules that send to it.
func TestQueuesTakeEventsFromTheirOwnRulesOnly(t *testing.T) {
	s := read(t)
	want := map[string][]string{
		"JobsQueue":          {"CommandsRule"},
		"CompletionsQueue":   {"WorkerStateMachinesRule"},
		"RunsQueue":          {"WorkflowCommandsRule", "WorkflowExecutionsRule", "WorkflowTickRule"},
		"EventFailuresQueue": keys(s.of("AWS::Events::Rule")),
	}
	got := map[string][]string{}
	for id, properties := range s.of("AWS::SQS::QueuePolicy") {
		for _, one := range statements(id, properties["PolicyDocument"]) {
			if one.effect != "Allow" || one.only == "OtherAccounts" {
				continue
			}
			require.Equal(t, object{"Service": "events.amazonaws.com"}, one.whole["Principal"], id)
			require.Equal(t, []string{"sqs:SendMessage"}, one.actions, id)
			got[mentioned(one.resources)[0]] = mentioned(at[any](one.whole, "Condition", "ArnEquals", "aws:SourceArn"))
		}
	}
	require.Equal(t, want, got)
}
