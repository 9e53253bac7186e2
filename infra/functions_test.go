package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
)

// folders names the functions' folders, both below functions/ (source) and below .local/functions/ (built).
var folders = map[string]string{
	"SchedulerFunction":       "scheduler",
	"OrchestratorFunction":    "orchestrator",
	"WorkerAssistantFunction": "worker-assistant",
	"ScavengerFunction":       "scavenger",
	"WorkflowFunction":        "workflow",
	"ArchiverFunction":        "archiver",
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
		"MOE_STATUS_TABLE":                  object{"Fn::If": []any{"MoePlugins", ref("StatusTable"), ""}},
		"TASKS_TABLE":                       ref("TasksTable"),
		"CONTROL_TABLE":                     ref("ControlTable"),
		"JOBS_TABLE":                        ref("JobsTable"),
		"RUNS_TABLE":                        ref("RunsTable"),
		"EVENT_BUS":                         ref("EventBus"),
		"JOBS_QUEUE_URL":                    ref("JobsQueue"),
		"JOBS_DEAD_LETTER_QUEUE_URL":        ref("JobsDeadLetterQueue"),
		"COMPLETIONS_QUEUE_URL":             ref("CompletionsQueue"),
		"COMPLETIONS_DEAD_LETTER_QUEUE_URL": ref("CompletionsDeadLetterQueue"),
		"RUNS_QUEUE_URL":                    ref("RunsQueue"),
		"RUNS_DEAD_LETTER_QUEUE_URL":        ref("RunsDeadLetterQueue"),
		"STREAM_FAILURES_QUEUE_URL":         ref("StreamFailuresQueue"),
		"ALARM_TOPIC":                       ref("AlarmTopic"),
		"ARCHIVE_BUCKET":                    ref("ArchiveBucket"),
		"BACKOFF_STATE_MACHINE":             ref("BackoffStateMachine"),
		"WORKFLOW_STATE_MACHINE":            ref("WorkflowStateMachine"),
		"COMPLETIONS_MAX_RECEIVES":          fmt.Sprint(at[int](s.whole, "Resources", "CompletionsQueue", "Properties", "RedrivePolicy", "maxReceiveCount")), // a local AWS passes only text
		"MAX_TASKS_PER_JOB":                 ref("MaxTasksPerJob"),
		"RETENTION_DAYS":                    ref("RetentionDays"),
		"METRICS":                           ref("Metrics"),
	}, at[object](s.whole, "Globals", "Function", "Environment", "Variables"))
}

// Each function's memory, and with it its share of a processor, is a parameter. So is its reserved concurrency: none by default, because a
// reservation takes from the account's concurrency.
func TestMemoryAndConcurrencyAreParameters(t *testing.T) {
	s := read(t)
	require.NotContains(t, at[object](s.whole, "Globals", "Function"), "MemorySize")
	// As measured by BenchmarkProcessor, see README.md.
	measured := map[string]int{"Scheduler": 512, "Orchestrator": 256, "WorkerAssistant": 256, "Scavenger": 256, "Archiver": 256, "Workflow": 512}
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

// Lambda ends chains of calls that contain a function more than 16 times. Drover's functions form such chains, except for those that a stream
// calls, as it begins a new chain: they keep the guard.
func TestOnlyFunctionsInLoopsAllowRecursion(t *testing.T) {
	for id, properties := range read(t).of("AWS::Serverless::Function") {
		if id == "ScavengerFunction" || id == "ArchiverFunction" {
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
	require.Equal(t, object{"LogFormat": "JSON", "SystemLogLevel": "WARN"}, at[object](s.whole, "Globals", "Function", "LoggingConfig"), "Lambda adds no lines of its own")
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
			require.IsType(t, 0, at[any](properties, "ScalingConfig", "MaximumConcurrency"), id)
		}
	}
	require.Equal(t, 3, mappings)
}

// A window is what lets Lambda gather more than ten messages. The owner decides how long freed slots stay empty for it.
func TestCompletionsAreGatheredForAsLongAsTheOwnerSays(t *testing.T) {
	s := read(t)
	mapping := at[object](s.resources["WorkerAssistantFunction"], "Properties", "Events", "Completions", "Properties")
	require.Equal(t, ref("CompletionsWindowSeconds"), mapping["MaximumBatchingWindowInSeconds"])
	require.Equal(t, object{"Fn::If": []any{"CompletionsGather", 100, 10}}, mapping["BatchSize"])
	require.Equal(t, object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("CompletionsWindowSeconds"), 0}}}}, s.conditions["CompletionsGather"])
	window := s.parameters["CompletionsWindowSeconds"]
	require.Equal(t, []any{1, 0, 10}, []any{window["Default"], window["MinValue"], window["MaxValue"]})
}

// TestJobsAreGatheredForAsLongAsTheOwnerSays: those of a batch may share a transaction, which has at most 100 writes.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func TestJobsAreGatheredForAsLongAsTheOwnerSays(t *testing.T) {
	s := read(t)
	mapping := at[object](s.resources["SchedulerFunction"], "Properties", "Events", "Jobs", "Properties")
	require.Equal(t, ref("JobsWindowSeconds"), mapping["MaximumBatchingWindowInSeconds"])
	require.Equal(t, object{"Fn::If": []any{"JobsGather", 50, 10}}, mapping["BatchSize"])
	require.Equal(t, object{"Fn::Not": []any{object{"Fn::Equals": []any{ref("JobsWindowSeconds"), 0}}}}, s.conditions["JobsGather"])
	window := s.parameters["JobsWindowSeconds"]
	require.Equal(t, []any{1, 0, 10}, []any{window["Default"], window["MinValue"], window["MaxValue"]})
}

// streamed holds the name of the event of each function that reads the stream. A shard of a stream bears two readers.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.Lambda.html
var streamed = map[string]string{"ScavengerFunction": "Closings", "ArchiverFunction": "Ends"}

func (s stack) mapping(function string) object {
	return at[object](s.resources[function], "Properties", "Events", streamed[function], "Properties")
}

func TestTheStreamMappingsLoseNothing(t *testing.T) {
	s := read(t)
	for id, function := range s.of("AWS::Serverless::Function") {
		for name, event := range at[object](function, "Events") {
			if at[string](event, "Type") == "DynamoDB" {
				require.Equal(t, streamed[id], name, "a third reader slows the others down")
			}
		}
	}
	for id := range streamed {
		mapping := s.mapping(id)
		require.Equal(t, getAtt("TasksTable", "StreamArn"), mapping["Stream"], id)
		require.Equal(t, "TRIM_HORIZON", mapping["StartingPosition"], id)
		require.Equal(t, getAtt("StreamFailuresQueue", "Arn"), at[any](mapping, "DestinationConfig", "OnFailure", "Destination"), id)
		require.Equal(t, true, mapping["BisectBatchOnFunctionError"], id)
		require.Positive(t, mapping["MaximumRetryAttempts"], id)
		require.Less(t, mapping["MaximumRecordAgeInSeconds"], 24*3600, "the stream drops records after a day; a failure has to be reported before")
		require.NotContains(t, mapping, "FunctionResponseTypes", "a local AWS takes items that are reported like this for done")
	}
}

// The status table's stream is mapped as that of the tasks table, for the function that closes tasks. A new row holds no state.
func TestTheStatusMappingLosesNothing(t *testing.T) {
	s := read(t)
	mapping := at[object](s.resources["StatusMapping"], "Properties")
	require.Equal(t, ref("WorkerAssistantFunction"), mapping["FunctionName"])
	require.Equal(t, getAtt("StatusTable", "StreamArn"), mapping["EventSourceArn"])
	for _, property := range []string{"StartingPosition", "BisectBatchOnFunctionError", "MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "BatchSize", "ParallelizationFactor"} {
		require.Equal(t, s.mapping("ScavengerFunction")[property], mapping[property], property)
	}
	require.Equal(t, getAtt("StreamFailuresQueue", "Arn"), at[any](mapping, "DestinationConfig", "OnFailure", "Destination"))
	require.NotContains(t, mapping, "FunctionResponseTypes")
	require.NotContains(t, mapping, "MaximumBatchingWindowInSeconds", "a run waits for it")
	require.Equal(t, "MoePluginsPolicy", s.resources["StatusMapping"]["DependsOn"], "Lambda refuses a mapping whose role may not read yet")
	require.Equal(t, []any{object{"Pattern": `{"eventName": ["MODIFY"]}`}}, at[[]any](mapping, "FilterCriteria", "Filters"))
}

// A retry and the end of a job are not delayed. An object of the archive costs as much as eight writes, so it is filled.
func TestOnlyTheArchiveWaitsForFullBatches(t *testing.T) {
	s := read(t)
	require.NotContains(t, s.mapping("ScavengerFunction"), "MaximumBatchingWindowInSeconds")
	archiver := s.mapping("ArchiverFunction")
	require.Equal(t, ref("ArchiveWindowSeconds"), archiver["MaximumBatchingWindowInSeconds"])
	require.Equal(t, 1000, archiver["BatchSize"])
	require.NotContains(t, archiver, "ParallelizationFactor", "each lane fills objects of its own")
	window := s.parameters["ArchiveWindowSeconds"]
	require.Equal(t, []any{60, 0, 300}, []any{window["Default"], window["MinValue"], window["MaxValue"]})
}

// passes reports whether one of a function's filters passes a record. The filters compare texts, and ask whether attributes exist.
func (s stack) passes(t *testing.T, function string, record object) bool {
	t.Helper()
	for _, filter := range at[[]any](s.mapping(function), "FilterCriteria", "Filters") {
		var pattern object
		require.NoError(t, json.Unmarshal([]byte(at[string](filter, "Pattern")), &pattern))
		if matches(t, pattern, record) {
			return true
		}
	}
	return false
}

func matches(t *testing.T, pattern, record object) bool {
	t.Helper()
	for name, wanted := range pattern {
		value, there := record[name]
		switch wanted := wanted.(type) {
		case object:
			below, is := value.(object)
			if !is || !matches(t, wanted, below) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(wanted, func(one any) bool {
				if exists, is := one.(object); is {
					require.Equal(t, object{"exists": true}, exists)
					return there
				}
				return one == value
			}) {
				return false
			}
		default:
			require.Fail(t, "a pattern has lists and objects only", "%v", wanted)
		}
	}
	return true
}

// The scavenger gets the ends that no lease records: failed attempts, deaths, cancellations, and completions of turns and in segments that
// several jobs share. The archiver gets the ends of tasks. Neither gets a write that opens a task again, nor REMOVE: items expire by their time to live.
func TestTheStreamMappingsPassTheEndsThatTheirFunctionsHandle(t *testing.T) {
	s := read(t)
	for _, status := range []task.Status{task.Open, task.Completed, task.Failed, task.Expired, task.Dead, task.Cancelled, "running"} {
		for _, of := range []object{{}, {"shared": object{"BOOL": true}}, {"turn": object{"S": "000#1"}}} {
			for _, name := range []string{"INSERT", "MODIFY", "REMOVE"} {
				record := written(name, status, of)
				failed := status == task.Failed || status == task.Expired
				unrecorded := failed || status == task.Dead || status == task.Cancelled || status == task.Completed && len(of) > 0
				require.Equal(t, unrecorded && name != "REMOVE", s.passes(t, "ScavengerFunction", record), "%s %s %v to the scavenger", name, status, of)
				require.Equal(t, status.Terminal() && name != "REMOVE", s.passes(t, "ArchiverFunction", record), "%s %s %v to the archiver", name, status, of)
			}
		}
	}
}

// written returns a record of the stream. The task has the attributes of.
func written(name string, status task.Status, of object) object {
	image := object{"segment": object{"S": "s"}, "n": object{"N": "0"}, "labourer": object{"S": "l"}, "job": object{"S": "j"}}
	if status != task.Open {
		image["status"] = object{"S": string(status)}
	}
	maps.Copy(image, of)
	change := object{"Keys": object{"segment": object{"S": "s"}, "n": object{"N": "0"}}, "SequenceNumber": "1", "StreamViewType": "NEW_IMAGE"}
	if name != "REMOVE" {
		change["NewImage"] = image
	}
	return object{"eventID": "1", "eventName": name, "eventSource": "aws:dynamodb", "dynamodb": change}
}
