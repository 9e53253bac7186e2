package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/core/escape"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/lazyregexp"
	"github.com/drover-run/drover/shared/service/target"
)

// Limits of a message with its attributes, and of the messages of a batch together, in bytes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	messageLimit = 1 << 20
	batchLimit   = 1 << 20
	batchMost    = 10
)

// Starter sends tasks to workers that read a queue.
type Starter struct{ API API }

// Start sends each task as a message, in batches one after the other, so that tasks keep their order. If a FIFO queue does not accept a message, Start
// does not send the batches behind it, because their messages would overtake it.
func (s Starter) Start(ctx context.Context, l labourer.Labourer, starts []target.Start) []error {
	out := sending{API: s.API, labourer: l, starts: starts, errs: make([]error, len(starts))}
	var batch []int
	size := 0
	for i, start := range starts {
		starts[i].Event = escape.JSON(start.Event)
		length := len(starts[i].Event)
		if length > messageLimit {
			out.errs[i] = &target.Refusal{Type: target.TooLarge, Reason: fmt.Sprintf("the message would have %d bytes; a queue accepts %d", length, messageLimit)}
			continue
		}
		if len(batch) == batchMost || size+length > batchLimit {
			out.send(ctx, batch)
			batch, size = nil, 0
		}
		batch, size = append(batch, i), size+length
	}
	out.send(ctx, batch)
	return out.errs
}

// sending holds the messages of one call of Start and the result of each.
type sending struct {
	API

	labourer labourer.Labourer
	starts   []target.Start
	errs     []error
	blocked  error // for a FIFO queue: why later messages cannot be sent
}

func (s *sending) send(ctx context.Context, part []int) {
	if s.blocked != nil {
		for _, i := range part {
			s.errs[i] = &target.Unsent{Err: s.blocked}
		}
		return
	}
	if len(part) == 0 {
		return
	}
	url := s.labourer.Target.SQS
	in := &sqs.SendMessageBatchInput{QueueUrl: &url}
	for _, i := range part {
		e := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(s.starts[i].Event))}
		if s.labourer.Target.FIFO() {
			e.MessageGroupId = aws.String(group(s.labourer, s.starts[i]))
			e.MessageDeduplicationId = aws.String(fmt.Sprintf("%s-%d", s.starts[i].Task.ID, s.starts[i].Attempt))
		}
		in.Entries = append(in.Entries, e)
	}
	out, err := s.SendMessageBatch(ctx, in, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, settings.NewChain) })
	if err != nil {
		s.refused(ctx, part, err)
		return
	}
	for _, failed := range out.Failed {
		i, err := strconv.Atoi(aws.ToString(failed.Id))
		if err != nil || i < 0 || i >= len(s.errs) {
			continue
		}
		s.fail(i, entryError(url, failed))
	}
}

// refused handles a batch of which no message was accepted. If a single message may be the cause, it sends each message alone.
func (s *sending) refused(ctx context.Context, part []int, err error) {
	var told smithy.APIError
	if errors.As(err, &told) && contents(told.ErrorCode(), told.ErrorMessage()) != "" {
		if len(part) > 1 {
			for _, i := range part {
				s.send(ctx, []int{i})
			}
			return
		}
		s.fail(part[0], entryError(s.labourer.Target.SQS, types.BatchResultErrorEntry{
			Code: aws.String(told.ErrorCode()), Message: aws.String(told.ErrorMessage()), SenderFault: true}))
		return
	}
	err = &settings.Said{Doing: "sending to queue " + s.labourer.Target.SQS, Err: err}
	if settings.Throttled(err) {
		err = &target.Throttled{Err: err}
	}
	for _, i := range part {
		s.fail(i, err)
	}
}

func (s *sending) fail(i int, err error) {
	s.errs[i] = err
	var refusal *target.Refusal
	if s.labourer.Target.FIFO() && !errors.As(err, &refusal) {
		s.blocked = err
	}
}

// entryError returns the error for a message that a queue did not accept: a refusal of that message, or trouble of the queue.
func entryError(url string, failed types.BatchResultErrorEntry) error {
	code, message := aws.ToString(failed.Code), aws.ToString(failed.Message)
	why := fmt.Sprintf("queue %s refused the message: %s: %s", url, code, message)
	kind := contents(code, message)
	switch {
	case settings.Throttled(&smithy.GenericAPIError{Code: code}):
		return &target.Throttled{Err: errors.New(why)}
	case !failed.SenderFault || ofQueue.MatchString(code):
		return errors.New(why)
	case kind != "":
		return &target.Refusal{Type: kind, Reason: why}
	}
	return &target.Refusal{Type: "Refused", Reason: why, Retryable: true}
}

// contents returns the refusal's type if the message's contents are the cause, and "" otherwise. A queue whose MaximumMessageSize is below the limit of
// SQS answers InvalidParameterValue, "Message must be shorter than … bytes".
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
func contents(code, message string) string {
	switch code[strings.LastIndex(code, ".")+1:] {
	case "InvalidMessageContents":
		return "InvalidPayload"
	case "BatchRequestTooLong", "RequestEntityTooLarge", "RequestEntityTooLargeException":
		return target.TooLarge
	case "InvalidParameterValue", "InvalidParameterValueException":
		if tooLong.MatchString(message) {
			return target.TooLarge
		}
	}
	return ""
}

var (
	tooLong = lazyregexp.New("(?i)shorter than|too (long|large)|exceed|maximum message size")
	// ofQueue matches the codes of errors that the queue, its permissions or its key cause, and not the message.
	ofQueue = lazyregexp.New("(?i)access ?denied|kms|nonexistent|doesnotexist|invalidaddress|unsupportedoperation|missingparameter|invalidsecurity|authorization")
)

// groupName matches the message group ids that SQS accepts.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var groupName = lazyregexp.New("^[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\\[\\\\\\]^_`{|}~-]{1,128}$")

// group returns the task's own group, else the value of the payload attribute that the labourer names, or the labourer's id. It hashes a value that SQS does not
// accept as a group id.
func group(l labourer.Labourer, start target.Start) string {
	value := start.Task.Group
	if value == "" {
		if l.GroupKey == "" {
			return l.ID
		}
		var attributes map[string]json.RawMessage
		if exact.Decode(start.Task.Payload, &attributes) != nil || len(attributes[l.GroupKey]) == 0 {
			return l.ID
		}
		value = string(attributes[l.GroupKey])
		if text, ok := exact.Text(attributes[l.GroupKey]); ok {
			value = text
		}
	}
	if groupName.MatchString(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}
