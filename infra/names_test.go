package infra_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nameOf holds the property that sets the physical name, for each type of resource in this stack.
var nameOf = map[string]string{
	"AWS::CloudWatch::Alarm":          "AlarmName",
	"AWS::CloudWatch::Dashboard":      "DashboardName",
	"AWS::DynamoDB::Table":            "TableName",
	"AWS::Events::EventBus":           "Name",
	"AWS::Events::EventBusPolicy":     "",
	"AWS::Events::Rule":               "Name",
	"AWS::IAM::Policy":                "", // its name is one within its roles
	"AWS::IAM::Role":                  "RoleName",
	"AWS::KMS::Key":                   "",
	"AWS::Logs::LogGroup":             "LogGroupName",
	"AWS::S3::Bucket":                 "BucketName",
	"AWS::S3::BucketPolicy":           "",
	"AWS::Lambda::EventSourceMapping": "",
	"AWS::SNS::Subscription":          "",
	"AWS::SNS::Topic":                 "TopicName",
	"AWS::SNS::TopicPolicy":           "",
	"AWS::SQS::Queue":                 "QueueName",
	"AWS::SQS::QueuePolicy":           "",
	"AWS::Serverless::Function":       "FunctionName",
	"AWS::Serverless::StateMachine":   "Name",
}

// Stacks can live side by side and resources can be replaced in place, because the template names no resource. There are two exceptions: a bus
// must have a name, which is the stack's; and logs of state machines need a prefix, followed by the stack's name and id.
func TestTheTemplateNamesNoResource(t *testing.T) {
	s := read(t)
	for id, resource := range s.resources {
		kind := at[string](resource, "Type")
		property, known := nameOf[kind]
		require.True(t, known, "%s: add the property that names a %s here", id, kind)
		if kind == "AWS::Events::EventBus" {
			require.Equal(t, ref("AWS::StackName"), at[object](resource, "Properties", property))
			continue
		}
		if kind == "AWS::Logs::LogGroup" && vended(s, id) {
			require.Contains(t, mentioned(at[any](resource, "Properties", property)), "AWS::StackId", id)
			continue
		}
		if property != "" {
			require.NotContains(t, at[object](resource, "Properties"), property, id)
		}
	}
}

// vended reports whether a log group belongs to a state machine: then Step Functions writes to it, and no role of the stack does.
func vended(s stack, id string) bool {
	for _, properties := range s.of("AWS::Serverless::StateMachine") {
		for _, destination := range at[[]any](properties, "Logging", "Destinations") {
			if mentioned(destination)[0] == id {
				return true
			}
		}
	}
	return false
}

// Step Functions adds log groups without this prefix to one policy of the account and region. That policy holds 5,120 characters, and deleting a
// stack removes nothing from it: after enough stacks no further one can be created.
// https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
func TestLogsOfStateMachinesFillNoPolicyOfTheAccount(t *testing.T) {
	s := read(t)
	id := object{"Fn::Select": []any{0, object{"Fn::Split": []any{"-", object{"Fn::Select": []any{2, object{"Fn::Split": []any{"/", ref("AWS::StackId")}}}}}}}}
	names := map[string]bool{}
	for group, properties := range s.of("AWS::Logs::LogGroup") {
		if !vended(s, group) {
			continue
		}
		parts := at[[]any](properties, "LogGroupName", "Fn::Join")
		require.Len(t, parts, 2, group)
		require.Equal(t, "/", parts[0], group)
		path := parts[1].([]any)
		require.Equal(t, []any{"/aws/vendedlogs/states", ref("AWS::StackName"), id}, path[:3], group)
		names[path[3].(string)] = true
	}
	require.Equal(t, []string{"backoff", "orchestrate", "workflow"}, keys(names), "each machine has its own group")
}

func TestNoAccountRegionOrPartitionIsWrittenOut(t *testing.T) {
	var texts []string
	var collect func(value any)
	collect = func(value any) {
		switch value := value.(type) {
		case string:
			texts = append(texts, value)
		case object:
			for _, v := range value {
				collect(v)
			}
		case []any:
			for _, v := range value {
				collect(v)
			}
		}
	}
	collect(read(t).whole["Resources"])
	require.NotEmpty(t, texts)
	written := slices.IndexFunc(texts, func(text string) bool {
		return strings.Contains(text, "arn:aws:") || strings.Contains(text, "us-east-1")
	})
	require.Negative(t, written)
}
