package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/infra"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// healthy returns a complete stack with three labourers that passes all checks.
func healthy(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	mapped := &lambdatypes.EventSourceMappingConfiguration{State: aws.String("Enabled"), UUID: aws.String("u-1"), LastProcessingResult: aws.String("OK")}
	for _, name := range []string{"Scheduler", "Orchestrator", "WorkerAssistant", "Scavenger", "Archiver", "Workflow"} {
		g.stack.Outputs[name+"FunctionName"] = name
		g.functions.add(name, 30).mapping = mapped
	}
	for _, name := range []string{"JobsQueueUrl", "JobsDeadLetterQueueUrl", "CompletionsQueueUrl", "CompletionsDeadLetterQueueUrl", "StreamFailuresQueueUrl", "EventFailuresQueueUrl", "RunsQueueUrl",
		"RunsDeadLetterQueueUrl"} {
		g.stack.Outputs[name] = "https://sqs/1/" + name
		g.account.queue("https://sqs/1/"+name, "0")
	}
	for _, name := range []string{"OrchestrateStateMachineArn", "BackoffStateMachineArn", "WorkflowStateMachineArn"} {
		g.stack.Outputs[name] = name
		g.account.machines[name] = sfntypes.StateMachineTypeStandard
	}
	g.stack.Outputs["AlarmTopicArn"], g.stack.Outputs["DashboardUrl"] = "topic", "https://dashboard"
	g.stack.Outputs["TemplateVersion"] = infra.TemplateVersion()
	for part, id := range map[string]string{"TickRule": "tick-1", "TasksDueRule": "drover|wakes-1", "CommandsRule": "drover|commands-1", "WorkerStateMachinesRule": "ends-1",
		"WorkflowCommandsRule": "drover|starts-1", "WorkflowTickRule": "look-1", "WorkflowExecutionsRule": "stops-1"} {
		g.account.parts[part] = id
		g.account.rules[id[strings.LastIndex(id, "|")+1:]] = eventbridgetypes.RuleStateEnabled
	}

	g.account.queue(shopQueue, "5")
	g.account.machines[bakery] = sfntypes.StateMachineTypeStandard
	g.functions.add(resize, 60)
	g.drover("apply", "--wire", "-f", file(t, "resize.yaml", resizer), file(t, "shop.yaml", shop), file(t, "bake.yaml", `labourers: {bake: {target: {states: "`+bakery+`"}}}`)).ok()
	return g
}

const shopQueue = "https://sqs.us-east-1.amazonaws.com/000000000000/shop"

const bakery = "arn:aws:states:us-east-1:000000000000:stateMachine:bakery"

func TestTheDoctorFindsNothingWrongWithAHealthyStack(t *testing.T) {
	g := healthy(t)
	line := g.drover("--json", "doctor").one()
	require.Equal(t, true, line["ok"])
	for _, one := range line["checks"].([]any) {
		require.NotContains(t, one, "fix", "only a failed check has a fix")
	}
	require.NotContains(t, g.drover("doctor").ok(), "WRONG")
}

func TestTheDoctorSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*ground)
		check string
		words []string
	}{
		"deployment failed":      {func(g *ground) { g.stack.Status = "UPDATE_ROLLBACK_FAILED" }, "stack", []string{"UPDATE_ROLLBACK_FAILED"}},
		"deployment under way":   {func(g *ground) { g.stack.Status = "UPDATE_IN_PROGRESS" }, "stack", []string{"wait"}},
		"an old version":         {func(g *ground) { delete(g.stack.Outputs, "EventFailuresQueueUrl") }, "outputs", []string{"EventFailuresQueueUrl", "drover deploy"}},
		"another template":       {func(g *ground) { g.stack.Outputs["TemplateVersion"] = "0123456789ab" }, "template", []string{"0123456789ab", infra.TemplateVersion(), "drover deploy"}},
		"workflow function gone": {func(g *ground) { delete(g.functions.all, "Workflow") }, "workflow", []string{"Function not found"}},
		"workflow machine gone":  {func(g *ground) { delete(g.account.machines, "WorkflowStateMachineArn") }, "workflow", []string{"does not exist"}},
		"workflow starts lost":   {func(g *ground) { g.account.rules["starts-1"] = eventbridgetypes.RuleStateDisabled }, "workflows' commands rule", []string{"starts and cancellations"}},
		"workflow tick disabled": {func(g *ground) { g.account.rules["look-1"] = eventbridgetypes.RuleStateDisabled }, "workflows' tick", []string{"TickState=ENABLED"}},
		"dead messages of runs":  {func(g *ground) { g.account.queue("https://sqs/1/RunsDeadLetterQueueUrl", "1") }, "runs' dead letters", []string{"1 message:"}},
		"a function with fewer invocations than its cap": {func(g *ground) {
			g.functions.all[resize].reserved = aws.Int32(0)
		}, "labourer resize: concurrency", []string{"reserved concurrency is 0", "the cap is 1", "put-function-concurrency"}},
		"function gone":    {func(g *ground) { delete(g.functions.all, "Orchestrator") }, "orchestrator", []string{"Function not found"}},
		"mapping gone":     {func(g *ground) { g.functions.all["Scavenger"].mapping = nil }, "scavenger", []string{"nothing feeds"}},
		"mapping disabled": {func(g *ground) { g.functions.all["Scheduler"].mapping = mappingIn("Disabled", "OK") }, "scheduler", []string{"Disabled", "--enabled --uuid u-9"}},
		"mapping in trouble": {func(g *ground) {
			g.functions.all["WorkerAssistant"].mapping = mappingIn("Enabled", "PROBLEM: no access")
		}, "worker assistant", []string{"no access"}},
		"machine gone":  {func(g *ground) { delete(g.account.machines, "BackoffStateMachineArn") }, "backoff", []string{"does not exist"}},
		"tick disabled": {func(g *ground) { g.account.rules["tick-1"] = eventbridgetypes.RuleStateDisabled }, "tick", []string{"aws events enable-rule --name tick-1"}},
		"ticks disabled by the parameter": {func(g *ground) {
			g.stack.Parameters["TickState"] = "DISABLED"
			g.account.rules["tick-1"], g.account.rules["look-1"] = eventbridgetypes.RuleStateDisabled, eventbridgetypes.RuleStateDisabled
		}, "tick", []string{"TickState=ENABLED"}},
		"a workflow that was not compiled": {func(g *ground) {
			require.NoError(g.t, (dynamo.Registry{API: g.DynamoDB, Table: fakeaws.ControlTable}).ApplyDefinition(g.t.Context(), "workflows", "order",
				`{"activities": ["a"], "sla": "15m", "timeout": "1h", "concurrency": "reject"}`, 0))
		}, "workflow order", []string{"in no version of it yet", "apply -f"}},
		"a plugin without its labourer": {func(g *ground) {
			require.NoError(g.t, g.Apply(`{workflows: {order: {activities: [a]}}, plugins: {p: {activity: a, stage: pre, labourer: nobody}}}`))
		}, "workflow order", []string{"nobody of plugin p", "--remove plugins.NAME"}},
		"wakes disabled":     {func(g *ground) { g.account.rules["wakes-1"] = eventbridgetypes.RuleStateDisabled }, "wakes rule", []string{"enable-rule --name wakes-1 --event-bus-name"}},
		"commands gone":      {func(g *ground) { delete(g.account.parts, "CommandsRule") }, "commands rule", []string{"no CommandsRule"}},
		"ends disabled":      {func(g *ground) { g.account.rules["ends-1"] = eventbridgetypes.RuleStateDisabled }, "state machine workers rule", []string{"does not learn"}},
		"tick gone":          {func(g *ground) { delete(g.account.parts, "TickRule") }, "tick", []string{"no TickRule"}},
		"tick's rule gone":   {func(g *ground) { delete(g.account.rules, "tick-1") }, "tick", []string{"rule does not exist"}},
		"dead jobs":          {func(g *ground) { g.account.queue("https://sqs/1/JobsDeadLetterQueueUrl", "2") }, "jobs' dead letters", []string{"2 messages", "receive-message"}},
		"dead completions":   {func(g *ground) { g.account.queue("https://sqs/1/CompletionsDeadLetterQueueUrl", "1") }, "completions' dead letters", []string{"1 message:"}},
		"stream failures":    {func(g *ground) { g.account.queue("https://sqs/1/StreamFailuresQueueUrl", "1") }, "stream's failures", []string{"1 message:"}},
		"undelivered events": {func(g *ground) { g.account.queue("https://sqs/1/EventFailuresQueueUrl", "1") }, "events' failures", []string{"1 message:"}},
		"queue gone":         {func(g *ground) { delete(g.account.queues, "https://sqs/1/JobsDeadLetterQueueUrl") }, "jobs' dead letters", []string{"does not exist"}},
		"jobs pile up": {func(g *ground) {
			g.account.queue("https://sqs/1/JobsQueueUrl", "9")
			g.metric("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "JobsQueueUrl", 900)
		}, "jobs queue", []string{"9 messages", "15m0s"}},
		"stream behind":              {func(g *ground) { g.metric("AWS/Lambda", "IteratorAge", "FunctionName", "Scavenger", 600_000) }, "stream", []string{"10m0s behind"}},
		"archive behind":             {func(g *ground) { g.metric("AWS/Lambda", "IteratorAge", "FunctionName", "Archiver", 601_000) }, "archive's stream", []string{"10m1s behind", "the archive waits"}},
		"worker function gone":       {func(g *ground) { delete(g.functions.all, resize) }, "labourer resize: target", []string{resize, "Function not found"}},
		"worker outlives lease":      {func(g *ground) { g.functions.all[resize].timeout = 900 }, "labourer resize: target", []string{"15m0s", "3m0s", "cooldown"}},
		"not wired":                  {func(g *ground) { g.functions.all[resize].wire = nil }, "labourer resize: wiring", []string{"crashes and timeouts", "drover apply --wire"}},
		"wired, but kept for hours":  {func(g *ground) { g.functions.all[resize].wire.MaximumEventAgeInSeconds = nil }, "labourer resize: wiring", []string{"6h0m0s", "2m0s", "cooldown"}},
		"wired, but kept too long":   {func(g *ground) { g.functions.all[resize].wire.MaximumEventAgeInSeconds = aws.Int32(121) }, "labourer resize: wiring", []string{"2m1s"}},
		"a function without the tag": {func(g *ground) { g.functions.tags = nil }, "labourer resize: target", []string{resize, "lacks the tag drover:worker", "drover apply --wire", "WorkerFunctionArns"}},
		"a queue without the tag":    {func(g *ground) { delete(g.account.tags, shopQueue) }, "labourer shop: target", []string{"lacks the tag drover:worker", "--parameter WorkerQueueArns=arn:aws:sqs:us-east-1:000000000000:shop"}},
		"a machine without the tag":  {func(g *ground) { delete(g.account.tags, bakery) }, "labourer bake: target", []string{bakery, "lacks the tag drover:worker"}},
		"a short visibility timeout": {func(g *ground) { g.account.queues[shopQueue]["VisibilityTimeout"] = "900" }, "labourer shop: queue",
			[]string{"15m0s is below the lease of 20m0s", "aws sqs set-queue-attributes --queue-url " + shopQueue + " --attributes VisibilityTimeout=1200"}},
		"a queue that delays": {func(g *ground) { g.account.queues[shopQueue]["DelaySeconds"] = "600" }, "labourer shop: queue", []string{"10m0s", "cooldown", "DelaySeconds=0"}},
		"a queue under a key": {func(g *ground) { g.account.queues[shopQueue]["KmsMasterKeyId"] = "1234-ab" }, "labourer shop: key",
			[]string{"kms:GenerateDataKey", "drover deploy --parameter WorkerKeyArns=arn:aws:kms:us-east-1:000000000000:key/1234-ab"}},
		"a queue under another key": {func(g *ground) {
			g.stack.Parameters["WorkerKeyArns"] = "arn:aws:kms:us-east-1:000000000000:key/mine"
			g.account.queues[shopQueue]["KmsMasterKeyId"] = "arn:aws:kms:us-east-1:000000000000:key/other"
		}, "labourer shop: key", []string{"--parameter WorkerKeyArns=arn:aws:kms:us-east-1:000000000000:key/mine,arn:aws:kms:us-east-1:000000000000:key/other"}},
		"a queue under a key by its alias": {func(g *ground) { g.account.queues[shopQueue]["KmsMasterKeyId"] = "alias/shop" }, "labourer shop: key", []string{"WorkerKeyArns", "aws kms describe-key --key-id alias/shop"}},
		"a function of another account": {func(g *ground) {
			g.functions.all[resize].arn = "arn:aws:lambda:us-east-1:111122223333:function:resize:live"
			g.stack.Parameters["WorkerFunctionArns"] = "arn:aws:lambda:*:111122223333:*"
		}, "labourer resize: account", []string{"111122223333", "--parameter EventSourceAccounts=111122223333"}},
		"a queue in another region": {func(g *ground) {
			require.NoError(g.t, g.Apply(`labourers: {far: {target: {sqs: "https://sqs.eu-west-1.amazonaws.com/000000000000/q"}}}`))
		}, "labourer far: target", []string{"eu-west-1", "us-east-1", "does not reach it"}},
		"a function in another region": {func(g *ground) {
			require.NoError(g.t, g.Apply(`labourers: {far: {target: {lambda: "arn:aws:lambda:eu-west-1:000000000000:function:f"}}}`))
		}, "labourer far: target", []string{"eu-west-1", "us-east-1"}},
		"a machine of another account": {func(g *ground) {
			require.NoError(g.t, g.Apply(`labourers: {far: {target: {states: "arn:aws:states:us-east-1:111122223333:stateMachine:m"}}}`))
		}, "labourer far: target", []string{"111122223333", "starts no machine of another account"}},
		"a query that fails while CloudWatch works": {func(g *ground) {
			g.CloudWatch.Broken = func(q cloudwatchtypes.MetricDataQuery) cloudwatchtypes.StatusCode {
				if aws.ToString(q.MetricStat.Metric.Namespace) == "AWS/RDS" {
					return cloudwatchtypes.StatusCodeInternalError
				}
				return ""
			}
			g.measured("")
		}, "labourer shop: metric m", []string{"fails to run the query", "InternalError", "nothing is started", "drover apply -f"}},
		"a queue that no worker reads any more": {func(g *ground) {
			g.metric("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "shop", 9000)
		}, "labourer shop: queue", []string{"5 messages wait in the queue, the oldest for about 2h30m0s", "no worker reads them", "start its workers"}},
		"workers that can take all there is": {func(g *ground) { g.functions.quota = 58 }, "concurrency", []string{"at most 1 function at once, the account 58", "OrchestratorConcurrency=10", "request a higher quota"}},
		"a metric that never had a value": {func(g *ground) { g.measured("ignore") }, "labourer shop: metric m",
			[]string{"no value in 63 days", "ignored: up to 3 tasks may run", "aws cloudwatch list-metrics --namespace AWS/RDS"}},
		"a metric that never had a value and counts": {func(g *ground) { g.measured("bad") }, "labourer shop: metric m", []string{"no value in 63 days", "nothing is started"}},
		"a query that CloudWatch refuses": {func(g *ground) {
			g.CloudWatch.Before = func(context.Context, fakeaws.Request) error {
				return &smithy.GenericAPIError{Code: "ValidationError", Message: "bad expression"}
			}
			g.withoutBacklogs()
			g.measured("")
		}, "labourer shop: metric m", []string{"CloudWatch refuses the query", "bad expression", "nothing is started", "drover apply -f"}},
		"wired, with retries": {func(g *ground) { g.functions.all[resize].wire.MaximumRetryAttempts = nil }, "labourer resize: wiring", []string{"Lambda retries failed invocations"}},
		"worker queue gone":   {func(g *ground) { delete(g.account.queues, "https://sqs.us-east-1.amazonaws.com/000000000000/shop") }, "labourer shop: target", []string{"/shop cannot be reached"}},
		"worker machine gone": {func(g *ground) { delete(g.account.machines, bakery) }, "labourer bake: target", []string{bakery}},
		"express machine":     {func(g *ground) { g.account.machines[bakery] = sfntypes.StateMachineTypeExpress }, "labourer bake: target", []string{"Express", "Standard"}},
		"not allowed":         {func(g *ground) { g.stack.Parameters["WorkerQueueArns"] = "arn:aws:sqs:us-east-1:000000000000:work-*,x" }, "labourer shop: target", []string{"WorkerQueueArns", "arn:aws:sqs:us-east-1:000000000000:shop"}},
		"unreadable labourer": {func(g *ground) {
			require.NoError(g.t, g.registry().ApplyLabourer(g.t.Context(), "odd", `{"max_attempts": "x"}`, 0))
		}, "labourer odd", []string{"max_attempts", "apply it again"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := healthy(t)
			c.spoil(g)
			said := g.drover("--json", "doctor")
			require.Equal(t, failed, said.code, said.out)
			line := said.lines()[0]
			require.Equal(t, false, line["ok"])
			var bad []map[string]any
			for _, one := range line["checks"].([]any) {
				if one := one.(map[string]any); one["ok"] == false {
					bad = append(bad, one)
				}
			}
			require.Len(t, bad, 1, said.out)
			require.Equal(t, c.check, bad[0]["name"])
			require.NotEmpty(t, bad[0]["fix"])
			for _, w := range c.words {
				require.Contains(t, fmt.Sprint(bad[0]["detail"], bad[0]["fix"]), w)
			}
			require.Contains(t, g.drover("doctor").out, "WRONG")
		})
	}
}

// TestTheDoctorWaitsForAFunctionThatIsBeingUpdated: a deployment may be a moment ago.
func TestTheDoctorWaitsForAFunctionThatIsBeingUpdated(t *testing.T) {
	g := healthy(t)
	g.functions.all["Scheduler"].pending = 3
	require.Equal(t, true, g.drover("--json", "doctor").one()["ok"])

	g.functions.all["Scheduler"].pending = 1000
	require.Contains(t, g.drover("doctor").out, "function Scheduler is Pending")
}

func TestTheDoctorHintsAtAlarmsThatReachNoSubscriber(t *testing.T) {
	none := map[string]string{"SubscriptionsConfirmed": "0", "SubscriptionsPending": "0"}
	for name, c := range map[string]struct {
		topic map[string]string
		email string
		words []string
	}{
		"a subscriber":      {map[string]string{"SubscriptionsConfirmed": "1", "SubscriptionsPending": "1"}, "", []string{"has a subscriber"}},
		"none":              {none, "", []string{"is told of alarms", "drover deploy --parameter AlarmEmail=ADDRESS"}},
		"one that left":     {none, "a@example.com", []string{"is told of alarms", "aws sns subscribe --topic-arn topic --protocol email --notification-endpoint ADDRESS"}},
		"not confirmed yet": {map[string]string{"SubscriptionsConfirmed": "0", "SubscriptionsPending": "1"}, "", []string{"has not confirmed it"}},
		"not readable":      {nil, "", []string{"could not look", "AuthorizationError"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := healthy(t)
			g.account.topic, g.stack.Parameters["AlarmEmail"] = c.topic, c.email
			line := g.drover("--json", "doctor").one()
			require.Equal(t, true, line["ok"], "a stack may do without")
			for _, one := range line["checks"].([]any) {
				if one := one.(map[string]any); one["name"] == "alarms" {
					for _, w := range c.words {
						require.Contains(t, one["detail"], w)
					}
					return
				}
			}
			require.Fail(t, "no check of alarms")
		})
	}
}

// measured gives the shop a metric that has no values.
func (g *ground) measured(missing string) {
	g.t.Helper()
	policy := ""
	if missing != "" {
		policy = ", missing: " + missing
	}
	require.NoError(g.t, g.Apply(strings.Replace(shop, "max_simultaneous_invocations: 3",
		"max_simultaneous_invocations: 3\n    health_metrics: {m: {details: {MetricName: CPUUtilisation, Namespace: AWS/RDS}, feelings: {4: 50}"+policy+"}}", 1)))
}

// withoutBacklogs makes CloudWatch refuse only the metric of the shop, and no metric of a queue.
func (g *ground) withoutBacklogs() {
	before := g.CloudWatch.Before
	g.CloudWatch.Before = func(ctx context.Context, r fakeaws.Request) error {
		if strings.Contains(fmt.Sprint(*r.Input.(*cloudwatch.GetMetricDataInput).MetricDataQueries[0].MetricStat.Metric.Namespace), "RDS") {
			return before(ctx, r)
		}
		return nil
	}
}

func mappingIn(state, last string) *lambdatypes.EventSourceMappingConfiguration {
	return &lambdatypes.EventSourceMappingConfiguration{State: &state, LastProcessingResult: &last, UUID: aws.String("u-9"), StateTransitionReason: aws.String("USER_INITIATED")}
}

func (g *ground) metric(namespace, name, dimension, value string, is float64) {
	g.CloudWatch.Put(namespace, name, map[string]string{dimension: value}, g.World.Now(), is)
}

func TestTheDoctorFindsAMissingStack(t *testing.T) {
	g := newGround(t)
	said := g.drover("--json", "--stack", "nope", "doctor")
	require.Equal(t, failed, said.code)
	line := said.lines()[0]
	require.Equal(t, false, line["ok"])
	require.Contains(t, fmt.Sprint(line["checks"]), "nope")
}

func TestTheDoctorStopsAtAStackOfAnotherTemplate(t *testing.T) {
	g := healthy(t)
	delete(g.stack.Outputs, "TasksTableName")
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, "TasksTableName")
}

// TestTheDoctorFindsDueTasksThatAreNotStarted: neither a wake nor the tick starts the orchestrator.
func TestTheDoctorFindsDueTasksThatAreNotStarted(t *testing.T) {
	g := healthy(t)
	require.NoError(t, g.Pause("shop"))
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(time.Second)
	g.World.Advance(g.World.Now().Add(5 * time.Minute))
	require.Equal(t, done, g.drover("doctor").code, "a paused labourer's tasks may wait")
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	require.NoError(t, st.control.SetPaused(t.Context(), "shop", false))
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, "1 task is due, the first for 5m")
}

func TestTheDoctorFindsATargetThatCouldNotBeReached(t *testing.T) {
	g := healthy(t)
	g.Submit(`{"job_id": "j", "labourer": "shop"}`) // the account has its queue, but the orchestrator cannot send to it
	g.RunFor(5 * time.Second)
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, "the target could not be reached at 2026-01-01 00:00:")
}

func TestTheDoctorListsWhatCannotBeDecoded(t *testing.T) {
	g := healthy(t)
	require.NoError(t, g.Worker("shop", time.Hour, func(context.Context, worker.Task) (any, error) { return nil, nil }))
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(5 * time.Second)
	text := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	for _, item := range []string{"lease#odd", "queue#9999999999999#odd"} {
		require.NoError(t, g.DynamoDB.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("shop"), "item": text(item), "tasks": text("0-2,x")}))
	}

	require.Contains(t, g.drover("labourer", "shop").ok(), "4 running", "the readable part of the odd lease counts")
	require.Contains(t, g.drover("tasks", "--status", "running").ok(), "j", "the others are listed")
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, `2 items of the control table cannot be decoded, and 0 of these were set aside; the first: lease#odd cannot be read: attribute revision is missing`)
	require.Contains(t, said.out, `dynamodb get-item --table-name control --key '{"item":{"S":"lease#odd"},"labourer":{"S":"shop"}}'`)

	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	require.NoError(t, st.control.SetAside(t.Context(), "shop", "lease#odd", g.World.Now()))
	require.Contains(t, g.drover("doctor").out, "2 items of the control table cannot be decoded, and 1 of these was set aside; the first: unreadable#")
	require.Contains(t, g.drover("labourer", "shop").ok(), "1 running")
}

func TestTheDoctorFindsEndedTasksThatWereNotSettled(t *testing.T) {
	g := healthy(t)
	require.NoError(t, g.Worker("shop", time.Second, func(context.Context, worker.Task) (any, error) { return nil, worker.Permanent(errors.New("broken")) }))
	g.breaking("scavenger", func() bool { return true })
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(3500 * time.Millisecond)
	require.Equal(t, done, g.drover("doctor").code, "it is not overdue yet")
	g.World.Advance(g.World.Now().Add(5 * time.Minute))
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, "1 task ended more than 2m0s ago and still holds its slot")
}

// TestTheDoctorFindsTasksThatWaitInLeasesWithFreeSlots: the end that freed the slot is settled, and neither a wake nor the tick starts the
// orchestrator.
func TestTheDoctorFindsTasksThatWaitInLeasesWithFreeSlots(t *testing.T) {
	g := healthy(t)
	require.NoError(t, g.Apply(strings.Replace(shop, "invocations: 3", "invocations: 1", 1)))
	require.NoError(t, g.Worker("shop", time.Second, func(context.Context, worker.Task) (any, error) { return nil, errors.New("busy") }))
	g.Submit(`{"job_id": "j", "labourer": "shop", "sections": [1, 2, 3], "isolate_sections": true}`)
	g.RunFor(1900 * time.Millisecond)
	require.Contains(t, g.drover("labourer", "shop").ok(), "1 running in 1 slot, 2 waiting for a slot")
	g.breaking("orchestrator", func() bool { return true })
	g.breaking("worker-assistant", func() bool { return true })
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	leases, err := st.control.Leases(t.Context(), "shop")
	require.NoError(t, err)
	require.NoError(t, st.control.Save(t.Context(), leases[0], leases[0].Without(leases[0].InHand())))
	require.Equal(t, done, g.drover("doctor").code, "it is not overdue yet")

	g.World.Advance(g.World.Now().Add(5 * time.Minute))
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, "2 tasks wait in leases that have free slots, and none has started for more than 2m0s")
}

func TestTitlesAreForPeople(t *testing.T) {
	require.Equal(t, "worker assistant", title("WorkerAssistantFunctionName", "FunctionName"))
	require.True(t, strings.HasPrefix(title("BackoffStateMachineArn", "StateMachineArn"), "backoff"))
}

func TestTheDoctorDistinguishesAMissingRightFromAFault(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a fault":        {answer(http.StatusInternalServerError), "AWS fails or is out of reach: try again"},
		"no connection":  {outages["no connection"], "try again in a minute"},
		"throttling":     {outages["throttling"], "try again in a minute"},
		"no rights":      {&smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}, "allow cloudwatch:GetMetricData"},
		"a session over": {outages["a session's end"], "aws sso login"},
	} {
		t.Run(name, func(t *testing.T) {
			g := healthy(t)
			g.CloudWatch.Before = func(context.Context, fakeaws.Request) error { return c.err }
			said := g.drover("doctor")
			require.Equal(t, failed, said.code)
			require.Contains(t, said.out, c.want)
			require.Equal(t, name == "no rights", strings.Contains(said.out, "allow "), said.out)
		})
	}
}

func TestRemediesCanBePasted(t *testing.T) {
	g := healthy(t)
	g.place = [2]string{"eu-central-1", "http://localhost:4712"}
	g.stack.Name = "my drover"
	g.account.queue("https://sqs/1/StreamFailuresQueueUrl", "1")
	out := g.drover("--stack", "my drover", "doctor").out
	require.Contains(t, out, "drover --stack 'my drover' redrive")
	delete(g.stack.Outputs, "JobsQueueUrl")
	require.Contains(t, g.drover("--stack", "my drover", "doctor").out, "→ drover --stack 'my drover' deploy\n")
	require.Contains(t, out, "aws --endpoint-url http://localhost:4712 --region eu-central-1 sqs receive-message --message-attribute-names All --queue-url https://sqs/1/StreamFailuresQueueUrl\n")
	require.Equal(t, `'it'\''s'`, quoted("it's"))
	require.Equal(t, `'a b'`, quoted("a b"))
	require.Equal(t, `'$LATEST'`, quoted("$LATEST"))
	require.Equal(t, `''`, quoted(""))
}

func TestTheDoctorFindsAQueueThatNoWorkerReads(t *testing.T) {
	g := healthy(t)
	g.SQS.Create(shopQueue, fakeaws.Queue{})
	g.Submit(`{"job_id": "j", "labourer": "shop"}`)
	g.RunFor(time.Second)
	g.account.queue(shopQueue, "1")
	id := g.drover("--json", "tasks").lines()[0]["task_id"].(string)
	require.Equal(t, done, g.drover("doctor").code, "it is not overdue yet")
	require.NotContains(t, g.drover("--json", "task", id).one()["waiting_for"], "no worker reads")

	g.World.Advance(g.World.Now().Add(6 * time.Minute))
	said := g.drover("doctor")
	require.Equal(t, failed, said.code)
	require.Contains(t, said.out, "1 message waits in the queue, the oldest for about 6m")
	require.Contains(t, said.out, "no worker reads them")
	require.Contains(t, g.drover("--json", "task", id).one()["waiting_for"], "1 message waits in the queue")
	require.Contains(t, g.drover("--json", "why", id).one()["waiting_for"], "1 message waits in the queue")
	why := g.why("shop")
	require.Contains(t, why["waiting_for"], "a worker: 1 message waits in the queue")
	require.Contains(t, why["next"], "start its workers")
	require.Contains(t, g.drover("why", "shop").ok(), "no worker reads them")

	g.account.queues[shopQueue]["ApproximateNumberOfMessagesNotVisible"] = "1"
	require.Equal(t, done, g.drover("doctor").code, "a worker has received one")
	require.Contains(t, g.drover("--json", "task", id).one()["waiting_for"], "its worker, until")
	require.NotContains(t, g.why("shop")["waiting_for"], "no worker reads")
}

func TestConcurrencyIsFineWhereItSufficesIsReservedOrIsNotKnown(t *testing.T) {
	g := healthy(t)
	g.functions.quota = 59
	require.Contains(t, g.drover("doctor").ok(), "workers may run at most 1 function at once, the account 59")
	g.functions.quota = 10
	for _, c := range concurrencies {
		g.stack.Parameters[c.parameter] = "5"
	}
	g.drover("doctor").ok()
	g.functions.quota = 0
	require.Contains(t, g.drover("doctor").ok(), "quota is not known")
}

func TestTheDoctorListsWhatDeletedStacksHaveLeft(t *testing.T) {
	g := healthy(t)
	g.account.parts["TasksTable"], g.account.parts["ArchiveBucket"] = "drover-TasksTable-NOW", "drover-archivebucket-now"
	g.account.stacks = []string{"living"}
	g.account.tables = []string{"drover-TasksTable-NOW", "drover-TasksTable-OLD", "old-ControlTable-1", "old-JobsTable-1", "old-TasksTable-1",
		"living-ControlTable-1", "living-JobsTable-1", "living-TasksTable-1", "someone-JobsTable-1", "other"}
	g.account.buckets = []string{"drover-archivebucket-now", "drover-archivebucket-old", "old-archivebucket-1", "living-archivebucket-1", "other"}
	out := g.drover("doctor").ok()
	for _, name := range []string{"drover-TasksTable-OLD", "old-ControlTable-1", "old-JobsTable-1", "old-TasksTable-1"} {
		require.Contains(t, out, "aws dynamodb delete-table --table-name "+name)
	}
	for _, name := range []string{"drover-archivebucket-old", "old-archivebucket-1"} {
		require.Contains(t, out, "aws s3 rb --force s3://"+name)
	}
	for _, name := range []string{"NOW", "-now", "living", "someone", "other"} {
		require.NotContains(t, out, name)
	}
}

func TestTheDoctorListsWhatAStackHasLeftAlsoWhereItIsGoneOrRolledBack(t *testing.T) {
	g := healthy(t)
	g.account.parts["TasksTable"] = "drover-TasksTable-1"
	g.account.tables = []string{"drover-TasksTable-1", "gone-TasksTable-1"}
	require.NotContains(t, g.drover("doctor").ok(), "drover-TasksTable-1")
	require.Contains(t, g.drover("--stack", "gone", "doctor").out, "gone-TasksTable-1")
	g.stack.Status, g.stack.Outputs = "ROLLBACK_COMPLETE", nil
	out := g.drover("doctor").out
	require.Contains(t, out, "ROLLBACK_COMPLETE")
	require.Contains(t, out, "drover-TasksTable-1")
}
