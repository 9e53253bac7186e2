package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/aws/sosw"
)

// These are the AWS calls that commands make themselves, to examine, wire and tag the resources around a stack. All other calls go through
// adapters.
type (
	functions interface {
		Invoke(context.Context, *awslambda.InvokeInput, ...func(*awslambda.Options)) (*awslambda.InvokeOutput, error)
		GetFunctionConfiguration(context.Context, *awslambda.GetFunctionConfigurationInput, ...func(*awslambda.Options)) (*awslambda.GetFunctionConfigurationOutput, error)
		GetFunctionEventInvokeConfig(context.Context, *awslambda.GetFunctionEventInvokeConfigInput, ...func(*awslambda.Options)) (*awslambda.GetFunctionEventInvokeConfigOutput, error)
		PutFunctionEventInvokeConfig(context.Context, *awslambda.PutFunctionEventInvokeConfigInput, ...func(*awslambda.Options)) (*awslambda.PutFunctionEventInvokeConfigOutput, error)
		ListEventSourceMappings(context.Context, *awslambda.ListEventSourceMappingsInput, ...func(*awslambda.Options)) (*awslambda.ListEventSourceMappingsOutput, error)
		GetFunctionConcurrency(context.Context, *awslambda.GetFunctionConcurrencyInput, ...func(*awslambda.Options)) (*awslambda.GetFunctionConcurrencyOutput, error)
		ListTags(context.Context, *awslambda.ListTagsInput, ...func(*awslambda.Options)) (*awslambda.ListTagsOutput, error)
		TagResource(context.Context, *awslambda.TagResourceInput, ...func(*awslambda.Options)) (*awslambda.TagResourceOutput, error)
		GetAccountSettings(context.Context, *awslambda.GetAccountSettingsInput, ...func(*awslambda.Options)) (*awslambda.GetAccountSettingsOutput, error)
	}
	queues interface {
		GetQueueAttributes(context.Context, *awssqs.GetQueueAttributesInput, ...func(*awssqs.Options)) (*awssqs.GetQueueAttributesOutput, error)
		ListQueueTags(context.Context, *awssqs.ListQueueTagsInput, ...func(*awssqs.Options)) (*awssqs.ListQueueTagsOutput, error)
		TagQueue(context.Context, *awssqs.TagQueueInput, ...func(*awssqs.Options)) (*awssqs.TagQueueOutput, error)
	}
	machines interface {
		DescribeStateMachine(context.Context, *sfn.DescribeStateMachineInput, ...func(*sfn.Options)) (*sfn.DescribeStateMachineOutput, error)
		ListTagsForResource(context.Context, *sfn.ListTagsForResourceInput, ...func(*sfn.Options)) (*sfn.ListTagsForResourceOutput, error)
		TagResource(context.Context, *sfn.TagResourceInput, ...func(*sfn.Options)) (*sfn.TagResourceOutput, error)
	}
	topics interface {
		GetTopicAttributes(context.Context, *awssns.GetTopicAttributesInput, ...func(*awssns.Options)) (*awssns.GetTopicAttributesOutput, error)
	}
	rules interface {
		DescribeRule(context.Context, *awseventbridge.DescribeRuleInput, ...func(*awseventbridge.Options)) (*awseventbridge.DescribeRuleOutput, error)
	}
	// soswTables are the tables of a sosw that is moved.
	soswTables interface {
		sosw.API
		DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	}
	tables interface {
		ListTables(context.Context, *dynamodb.ListTablesInput, ...func(*dynamodb.Options)) (*dynamodb.ListTablesOutput, error)
	}
	buckets interface {
		ListBuckets(context.Context, *awss3.ListBucketsInput, ...func(*awss3.Options)) (*awss3.ListBucketsOutput, error)
	}
)
