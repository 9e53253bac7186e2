package main

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// target checks that a labourer's workers exist, that the stack may start them, and that the stack learns when they end.
func (d *doctor) target(ctx context.Context, name string, l labourer.Labourer) []check {
	place := name + ": target"
	if l.Target.Kind() == "" {
		return []check{wrong(place, "apply the labourer again with a target", "it has no target")}
	}
	if far, fix := inspect.OutOfReach(l.Target, d.home()); far != "" {
		return []check{wrong(place, fix, "%s", far)}
	}
	var arn string
	var found check
	var more []check
	switch l.Target.Kind() {
	case "lambda":
		var timeout time.Duration
		if arn, timeout, found = d.functionTarget(ctx, place, l); found.OK {
			found = inTime(found, place, l, timeout)
			more = append(more, d.wire(ctx, name+": wiring", l), d.reserved(ctx, name+": concurrency", l))
		}
	case "sqs":
		var q targetQueue
		if q, found = d.queueTarget(ctx, place, l.Target.SQS); found.OK {
			arn = q.arn
			more = append(more, d.readers(ctx, name+": queue", l, q), d.keyOf(name+": key", "queue "+path.Base(l.Target.SQS), q.key, arn))
		}
	case "states":
		var key string
		if arn, key, found = d.machineTarget(ctx, place, l.Target.States); found.OK {
			more = append(more, d.keyOf(name+": key", "state machine "+arn, key, arn))
		}
	}
	if found.OK {
		if bad, wrongly := d.mayStart(ctx, place, l.Target, arn); wrongly {
			found = bad
		}
	}
	more = append(more, d.sender(name+": account", arn))
	return append([]check{found}, slices.DeleteFunc(more, func(c check) bool { return c.Name == "" })...)
}

// home returns the stack's region and account.
func (s *stack) home() labourer.Place {
	for _, output := range []string{"CompletionsQueueArn", "OrchestrateStateMachineArn", "AlarmTopicArn"} {
		if p := labourer.PlaceOf(s.Outputs[output]); p.Region != "" {
			return p
		}
	}
	return labourer.Place{Region: s.region}
}

// sender checks that workers in another account may report to the stack. It returns the zero check for workers in the stack's own account.
func (d *doctor) sender(name, arn string) check {
	account := inspect.Abroad(labourer.PlaceOf(arn), d.home())
	if account == "" {
		return check{}
	}
	const parameter = "EventSourceAccounts"
	if listed := d.Parameters[parameter]; !slices.Contains(strings.Split(listed, ","), account) {
		return wrong(name, d.deployWith(parameter, account), "%s is in account %s, from which the completions queue accepts nothing: the account is not in %s", arn, account, parameter)
	}
	return fine(name, "account %s may send completions", account)
}

// deployWith returns the command that deploys the stack with one more value in a parameter.
func (d *doctor) deployWith(parameter, value string) string {
	if was := d.Parameters[parameter]; was != "" && was != "*" {
		value = was + "," + value
	}
	return d.deploy(parameter + "=" + value)
}

// unreachable returns a failed check: the target does not exist, or cannot be read.
func unreachable(name, address, action string, err error) check {
	return unread(name, err, action, "create it, or apply the labourer with the right target; until then its tasks wait", address+" cannot be reached: ")
}

func (d *doctor) functionTarget(ctx context.Context, name string, l labourer.Labourer) (arn string, timeout time.Duration, found check) {
	f := functionOf(l.Target)
	is, err := d.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
	if err != nil {
		return "", 0, unreachable(name, "function "+l.Target.Lambda, "lambda:GetFunctionConfiguration", err)
	}
	if is.State == lambdatypes.StateFailed {
		return "", 0, wrong(name, "deploy the function again", "function %s is %s: %s", l.Target.Lambda, is.State, aws.ToString(is.StateReason))
	}
	return aws.ToString(is.FunctionArn), time.Duration(aws.ToInt32(is.Timeout)) * time.Second, fine(name, "function %s exists", aws.ToString(is.FunctionName))
}

// inTime checks that a worker ends before its lease does. Otherwise a task could run twice at the same time.
func inTime(found check, name string, l labourer.Labourer, timeout time.Duration) check {
	if timeout <= l.Lease() {
		return found
	}
	return wrong(name, "raise max_duration or cooldown, or lower the function's timeout",
		"the function may run for %s, longer than the lease of %s: a task could be retried while it still runs", timeout, l.Lease())
}

// reserved checks that a function may run as often at once as its labourer's cap allows. It returns the zero check if no invocations are reserved for it.
func (d *doctor) reserved(ctx context.Context, name string, l labourer.Labourer) check {
	f := functionOf(l.Target)
	out, err := d.functions.GetFunctionConcurrency(ctx, &awslambda.GetFunctionConcurrencyInput{FunctionName: &f.name})
	if err != nil || out.ReservedConcurrentExecutions == nil { // the right to read it is not needed for anything else
		return check{}
	}
	n := int(*out.ReservedConcurrentExecutions)
	if float64(n) >= l.MaxSimultaneousInvocations {
		return fine(name, "the function's reserved concurrency of %d suffices for the cap of %s", n, number(l.MaxSimultaneousInvocations))
	}
	return wrong(name, "lower max_simultaneous_invocations, or: "+d.command("lambda", "put-function-concurrency", "--function-name", f.name,
		"--reserved-concurrent-executions", strconv.Itoa(int(math.Ceil(l.MaxSimultaneousInvocations)))),
		"the function's reserved concurrency is %d and the cap is %s: Lambda throttles what is started beyond it", n, number(l.MaxSimultaneousInvocations))
}

// targetQueue holds the attributes of a queue that workers read.
type targetQueue struct {
	inspect.Backlog          // -1 for an unknown count
	arn, key          string // key is customer managed; "" if there is none
	visibility, delay time.Duration
}

// queueAttributes names the attributes of a targetQueue.
var queueAttributes = []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn, sqstypes.QueueAttributeNameKmsMasterKeyId,
	sqstypes.QueueAttributeNameVisibilityTimeout, sqstypes.QueueAttributeNameDelaySeconds,
	sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible}

func (s *stack) queue(ctx context.Context, url string) (targetQueue, error) {
	out, err := s.queues.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: queueAttributes})
	if err != nil {
		return targetQueue{}, err
	}
	number := func(name sqstypes.QueueAttributeName) int {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return -1
		}
		return n
	}
	span := func(name sqstypes.QueueAttributeName) time.Duration { return time.Duration(number(name)) * time.Second }
	return targetQueue{
		arn: out.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], key: out.Attributes[string(sqstypes.QueueAttributeNameKmsMasterKeyId)],
		visibility: span(sqstypes.QueueAttributeNameVisibilityTimeout), delay: span(sqstypes.QueueAttributeNameDelaySeconds),
		Backlog: inspect.Backlog{Waiting: number(sqstypes.QueueAttributeNameApproximateNumberOfMessages),
			InFlight: number(sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible)},
	}, nil
}

func (d *doctor) queueTarget(ctx context.Context, name, url string) (targetQueue, check) {
	q, err := d.queue(ctx, url)
	if err != nil {
		return q, unreachable(name, "queue "+url, "sqs:GetQueueAttributes", err)
	}
	return q, fine(name, "queue %s exists", path.Base(url))
}

// longestVisibility limits the visibility timeout: SQS accepts no longer one.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const longestVisibility = 12 * time.Hour

// readers checks that the settings of a queue fit the lease, and that workers read it.
func (d *doctor) readers(ctx context.Context, name string, l labourer.Labourer, q targetQueue) check {
	url := l.Target.SQS
	if q.visibility >= 0 && q.visibility < min(l.Lease(), longestVisibility) {
		enough := strconv.Itoa(int(math.Ceil(min(l.Lease(), longestVisibility).Seconds())))
		return wrong(name, "lower max_duration, or: "+d.command("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", "VisibilityTimeout="+enough),
			"its visibility timeout of %s is below the lease of %s (max_duration + cooldown): a second worker may get a task while the first still runs", q.visibility, l.Lease())
	}
	if q.delay > 0 && q.delay >= l.Cooldown {
		return wrong(name, "raise the cooldown, or: "+d.command("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", "DelaySeconds=0"),
			"it delays each message by %s, but the cooldown is %s: the lease may end before a worker has had its max_duration", q.delay, l.Cooldown)
	}
	leases, err := d.control.Leases(ctx, l.ID)
	if err != nil {
		return unread(name, err, "dynamodb:Query", "", "the labourer's leases cannot be read: ")
	}
	since, err := d.oldest(ctx, q, inspect.SentSince(leases))
	if err != nil {
		return unread(name, err, "cloudwatch:GetMetricData", "", inspect.Count(q.Waiting, "message")+", whose age cannot be read: ")
	}
	if unread := q.Unread(l, since, d.now()); unread != "" {
		return wrong(name, "start its workers, or fix what keeps them from reading "+url, "%s", unread)
	}
	return fine(name, "it fits the lease of %s and holds %s", l.Lease(), inspect.Count(max(q.Waiting, 0), "message"))
}

// oldest returns when the oldest message came to a queue that no worker reads. That is the start of the first task in hand or, if the time of the
// first tasks has ended or was begun anew, the time that CloudWatch reports.
func (d *doctor) oldest(ctx context.Context, q targetQueue, since time.Time) (time.Time, error) {
	if q.Waiting < 1 || q.InFlight > 0 {
		return since, nil
	}
	age, err := d.metric(ctx, "AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", q.arn[strings.LastIndexByte(q.arn, ':')+1:])
	if err != nil || age == nil || *age <= 0 {
		return since, err
	}
	if at := d.now().Add(-time.Duration(*age) * time.Second); since.IsZero() || at.Before(since) {
		return at, nil
	}
	return since, nil
}

// keyOf checks that the stack may use the customer managed key of a target. It returns the zero check if there is none.
func (d *doctor) keyOf(name, what, key, arn string) check {
	const parameter = "WorkerKeyArns"
	if key == "" || strings.HasSuffix(key, "alias/aws/sqs") {
		return check{}
	}
	listed := d.Parameters[parameter]
	at := labourer.PlaceOf(arn)
	full := key
	switch {
	case strings.HasPrefix(key, "arn:") && !strings.Contains(key, ":alias/"):
	case strings.Contains(key, "alias/"):
		if listed != "" {
			return fine(name, "%s is encrypted with %s; the check cannot tell from an alias whether the key is in %s", what, key, parameter)
		}
		return wrong(name, d.deploy(parameter+"=KEY")+", where KEY is the ARN that this prints: "+d.command("kms", "describe-key", "--key-id", key, "--query", "KeyMetadata.Arn"),
			"%s is encrypted with %s, which the stack may not use (kms:GenerateDataKey, kms:Decrypt): %s is empty", what, key, parameter)
	default:
		full = fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", at.Partition, at.Region, at.Account, key)
	}
	if !slices.Contains(strings.Split(listed, ","), full) {
		return wrong(name, d.deployWith(parameter, full), "%s is encrypted with %s, which the stack may not use (kms:GenerateDataKey, kms:Decrypt): it is not in %s",
			what, full, parameter)
	}
	return fine(name, "%s is in %s", full, parameter)
}

func (d *doctor) machineTarget(ctx context.Context, name, arn string) (string, string, check) {
	is, err := d.machines.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	switch {
	case err != nil:
		return "", "", unreachable(name, "state machine "+arn, "states:DescribeStateMachine", err)
	case is.Type == sfntypes.StateMachineTypeExpress:
		return "", "", wrong(name, "make it a Standard state machine", "state machine %s is Express and does not report when an execution ends", arn)
	case is.Status == sfntypes.StateMachineStatusDeleting:
		return "", "", wrong(name, "create it, or apply the labourer with the right target", "state machine %s is being deleted", arn)
	}
	key := ""
	if e := is.EncryptionConfiguration; e != nil {
		key = aws.ToString(e.KmsKeyId)
	}
	return arn, key, fine(name, "state machine %s exists", aws.ToString(is.Name))
}

// workerParameters names, for each kind of target, the template's parameter with the targets that the stack may start.
var workerParameters = map[string]string{"lambda": "WorkerFunctionArns", "sqs": "WorkerQueueArns", "states": "WorkerStateMachineArns"}

// mayStart checks that the stack's parameter for this kind of target covers it. An empty parameter covers the tagged targets of the stack's
// account and region, and "*" covers all targets there. It returns true with a failed check.
func (d *doctor) mayStart(ctx context.Context, name string, t labourer.Target, arn string) (check, bool) {
	if arn == "" {
		return check{}, false
	}
	parameter := workerParameters[t.Kind()]
	patterns := d.Parameters[parameter]
	abroad := inspect.Abroad(labourer.PlaceOf(arn), d.home())
	switch {
	case patterns != "" && patterns != "*":
		if slices.ContainsFunc(strings.Split(patterns, ","), func(p string) bool { return inspect.Covers(p, arn) }) {
			return check{}, false
		}
		return wrong(name, d.deployWith(parameter, arn), "the stack may not start %s: it is not in %s", arn, parameter), true
	case abroad != "":
		return wrong(name, d.deployWith(parameter, arn)+", and allow the roles of the orchestrator and the worker assistant in the target's own policy",
			"the stack may not start %s: it is in account %s, and %s names no target in another account", arn, abroad, parameter), true
	case patterns == "*":
		return check{}, false
	}
	return d.tag(ctx, name, t, arn)
}

func (d *doctor) wire(ctx context.Context, name string, l labourer.Labourer) check {
	is, err := d.wired(ctx, functionOf(l.Target))
	if err != nil {
		return unread(name, err, "lambda:GetFunctionEventInvokeConfig", "", "it cannot be read: ")
	}
	if lacks := is.lacks(d.Outputs["CompletionsQueueArn"], l); lacks != "" {
		return wrong(name, d.own("apply", "--wire", "-f")+" FILE, with the labourer's file", "%s", lacks)
	}
	return fine(name, "crashes and timeouts go to the completions queue, and Lambda does not retry by itself")
}
