package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscloudformation "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cloudformationtypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// fakeFunction is a function of a fake Lambda.
type fakeFunction struct {
	timeout int32
	wire    *awslambda.PutFunctionEventInvokeConfigInput // nil: never set
	mapping *lambdatypes.EventSourceMappingConfiguration
	arn     string            // "": its name
	answer  string            // to a synchronous invocation
	set     map[string]string // its environment
	pending int               // how many more looks find that it is being updated

	reserved *int32 // concurrent invocations; nil: none are reserved
}

// fakeFunctions is a Lambda with functions by name, or by name:qualifier.
type fakeFunctions struct {
	all    map[string]*fakeFunction
	refuse error // the answer to every write
	puts   int
	tags   map[string]map[string]string // by ARN
	quota  int32                        // of concurrent executions; 0: not known
}

func (f *fakeFunctions) add(name string, timeout int32) *fakeFunction {
	if f.all == nil {
		f.all = map[string]*fakeFunction{}
	}
	f.all[name] = &fakeFunction{timeout: timeout}
	return f.all[name]
}

func (f *fakeFunctions) get(name, qualifier *string) (*fakeFunction, error) {
	key := aws.ToString(name)
	if qualifier != nil {
		key += ":" + *qualifier
	}
	if one := f.all[key]; one != nil {
		return one, nil
	}
	return nil, &lambdatypes.ResourceNotFoundException{Message: aws.String("Function not found: " + key)}
}

func (f *fakeFunctions) GetFunctionConfiguration(_ context.Context, in *awslambda.GetFunctionConfigurationInput, _ ...func(*awslambda.Options)) (*awslambda.GetFunctionConfigurationOutput, error) {
	one, err := f.get(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	state := lambdatypes.StateActive
	if one.pending > 0 {
		one.pending--
		state = lambdatypes.StatePending
	}
	return &awslambda.GetFunctionConfigurationOutput{FunctionName: in.FunctionName, FunctionArn: f.arnOf(one, in), Timeout: &one.timeout, State: state,
		Environment: &lambdatypes.EnvironmentResponse{Variables: one.set}}, nil
}

func (f *fakeFunctions) arnOf(one *fakeFunction, in *awslambda.GetFunctionConfigurationInput) *string {
	arn := one.arn
	if arn == "" {
		arn = aws.ToString(in.FunctionName)
		if in.Qualifier != nil {
			arn += ":" + *in.Qualifier
		}
	}
	return &arn
}

func (f *fakeFunctions) GetFunctionConcurrency(_ context.Context, in *awslambda.GetFunctionConcurrencyInput, _ ...func(*awslambda.Options)) (*awslambda.GetFunctionConcurrencyOutput, error) {
	out := &awslambda.GetFunctionConcurrencyOutput{}
	for key, one := range f.all { // the reservation is for all versions of a function
		if name := aws.ToString(in.FunctionName); (key == name || strings.HasPrefix(key, name+":")) && one.reserved != nil {
			out.ReservedConcurrentExecutions = one.reserved
		}
	}
	return out, nil
}

func (f *fakeFunctions) Invoke(_ context.Context, in *awslambda.InvokeInput, _ ...func(*awslambda.Options)) (*awslambda.InvokeOutput, error) {
	one, err := f.get(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	return &awslambda.InvokeOutput{Payload: []byte(one.answer)}, nil
}

func (f *fakeFunctions) ListTags(_ context.Context, in *awslambda.ListTagsInput, _ ...func(*awslambda.Options)) (*awslambda.ListTagsOutput, error) {
	return &awslambda.ListTagsOutput{Tags: f.tags[aws.ToString(in.Resource)]}, nil
}

func (f *fakeFunctions) TagResource(_ context.Context, in *awslambda.TagResourceInput, _ ...func(*awslambda.Options)) (*awslambda.TagResourceOutput, error) {
	if f.tags == nil {
		f.tags = map[string]map[string]string{}
	}
	f.tags[aws.ToString(in.Resource)] = in.Tags
	return &awslambda.TagResourceOutput{}, f.refuse
}

func (f *fakeFunctions) GetAccountSettings(context.Context, *awslambda.GetAccountSettingsInput, ...func(*awslambda.Options)) (*awslambda.GetAccountSettingsOutput, error) {
	out := &awslambda.GetAccountSettingsOutput{}
	if f.quota > 0 {
		out.AccountLimit = &lambdatypes.AccountLimit{ConcurrentExecutions: f.quota, UnreservedConcurrentExecutions: &f.quota}
	}
	return out, nil
}

func (f *fakeFunctions) GetFunctionEventInvokeConfig(_ context.Context, in *awslambda.GetFunctionEventInvokeConfigInput, _ ...func(*awslambda.Options)) (*awslambda.GetFunctionEventInvokeConfigOutput, error) {
	one, err := f.get(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if one.wire == nil {
		return nil, &lambdatypes.ResourceNotFoundException{Message: aws.String("The function doesn't have an EventInvokeConfig")}
	}
	return &awslambda.GetFunctionEventInvokeConfigOutput{MaximumRetryAttempts: one.wire.MaximumRetryAttempts, MaximumEventAgeInSeconds: one.wire.MaximumEventAgeInSeconds,
		DestinationConfig: one.wire.DestinationConfig}, nil
}

func (f *fakeFunctions) PutFunctionEventInvokeConfig(_ context.Context, in *awslambda.PutFunctionEventInvokeConfigInput, _ ...func(*awslambda.Options)) (*awslambda.PutFunctionEventInvokeConfigOutput, error) {
	f.puts++
	if f.refuse != nil {
		return nil, f.refuse
	}
	one, err := f.get(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	one.wire = in
	return &awslambda.PutFunctionEventInvokeConfigOutput{}, nil
}

func (f *fakeFunctions) ListEventSourceMappings(_ context.Context, in *awslambda.ListEventSourceMappingsInput, _ ...func(*awslambda.Options)) (*awslambda.ListEventSourceMappingsOutput, error) {
	out := &awslambda.ListEventSourceMappingsOutput{}
	if in.FunctionName == nil {
		for name, one := range f.all {
			if one.mapping != nil && aws.ToString(one.mapping.EventSourceArn) == aws.ToString(in.EventSourceArn) {
				out.EventSourceMappings = append(out.EventSourceMappings, lambdatypes.EventSourceMappingConfiguration{FunctionArn: aws.String(name)})
			}
		}
		return out, nil
	}
	one, err := f.get(in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if one.mapping != nil {
		out.EventSourceMappings = append(out.EventSourceMappings, *one.mapping)
	}
	return out, nil
}

// fakeAccount holds the other resources that the doctor reads, queues by URL and state machines by ARN.
type fakeAccount struct {
	queues                  map[string]map[string]string // attributes
	machines                map[string]sfntypes.StateMachineType
	rules                   map[string]eventbridgetypes.RuleState
	stacks, tables, buckets []string
	parts                   map[string]string            // physical ids by logical ones
	tags                    map[string]map[string]string // of queues by URL, of machines by ARN
	topic                   map[string]string            // attributes of the alarm topic; nil: it cannot be read
}

func (a *fakeAccount) GetTopicAttributes(context.Context, *awssns.GetTopicAttributesInput, ...func(*awssns.Options)) (*awssns.GetTopicAttributesOutput, error) {
	if a.topic == nil {
		return nil, &smithy.GenericAPIError{Code: "AuthorizationError", Message: "no"}
	}
	return &awssns.GetTopicAttributesOutput{Attributes: a.topic}, nil
}

func newFakeAccount() *fakeAccount {
	return &fakeAccount{queues: map[string]map[string]string{}, machines: map[string]sfntypes.StateMachineType{}, rules: map[string]eventbridgetypes.RuleState{},
		parts: map[string]string{}, tags: map[string]map[string]string{}, topic: map[string]string{"SubscriptionsConfirmed": "1", "SubscriptionsPending": "0"}}
}

// queue creates a queue with a number of messages.
func (a *fakeAccount) queue(url, messages string) {
	a.queues[url] = map[string]string{"ApproximateNumberOfMessages": messages, "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
		"VisibilityTimeout": "3600", "DelaySeconds": "0",
		"QueueArn": "arn:aws:sqs:us-east-1:000000000000:" + url[strings.LastIndexByte(url, '/')+1:]}
}

func (a *fakeAccount) ListQueueTags(_ context.Context, in *awssqs.ListQueueTagsInput, _ ...func(*awssqs.Options)) (*awssqs.ListQueueTagsOutput, error) {
	return &awssqs.ListQueueTagsOutput{Tags: a.tags[aws.ToString(in.QueueUrl)]}, nil
}

func (a *fakeAccount) TagQueue(_ context.Context, in *awssqs.TagQueueInput, _ ...func(*awssqs.Options)) (*awssqs.TagQueueOutput, error) {
	a.tags[aws.ToString(in.QueueUrl)] = in.Tags
	return &awssqs.TagQueueOutput{}, nil
}

func (a *fakeAccount) ListTagsForResource(_ context.Context, in *sfn.ListTagsForResourceInput, _ ...func(*sfn.Options)) (*sfn.ListTagsForResourceOutput, error) {
	out := &sfn.ListTagsForResourceOutput{}
	for key, value := range a.tags[aws.ToString(in.ResourceArn)] {
		out.Tags = append(out.Tags, sfntypes.Tag{Key: &key, Value: &value})
	}
	return out, nil
}

func (a *fakeAccount) TagResource(_ context.Context, in *sfn.TagResourceInput, _ ...func(*sfn.Options)) (*sfn.TagResourceOutput, error) {
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	a.tags[aws.ToString(in.ResourceArn)] = tags
	return &sfn.TagResourceOutput{}, nil
}

func (a *fakeAccount) GetQueueAttributes(_ context.Context, in *awssqs.GetQueueAttributesInput, _ ...func(*awssqs.Options)) (*awssqs.GetQueueAttributesOutput, error) {
	q, found := a.queues[aws.ToString(in.QueueUrl)]
	if !found {
		return nil, errors.New("the specified queue does not exist")
	}
	return &awssqs.GetQueueAttributesOutput{Attributes: q}, nil
}

func (a *fakeAccount) DescribeStateMachine(_ context.Context, in *sfn.DescribeStateMachineInput, _ ...func(*sfn.Options)) (*sfn.DescribeStateMachineOutput, error) {
	kind, found := a.machines[aws.ToString(in.StateMachineArn)]
	if !found {
		return nil, errors.New("state machine does not exist")
	}
	return &sfn.DescribeStateMachineOutput{Name: in.StateMachineArn, Type: kind, Status: sfntypes.StateMachineStatusActive}, nil
}

func (a *fakeAccount) DescribeRule(_ context.Context, in *awseventbridge.DescribeRuleInput, _ ...func(*awseventbridge.Options)) (*awseventbridge.DescribeRuleOutput, error) {
	state, found := a.rules[aws.ToString(in.Name)]
	if !found {
		return nil, errors.New("rule does not exist")
	}
	return &awseventbridge.DescribeRuleOutput{State: state}, nil
}

// DescribeStacks finds the other stacks of the account.
func (a *fakeAccount) DescribeStacks(_ context.Context, in *awscloudformation.DescribeStacksInput, _ ...func(*awscloudformation.Options)) (*awscloudformation.DescribeStacksOutput, error) {
	if slices.Contains(a.stacks, aws.ToString(in.StackName)) {
		return &awscloudformation.DescribeStacksOutput{Stacks: []cloudformationtypes.Stack{{StackName: in.StackName}}}, nil
	}
	return nil, &smithy.GenericAPIError{Code: "ValidationError", Message: "Stack with id " + aws.ToString(in.StackName) + " does not exist"}
}

func (a *fakeAccount) ListTables(context.Context, *dynamodb.ListTablesInput, ...func(*dynamodb.Options)) (*dynamodb.ListTablesOutput, error) {
	return &dynamodb.ListTablesOutput{TableNames: a.tables}, nil
}

func (a *fakeAccount) ListBuckets(context.Context, *awss3.ListBucketsInput, ...func(*awss3.Options)) (*awss3.ListBucketsOutput, error) {
	out := &awss3.ListBucketsOutput{}
	for _, name := range a.buckets {
		out.Buckets = append(out.Buckets, s3types.Bucket{Name: &name})
	}
	return out, nil
}

func (a *fakeAccount) ListStackResources(context.Context, *awscloudformation.ListStackResourcesInput, ...func(*awscloudformation.Options)) (*awscloudformation.ListStackResourcesOutput, error) {
	out := &awscloudformation.ListStackResourcesOutput{}
	for logical, physical := range a.parts {
		out.StackResourceSummaries = append(out.StackResourceSummaries, cloudformationtypes.StackResourceSummary{LogicalResourceId: &logical, PhysicalResourceId: &physical})
	}
	return out, nil
}

// fakeLogs is a log group of a function, whose lines it also takes from a logger. It answers with at most so many events a page.
type fakeLogs struct {
	now   func() time.Time
	lines []logstypes.FilteredLogEvent
	page  int
}

func (l *fakeLogs) Write(text []byte) (int, error) {
	l.lines = append(l.lines, logstypes.FilteredLogEvent{Timestamp: aws.Int64(l.now().UnixMilli()), Message: aws.String(string(text))})
	return len(text), nil
}

func (l *fakeLogs) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if aws.ToString(in.LogGroupName) != "orchestrator-logs" {
		return nil, &logstypes.ResourceNotFoundException{Message: aws.String("The specified log group does not exist.")}
	}
	first, err := strconv.Atoi(cmp.Or(aws.ToString(in.NextToken), "0"))
	if err != nil {
		return nil, err
	}
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for i := first; i < len(l.lines); i++ {
		if len(out.Events) == l.page {
			out.NextToken = aws.String(strconv.Itoa(i))
			break
		}
		if at := aws.ToInt64(l.lines[i].Timestamp); at >= aws.ToInt64(in.StartTime) && at <= aws.ToInt64(in.EndTime) {
			out.Events = append(out.Events, l.lines[i])
		}
	}
	return out, nil
}
