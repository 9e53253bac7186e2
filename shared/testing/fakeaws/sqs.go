package fakeaws

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	drover "github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/worker"
)

var (
	_ drover.API   = (*SQS)(nil)
	_ worker.Queue = (*SQS)(nil)
)

// SQS holds queues: standard queues, and FIFO queues as far as deduplication. A received message is hidden until it is deleted or until its
// visibility timeout ends. A message that was received too often goes to the dead letters.
type SQS struct {
	Hooks
	world *World

	mu     sync.Mutex
	sent   int
	queues map[string]*sqsQueue

	// TakenIn is called for each message that a queue's consumer has handled and does not want redelivered. It may be nil.
	TakenIn func(url, body string)
}

// Queue holds the settings of a queue.
type Queue struct {
	Visibility time.Duration // how long a received message is hidden; 0: 30 s, the default of SQS
	Delay      time.Duration // how long a new message is hidden
	Retention  time.Duration // how long a message is kept; 0: 4 days, the default of SQS
	Taken      bool          // workers outside of this world take and delete each message at once; Letters still shows it
	MaxMessage int           // MaximumMessageSize, the largest message in bytes; 0: 1 MiB, the default of SQS
	// After MaxReceives receptions a message goes to DeadLetters instead of being received again; 0: never.
	MaxReceives int
	DeadLetters string // URL
}

// Consumer is a function that a queue is mapped to.
type Consumer struct {
	Batch int // messages in a batch
	Most  int // batches at the same time
	// Window says how long messages are gathered to a batch, from the first one on; 0: no gathering. A full batch does not wait.
	Window time.Duration
	// Take handles a batch and then calls done once, with the ids of the messages to redeliver. An error redelivers all of them.
	Take func(batch []Received, done func(failed []string, err error))
}

// Received is a message as a consumer receives it.
type Received struct {
	ID, Body string
	Receives int // receptions, this one included
	SentAt   time.Time
}

// Letter is a message in a queue.
type Letter struct {
	ID, Body, Reason string // Reason is an attribute of Drover's dead letters
}

type sqsQueue struct {
	Queue
	url      string
	messages []*message
	consumer *Consumer
	busy     int
	delayed  int                  // messages that cannot be received yet
	gathers  bool                 // a batch for the consumer
	seen     map[string]time.Time // deduplication ids of a FIFO queue
}

type message struct {
	id, body   string
	attributes map[string]types.MessageAttributeValue
	sentAt     time.Time
	receives   int
	receipt    string
	visibleAt  time.Time
	wait       *Coming // for the end of its visibility timeout
}

// NewSQS returns an SQS without queues.
func NewSQS(w *World) *SQS { return &SQS{world: w, queues: map[string]*sqsQueue{}} }

// Limits of SQS. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	sqsMessageLimit = 1 << 20
	sqsBatchMost    = 10
	sqsVisibility   = 30 * time.Second
	sqsRetention    = 4 * 24 * time.Hour
	sqsDedup        = 5 * time.Minute
)

// Create makes a queue under its URL.
func (s *SQS) Create(url string, q Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Visibility == 0 {
		q.Visibility = sqsVisibility
	}
	if q.Retention == 0 {
		q.Retention = sqsRetention
	}
	if q.MaxMessage == 0 {
		q.MaxMessage = sqsMessageLimit
	}
	s.queues[url] = &sqsQueue{Queue: q, url: url, seen: map[string]time.Time{}}
}

// Map passes a queue's messages to a function from now on.
func (s *SQS) Map(url string, c Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[url].consumer = &c
}

// Wake passes the messages that a queue holds already to the function that was mapped to it since.
func (s *SQS) Wake(url string) { s.gather(s.queues[url]) }

// Gather sets how long the messages of a mapped queue are gathered to batches, and how many make a full one; see [Consumer].
func (s *SQS) Gather(url string, window time.Duration, batch int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.queues[url].consumer
	c.Window, c.Batch = window, batch
}

// Letters returns the messages of a queue, hidden ones included, in the order of their arrival.
func (s *SQS) Letters(url string) []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[url]
	if q == nil {
		return nil
	}
	out := make([]Letter, len(q.messages))
	for i, m := range q.messages {
		out[i] = Letter{ID: m.id, Body: m.body, Reason: aws.ToString(m.attributes["reason"].StringValue)}
	}
	return out
}

// SendMessage puts a message into a queue.
func (s *SQS) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SQS", "SendMessage", in}, func() (*sqs.SendMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		if err := q.checkBody(aws.ToString(in.MessageBody)); err != nil {
			return nil, err
		}
		if err := checkDelay(in.DelaySeconds); err != nil {
			return nil, err
		}
		id := s.put(q, aws.ToString(in.MessageBody), in.MessageAttributes, aws.ToString(in.MessageDeduplicationId), max(q.Delay, time.Duration(in.DelaySeconds)*time.Second))
		return &sqs.SendMessageOutput{MessageId: &id}, nil
	})
}

// SendMessageBatch puts up to ten messages into a queue.
func (s *SQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SQS", "SendMessageBatch", in}, func() (*sqs.SendMessageBatchOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		size, ids := 0, map[string]bool{}
		for _, e := range in.Entries {
			size += len(aws.ToString(e.MessageBody))
			ids[aws.ToString(e.Id)] = true
		}
		switch {
		case len(in.Entries) == 0:
			return nil, &types.EmptyBatchRequest{Message: aws.String("There should be at least one SendMessageBatchRequestEntry in the request.")}
		case len(in.Entries) > sqsBatchMost:
			return nil, &types.TooManyEntriesInBatchRequest{Message: aws.String("Maximum number of entries per request are 10.")}
		case len(ids) < len(in.Entries):
			return nil, &types.BatchEntryIdsNotDistinct{Message: aws.String("Two or more batch entries in the request have the same Id.")}
		case size > sqsMessageLimit:
			return nil, &types.BatchRequestTooLong{Message: aws.String("Batch requests cannot be longer than 1048576 bytes.")}
		}
		out := &sqs.SendMessageBatchOutput{}
		for _, e := range in.Entries {
			err := q.checkBody(aws.ToString(e.MessageBody))
			if err == nil {
				err = checkDelay(e.DelaySeconds)
			}
			if err != nil {
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, SenderFault: true, Code: aws.String(err.ErrorCode()), Message: aws.String(err.ErrorMessage())})
				continue
			}
			id := s.put(q, aws.ToString(e.MessageBody), e.MessageAttributes, aws.ToString(e.MessageDeduplicationId), max(q.Delay, time.Duration(e.DelaySeconds)*time.Second))
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id, MessageId: &id})
		}
		return out, nil
	})
}

// ReceiveMessage takes visible messages from a queue and hides them. It never waits.
func (s *SQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SQS", "ReceiveMessage", in}, func() (*sqs.ReceiveMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		visibility := q.Visibility
		if in.VisibilityTimeout > 0 {
			visibility = time.Duration(in.VisibilityTimeout) * time.Second
		}
		out := &sqs.ReceiveMessageOutput{}
		for _, m := range s.receive(q, max(1, int(in.MaxNumberOfMessages)), visibility) {
			out.Messages = append(out.Messages, types.Message{MessageId: &m.id, Body: &m.body, ReceiptHandle: aws.String(m.receipt),
				MessageAttributes: m.attributes, Attributes: map[string]string{
					"ApproximateReceiveCount": strconv.Itoa(m.receives), "SentTimestamp": strconv.FormatInt(m.sentAt.UnixMilli(), 10)}})
		}
		return out, nil
	})
}

// GetQueueAttributes returns how many messages a queue holds, and its settings. Unlike those of SQS its counts are exact.
func (s *SQS) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SQS", "GetQueueAttributes", in}, func() (*sqs.GetQueueAttributesOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.expire(q)
		visible, hidden := 0, 0
		for _, m := range q.messages {
			switch {
			case q.Taken:
			case m.visibleAt.After(s.world.Now()):
				hidden++
			default:
				visible++
			}
		}
		values := map[types.QueueAttributeName]int{
			types.QueueAttributeNameApproximateNumberOfMessages:           visible,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: hidden,
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed:    q.delayed,
			types.QueueAttributeNameMaximumMessageSize:                    q.MaxMessage,
			types.QueueAttributeNameMessageRetentionPeriod:                int(q.Retention / time.Second),
			types.QueueAttributeNameVisibilityTimeout:                     int(q.Visibility / time.Second),
			types.QueueAttributeNameDelaySeconds:                          int(q.Delay / time.Second),
		}
		out := &sqs.GetQueueAttributesOutput{Attributes: map[string]string{}}
		for name, value := range values {
			if slices.Contains(in.AttributeNames, name) || slices.Contains(in.AttributeNames, types.QueueAttributeNameAll) {
				out.Attributes[string(name)] = strconv.Itoa(value)
			}
		}
		return out, nil
	})
}

// expire removes messages that are older than the queue's retention. The caller holds the lock.
func (s *SQS) expire(q *sqsQueue) {
	oldest := s.world.Now().Add(-q.Retention)
	for _, m := range slices.Clone(q.messages) {
		if m.sentAt.Before(oldest) {
			s.remove(q, m)
		}
	}
}

// DeleteMessage removes a received message. Removing one that is gone is no error.
func (s *SQS) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SQS", "DeleteMessage", in}, func() (*sqs.DeleteMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.IndexFunc(q.messages, func(m *message) bool { return m.receipt == aws.ToString(in.ReceiptHandle) }); i >= 0 {
			s.remove(q, q.messages[i])
		}
		return &sqs.DeleteMessageOutput{}, nil
	})
}

// ChangeMessageVisibility hides a received message for another period from now; 0 makes it visible.
func (s *SQS) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SQS", "ChangeMessageVisibility", in}, func() (*sqs.ChangeMessageVisibilityOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.IndexFunc(q.messages, func(m *message) bool { return m.receipt == aws.ToString(in.ReceiptHandle) })
		if i < 0 {
			return nil, &types.ReceiptHandleIsInvalid{Message: aws.String("The receipt handle is of a message that is gone.")}
		}
		s.hide(q, q.messages[i], time.Duration(in.VisibilityTimeout)*time.Second)
		return &sqs.ChangeMessageVisibilityOutput{}, nil
	})
}

func (s *SQS) queue(url *string) (*sqsQueue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[aws.ToString(url)]; q != nil {
		return q, nil
	}
	return nil, &types.QueueDoesNotExist{Message: aws.String("The specified queue does not exist.")}
}

// Check returns the error with which SendMessage would refuse a message: the queue does not exist, or does not take this body.
func (s *SQS) Check(url, body string) error {
	q, err := s.queue(&url)
	if err != nil {
		return err
	}
	if err := q.checkBody(body); err != nil { // returned as it is, a nil smithy.APIError would be a non-nil error
		return err
	}
	return nil
}

func (q *sqsQueue) checkBody(body string) smithy.APIError {
	switch {
	case body == "":
		return &smithy.GenericAPIError{Code: "MissingParameter", Message: "The request must contain the parameter MessageBody.", Fault: smithy.FaultClient}
	case len(body) > q.MaxMessage:
		return &smithy.GenericAPIError{Code: "InvalidParameterValue", Fault: smithy.FaultClient,
			Message: fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.MaxMessage)}
	case strings.ContainsFunc(body, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	}):
		return &types.InvalidMessageContents{Message: aws.String("The message contains characters outside the allowed set.")}
	}
	return nil
}

// checkDelay refuses a delay beyond the limits of SQS.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func checkDelay(seconds int32) smithy.APIError {
	if seconds < 0 || seconds > 900 {
		return &smithy.GenericAPIError{Code: "InvalidParameterValue", Fault: smithy.FaultClient,
			Message: fmt.Sprintf("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", seconds)}
	}
	return nil
}

// put stores a message and wakes its consumer. A second copy that an at-least-once queue delivers has the same id.
func (s *SQS) put(q *sqsQueue, body string, attributes map[string]types.MessageAttributeValue, dedup string, delay time.Duration) string {
	s.mu.Lock()
	now := s.world.Now()
	if at, seen := q.seen[dedup]; dedup != "" && seen && now.Sub(at) < sqsDedup {
		s.mu.Unlock()
		return dedup
	}
	if dedup != "" {
		q.seen[dedup] = now
	}
	s.sent++
	id := fmt.Sprintf("message-%06d", s.sent)
	q.delayed++
	s.mu.Unlock()
	add := func() {
		s.mu.Lock()
		q.delayed--
		q.messages = append(q.messages, &message{id: id, body: body, attributes: attributes, sentAt: now, visibleAt: s.world.Now()})
		s.mu.Unlock()
		s.gather(q)
	}
	if delay == 0 && s.world.Course == nil && q.consumer == nil {
		add()
		return id
	}
	s.world.send(delay, Message, queueLabel(q.url)+" "+body, add)
	return id
}

func queueLabel(url string) string { return url[strings.LastIndex(url, "/")+1:] }

// receive takes visible messages, the oldest first. Messages that were received too often go to the dead letters instead.
func (s *SQS) receive(q *sqsQueue, most int, visibility time.Duration) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(q)
	now := s.world.Now()
	var out []message
	for _, m := range slices.Clone(q.messages) {
		if len(out) == most {
			break
		}
		if m.visibleAt.After(now) {
			continue
		}
		if q.MaxReceives > 0 && m.receives >= q.MaxReceives {
			s.remove(q, m)
			if dead := s.queues[q.DeadLetters]; dead != nil {
				dead.messages = append(dead.messages, &message{id: m.id, body: m.body, attributes: m.attributes, sentAt: m.sentAt, visibleAt: now})
			}
			continue
		}
		m.receives++
		m.receipt = fmt.Sprintf("%s-%d-%d", m.id, m.receives, now.UnixNano())
		s.hide(q, m, visibility)
		out = append(out, *m)
	}
	return out
}

// The callers of hide and remove hold the lock.
func (s *SQS) hide(q *sqsQueue, m *message, d time.Duration) {
	s.world.Cancel(m.wait)
	m.wait = nil
	m.visibleAt = s.world.Now().Add(d)
	if q.consumer != nil {
		m.wait = s.world.At(m.visibleAt, Message, queueLabel(q.url)+" again "+m.body, func() { s.gather(q) })
	}
}

func (s *SQS) remove(q *sqsQueue, m *message) {
	s.world.Cancel(m.wait)
	q.messages = slices.DeleteFunc(q.messages, func(o *message) bool { return o == m })
}

// gather polls when the consumer's window ends, or a batch is full.
func (s *SQS) gather(q *sqsQueue) {
	if q.consumer == nil {
		return
	}
	switch n := s.visible(q); {
	case n == 0:
	case q.consumer.Window == 0 || n >= q.consumer.Batch:
		s.poll(q)
	case !q.gathers:
		q.gathers = true
		s.world.At(s.world.Now().Add(q.consumer.Window), Message, queueLabel(q.url)+" gathered", func() {
			q.gathers = false
			s.poll(q)
		})
	}
}

// visible returns how many messages could be received now.
func (s *SQS) visible(q *sqsQueue) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range q.messages {
		if !m.visibleAt.After(s.world.Now()) {
			n++
		}
	}
	return n
}

// poll passes a batch to the queue's consumer, if there are messages and a consumer that may take another batch.
func (s *SQS) poll(q *sqsQueue) {
	if q.consumer == nil || q.busy >= q.consumer.Most {
		return
	}
	batch := s.receive(q, q.consumer.Batch, q.Visibility)
	if len(batch) == 0 {
		return
	}
	q.busy++
	received := make([]Received, len(batch))
	for i, m := range batch {
		received[i] = Received{ID: m.id, Body: m.body, Receives: m.receives, SentAt: m.sentAt}
	}
	q.consumer.Take(received, func(failed []string, err error) {
		q.busy--
		s.mu.Lock()
		for _, m := range batch {
			if err != nil || slices.Contains(failed, m.id) {
				continue // it becomes visible when its visibility timeout ends
			}
			if i := slices.IndexFunc(q.messages, func(o *message) bool { return o.receipt == m.receipt }); i >= 0 {
				s.remove(q, q.messages[i])
			}
		}
		s.mu.Unlock()
		s.tell(q, batch, failed, err)
		// There may be messages that arrived in the meantime.
		s.world.At(s.world.Now(), Message, queueLabel(q.url)+" more", func() { s.gather(q) })
	})
}

// tell reports the messages of a batch that need no redelivery.
func (s *SQS) tell(q *sqsQueue, batch []message, failed []string, err error) {
	if s.TakenIn == nil || err != nil {
		return
	}
	for _, m := range batch {
		if !slices.Contains(failed, m.id) {
			s.TakenIn(q.url, m.body)
		}
	}
}

// Take removes and returns the messages of a queue that satisfy a condition.
func (s *SQS) Take(url string, such func(Letter) bool) []Letter {
	letters := s.Letters(url)
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[url]
	var taken []Letter
	for i, m := range slices.Clone(q.messages) {
		if such(letters[i]) {
			taken = append(taken, letters[i])
			s.remove(q, m)
		}
	}
	return taken
}
