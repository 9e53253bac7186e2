package infra_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Properties that give a resource its physical name, for what this stack is made of.
var nameOf = map[string]string{
	"AWS::CloudWatch::Alarm":        "AlarmName",
	"AWS::CloudWatch::Dashboard":    "DashboardName",
	"AWS::DynamoDB::Table":          "TableName",
	"AWS::Events::EventBus":         "Name",
	"AWS::Events::Rule":             "Name",
	"AWS::IAM::Role":                "RoleName",
	"AWS::KMS::Key":                 "",
	"AWS::Logs::LogGroup":           "LogGroupName",
	"AWS::S3::Bucket":               "BucketName",
	"AWS::S3::BucketPolicy":         "",
	"AWS::SNS::Subscription":        "",
	"AWS::SNS::Topic":               "TopicName",
	"AWS::SNS::TopicPolicy":         "",
	"AWS::SQS::Queue":               "QueueName",
	"AWS::SQS::QueuePolicy":         "",
	"AWS::Serverless::Function":     "FunctionName",
	"AWS::Serverless::StateMachine": "Name",
}

// Two stacks live side by side, and what has to be replaced is replaced in place, because nothing has a name of its own making. A bus
// must have one: it is the stack's.
func TestNothingIsGivenAName(t *testing.T) {
	s := read(t)
	for id, resource := range s.resources {
		kind := at[string](resource, "Type")
		property, known := nameOf[kind]
		require.True(t, known, "%s: say here which property of %s is its name", id, kind)
		if kind == "AWS::Events::EventBus" {
			require.Equal(t, ref("AWS::StackName"), at[object](resource, "Properties", property))
			continue
		}
		if property != "" {
			require.NotContains(t, at[object](resource, "Properties"), property, id)
		}
	}
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
