package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/orchestrator"
	"github.com/drover-run/drover/shared/throttling"
)

// Limits of a message, and of all messages of a batch together.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	messageLimit = 1 << 20
	batchLimit   = 1 << 20
	batchMost    = 10
)

// Starter hands tasks to workers that read a queue.
type Starter struct{ API API }

// Start sends each task as a message, in batches, one after the other: tasks are handed out in their order.
func (s Starter) Start(ctx context.Context, l labourer.Labourer, starts []orchestrator.Start) []error {
	errs := make([]error, len(starts))
	var batch []int
	size := 0
	send := func() {
		if len(batch) > 0 {
			s.send(ctx, l, starts, batch, errs)
		}
		batch, size = nil, 0
	}
	for i, start := range starts {
		length := len(start.Event)
		if length > messageLimit {
			errs[i] = &orchestrator.Refusal{Type: "PayloadTooLarge", Reason: fmt.Sprintf("the message would have %d bytes; a queue takes %d", length, messageLimit)}
			continue
		}
		if len(batch) == batchMost || size+length > batchLimit {
			send()
		}
		batch, size = append(batch, i), size+length
	}
	send()
	return errs
}

func (s Starter) send(ctx context.Context, l labourer.Labourer, starts []orchestrator.Start, part []int, errs []error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(l.Target.SQS)}
	for _, i := range part {
		e := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(starts[i].Event))}
		if l.Target.FIFO() {
			e.MessageGroupId = aws.String(group(l, starts[i]))
			e.MessageDeduplicationId = aws.String(fmt.Sprintf("%s-%d", starts[i].Task.ID, starts[i].Attempt))
		}
		in.Entries = append(in.Entries, e)
	}
	out, err := s.API.SendMessageBatch(ctx, in)
	if err != nil {
		err = fmt.Errorf("sending to queue %s, %w", l.Target.SQS, err)
		if throttling.Is(err) {
			err = &orchestrator.Throttled{Err: err}
		}
		for _, i := range part {
			errs[i] = err
		}
		return
	}
	for _, failed := range out.Failed {
		i, err := strconv.Atoi(aws.ToString(failed.Id))
		if err != nil || i < 0 || i >= len(errs) {
			continue
		}
		why := fmt.Sprintf("queue %s refuses the message: %s: %s", l.Target.SQS, aws.ToString(failed.Code), aws.ToString(failed.Message))
		if failed.SenderFault && aws.ToString(failed.Code) == "InvalidMessageContents" {
			errs[i] = &orchestrator.Refusal{Type: "InvalidPayload", Reason: why}
			continue
		}
		errs[i] = errors.New(why)
		if !failed.SenderFault { // the queue takes others, and will take this one
			errs[i] = &orchestrator.Throttled{Err: errs[i]}
		}
	}
}

// groupName is what SQS takes as a message group.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var groupName = regexp.MustCompile("^[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\\[\\\\\\]^_`{|}~-]{1,128}$")

// group is the value of the payload attribute that the labourer names, or the labourer itself. What can not be the name of a group is
// hashed.
func group(l labourer.Labourer, start orchestrator.Start) string {
	if l.GroupKey == "" {
		return l.ID
	}
	var attributes map[string]json.RawMessage
	if json.Unmarshal(start.Task.Payload, &attributes) != nil || len(attributes[l.GroupKey]) == 0 {
		return l.ID
	}
	value := string(attributes[l.GroupKey])
	var text string
	if json.Unmarshal(attributes[l.GroupKey], &text) == nil {
		value = text
	}
	if groupName.MatchString(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}
