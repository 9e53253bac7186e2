//go:build account

package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
)

// These are the checks of make conformance that only AWS itself can settle. They run one after the other, on the stack that the end-to-end
// tests have left. A check that a local AWS cannot judge is skipped with the reason.

// onAWS skips a check, or a part of one, that a local AWS would pass or fail for its own reasons.
func onAWS(t *testing.T, why string) {
	t.Helper()
	if !shared(t).target.OnAWS() {
		t.Skip("not judged here: " + why)
	}
}

// size returns the size of a check: the value of the variable or, without it, the full size on AWS and a small one on a local AWS.
func size(t *testing.T, variable string, there, here int) int {
	t.Helper()
	if text := os.Getenv(variable); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err, variable)
		return n
	}
	if shared(t).target.OnAWS() {
		return there
	}
	return here
}

// awsCLI runs the AWS command line, for services that Drover itself does not use.
func (s *stack) awsCLI(t *testing.T, arguments ...string) object {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), s.target.Environ(), &out, ".local/venv/bin/aws", append(arguments, "--output", "json")...))
	answer := object{}
	if out.Len() > 0 {
		require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
	}
	return answer
}

// redeploy deploys the stack with other parameters; the cleanup restores them.
func (s *stack) redeploy(t *testing.T, with, back []string) {
	t.Helper()
	_, err := deploy(t.Context(), s.target, s.name, "infra/template.yaml", with...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := deploy(context.Background(), s.target, s.name, "infra/template.yaml", back...)
		require.NoError(t, err)
	})
}

// ---- 1

func TestAccount01AStackIsCreatedDeletedAndCreatedAgain(t *testing.T) {
	s := shared(t)
	name := world.stackName("again")
	stacks := cloudformation.NewFromConfig(s.target.Config())
	gone := func() {
		_, err := stacks.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: &name})
		require.NoError(t, err)
		require.NoError(t, cloudformation.NewStackDeleteCompleteWaiter(stacks).Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: &name}, begin))
	}

	t.Run("twice", func(t *testing.T) {
		for range 2 {
			_, err := deploy(t.Context(), s.target, name, "infra/template.yaml", "TickState=DISABLED")
			require.NoError(t, err)
			gone()
		}
	})
	t.Run("without growing the account's policy for logs", func(t *testing.T) {
		onAWS(t, "it has no resource policies for vended logs")
		policies, err := s.logs.DescribeResourcePolicies(t.Context(), &cloudwatchlogs.DescribeResourcePoliciesInput{})
		require.NoError(t, err)
		for _, p := range policies.ResourcePolicies {
			require.NotContains(t, aws.ToString(p.PolicyDocument), name, "a log group of the stack stays in policy %s", aws.ToString(p.PolicyName))
		}
	})
	t.Run("after a first create that fails", func(t *testing.T) {
		onAWS(t, "it reserves any concurrency, so nothing makes a creation fail")
		_, err := deploy(t.Context(), s.target, name, "infra/template.yaml", "TickState=DISABLED", "ScavengerConcurrency=1000000")
		require.Error(t, err, "no account has a million concurrent executions")
		tables, err := s.db.ListTables(t.Context(), &dynamodb.ListTablesInput{ExclusiveStartTableName: aws.String(name)})
		require.NoError(t, err)
		for _, table := range tables.TableNames {
			// The two complete creations above have retained three each, as intended.
			require.LessOrEqual(t, strings.Count(strings.Join(tables.TableNames, " "), name), 6, "the failed creation left %s behind", table)
		}
		gone()
		_, err = deploy(t.Context(), s.target, name, "infra/template.yaml", "TickState=DISABLED", "ScavengerConcurrency=0")
		require.NoError(t, err)
		gone()
	})
}

// ---- 2

// For a rule on a custom bus, SourceArn has its own form, which the policies of the queues rely on.
func TestAccount02AJobReachesTheArchive(t *testing.T) {
	s := shared(t)
	s.apply(t, onLambda("Worker", 1, nil))
	s.submit(t, tasks(1, nil))
	require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, named(t)).Counts)
	requireCompleted(t, s.only(t), 1)
	machine := named(t) + ".machine"
	s.configure(t, object{"labourers": object{machine: object{"target": object{"states": world.workers["Machine"]}, "max_simultaneous_invocations": 1}}})
	job := s.submit(t, tasks(1, object{"job_id": machine, "labourer": machine}))
	require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, job).Counts, "the end of an execution arrives on the default bus")
	s.empty(t, "EventFailuresQueueUrl")
}

// empty requires a queue of the stack to be empty.
func (s *stack) empty(t *testing.T, output string) {
	t.Helper()
	out, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(s.out[output]),
		AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages}})
	require.NoError(t, err)
	require.Equal(t, "0", out.Attributes[string(sqstypes.QueueAttributeNameApproximateNumberOfMessages)], output)
}

// ---- 3

func TestAccount03ARefusedPayloadFailsOnlyItsTask(t *testing.T) {
	s := shared(t)
	refused := func(t *testing.T, target object, attributes object, kind string) {
		t.Helper()
		s.apply(t, object{"target": target, "max_simultaneous_invocations": 1, "max_attempts": 1})
		s.submit(t, tasks(1, attributes))
		dead := s.fact(t, "TaskDead", object{"job_id": named(t)})
		require.Equal(t, kind, dead["error"].(object)["type"])
		s.ended(t, named(t))
	}
	t.Run("a message over the limit of its queue", func(t *testing.T) {
		d := s.desk(t)
		_, err := s.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &d.url, Attributes: map[string]string{"MaximumMessageSize": "1024"}})
		require.NoError(t, err)
		refused(t, object{"sqs": d.url}, object{"text": strings.Repeat("x", 2<<10)}, "PayloadTooLarge")
	})
	t.Run("an input over the limit of a state machine", func(t *testing.T) {
		onAWS(t, "it starts executions with inputs of any size")
		refused(t, object{"states": world.workers["Machine"]}, object{"text": strings.Repeat("x", 270<<10)}, "PayloadTooLarge")
	})
	t.Run("a payload over the limit of a function", func(t *testing.T) {
		t.Skip("not judged here: a job that EventBridge accepts makes no task over the 1 MB of an asynchronous call")
	})
	t.Run("a queue with a customer's key", func(t *testing.T) {
		onAWS(t, "it enforces no policies of keys")
		key := s.awsCLI(t, "kms", "create-key", "--description", s.name)["KeyMetadata"].(object)
		t.Cleanup(func() {
			s.awsCLI(t, "kms", "schedule-key-deletion", "--key-id", key["KeyId"].(string), "--pending-window-in-days", "7")
		})
		d := s.desk(t)
		_, err := s.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &d.url, Attributes: map[string]string{"KmsMasterKeyId": key["Arn"].(string)}})
		require.NoError(t, err)
		s.redeploy(t, []string{"WorkerKeyArns=" + key["Arn"].(string)}, []string{"WorkerKeyArns="})
		s.apply(t, d.labourer(1, nil))
		s.submit(t, tasks(1, nil))
		s.complete(t, d.take(t, 1)...)
		s.ended(t, named(t))
	})
	t.Run("a qualifier that does not exist", func(t *testing.T) {
		onAWS(t, "it runs a function whatever the qualifier")
		function := world.workers["Worker"][strings.LastIndex(world.workers["Worker"], ":")+1:]
		s.configure(t, object{"labourers": object{function: onLambda("Worker", 1, object{"max_attempts": 1})}})
		job := s.submit(t, tasks(1, object{"lambda_name": function + ":nowhere", "labourer": nil}))
		s.fact(t, "TaskDead", object{"job_id": job})
		s.ended(t, job)
	})
	t.Run("a qualifier that is not wired", func(t *testing.T) {
		onAWS(t, "it does not distinguish the asynchronous settings of versions")
		version, err := s.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: aws.String(world.workers["Worker"])})
		require.NoError(t, err)
		s.apply(t, object{"target": object{"lambda": world.workers["Worker"] + ":" + aws.ToString(version.Version)}, "max_simultaneous_invocations": 1})
		out, _, _ := s.drover(t, nil, "doctor")
		require.Contains(t, out, named(t), "doctor names the labourer whose version is not wired")
	})
}

// ---- 4

// Lambda ends a chain of functions that call each other through queues after 16 turns. A labourer with one slot is such a chain: the end of a worker
// starts the next one.
func TestAccount04AChainOfTasksIsNoRecursion(t *testing.T) {
	onAWS(t, "it detects no recursion")
	s := shared(t)
	s.apply(t, onLambda("Worker", 1, nil))
	began := time.Now()
	s.submit(t, tasks(48, nil))
	require.Equal(t, ledger.Counts{Completed: 48}, s.ended(t, named(t)).Counts)
	time.Sleep(3 * time.Minute) // until CloudWatch has the minute's metrics
	for output, arn := range map[string]string{"worker": world.workers["Worker"], "assistant": s.out["WorkerAssistantFunctionName"], "orchestrator": s.out["OrchestratorFunctionName"]} {
		function := arn[strings.LastIndex(arn, ":")+1:]
		require.Zero(t, s.metric(t, "AWS/Lambda", "RecursiveInvocationsDropped", "FunctionName", function, began), output)
	}
}

// metric returns the sum of a metric since a time.
func (s *stack) metric(t *testing.T, namespace, name, dimension, value string, since time.Time) float64 {
	t.Helper()
	out, err := s.metrics.GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{StartTime: aws.Time(since.Truncate(time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
		MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("m"), MetricStat: &cwtypes.MetricStat{Period: aws.Int32(60), Stat: aws.String("Sum"),
			Metric: &cwtypes.Metric{Namespace: &namespace, MetricName: &name, Dimensions: []cwtypes.Dimension{{Name: &dimension, Value: &value}}}}}}})
	require.NoError(t, err)
	sum := 0.0
	for _, one := range out.MetricDataResults[0].Values {
		sum += one
	}
	return sum
}

// ---- 5

// A transaction that conflicted with another is retried under the same token, and takes effect once.
func TestAccount05ConflictingTransactionsTakeEffectOnce(t *testing.T) {
	s := shared(t)
	const writers = 64
	table := aws.String(s.out["ControlTableName"])
	key := map[string]dbtypes.AttributeValue{"labourer": &dbtypes.AttributeValueMemberS{Value: "#" + named(t)}, "item": &dbtypes.AttributeValueMemberS{Value: "count"}}
	t.Cleanup(func() {
		_, _ = s.db.DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: table, Key: key})
	})
	var met atomic.Int32
	failed := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(fmt.Sprintf("%s-%d-%d", s.name[len(s.name)-6:], time.Now().Unix(), i)),
				TransactItems: []dbtypes.TransactWriteItem{{Update: &dbtypes.Update{TableName: table, Key: key, UpdateExpression: aws.String("ADD n :one"),
					ExpressionAttributeValues: map[string]dbtypes.AttributeValue{":one": &dbtypes.AttributeValueMemberN{Value: "1"}}}}}}
			for until := time.Now().Add(patience); time.Now().Before(until); {
				_, failed[i] = s.db.TransactWriteItems(t.Context(), in)
				if _, ok := errors.AsType[*dbtypes.TransactionCanceledException](failed[i]); !ok {
					return
				}
				met.Add(1)
			}
		})
	}
	all.Wait()

	require.NoError(t, errors.Join(failed...))
	out, err := s.db.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: key, ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	require.Equal(t, &dbtypes.AttributeValueMemberN{Value: strconv.Itoa(writers)}, out.Item["n"])
	if met.Load() == 0 {
		t.Skip("not judged here: no transaction conflicted")
	}
	t.Logf("%d transactions conflicted %d times", writers, met.Load())
}

// ---- 6

func TestAccount06ManyCompletionsAtOnce(t *testing.T) {
	s := shared(t)
	n := size(t, "DROVER_TEST_COMPLETIONS", 100_000, 300)
	memories := []int{256, 512, 1769}
	if !s.target.OnAWS() {
		memories = memories[:1] // a local AWS gives each function the whole processor
	}
	for _, memory := range memories {
		t.Run(fmt.Sprintf("%d MB", memory), func(t *testing.T) {
			if s.target.OnAWS() {
				s.redeploy(t, []string{fmt.Sprintf("WorkerAssistantMemory=%d", memory)}, []string{"WorkerAssistantMemory=256"})
			}
			d := s.desk(t)
			s.apply(t, d.labourer(n, object{"max_duration": "12h"}))
			s.submit(t, tasks(n, nil))
			var work []delivery
			for len(work) < n {
				work = append(work, d.take(t, min(1000, n-len(work)))...)
			}
			began := time.Now()
			var all sync.WaitGroup
			for part := range 16 {
				all.Go(func() {
					for i := part; i < len(work); i += 16 {
						s.complete(t, work[i])
					}
				})
			}
			all.Wait()
			sent := time.Since(began)
			require.Equal(t, n, s.endedWithin(t, named(t), time.Hour).Counts.Completed)
			t.Logf("%d completions sent in %s, all processed after %s", n, sent.Round(time.Second), time.Since(began).Round(time.Second))
		})
	}
}

// endedWithin waits for the end of a job that takes longer than the patience of other tests.
func (s *stack) endedWithin(t *testing.T, jobID string, span time.Duration) ledger.Job {
	t.Helper()
	for until := time.Now().Add(span); ; time.Sleep(time.Second) {
		job, found, err := s.jobs.Get(t.Context(), jobID)
		require.NoError(t, err)
		if found && job.State == ledger.Completed {
			return job
		}
		require.True(t, time.Now().Before(until), "job %s has not ended after %s: %+v", jobID, span, job.Counts)
	}
}

// ---- 7

func TestAccount07AMillionTasksOnFreshTables(t *testing.T) {
	s := shared(t)
	const days = 100
	n := size(t, "DROVER_TEST_TASKS", 1_000_000, 2000)
	name := world.stackName("fresh") // its tables have never had a write
	fresh, err := newStack(t.Context(), s.target, name)
	require.NoError(t, err)
	t.Cleanup(func() { require.Empty(t, fresh.bus.close()) })
	require.NoError(t, fresh.schema(t.Context(), "sections", "section"))
	d := fresh.desk(t)
	fresh.apply(t, d.labourer(0, nil))
	began := time.Now()
	job := fresh.submit(t, tasks(n/days, object{"period": object{"from": "2026-01-01", "to": "2026-04-10"}, "isolate_days": true}))
	for until := began.Add(2 * time.Hour); ; time.Sleep(time.Second) {
		record, found, err := fresh.jobs.Get(t.Context(), job)
		require.NoError(t, err)
		if found && record.State == ledger.Scheduled {
			require.Equal(t, n, record.Total)
			break
		}
		require.True(t, time.Now().Before(until), "not created after two hours: %+v", record)
	}
	took := time.Since(began)
	t.Logf("%d tasks created in %s, %.0f a second; throttled writes of the tasks table: %.0f", n, took.Round(time.Second), float64(n)/took.Seconds(),
		fresh.metric(t, "AWS/DynamoDB", "WriteThrottleEvents", "TableName", fresh.out["TasksTableName"], began))
	fresh.empty(t, "JobsDeadLetterQueueUrl")
}

// ---- 8

func TestAccount08WithoutRightsOnDynamoDBTheAlarmsArrive(t *testing.T) {
	onAWS(t, "it evaluates no alarms")
	s := shared(t)
	told := s.alarms(t)
	d := s.desk(t)
	s.apply(t, d.labourer(5, nil))
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"dynamodb:*","Resource":"*"}]}`
	var roles []string
	for _, output := range functions {
		function, err := s.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(s.out[output])})
		require.NoError(t, err)
		roles = append(roles, aws.ToString(function.Role)[strings.LastIndex(aws.ToString(function.Role), "/")+1:])
	}
	give := sync.OnceFunc(func() {
		for _, role := range roles {
			_ = run(context.Background(), s.target.Environ(), nil, ".local/venv/bin/aws", "iam", "delete-role-policy", "--role-name", role, "--policy-name", "outage")
		}
	})
	t.Cleanup(give)
	for _, role := range roles {
		s.awsCLI(t, "iam", "put-role-policy", "--role-name", role, "--policy-name", "outage", "--policy-document", deny)
	}
	began := time.Now()
	job := s.submit(t, tasks(5, nil))
	for i := 0; time.Since(began) < 10*time.Minute; i++ {
		s.put(t, "TasksDue", object{"id": fmt.Sprintf("outage/%d", i), "version": 1, "labourers": []string{named(t)}})
		time.Sleep(20 * time.Second)
	}
	give()

	alarms := map[string]bool{}
	await(t, "alarms to arrive at the topic's subscriber", func() (map[string]bool, bool) {
		got, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &told, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		require.NoError(t, err)
		for _, m := range got.Messages {
			var outer struct{ Message string }
			var alarm struct{ AlarmName, NewStateValue string }
			if json.Unmarshal([]byte(aws.ToString(m.Body)), &outer) == nil && json.Unmarshal([]byte(outer.Message), &alarm) == nil && alarm.NewStateValue == "ALARM" {
				alarms[alarm.AlarmName] = true
			}
		}
		return alarms, strings.Contains(fmt.Sprint(alarms), "FunctionFailuresAlarm")
	})
	t.Logf("alarms that arrived: %v", keysOf(alarms))
	s.complete(t, d.take(t, 5)...)
	require.Equal(t, 5, s.ended(t, job).Counts.Completed, "all tasks complete once the rights are back")
}

func keysOf(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	return out
}

// ---- 9

func TestAccount09ALargeOutputAndALostEventOfAStateMachine(t *testing.T) {
	s := shared(t)
	described, err := s.machines.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(world.workers["Machine"])})
	require.NoError(t, err)
	t.Run("an output that the event omits", func(t *testing.T) {
		onAWS(t, "its events contain every output")
		definition := fmt.Sprintf(`{"StartAt":"Answer","States":{"Answer":{"Type":"Pass","Result":{"text":%q},"End":true}}}`, strings.Repeat("x", 250<<10))
		machine, err := s.machines.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: aws.String(s.called(t)), Definition: &definition, RoleArn: described.RoleArn,
			Type: sfntypes.StateMachineTypeStandard})
		require.NoError(t, err)
		t.Cleanup(func() {
			_, _ = s.machines.DeleteStateMachine(context.Background(), &sfn.DeleteStateMachineInput{StateMachineArn: machine.StateMachineArn})
		})
		s.apply(t, object{"target": object{"states": *machine.StateMachineArn}, "max_simultaneous_invocations": 1})
		s.submit(t, tasks(1, nil))
		require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, named(t)).Counts)
		r := s.only(t)
		require.True(t, len(r.Result) > 250<<10 || strings.Contains(fmt.Sprintf("%+v", r), "ResultTooLarge"), "the output is neither present nor reported as too large")
	})
	t.Run("an event that never comes", func(t *testing.T) {
		stacks := cloudformation.NewFromConfig(s.target.Config())
		found, err := stacks.DescribeStackResource(t.Context(), &cloudformation.DescribeStackResourceInput{StackName: &s.name, LogicalResourceId: aws.String("WorkerStateMachinesRule")})
		require.NoError(t, err)
		rule := found.StackResourceDetail.PhysicalResourceId
		_, err = s.events.DisableRule(t.Context(), &eventbridge.DisableRuleInput{Name: rule})
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = s.events.EnableRule(context.Background(), &eventbridge.EnableRuleInput{Name: rule}) })
		s.apply(t, object{"target": object{"states": world.workers["Machine"]}, "max_simultaneous_invocations": 1, "max_duration": "5s", "cooldown": "5s", "max_attempts": 1})
		job := s.submit(t, tasks(1, nil))
		s.tick(t, "the lease to end", func() bool { return len(s.bus.told("JobCompleted", object{"job_id": job})) > 0 })
		require.Equal(t, ledger.Counts{Completed: 1}, s.ended(t, job).Counts, "its execution succeeded, and Drover checks that before it expires the task")
	})
}

// ---- 10

// DROVER_TEST_BILL=2026-11-22 prints that day's bill, which AWS has a day later. The stacks are gone by then.
func TestAccount10ADaysBill(t *testing.T) {
	onAWS(t, "it sends no bill")
	day := os.Getenv("DROVER_TEST_BILL")
	if day == "" {
		t.Skip("not judged here: AWS has the bill a day later; run this check then, with DROVER_TEST_BILL=YYYY-MM-DD")
	}
	from, err := time.Parse(time.DateOnly, day)
	require.NoError(t, err, "DROVER_TEST_BILL")
	s := shared(t)
	answer := s.awsCLI(t, "ce", "get-cost-and-usage", "--time-period", "Start="+day+",End="+from.AddDate(0, 0, 1).Format(time.DateOnly), "--granularity", "DAILY",
		"--metrics", "UnblendedCost", "--group-by", "Type=DIMENSION,Key=SERVICE")
	text, err := json.MarshalIndent(answer["ResultsByTime"], "", "  ")
	require.NoError(t, err)
	t.Logf("the account's bill of %s, to compare with the cost that the run of that day printed:\n%s", day, text)
}
