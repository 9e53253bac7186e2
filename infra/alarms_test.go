package infra_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryDeadLetterQueueHasAnAlarm(t *testing.T) {
	watched := map[string]bool{}
	for _, properties := range read(t).of("AWS::CloudWatch::Alarm") {
		if properties["MetricName"] == "ApproximateNumberOfMessagesVisible" {
			watched[mentioned(properties["Dimensions"])[0]] = true
		}
	}
	require.Equal(t, keys(deadEnds), keys(watched))
}

func TestEveryFunctionHasAnErrorAlarm(t *testing.T) {
	s := read(t)
	watched := map[string]bool{}
	for _, properties := range s.of("AWS::CloudWatch::Alarm") {
		if properties["Namespace"] == "AWS/Lambda" && properties["MetricName"] == "Errors" {
			watched[mentioned(properties["Dimensions"])[0]] = true
		}
	}
	require.Equal(t, keys(s.of("AWS::Serverless::Function")), keys(watched))
}

// Each alarm has a description, watches one plain metric of one resource (a local AWS rolls a stack with metric math back), and notifies the
// topic when it begins and when it ends.
func TestAlarmsDescribeWhatHappenedAndNotifyTheTopic(t *testing.T) {
	alarms := read(t).of("AWS::CloudWatch::Alarm")
	require.NotEmpty(t, alarms)
	for id, properties := range alarms {
		require.NotEmpty(t, properties["AlarmDescription"], id)
		require.NotEmpty(t, properties["MetricName"], id)
		require.NotContains(t, properties, "Metrics", id)
		require.Len(t, properties["Dimensions"], 1, id)
		require.Len(t, mentioned(properties["Dimensions"]), 1, id)
		require.Equal(t, []any{ref("AlarmTopic")}, properties["AlarmActions"], id)
		require.Equal(t, []any{ref("AlarmTopic")}, properties["OKActions"], id)
	}
}

// CloudWatch may not use AWS's own key for SNS: alarms to a topic under that key are lost without notice
// (https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html).
func TestTheAlarmTopicIsEncryptedWithAKeyThatAlarmsMayUse(t *testing.T) {
	s := read(t)
	require.Equal(t, ref("AlarmKey"), at[any](s.resources["AlarmTopic"], "Properties", "KmsMasterKeyId"))
	require.Equal(t, true, at[any](s.resources["AlarmKey"], "Properties", "EnableKeyRotation"))
	var allowed []string
	for _, one := range statements("AlarmKey", at[any](s.resources["AlarmKey"], "Properties", "KeyPolicy")) {
		if at[string](one.whole, "Principal", "Service") == "cloudwatch.amazonaws.com" {
			allowed = append(allowed, one.actions...)
			require.Equal(t, ref("AWS::AccountId"), at[any](one.whole, "Condition", "StringEquals", "aws:SourceAccount"))
		}
	}
	require.Equal(t, []string{"kms:Decrypt", "kms:GenerateDataKey*"}, allowed)
}

// A publisher needs the topic's key too: the right to the topic alone is not enough.
func TestPublishersToTheAlarmTopicMayUseItsKey(t *testing.T) {
	publishers := 0
	for role, rights := range read(t).rights() {
		publishes, encrypts := false, false
		for _, right := range rights {
			for _, id := range mentioned(right.resources) {
				publishes = publishes || id == "AlarmTopic"
				encrypts = encrypts || id == "AlarmKey"
			}
		}
		require.Equal(t, publishes, encrypts, role)
		if publishes {
			publishers++
		}
	}
	require.Equal(t, 2, publishers, "the scavenger publishes dead tasks, the workflow function overdue runs")
}

func TestTheDashboardShowsEveryQueueFunctionMachineAndTable(t *testing.T) {
	s := read(t)
	body := at[any](s.resources["Dashboard"], "Properties", "DashboardBody")
	var dashboard struct {
		Widgets []struct {
			X, Y, Width, Height int
			Properties          struct {
				Title, Region, Stat string
				Metrics             [][]any
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(at[string](body, "Fn::Sub")), &dashboard))
	taken := map[[2]int]string{}
	for _, widget := range dashboard.Widgets {
		title := widget.Properties.Title
		require.NotEmpty(t, title)
		require.Equal(t, "${AWS::Region}", widget.Properties.Region, title)
		require.NotEmpty(t, widget.Properties.Metrics, title)
		require.LessOrEqual(t, widget.X+widget.Width, 24, title)
		for x := widget.X; x < widget.X+widget.Width; x++ {
			for y := widget.Y; y < widget.Y+widget.Height; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s overlaps %s", title, taken[[2]int{x, y}])
				taken[[2]int{x, y}] = title
			}
		}
	}
	shown := mentioned(body)
	for _, id := range keys(s.of("AWS::SQS::Queue", "AWS::Serverless::Function", "AWS::Serverless::StateMachine", "AWS::DynamoDB::Table")) {
		if at[string](s.resources[id], "Condition") != "" {
			continue // the dashboard would not exist without it
		}
		require.Contains(t, shown, id)
	}
}

// The documents may name the alarms of all functions together: …ErrorsAlarm.
func TestEachAlarmHasAnEntryInTheDocuments(t *testing.T) {
	for _, path := range []string{"README.md", "../docs/operations.md"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		named := map[string]bool{}
		for _, name := range regexp.MustCompile("`(…?[A-Za-z]+Alarm)`").FindAllStringSubmatch(string(text), -1) {
			named[name[1]] = true
		}
		alarms := read(t).of("AWS::CloudWatch::Alarm")
		for id := range alarms {
			function := regexp.MustCompile(`^(Scheduler|Orchestrator|WorkerAssistant|Scavenger|Archiver|Workflow)`)
			require.True(t, named[id] || named[function.ReplaceAllString(id, "…")], "%s has no entry for %s", path, id)
		}
		for name := range named {
			if !strings.HasPrefix(name, "…") {
				require.Contains(t, alarms, name, path)
			}
		}
	}
}
