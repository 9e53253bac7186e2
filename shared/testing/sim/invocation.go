package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// invocation is one run of one of Drover's functions. It implements all clients of the function: each call waits until the simulation lets it
// proceed, and meets the fate that the simulation chooses.
type invocation struct {
	fakeaws.Invocation
	run     *run
	real    fakeaws.Clients
	skew    time.Duration
	slow    time.Duration  // the longest duration of each of its calls, if it is a slow invocation
	next    bool           // it runs the next version of the code
	began   int            // the step in which it began
	start   time.Time      // by its own clock
	dueRead map[string]int // the step in which it last read the due entries, by labourer

	ctx     context.Context
	cancel  context.CancelFunc
	kill    *fakeaws.Coming
	blocked []*call // calls that wait
	dying   bool    // its process dies with the present call
	gone    bool    // its process has died, or is about to die
	over    bool    // its caller has received its end
	ended   bool    // its goroutine has returned
	crashed bool    // it died before it returned
	marred  bool    // one of its calls failed
	out     any
	err     error
}

// call is one request of an invocation.
type call struct {
	*invocation
	operation string
	input     any
	label     string
	lasts     time.Duration // its duration, without any fault; 0: chance decides on both
	fate      Fault
	proceed   chan struct{}
	lets      *fakeaws.Coming
}

// errGone answers every call of a dead process. Nothing that the process does after it has an effect.
var errGone = errors.New("the process has died")

func (v *invocation) now() time.Time { return v.run.world.Now().Add(v.skew) }

// begin runs the function in its own goroutine, which blocks whenever another call has its turn.
func (v *invocation) begin() {
	v.start = v.now()
	v.ctx, v.cancel = context.WithDeadline(context.Background(), v.start.Add(v.Timeout))
	v.kill = v.run.world.At(v.run.world.Now().Add(v.Timeout), fakeaws.Timer, v.ID+" runs out of time", func() {
		v.run.count(TimedOut)
		v.die("Sandbox.Timedout", "ran out of time")
	})
	clients := fakeaws.Clients{DynamoDB: v, SQS: v, EventBridge: v, StepFunctions: v, Tokens: v, Lambda: v, S3: v, SNS: v, CloudWatch: v,
		Now: v.now, Random: v.run.random("jitter").Float64, Wait: func(context.Context) error { return nil }}
	if v.next {
		clients = upgraded(clients)
	}
	if v.run.options.Tamper != nil {
		clients = v.run.options.Tamper(clients)
	}
	services := fakeaws.Wire(clients)
	if v.run.plan.queued {
		services.Scheduler.Service.Granter, services.Workflow.Service.Granter = direct.Granter{}, direct.Granter{}
	}
	if v.run.options.Rewire != nil {
		v.run.options.Rewire(services)
	}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				v.run.violate("G8", "%s panicked: %v\n%s", v.ID, p, debug.Stack())
			}
			v.run.mu.Lock()
			v.ended = true
			v.run.mu.Unlock()
		}()
		v.out, v.err = v.Run(v.ctx, services)
		if v.next && v.Function == "orchestrator" && v.err == nil {
			v.out = extendedAnswer(v.out)
		}
	}()
}

// die ends an invocation like a crash of its process.
func (v *invocation) die(kind, why string) {
	if v.over {
		return
	}
	v.run.trace("%s dies: %s", v.ID, why)
	v.crashed = true
	v.finish(nil, &fakeaws.Failure{Type: kind, Message: why})
}

func (v *invocation) finish(out any, err error) {
	v.over, v.gone = true, true
	v.run.world.Cancel(v.kill)
	v.cancel()
	for _, c := range v.blocked {
		v.run.world.Cancel(c.lets)
		close(c.proceed)
	}
	v.blocked = nil
	v.Done(out, err)
}

// through carries out a request once it has its turn.
func through[I, O any](v *invocation, operation, label string, in I, do func(context.Context, I) (O, error)) (O, error) {
	var none O
	c := &call{invocation: v, operation: operation, input: in, label: label, proceed: make(chan struct{})}
	if !v.run.wait(c) {
		return none, errGone
	}
	<-c.proceed
	if v.gone {
		return none, errGone
	}
	v.marred = v.marred || c.fate != ""
	out, err := carryOut(c, in, do)
	if err != nil {
		v.marred = v.marred || !expected(err)
	}
	v.run.check.checkCall(c)
	return out, err
}

func carryOut[I, O any](c *call, in I, do func(context.Context, I) (O, error)) (O, error) {
	var none O
	ctx := context.Background()
	switch c.fate {
	case CrashBefore:
		c.gone = true
		return none, errGone
	case Refused, Storm, Conflict:
		return none, serviceError(c.operation, c.fate)
	case CrashAfter:
		c.dying = true
		_, _ = do(ctx, in)
		c.gone = true
		return none, errGone
	case Unreported:
		_, _ = do(ctx, in)
		return none, serviceError(c.operation, c.fate)
	case Repeated:
		_, _ = do(ctx, in)
	}
	return do(ctx, in)
}

func serviceError(operation string, f Fault) error {
	if f == Conflict {
		if operation == "TransactWriteItems" {
			return &dynamotypes.TransactionCanceledException{Message: aws.String("Transaction cancelled"),
				CancellationReasons: []dynamotypes.CancellationReason{{Code: aws.String("TransactionConflict")}, {Code: aws.String("None")}}}
		}
		return &dynamotypes.TransactionConflictException{Message: aws.String("Transaction is ongoing for the item")}
	}
	if f == Storm {
		switch operation {
		case "Invoke":
			return &lambdatypes.TooManyRequestsException{Message: aws.String("Rate Exceeded.")}
		case "TransactWriteItems", "UpdateItem", "PutItem", "Query", "GetItem":
			return &dynamotypes.ProvisionedThroughputExceededException{Message: aws.String("throttled")}
		}
		return &smithy.GenericAPIError{Code: "ThrottlingException", Message: "throttled"}
	}
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusInternalServerError}},
		Err: &smithy.GenericAPIError{Code: "InternalServerError", Message: string(f), Fault: smithy.FaultServer}}
}

// writes reports whether an operation has an effect.
func writes(operation string) bool {
	switch operation {
	case "GetItem", "Query", "BatchGetItem", "GetObject", "ListObjectsV2", "GetMetricData", "Pause":
		return false
	}
	return true
}

// conflicts reports whether a concurrent transaction can reject an operation.
func conflicts(operation string) bool {
	return operation == "TransactWriteItems" || operation == "UpdateItem" || operation == "PutItem" || operation == "DeleteItem"
}

// keyLabel returns a readable key, which also distinguishes calls of one invocation.
func keyLabel(key map[string]dynamotypes.AttributeValue) string {
	var parts []string
	for name, v := range key {
		switch v := v.(type) {
		case *dynamotypes.AttributeValueMemberS:
			parts = append(parts, name+"="+v.Value)
		case *dynamotypes.AttributeValueMemberN:
			parts = append(parts, name+"="+v.Value)
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, " ")
}

func firstKey(it map[string]dynamotypes.AttributeValue) string {
	key := map[string]dynamotypes.AttributeValue{}
	for _, name := range []string{"segment", "n", "labourer", "job_id", "run", "item"} {
		if v, ok := it[name]; ok && (name != "labourer" || it["segment"] == nil) {
			key[name] = v
		}
	}
	return keyLabel(key)
}

// The calls to DynamoDB.

func (v *invocation) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return through(v, "GetItem", *in.TableName+" "+keyLabel(in.Key), in, func(ctx context.Context, in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
		return v.real.DynamoDB.GetItem(ctx, in)
	})
}

func (v *invocation) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return through(v, "Query", *in.TableName+" "+keyLabel(in.ExpressionAttributeValues), in,
		func(ctx context.Context, in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
			return v.real.DynamoDB.Query(ctx, in)
		})
}

func (v *invocation) BatchGetItem(_ context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	label := ""
	for table, keys := range in.RequestItems {
		label = fmt.Sprintf("%s %d items from %s", table, len(keys.Keys), keyLabel(keys.Keys[0]))
	}
	return through(v, "BatchGetItem", label, in, func(ctx context.Context, in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
		return v.real.DynamoDB.BatchGetItem(ctx, in)
	})
}

func (v *invocation) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return through(v, "PutItem", *in.TableName+" "+firstKey(in.Item), in, func(ctx context.Context, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
		return v.real.DynamoDB.PutItem(ctx, in)
	})
}

func (v *invocation) UpdateItem(_ context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return through(v, "UpdateItem", *in.TableName+" "+keyLabel(in.Key)+" "+aws.ToString(in.UpdateExpression), in,
		func(ctx context.Context, in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
			return v.real.DynamoDB.UpdateItem(ctx, in)
		})
}

func (v *invocation) DeleteItem(_ context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return through(v, "DeleteItem", *in.TableName+" "+keyLabel(in.Key), in, func(ctx context.Context, in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
		return v.real.DynamoDB.DeleteItem(ctx, in)
	})
}

func (v *invocation) BatchWriteItem(_ context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	label := ""
	for table, requests := range in.RequestItems {
		var first string
		if put := requests[0].PutRequest; put != nil {
			first = firstKey(put.Item)
		} else if d := requests[0].DeleteRequest; d != nil {
			first = "delete " + keyLabel(d.Key)
		}
		label = fmt.Sprintf("%s %d items from %s", table, len(requests), first)
	}
	return through(v, "BatchWriteItem", label, in, func(ctx context.Context, in *dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error) {
		return v.real.DynamoDB.BatchWriteItem(ctx, in)
	})
}

func (v *invocation) TransactWriteItems(_ context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	// The SDK gives each transaction a token, by which DynamoDB recognises a retry.
	one := *in
	if one.ClientRequestToken == nil {
		one.ClientRequestToken = aws.String(fmt.Sprintf("token-%06d", v.run.tokens.Add(1)))
	}
	out, err := through(v, "TransactWriteItems", transactionLabel(in), &one,
		func(ctx context.Context, in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
			return v.real.DynamoDB.TransactWriteItems(ctx, in)
		})
	if v.run.plan.rates[TornRead] > 0 && v.waits(longestTear) {
		v.sitOut(longestTear)
	}
	return out, err
}

// waits reports whether the invocation survives the present call by the duration d.
func (v *invocation) waits(d time.Duration) bool {
	return !v.run.calm && !v.dying && !v.gone && v.kill.At.Sub(v.run.world.Now()) > d
}

// sitOut makes the invocation wait for the duration d.
func (v *invocation) sitOut(d time.Duration) {
	c := &call{invocation: v, operation: "sit out", lasts: d, proceed: make(chan struct{})}
	if v.run.wait(c) {
		<-c.proceed
	}
}

func transactionLabel(in *dynamodb.TransactWriteItemsInput) string {
	var parts []string
	for _, w := range in.TransactItems {
		switch {
		case w.Put != nil:
			parts = append(parts, "put "+firstKey(w.Put.Item))
		case w.Update != nil:
			parts = append(parts, "update "+keyLabel(w.Update.Key))
		case w.Delete != nil:
			parts = append(parts, "delete "+keyLabel(w.Delete.Key))
		}
	}
	return strings.Join(parts, ", ")
}

// Pause waits between two attempts, in the world's time. The simulation draws the duration and ignores the adapter's.
func (v *invocation) Pause(context.Context, time.Duration) error {
	_, err := through(v, "Pause", "", 0, func(context.Context, int) (int, error) { return 0, nil })
	return err
}

// The calls to the other services.

func (v *invocation) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return through(v, "SendMessage", *in.QueueUrl+" "+clip(*in.MessageBody), in, func(ctx context.Context, in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
		return v.real.SQS.SendMessage(ctx, in)
	})
}

func (v *invocation) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	label := fmt.Sprintf("%s %d messages from %s", *in.QueueUrl, len(in.Entries), clip(*in.Entries[0].MessageBody))
	return through(v, "SendMessageBatch", label, in, func(ctx context.Context, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
		part, left := *in, []sqstypes.SendMessageBatchRequestEntry(nil)
		part.Entries = nil
		for _, e := range in.Entries {
			v.run.check.starting(v, []byte(*e.MessageBody))
			if v.run.unstartableIn([]byte(*e.MessageBody)) || v.run.partial() {
				left = append(left, e)
			} else {
				part.Entries = append(part.Entries, e)
			}
		}
		out := &sqs.SendMessageBatchOutput{}
		if len(part.Entries) > 0 {
			var err error
			if out, err = v.real.SQS.SendMessageBatch(ctx, &part); err != nil {
				return out, err
			}
		}
		for _, e := range left {
			out.Failed = append(out.Failed, sqstypes.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError"), Message: aws.String("left out")})
		}
		return out, nil
	})
}

func (v *invocation) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	label := fmt.Sprintf("%d events from %s %s", len(in.Entries), *in.Entries[0].DetailType, clip(*in.Entries[0].Detail))
	return through(v, "PutEvents", label, in, func(ctx context.Context, in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput, error) {
		out := &eventbridge.PutEventsOutput{}
		for _, e := range in.Entries {
			if v.run.partial() {
				out.FailedEntryCount++
				out.Entries = append(out.Entries, eventtypes.PutEventsResultEntry{ErrorCode: aws.String("InternalFailure"), ErrorMessage: aws.String("left out")})
				continue
			}
			v.run.check.telling(v, aws.ToString(e.DetailType), aws.ToString(e.Detail))
			one, err := v.real.EventBridge.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []eventtypes.PutEventsRequestEntry{e}})
			if err != nil {
				return nil, err
			}
			out.Entries = append(out.Entries, one.Entries...)
			out.FailedEntryCount += one.FailedEntryCount
		}
		return out, nil
	})
}

func (v *invocation) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	return through(v, "StartExecution", aws.ToString(in.Name), in, func(ctx context.Context, in *sfn.StartExecutionInput) (*sfn.StartExecutionOutput, error) {
		input := []byte(aws.ToString(in.Input))
		v.run.check.starting(v, input)
		if v.run.unstartableIn(input) {
			return nil, serviceError("StartExecution", Refused)
		}
		return v.real.StepFunctions.StartExecution(ctx, in)
	})
}

func (v *invocation) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	return through(v, "DescribeExecution", aws.ToString(in.ExecutionArn), in, func(ctx context.Context, in *sfn.DescribeExecutionInput) (*sfn.DescribeExecutionOutput, error) {
		return v.real.StepFunctions.DescribeExecution(ctx, in)
	})
}

func (v *invocation) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	label := aws.ToString(in.TaskToken) + " " + aws.ToString(in.Output)
	return through(v, "SendTaskSuccess", label, in, func(ctx context.Context, in *sfn.SendTaskSuccessInput) (*sfn.SendTaskSuccessOutput, error) {
		v.run.check.answering(v, aws.ToString(in.TaskToken), aws.ToString(in.Output))
		return v.real.Tokens.SendTaskSuccess(ctx, in)
	})
}

func (v *invocation) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return through(v, "GetQueueAttributes", aws.ToString(in.QueueUrl), in, func(ctx context.Context, in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
		return v.real.SQS.GetQueueAttributes(ctx, in)
	})
}

func (v *invocation) Invoke(_ context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	return through(v, "Invoke", clip(string(in.Payload)), in, func(ctx context.Context, in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		v.run.check.starting(v, in.Payload)
		switch {
		case v.run.unstartableIn(in.Payload):
			return nil, serviceError("Invoke", Refused)
		case aws.ToString(in.Qualifier) == "none":
			return nil, &lambdatypes.ResourceNotFoundException{Message: aws.String("Function not found: " + *in.FunctionName + ":none")}
		case aws.ToString(in.Qualifier) == "forbidden":
			return nil, &smithy.GenericAPIError{Code: "AccessDeniedException",
				Message: "not authorized to perform lambda:InvokeFunction on " + *in.FunctionName + ":forbidden", Fault: smithy.FaultClient}
		}
		return v.real.Lambda.Invoke(ctx, in)
	})
}

func (v *invocation) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return through(v, "GetObject", *in.Key, in, func(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
		return v.real.S3.GetObject(ctx, in)
	})
}

func (v *invocation) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	return through(v, "ListObjectsV2", aws.ToString(in.Prefix), in, func(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
		return v.real.S3.ListObjectsV2(ctx, in)
	})
}

func (v *invocation) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return through(v, "PutObject", *in.Key, in, func(ctx context.Context, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
		if seeker, ok := in.Body.(interface {
			Seek(offset int64, whence int) (int64, error)
		}); ok {
			_, _ = seeker.Seek(0, 0)
		}
		return v.real.S3.PutObject(ctx, in)
	})
}

func (v *invocation) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return through(v, "Publish", aws.ToString(in.Subject), in, func(ctx context.Context, in *sns.PublishInput) (*sns.PublishOutput, error) {
		return v.real.SNS.Publish(ctx, in)
	})
}

func (v *invocation) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	v.run.measure(v.now())
	return through(v, "GetMetricData", fmt.Sprintf("%d queries", len(in.MetricDataQueries)), in,
		func(ctx context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
			return v.real.CloudWatch.GetMetricData(ctx, in)
		})
}

func clip(text string) string {
	if len(text) > 160 {
		return text[:160]
	}
	return text
}
