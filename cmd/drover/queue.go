package main

import (
	"context"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// queues is the calls of SQS that the command line makes.
type queues interface {
	GetQueueAttributes(context.Context, *awssqs.GetQueueAttributesInput, ...func(*awssqs.Options)) (*awssqs.GetQueueAttributesOutput, error)
	ListQueueTags(context.Context, *awssqs.ListQueueTagsInput, ...func(*awssqs.Options)) (*awssqs.ListQueueTagsOutput, error)
	TagQueue(context.Context, *awssqs.TagQueueInput, ...func(*awssqs.Options)) (*awssqs.TagQueueOutput, error)
}
