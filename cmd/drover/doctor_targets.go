package main

import (
	"context"
	"fmt"
	"math"
	"path"
	"regexp"
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

	"github.com/drover-run/drover/shared/labourer"
)

// target looks whether a labourer's workers are there, may be started by the stack, and will be heard of.
func (d *doctor) target(ctx context.Context, name string, l labourer.Labourer) []check {
	place := name + ": target"
	if l.Target.Kind() == "" {
		return []check{wrong(place, "apply it again with a target", "it has none")}
	}
	if far, fix := d.outOfReach(l.Target); far != "" {
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
			more = append(more, d.wire(ctx, name+": wiring", l))
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

// home is where the stack is.
func (s *stack) home() labourer.Place {
	for _, output := range []string{"CompletionsQueueArn", "OrchestrateStateMachineArn", "AlarmTopicArn"} {
		if p := labourer.PlaceOf(s.Outputs[output]); p.Region != "" {
			return p
		}
	}
	return labourer.Place{Region: s.region}
}

// outOfReach says why no call of the stack can reach a target, as far as its address tells, and what to do; "" when one may.
func (s *stack) outOfReach(t labourer.Target) (why, fix string) {
	is, home := t.Place(), s.home()
	kind := map[string]string{"lambda": "function", "sqs": "queue", "states": "state machine"}[t.Kind()]
	switch {
	case is.Region != "" && home.Region != "" && is.Region != home.Region:
		return fmt.Sprintf("%s %s is in region %s, and the stack in %s, which does not reach it", kind, t.Address(), is.Region, home.Region),
			fmt.Sprintf("apply the labourer with a target in %s, or to a stack in %s", home.Region, is.Region)
	case is.Partition != "" && home.Partition != "" && is.Partition != home.Partition:
		return fmt.Sprintf("%s %s is in partition %s, and the stack in %s, which does not reach it", kind, t.Address(), is.Partition, home.Partition),
			"apply the labourer with a target in the stack's partition"
	case t.Kind() == "states" && is.Account != "" && home.Account != "" && is.Account != home.Account:
		return fmt.Sprintf("state machine %s is of account %s, and the stack of %s: Step Functions starts no machine of another account", t.Address(), is.Account, home.Account),
			"apply the labourer with a machine, or a function that starts it, in account " + home.Account
	}
	return "", ""
}

// abroad returns the account of an address that is not the stack's own; "" when it is, or is not told.
func (s *stack) abroad(is labourer.Place) string {
	if home := s.home(); is.Account != "" && home.Account != "" && is.Account != home.Account {
		return is.Account
	}
	return ""
}

// sender looks whether the workers of another account may tell the stack of their ends. The zero check: they are of the stack's own.
func (d *doctor) sender(name, arn string) check {
	account := d.abroad(labourer.PlaceOf(arn))
	if account == "" {
		return check{}
	}
	const parameter = "EventSourceAccounts"
	if listed := d.Parameters[parameter]; !slices.Contains(strings.Split(listed, ","), account) {
		return wrong(name, d.deployWith(parameter, account), "%s is of account %s, from which the completions queue takes nothing: it is not in %s", arn, account, parameter)
	}
	return fine(name, "account %s may send completions", account)
}

// deployWith says to deploy with one more value in a parameter.
func (d *doctor) deployWith(parameter, value string) string {
	if was := d.Parameters[parameter]; was != "" && was != "*" {
		value = was + "," + value
	}
	return d.deploy(parameter + "=" + value)
}

// unreachable is the finding that a target is not there, or can not be asked.
func unreachable(name, address, action string, err error) check {
	return unread(name, err, action, "create it, or apply the labourer with the right target; its tasks wait meanwhile", address+" cannot be reached: ")
}

func (d *doctor) functionTarget(ctx context.Context, name string, l labourer.Labourer) (arn string, timeout time.Duration, found check) {
	f := functionOf(l.Target.Lambda)
	is, err := d.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
	if err != nil {
		return "", 0, unreachable(name, "function "+l.Target.Lambda, "lambda:GetFunctionConfiguration", err)
	}
	if is.State == lambdatypes.StateFailed {
		return "", 0, wrong(name, "deploy the function again", "function %s is %s: %s", l.Target.Lambda, is.State, aws.ToString(is.StateReason))
	}
	return aws.ToString(is.FunctionArn), time.Duration(aws.ToInt32(is.Timeout)) * time.Second, fine(name, "function %s is there", aws.ToString(is.FunctionName))
}

// inTime tells whether a worker has certainly ended when its lease does: else a task could run twice at once.
func inTime(found check, name string, l labourer.Labourer, timeout time.Duration) check {
	if timeout <= l.Lease() {
		return found
	}
	return wrong(name, "raise max_duration or cooldown, or lower the function's timeout",
		"the function may run for %s, longer than the lease of %s: a task could be tried again while it still runs", timeout, l.Lease())
}

// targetQueue is what a worker queue says of itself.
type targetQueue struct {
	arn, key          string // key: "" when it has none of the customer's
	visibility, delay time.Duration
	waiting, inFlight int
}

// queueLook are the attributes of a targetQueue.
var queueLook = []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn, sqstypes.QueueAttributeNameKmsMasterKeyId,
	sqstypes.QueueAttributeNameVisibilityTimeout, sqstypes.QueueAttributeNameDelaySeconds,
	sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible}

func (s *stack) queue(ctx context.Context, url string) (targetQueue, error) {
	out, err := s.queues.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: queueLook})
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
		waiting: number(sqstypes.QueueAttributeNameApproximateNumberOfMessages), inFlight: number(sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
	}, nil
}

// unread says that the messages of a queue lie there although there was time enough to take them; "" when that is not so. since is when the
// longest waiting of them was sent; where the lease is short, half of it is enough, for when it ends the task is sent again.
func (q targetQueue) unread(l labourer.Labourer, since, now time.Time) string {
	if q.waiting < 1 || q.inFlight > 0 || since.IsZero() || now.Sub(since) < min(late, l.Lease()/2) {
		return ""
	}
	return fmt.Sprintf("%s in the queue, the oldest for about %s, and none is being worked on: nobody takes them",
		map[bool]string{true: "1 message waits", false: strconv.Itoa(q.waiting) + " messages wait"}[q.waiting == 1], now.Sub(since).Truncate(time.Second))
}

func (d *doctor) queueTarget(ctx context.Context, name, url string) (targetQueue, check) {
	q, err := d.queue(ctx, url)
	if err != nil {
		return q, unreachable(name, "queue "+url, "sqs:GetQueueAttributes", err)
	}
	return q, fine(name, "queue %s is there", path.Base(url))
}

// longestVisibility is what SQS takes at most.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const longestVisibility = 12 * time.Hour

// readers looks whether what a queue does by itself fits the lease, and whether anyone reads it.
func (d *doctor) readers(ctx context.Context, name string, l labourer.Labourer, q targetQueue) check {
	url := l.Target.SQS
	if q.visibility >= 0 && q.visibility < min(l.Lease(), longestVisibility) {
		enough := strconv.Itoa(int(math.Ceil(min(l.Lease(), longestVisibility).Seconds())))
		return wrong(name, "lower max_duration, or: "+d.command("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", "VisibilityTimeout="+enough),
			"its visibility timeout of %s is below the lease of %s (max_duration + cooldown): a second worker gets a task while the first one still runs", q.visibility, l.Lease())
	}
	if q.delay > 0 && q.delay >= l.Cooldown {
		return wrong(name, "raise the cooldown, or: "+d.command("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", "DelaySeconds=0"),
			"it holds each message back for %s, which is not below the cooldown of %s: the lease ends before a worker has had its max_duration", q.delay, l.Cooldown)
	}
	leases, err := d.control.Leases(ctx, l.ID)
	if err != nil {
		return unread(name, err, "dynamodb:Query", "", "the labourer's leases cannot be read: ")
	}
	var since time.Time
	for _, lease := range leases {
		if at := lease.DispatchedAt; !at.IsZero() && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	if since, err = d.oldest(ctx, q, since); err != nil {
		return unread(name, err, "cloudwatch:GetMetricData", "", many(q.waiting, "message")+"; how old they are cannot be told: ")
	}
	if lies := q.unread(l, since, d.now()); lies != "" {
		return wrong(name, "start its workers, or mend what keeps them from reading "+url, "%s", lies)
	}
	return fine(name, "it fits the lease of %s, and %s in it", l.Lease(), are(max(q.waiting, 0), "message"))
}

// oldest returns since when the longest waiting message lies in a queue that nothing is being read of: since the earliest lease, or longer, as
// CloudWatch may know, where the leases of the first messages have ended meanwhile.
func (d *doctor) oldest(ctx context.Context, q targetQueue, since time.Time) (time.Time, error) {
	if q.waiting < 1 || q.inFlight > 0 {
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

// keyOf looks whether the stack may use the customer's key that a target is encrypted with. The zero check: there is none.
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
			return fine(name, "%s is encrypted with %s; whether that is among %s cannot be told by its name", what, key, parameter)
		}
		return wrong(name, d.deploy(parameter+"=KEY")+", where KEY is the Arn that this prints: "+d.command("kms", "describe-key", "--key-id", key, "--query", "KeyMetadata.Arn"),
			"%s is encrypted with %s, which the orchestrator may not use (kms:GenerateDataKey, kms:Decrypt): %s is empty", what, key, parameter)
	default:
		full = fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", at.Partition, at.Region, at.Account, key)
	}
	if !slices.Contains(strings.Split(listed, ","), full) {
		return wrong(name, d.deployWith(parameter, full), "%s is encrypted with %s, which the orchestrator may not use (kms:GenerateDataKey, kms:Decrypt): it is not in %s", what, full, parameter)
	}
	return fine(name, "%s is among %s", full, parameter)
}

func (d *doctor) machineTarget(ctx context.Context, name, arn string) (string, string, check) {
	is, err := d.machines.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	switch {
	case err != nil:
		return "", "", unreachable(name, "state machine "+arn, "states:DescribeStateMachine", err)
	case is.Type == sfntypes.StateMachineTypeExpress:
		return "", "", wrong(name, "make it a Standard machine", "state machine %s is Express, and tells nobody when an execution ends", arn)
	case is.Status == sfntypes.StateMachineStatusDeleting:
		return "", "", wrong(name, "create it, or apply the labourer with the right target", "state machine %s is being deleted", arn)
	}
	key := ""
	if e := is.EncryptionConfiguration; e != nil {
		key = aws.ToString(e.KmsKeyId)
	}
	return arn, key, fine(name, "state machine %s is there", aws.ToString(is.Name))
}

// workerParameters are the template's parameters that say what the orchestrator may start.
var workerParameters = map[string]string{"lambda": "WorkerFunctionArns", "sqs": "WorkerQueueArns", "states": "WorkerStateMachineArns"}

// mayStart looks whether the stack's parameter for this kind of target covers it. An empty one covers those of the stack's account and
// region that carry the tag, "*" all of them. It returns what is wrong.
func (d *doctor) mayStart(ctx context.Context, name string, t labourer.Target, arn string) (check, bool) {
	if arn == "" {
		return check{}, false
	}
	parameter := workerParameters[t.Kind()]
	patterns := d.Parameters[parameter]
	abroad := d.abroad(labourer.PlaceOf(arn))
	switch {
	case patterns != "" && patterns != "*":
		if slices.ContainsFunc(strings.Split(patterns, ","), func(p string) bool { return matches(p, arn) }) {
			return check{}, false
		}
		return wrong(name, d.deployWith(parameter, arn), "the orchestrator may not start %s: it is not in %s", arn, parameter), true
	case abroad != "":
		return wrong(name, d.deployWith(parameter, arn)+", and allow it to the orchestrator's role in the target's own policy",
			"the orchestrator may not start %s: it is of account %s, and %s names none of another account", arn, abroad, parameter), true
	case patterns == "*":
		return check{}, false
	}
	return d.tag(ctx, name, t, arn)
}

// matches tells whether an ARN is covered by one in a policy, where * is any text and ? any letter.
func matches(pattern, arn string) bool {
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`^` + quoted + `$`).MatchString(arn)
}

func (d *doctor) wire(ctx context.Context, name string, l labourer.Labourer) check {
	is, err := d.wired(ctx, functionOf(l.Target.Lambda))
	if err != nil {
		return unread(name, err, "lambda:GetFunctionEventInvokeConfig", "", "it cannot be read: ")
	}
	if lacks := is.lacks(d.Outputs["CompletionsQueueArn"], l); lacks != "" {
		return wrong(name, d.own("apply", "--wire", "-f")+" FILE, with the labourer's file", "%s", lacks)
	}
	return fine(name, "crashes and timeouts are sent to the completions queue, and Lambda retries nothing by itself")
}
