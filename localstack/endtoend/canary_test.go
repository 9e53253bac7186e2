package endtoend

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
)

// A task's payload, its result and the message of its error may be secret. Drover stores them only with the tasks, and writes them to no log: not to a
// function's, not to that of Step Functions' executions, and not to that of a worker built with package worker.
func TestNoPayloadResultOrErrorIsInAnyLog(t *testing.T) {
	t.Parallel()
	s := shared(t)
	began := time.Now()
	const canary = "the-canary-in-the-payload"
	d := s.desk(t)
	quoting, waiting := named(t)+".quoting", named(t)+".waiting"
	s.configure(t, object{"labourers": object{named(t): d.labourer(10, object{"max_attempts": 2}), waiting: d.labourer(10, object{"retry": object{"max": "1h"}}), quoting: onLambda("Worker", 1, nil)}})

	// Every way in which an attempt may end and be reported.
	s.submit(t, tasks(5, object{"secret": canary}))
	work := d.take(t, 5)
	require.Equal(t, canary, work[0].object["secret"])
	secret := object{"secret": canary}
	s.report(t, laidOver(work[0].completed(), object{"result": secret, "stats": secret}),
		laidOver(work[1].completed(), object{"result": canary}),
		work[2].failed(object{"error": object{"type": "Hopeless", "message": canary}, "retryable": false}),
		work[3].failed(object{"error": object{"type": "Boom", "message": canary}}),
		work[4].failed(object{"error": canary}),
		laidOver(work[0].completed(), object{"version": canary}), laidOver(work[0].running(), object{"status": secret}))
	s.send(t, s.out["CompletionsQueueUrl"], "nothing that can be read: "+canary)
	for _, one := range d.take(t, 2) {
		s.call(t, object{"action": "mark_task_as_completed", "task_id": one.taskID, "result": secret, "stats": secret})
	}
	require.Equal(t, ledger.Counts{Completed: 4, Dead: 1}, s.ended(t, named(t)).Counts)

	// A retry that waits so long that it has an execution.
	long := s.submit(t, tasks(1, object{"job_id": waiting, "labourer": waiting, "secret": canary}))
	s.report(t, d.take(t, 1)[0].failed(object{"error": object{"type": "Boom", "message": canary}, "retry_after": "16m"}))
	await(t, "an execution that waits", func() (string, bool) {
		text := s.executions(t, s.out["BackoffStateMachineArn"], began)
		return text, strings.Contains(text, waiting)
	})
	s.put(t, "CancelJob", object{"job_id": long})
	s.fact(t, "JobCancelled", object{"job_id": long})

	// A worker whose error quotes its payload.
	failing := s.submit(t, tasks(1, object{"job_id": quoting, "labourer": quoting, "do": canary}))
	s.fact(t, "JobCompleted", object{"job_id": failing})

	// A refused command, and an unreadable one.
	refused := s.submit(t, object{"job_id": named(t) + ".refused", "period": canary})
	s.fact(t, "JobRejected", object{"job_id": refused})
	s.put(t, "CancelJob", object{"job_id": secret})
	s.put(t, "ReplayTasks", object{"tasks": canary})
	s.send(t, s.out["JobsQueueUrl"], "nothing that can be read: "+canary)
	s.settled(t, "JobsQueueUrl")
	s.settled(t, "CompletionsQueueUrl")
	s.idle(t)

	records := s.archived(t, named(t))
	require.Len(t, records, 5)
	for _, r := range records {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		require.GreaterOrEqual(t, strings.Count(string(text), canary), 2, "the task has it in its payload and in its end: %s", text)
	}
	logs := s.logged(t, began)
	for where, text := range logs {
		require.NotContains(t, text, canary, where)
	}
	for output, line := range map[string]string{"SchedulerFunctionName": "scheduled", "OrchestratorFunctionName": "decision",
		"WorkerAssistantFunctionName": "closed", "ScavengerFunctionName": "scavenged"} {
		require.Contains(t, logs[s.group(t, s.out[output])], line, "the search covers the log that is written")
	}
	require.Contains(t, logs[s.group(t, world.workers["Worker"])], "task ended")
	require.Contains(t, logs[s.out["OrchestrateStateMachineArn"]], named(t))
	require.Contains(t, logs[s.out["BackoffStateMachineArn"]], "Boom", "the type of an error is logged")
}

func laidOver(message, more object) object {
	maps.Copy(message, more)
	return message
}

// logged returns all log lines since a time, by log group, and the records of each machine's executions, by machine.
func (s *stack) logged(t *testing.T, since time.Time) map[string]string {
	t.Helper()
	out := map[string]string{}
	groups := cloudwatchlogs.NewDescribeLogGroupsPaginator(s.logs, &cloudwatchlogs.DescribeLogGroupsInput{})
	for groups.HasMorePages() {
		page, err := groups.NextPage(t.Context())
		require.NoError(t, err)
		for _, group := range page.LogGroups {
			name := aws.ToString(group.LogGroupName)
			if !s.target.OnAWS() || strings.Contains(name, s.name) { // an account has other logs too
				out[name] = s.lines(t, name, since)
			}
		}
	}
	for _, machine := range []string{s.out["OrchestrateStateMachineArn"], s.out["BackoffStateMachineArn"]} {
		out[machine] = s.executions(t, machine, since)
	}
	return out
}

func (s *stack) lines(t *testing.T, group string, since time.Time) string {
	t.Helper()
	var text strings.Builder
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(s.logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, StartTime: aws.Int64(since.UnixMilli())})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, line := range page.Events {
			text.WriteString(aws.ToString(line.Message) + "\n")
		}
	}
	return text.String()
}

// executions returns the records of a machine's executions since a time. AWS keeps no history of an Express machine, only its log. The local AWS
// writes no such log, and keeps the history.
func (s *stack) executions(t *testing.T, machine string, since time.Time) string {
	t.Helper()
	if s.target.OnAWS() {
		described, err := s.machines.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &machine})
		require.NoError(t, err)
		if described.Type == sfntypes.StateMachineTypeExpress {
			require.NotEmpty(t, described.LoggingConfiguration.Destinations, "%s has no log", machine)
			arn := aws.ToString(described.LoggingConfiguration.Destinations[0].CloudWatchLogsLogGroup.LogGroupArn)
			_, group, _ := strings.Cut(strings.TrimSuffix(arn, ":*"), ":log-group:")
			return s.lines(t, group, since)
		}
	}
	var text strings.Builder
	pages := sfn.NewListExecutionsPaginator(s.machines, &sfn.ListExecutionsInput{StateMachineArn: &machine})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, e := range page.Executions {
			if aws.ToTime(e.StartDate).Before(since) {
				continue
			}
			histories := sfn.NewGetExecutionHistoryPaginator(s.machines, &sfn.GetExecutionHistoryInput{ExecutionArn: e.ExecutionArn, IncludeExecutionData: aws.Bool(true)})
			for histories.HasMorePages() {
				history, err := histories.NextPage(t.Context())
				require.NoError(t, err)
				events, err := json.Marshal(history.Events)
				require.NoError(t, err)
				text.Write(events)
			}
		}
	}
	return text.String()
}

// group returns the log group of a function.
func (s *stack) group(t *testing.T, function string) string {
	t.Helper()
	out, err := s.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	require.NoError(t, err)
	if out.LoggingConfig == nil || aws.ToString(out.LoggingConfig.LogGroup) == "" {
		return "/aws/lambda/" + aws.ToString(out.FunctionName)
	}
	return aws.ToString(out.LoggingConfig.LogGroup)
}
