package infra_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// folders names the functions' folders, both below functions/ (source) and below .local/functions/ (built).
var folders = map[string]string{
	"SchedulerFunction":       "scheduler",
	"OrchestratorFunction":    "orchestrator",
	"WorkerAssistantFunction": "worker-assistant",
	"ScavengerFunction":       "scavenger",
}

// Each function names its code itself, because the AWS CLI does not look for it in the globals.
func TestFunctionsAreBuiltFromTheFoldersOfTheirNames(t *testing.T) {
	s := read(t)
	functions := s.of("AWS::Serverless::Function")
	require.Equal(t, keys(folders), keys(functions))
	for id, properties := range functions {
		require.Equal(t, "../.local/functions/"+folders[id], properties["CodeUri"], id)
		require.DirExists(t, "../functions/"+folders[id])
	}
	globals := at[object](s.whole, "Globals", "Function")
	require.Equal(t, "provided.al2023", globals["Runtime"])
	require.Equal(t, "bootstrap", globals["Handler"])
	require.Equal(t, []any{ref("Architecture")}, globals["Architectures"])
}

func TestFunctionsGetTheNamesOfTheirResources(t *testing.T) {
	s := read(t)
	require.Equal(t, object{
		"STACK":                             ref("AWS::StackName"),
		"TASKS_TABLE":                       ref("TasksTable"),
		"CONTROL_TABLE":                     ref("ControlTable"),
		"JOBS_TABLE":                        ref("JobsTable"),
		"EVENT_BUS":                         ref("EventBus"),
		"JOBS_QUEUE_URL":                    ref("JobsQueue"),
		"JOBS_DEAD_LETTER_QUEUE_URL":        ref("JobsDeadLetterQueue"),
		"COMPLETIONS_QUEUE_URL":             ref("CompletionsQueue"),
		"COMPLETIONS_DEAD_LETTER_QUEUE_URL": ref("CompletionsDeadLetterQueue"),
		"STREAM_FAILURES_QUEUE_URL":         ref("StreamFailuresQueue"),
		"ALARM_TOPIC":                       ref("AlarmTopic"),
		"ARCHIVE_BUCKET":                    ref("ArchiveBucket"),
		"BACKOFF_STATE_MACHINE":             ref("BackoffStateMachine"),
		"MAX_TASKS_PER_JOB":                 ref("MaxTasksPerJob"),
		"RETENTION_DAYS":                    ref("RetentionDays"),
	}, at[object](s.whole, "Globals", "Function", "Environment", "Variables"))
}

// Each function's memory, and with it its share of a processor, is a parameter. So is its reserved concurrency: none by default, because a
// reservation takes from the account's concurrency.
func TestMemoryAndConcurrencyAreParameters(t *testing.T) {
	s := read(t)
	require.NotContains(t, at[object](s.whole, "Globals", "Function"), "MemorySize")
	// As measured by BenchmarkProcessor, see README.md.
	measured := map[string]int{"Scheduler": 512, "Orchestrator": 256, "WorkerAssistant": 256, "Scavenger": 256}
	for id, properties := range s.of("AWS::Serverless::Function") {
		name := strings.TrimSuffix(id, "Function")
		require.Equal(t, ref(name+"Memory"), properties["MemorySize"], id)
		require.Equal(t, measured[name], s.parameters[name+"Memory"]["Default"], id)
		require.Equal(t, 128, s.parameters[name+"Memory"]["MinValue"], "Lambda's limit")
		require.Equal(t, 10240, s.parameters[name+"Memory"]["MaxValue"], "Lambda's limit")
		require.Equal(t, 0, s.parameters[name+"Concurrency"]["Default"])
		require.Equal(t, object{"Fn::Not": []any{object{"Fn::Equals": []any{ref(name + "Concurrency"), 0}}}}, s.conditions["Reserve"+name])
		require.Equal(t, object{"Fn::If": []any{"Reserve" + name, ref(name + "Concurrency"), ref("AWS::NoValue")}}, properties["ReservedConcurrentExecutions"], id)
	}
}

// Lambda ends chains of calls that contain a function more than 16 times. Drover's functions form such chains, except for the scavenger, whose
// stream begins a new chain: it keeps the guard.
func TestOnlyFunctionsInLoopsAllowRecursion(t *testing.T) {
	for id, properties := range read(t).of("AWS::Serverless::Function") {
		if id == "ScavengerFunction" {
			require.NotContains(t, properties, "RecursiveLoop", id)
			continue
		}
		require.Equal(t, "Allow", properties["RecursiveLoop"], id)
	}
}

func TestEveryLogIsKeptForAsLongAsAskedInAGroupOfItsOwn(t *testing.T) {
	s := read(t)
	users := map[string]string{}
	for id, properties := range s.of("AWS::Serverless::Function") {
		users[at[string](properties, "LoggingConfig", "LogGroup", "Ref")] = id
	}
	for id, properties := range s.of("AWS::Serverless::StateMachine") {
		for _, destination := range at[[]any](properties, "Logging", "Destinations") {
			users[mentioned(destination)[0]] = id
		}
	}
	groups := s.of("AWS::Logs::LogGroup")
	require.Equal(t, keys(groups), keys(users))
	for id, properties := range groups {
		require.Equal(t, ref("LogRetentionDays"), properties["RetentionInDays"], id)
	}
	for role, rights := range s.rights() {
		for _, right := range rights {
			if right.sid == "Log" {
				require.Equal(t, []string{role[:len(role)-len("Role")] + "Logs"}, mentioned(right.resources), "%s writes to its own group", role)
			}
		}
	}
}

// The number of concurrent batches is a literal: a parameter arrives as text, which a local AWS cannot compare.
func TestQueueMappingsReportWhatFailedAndAreBounded(t *testing.T) {
	mappings := 0
	for id, function := range read(t).of("AWS::Serverless::Function") {
		for _, event := range objects(function["Events"]) {
			if event["Type"] != "SQS" {
				continue
			}
			mappings++
			properties := at[object](event, "Properties")
			require.Equal(t, []any{"ReportBatchItemFailures"}, properties["FunctionResponseTypes"], id)
			require.Equal(t, 10, properties["BatchSize"], id)
			require.IsType(t, 0, at[any](properties, "ScalingConfig", "MaximumConcurrency"), id)
		}
	}
	require.Equal(t, 2, mappings)
}

func TestTheStreamMappingLosesNothing(t *testing.T) {
	s := read(t)
	mapping := at[object](s.resources["ScavengerFunction"], "Properties", "Events", "Closings", "Properties")
	require.Equal(t, getAtt("TasksTable", "StreamArn"), mapping["Stream"])
	require.Equal(t, "TRIM_HORIZON", mapping["StartingPosition"])
	require.Equal(t, getAtt("StreamFailuresQueue", "Arn"), at[any](mapping, "DestinationConfig", "OnFailure", "Destination"))
	require.Equal(t, true, mapping["BisectBatchOnFunctionError"])
	require.Positive(t, mapping["MaximumRetryAttempts"])
	require.Less(t, mapping["MaximumRecordAgeInSeconds"], 24*3600, "the stream drops records after a day; a failure has to be reported before")
	require.NotContains(t, mapping, "FunctionResponseTypes", "a local AWS takes items that are reported like this for done")
}

// The filter passes writes that end an attempt or a task. It passes neither the scavenger's own writes, which open a task again, nor REMOVE:
// items expire by their time to live.
func TestTheStreamMappingLetsOnlyClosingsThrough(t *testing.T) {
	filters := at[[]any](read(t).resources["ScavengerFunction"], "Properties", "Events", "Closings", "Properties", "FilterCriteria", "Filters")
	require.Len(t, filters, 1)
	var pattern any
	require.NoError(t, json.Unmarshal([]byte(at[string](filters[0], "Pattern")), &pattern))
	require.Equal(t, object{
		"eventName": []any{"INSERT", "MODIFY"},
		"dynamodb":  object{"NewImage": object{"status": object{"S": []any{"completed", "failed", "expired", "dead", "cancelled"}}}},
	}, pattern)
}
