package wiring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
	"github.com/drover-run/drover/shared/wiring"
)

const labourers = "labourers:\n  f: {target: {sqs: \"https://sqs.us-west-2.amazonaws.com/000000000000/workers-f\"}, max_simultaneous_invocations: 5}\njob_schemas:\n  default: {chunkable_attrs: [[store, {}]]}\n"

// stage returns a stack with one labourer, its functions, and what they log.
func stage(t *testing.T) (*outage.Stage, *fakeaws.Functions, *bytes.Buffer) {
	t.Helper()
	s := outage.NewStage(t, labourers, "f")
	var log bytes.Buffer
	clients := s.Clients()
	clients.Log = slog.New(slog.NewJSONHandler(&log, nil))
	return s, fakeaws.Wire(clients), &log
}

// invoked returns the context of an invocation.
func invoked(id string) context.Context {
	return lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: id})
}

func submitted(id, job string) events.SQSMessage {
	return events.SQSMessage{MessageId: id, Body: outage.Command("event-"+id, "SubmitJob", job).Body, Attributes: map[string]string{"ApproximateReceiveCount": "1"}}
}

func TestOnlyFailedMessagesAreRedelivered(t *testing.T) {
	s, f, log := stage(t)
	s.DynamoDB.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		if input, err := json.Marshal(r.Input); err != nil || strings.Contains(string(input), "unlucky") {
			return errors.New("the table is unavailable")
		}
		return nil
	}

	out, err := f.Scheduler.Handle(invoked("one"), events.SQSEvent{Records: []events.SQSMessage{
		submitted("a", `{"job_id": "lucky", "labourer": "f", "secret": "hush"}`), submitted("b", `{"job_id": "unlucky", "labourer": "f"}`)}})

	require.NoError(t, err)
	require.Equal(t, []events.SQSBatchItemFailure{{ItemIdentifier: "b"}}, out.BatchItemFailures)
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "one line per invocation")
	require.Contains(t, log.String(), `"SchedulerFailures":1`)
	require.NotContains(t, log.String(), "hush", "payloads are in no log")
}

func TestTheAssistantDistinguishesABatchFromAWorkersCall(t *testing.T) {
	s, f, _ := stage(t)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f", "stores": ["a", "b"], "isolate_stores": true}`)
	s.HandOut(t, "f")
	handed := s.Handed(t, "f")
	require.Len(t, handed, 2)
	batch, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m",
		Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed"}`, handed[0].TaskID)}}})
	require.NoError(t, err)

	out, err := f.Assistant.Handle(invoked("one"), batch)
	require.NoError(t, err)
	require.Empty(t, out.(events.SQSEventResponse).BatchItemFailures)
	out, err = f.Assistant.Handle(invoked("two"), json.RawMessage(fmt.Sprintf(`{"action": "mark_task_as_completed", "task_id": %q}`, handed[1].TaskID)))
	require.NoError(t, err)
	require.Nil(t, out)
	_, err = f.Assistant.Handle(invoked("three"), json.RawMessage(`{"action": "dance"}`))
	require.ErrorContains(t, err, "reading a worker's call")

	for _, h := range handed {
		id, err := task.ParseID(h.TaskID)
		require.NoError(t, err)
		tasks, err := s.Tasks.Load(t.Context(), []task.ID{id})
		require.NoError(t, err)
		require.Equal(t, task.Completed, tasks[id].Status)
	}
}

func TestATransientErrorHasTheNameThatTheMachineRetries(t *testing.T) {
	for _, c := range []struct {
		err    error
		passes bool
	}{
		{&smithy.GenericAPIError{Code: "ProvisionedThroughputExceededException"}, true},
		{&smithy.GenericAPIError{Code: "AccessDeniedException"}, false},
	} {
		s, f, log := stage(t)
		s.DynamoDB.Hooks.Before = func(context.Context, fakeaws.Request) error { return c.err }

		_, err := f.Orchestrator.Handle(invoked("one"), orchestrator.Step{Step: "claim", Execution: "e", Labourer: "f"})

		_, named := errors.AsType[*settings.ThrottledError](err)
		require.Equal(t, c.passes, named, err)
		require.ErrorIs(t, err, c.err)
		require.Contains(t, log.String(), `"OrchestratorFailures":1`)
	}
}

func messagesOf(taskID string) []assistant.Message {
	return []assistant.Message{{ID: "m", Body: fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed"}`, taskID)}}
}

func image(attributes string) map[string]events.DynamoDBAttributeValue {
	var out map[string]events.DynamoDBAttributeValue
	if err := json.Unmarshal([]byte(attributes), &out); err != nil {
		panic(err)
	}
	return out
}

func TestAnUnreadableRecordIsBuriedAndTheOthersAreProcessed(t *testing.T) {
	s, f, log := stage(t)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	s.HandOut(t, "f")
	_, summary := f.Assistant.Service.Handle(t.Context(), "one", messagesOf(s.Handed(t, "f")[0].TaskID))
	require.Empty(t, summary.Errors)
	records := s.DynamoDB.Stream(fakeaws.TasksTable, 0)
	poison := events.DynamoDBEventRecord{EventName: "MODIFY", Change: events.DynamoDBStreamRecord{SequenceNumber: "7",
		Keys: image(`{"segment": {"S": "odd"}, "n": {"N": "1"}}`), NewImage: image(`{"segment": {"S": "odd"}, "n": {"N": "1"}, "status": {"S": "completed"}}`)}}
	removal := events.DynamoDBEventRecord{EventName: "REMOVE", Change: events.DynamoDBStreamRecord{Keys: image(`{"segment": {"S": "gone"}, "n": {"N": "1"}}`)}}

	batch := events.DynamoDBEvent{Records: append([]events.DynamoDBEventRecord{poison, removal}, records...)}

	require.NoError(t, f.Scavenger.Handle(invoked("one"), batch))
	require.NoError(t, f.Archiver.Handle(invoked("two"), batch))

	letters := s.SQS.Letters(fakeaws.StreamFailures)
	require.Len(t, letters, 2, "by each function")
	for _, letter := range letters {
		require.Contains(t, letter.Body, `"sequence_number":"7"`)
		require.Contains(t, letter.Reason, "segment")
	}
	require.Contains(t, log.String(), `"msg":"archived","records":4,"archived":1`)
}

// TestG1AJobEndsWithAnUnreadableTask: the unreadable parts are not needed for that, and its record leaves them out.
func TestG1AJobEndsWithAnUnreadableTask(t *testing.T) {
	s, f, _ := stage(t)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f", "stores": ["a", "b"], "isolate_stores": true}`)
	s.HandOut(t, "f")
	for _, h := range s.Handed(t, "f") {
		_, summary := f.Assistant.Service.Handle(t.Context(), "one", messagesOf(h.TaskID))
		require.Empty(t, summary.Errors)
	}
	records := s.DynamoDB.Stream(fakeaws.TasksTable, 0)
	for _, r := range records {
		if r.Change.Keys["n"].Number() == "0" {
			r.Change.NewImage["payload"] = events.NewBinaryAttribute([]byte{0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3})
		}
	}

	require.NoError(t, f.Scavenger.Handle(invoked("one"), events.DynamoDBEvent{Records: records}))
	require.NoError(t, f.Archiver.Handle(invoked("two"), events.DynamoDBEvent{Records: records}))

	job, _, err := s.Drover.Job("nightly")
	require.NoError(t, err)
	require.Equal(t, ledger.Completed, job.State)
	require.Equal(t, ledger.Counts{Completed: 2}, job.Counts)
	archived, err := s.Drover.Archived()
	require.NoError(t, err)
	require.Len(t, archived, 2)
	for _, record := range archived {
		require.Equal(t, task.Completed, record.Status)
	}
	for _, letter := range s.SQS.Letters(fakeaws.StreamFailures) {
		require.Contains(t, letter.Body, `"n":{"N":"0"}`, "the dead-letter queue keeps the unreadable record")
		require.Contains(t, letter.Reason, "attribute payload")
	}
	require.NotEmpty(t, s.SQS.Letters(fakeaws.StreamFailures))
}

// TestG8ABatchOfTheStreamHoldsFewPayloadsAtOnce: its 100 payloads of 800 KB compress to almost nothing, so a batch may well have them all.
func TestG8ABatchOfTheStreamHoldsFewPayloadsAtOnce(t *testing.T) {
	s, f, log := stage(t)
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf(`"s%03d"`, i)
	}
	s.Schedule(t, fmt.Sprintf(`{"job_id": "large", "labourer": "f", "isolate_stores": true, "stores": [%s], "ballast": %q}`,
		strings.Join(names, ","), strings.Repeat("row 17; ", 100<<10)))
	_, summary := f.Scheduler.Service.Handle(t.Context(), "one", []scheduler.Message{outage.Command("cancel", "CancelJob", `{"job_id": "large"}`)})
	require.Empty(t, summary.Errors)
	records := s.DynamoDB.Stream(fakeaws.TasksTable, 0)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most := heap(), int64(0)
	look := func(_ context.Context, r fakeaws.Request) error { // at the writes of each chunk: the archiver's files, the scavenger's progress
		if r.Operation == "PutObject" || r.Operation == "UpdateItem" {
			most = max(most, heap()-before)
		}
		return nil
	}
	s.S3.Hooks.Before, s.DynamoDB.Hooks.Before = look, look

	require.NoError(t, f.Scavenger.Handle(invoked("one"), events.DynamoDBEvent{Records: records}))
	require.NoError(t, f.Archiver.Handle(invoked("two"), events.DynamoDBEvent{Records: records}))

	require.Positive(t, most)
	require.Less(t, most, int64(3*task.ChunkBytes))
	require.Contains(t, log.String(), `"archived":100`)
	archived, err := s.Drover.Archived()
	require.NoError(t, err)
	require.Len(t, archived, 100)
	for _, record := range archived {
		require.Greater(t, len(record.Payload), 800<<10)
	}
}

func TestABatchOfTheStreamIsRedeliveredWhole(t *testing.T) {
	s, f, log := stage(t)
	s.SQS.Hooks.Before = func(context.Context, fakeaws.Request) error { return errors.New("the queue is unavailable") }
	poison := events.DynamoDBEventRecord{EventName: "MODIFY", Change: events.DynamoDBStreamRecord{NewImage: image(`{"n": {"N": "1"}}`)}}

	for name, handle := range map[string]func(context.Context, events.DynamoDBEvent) error{"Scavenger": f.Scavenger.Handle, "Archiver": f.Archiver.Handle} {
		err := handle(invoked(name), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{poison}})

		require.ErrorContains(t, err, "the queue is unavailable")
		require.Contains(t, log.String(), fmt.Sprintf(`"%sFailures":1`, name))
	}
}

func TestEveryMissingVariableIsNamed(t *testing.T) {
	for _, name := range []string{"STACK", "TASKS_TABLE", "MAX_TASKS_PER_JOB", "RETENTION_DAYS", "ALARM_TOPIC"} {
		t.Setenv(name, "")
	}

	_, err := wiring.Load()

	for _, name := range []string{"STACK is not set", "TASKS_TABLE is not set", `MAX_TASKS_PER_JOB is ""`, `RETENTION_DAYS is ""`} {
		require.ErrorContains(t, err, name)
	}
	require.Panics(t, func() { wiring.Must(wiring.Load()) })
}

func TestMetricsOfLabourersCanBeSwitchedOff(t *testing.T) {
	for value, whole := range map[string]bool{"stack": false, "labourers": true, "": true} {
		t.Setenv("METRICS", value)
		env, _ := wiring.Load() // the other variables are missing
		require.Equal(t, whole, !env.StackMetrics, value)
	}
}
