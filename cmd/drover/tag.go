package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/core/labourer"
)

// workerTag marks the targets that a stack may start if its parameters name none. The value of the tag does not matter.
const workerTag, workerTagValue = "drover:worker", "true"

// tagged reports whether a target has the tag. url is the URL of a queue.
func (s *stack) tagged(ctx context.Context, kind, arn, url string) (bool, error) {
	switch kind {
	case "lambda":
		out, err := s.functions.ListTags(ctx, &awslambda.ListTagsInput{Resource: aws.String(labourer.Unqualified(arn))})
		if err != nil {
			return false, err
		}
		_, has := out.Tags[workerTag]
		return has, nil
	case "sqs":
		out, err := s.queues.ListQueueTags(ctx, &awssqs.ListQueueTagsInput{QueueUrl: &url})
		if err != nil {
			return false, err
		}
		_, has := out.Tags[workerTag]
		return has, nil
	}
	out, err := s.machines.ListTagsForResource(ctx, &sfn.ListTagsForResourceInput{ResourceArn: aws.String(labourer.Unqualified(arn))})
	if err != nil {
		return false, err
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) == workerTag {
			return true, nil
		}
	}
	return false, nil
}

// setTag gives a target the tag.
func (s *stack) setTag(ctx context.Context, kind, arn, url string) error {
	var err error
	switch kind {
	case "lambda":
		_, err = s.functions.TagResource(ctx, &awslambda.TagResourceInput{Resource: aws.String(labourer.Unqualified(arn)), Tags: map[string]string{workerTag: workerTagValue}})
	case "sqs":
		_, err = s.queues.TagQueue(ctx, &awssqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{workerTag: workerTagValue}})
	default:
		_, err = s.machines.TagResource(ctx, &sfn.TagResourceInput{ResourceArn: aws.String(labourer.Unqualified(arn)),
			Tags: []sfntypes.Tag{{Key: aws.String(workerTag), Value: aws.String(workerTagValue)}}})
	}
	if err != nil {
		return fmt.Errorf("tagging %s, %w", arn, err)
	}
	return nil
}

// tag checks that a target has the tag. It returns true with a failed check.
func (d *doctor) tag(ctx context.Context, name string, t labourer.Target, arn string) (check, bool) {
	kind := t.Kind()
	has, err := d.tagged(ctx, kind, arn, t.SQS)
	switch {
	case err != nil:
		return unread(name, err, tagRights[kind].look, "", "the tags of "+arn+" cannot be read, and without the tag "+workerTag+" the stack may not start it: "), true
	case has:
		return check{}, false
	}
	return wrong(name, d.own("apply", "--wire", "-f")+" FILE, with the labourer's file; or "+d.deployWith(workerParameters[kind], arn),
		"the stack may not start %s: it lacks the tag %s, which the stack requires because %s is empty", arn, workerTag, workerParameters[kind]), true
}

// tagRights are the rights to read and to set tags, by the kind of target.
var tagRights = map[string]struct{ look, set string }{
	"lambda": {"lambda:ListTags", "lambda:TagResource"},
	"sqs":    {"sqs:ListQueueTags", "sqs:TagQueue"},
	"states": {"states:ListTagsForResource", "states:TagResource"},
}

// arnOf returns the ARN of an existing target.
func (s *stack) arnOf(ctx context.Context, t labourer.Target) (string, error) {
	switch t.Kind() {
	case "lambda":
		f := functionOf(t)
		out, err := s.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.FunctionArn), nil
	case "sqs":
		q, err := s.queue(ctx, t.SQS)
		return q.arn, err
	}
	return t.States, nil
}
