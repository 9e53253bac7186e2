package infra_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The command line, tests and users find the stack's resources only by these outputs.
func TestTheOutputsNameTheStacksResources(t *testing.T) {
	s := read(t)
	want := map[string]any{
		"EventBusName":                  ref("EventBus"),
		"JobsQueueUrl":                  ref("JobsQueue"),
		"JobsDeadLetterQueueUrl":        ref("JobsDeadLetterQueue"),
		"CompletionsQueueUrl":           ref("CompletionsQueue"),
		"CompletionsQueueArn":           getAtt("CompletionsQueue", "Arn"),
		"CompletionsDeadLetterQueueUrl": ref("CompletionsDeadLetterQueue"),
		"StreamFailuresQueueUrl":        ref("StreamFailuresQueue"),
		"EventFailuresQueueUrl":         ref("EventFailuresQueue"),
		"TasksTableName":                ref("TasksTable"),
		"ControlTableName":              ref("ControlTable"),
		"JobsTableName":                 ref("JobsTable"),
		"ArchiveBucketName":             ref("ArchiveBucket"),
		"OrchestrateStateMachineArn":    ref("OrchestrateStateMachine"),
		"BackoffStateMachineArn":        ref("BackoffStateMachine"),
		"SchedulerFunctionName":         ref("SchedulerFunction"),
		"OrchestratorFunctionName":      ref("OrchestratorFunction"),
		"WorkerAssistantFunctionName":   ref("WorkerAssistantFunction"),
		"ScavengerFunctionName":         ref("ScavengerFunction"),
		"ArchiverFunctionName":          ref("ArchiverFunction"),
		"AlarmTopicArn":                 ref("AlarmTopic"),
	}
	for name, value := range want {
		require.Equal(t, value, s.outputs[name]["Value"], name)
	}
	require.Equal(t, object{"Fn::Join": []any{"", []any{
		"https://",
		object{"Fn::If": []any{"InChina", "console.amazonaws.cn", object{"Fn::If": []any{"InGovCloud", "console.amazonaws-us-gov.com", "console.aws.amazon.com"}}}},
		object{"Fn::Sub": "/cloudwatch/home?region=${AWS::Region}#dashboards/dashboard/${Dashboard}"},
	}}}, s.outputs["DashboardUrl"]["Value"], "each partition has its own console")
	require.Equal(t, object{"Fn::Equals": []any{ref("AWS::Partition"), "aws-cn"}}, s.conditions["InChina"])
	require.Equal(t, object{"Fn::Equals": []any{ref("AWS::Partition"), "aws-us-gov"}}, s.conditions["InGovCloud"])
	for name, output := range s.outputs {
		require.NotEmpty(t, at[string](output, "Description"), name)
		if name == "MoeStatusTableName" { // there is nothing to name without the table
			require.Equal(t, "MoePlugins", at[string](output, "Condition"))
			continue
		}
		require.NotContains(t, output, "Condition", "%s: an output that may be missing cannot be relied on", name)
		require.NotContains(t, output, "Export", "%s: an exported name is taken for the whole region", name)
	}
}

// Examples for other tools name parts of the stack that exist.
func TestTheExamplesForTerraformAndTheCDKNameWhatTheTemplateHas(t *testing.T) {
	s := read(t)
	text, err := os.ReadFile("../docs/terraform-cdk.md")
	require.NoError(t, err)
	for pattern, have := range map[string]map[string]object{
		`outputs\["(\w+)"\]`:             s.outputs,
		`getResource\("(\w+)"\)`:         s.resources,
		`parameters(?:\s+=|:) \{ (\w+)`:  s.parameters,
		`RetentionDays = "90", (\w+) = `: s.parameters,
		`--parameter (\w+)=`:             s.parameters,
	} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, found, pattern)
		for _, match := range found {
			require.Contains(t, have, match[1], pattern)
		}
	}
}
