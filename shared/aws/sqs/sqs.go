// Package sqs sends messages: jobs to continue, wakes for later, unreadable messages to dead letter queues, and tasks to workers that read a queue.
package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/core/escape"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

// API has the calls of SQS that Drover makes.
type API interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// Queues reads the depth of queues that workers read.
type Queues struct{ API API }

// Backlog returns how many messages are in a labourer's target queue. Delayed messages count as waiting. For a queue that is gone, or that Drover may
// not read, Unknown holds the reason. Backlog returns only temporary errors.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
func (q Queues) Backlog(ctx context.Context, l labourer.Labourer) (queue.Backlog, error) {
	out, err := q.API.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(l.Target.SQS), AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameMessageRetentionPeriod}})
	if err != nil && (settings.Passes(err) || ctx.Err() != nil) {
		return queue.Backlog{}, fmt.Errorf("reading how many messages are in queue %s, %w", l.Target.SQS, err)
	}
	if err != nil {
		return queue.Backlog{Unknown: err.Error()}, nil //nolint:nilerr // Unknown reports it, and a retry would not help
	}
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(out.Attributes[string(name)])
		return n
	}
	return queue.Backlog{Waiting: number(types.QueueAttributeNameApproximateNumberOfMessages) + number(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
		Taken:     number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		Retention: time.Duration(number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second}, nil
}

// Graveyard is a dead letter queue for messages that no retry can make readable.
type Graveyard struct {
	API API
	URL string
}

// reasonLimit limits a reason in bytes. People read it in a message attribute.
const reasonLimit = 1000

// Bury sends a message to the queue unchanged. The attribute "reason" holds as much of the reason as fits.
func (g Graveyard) Bury(ctx context.Context, body, reason string) error {
	const name, kind = "reason", "String"
	reason = strings.Map(sendable, reason)
	room := max(min(reasonLimit, messageLimit-len(body)-len(name)-len(kind)), 0)
	if len(reason) > room {
		reason = strings.ToValidUTF8(reason[:room], "")
	}
	in := &sqs.SendMessageInput{QueueUrl: &g.URL, MessageBody: &body}
	if reason != "" {
		in.MessageAttributes = map[string]types.MessageAttributeValue{name: {DataType: aws.String(kind), StringValue: &reason}}
	}
	_, err := g.API.SendMessage(ctx, in)
	if err != nil {
		return fmt.Errorf("sending an unreadable message to the dead letters, %w", err)
	}
	return nil
}

// sendable replaces a character that SQS refuses in bodies and attributes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func sendable(r rune) rune {
	if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF' {
		return '\uFFFD'
	}
	return r
}

// Jobs sends to the jobs queue and its dead letter queue.
type Jobs struct {
	Graveyard
	URL string
}

// Continue sends a command to the next invocation of the scheduler.
func (j Jobs) Continue(ctx context.Context, e event.Envelope) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.API.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &j.URL, MessageBody: aws.String(string(escape.JSON(body)))}); err != nil {
		return fmt.Errorf("sending %s %s to the next scheduler, %w", e.DetailType, e.ID, err)
	}
	return nil
}
