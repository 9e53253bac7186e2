package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/drover-run/drover/shared/worker"
)

const (
	tasksURL       = "https://sqs.eu-west-1.amazonaws.com/000000000000/tasks"
	completionsURL = "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"
)

// fakeSQS behaves like SQS for one queue of tasks, by the test's clock, and records what is sent to other queues.
type fakeSQS struct {
	mu       sync.Mutex
	messages []*fakeMessage
	changed  chan struct{} // closed and replaced when a message is put or shown
	sent     []sentMessage
	receives []int32 // MaxNumberOfMessages of each receive

	sendErrors, receiveErrors, hideErrors, deleteErrors failures
	sendBlocks                                          bool // SendMessage answers only when its context ends
}

type fakeMessage struct {
	id, body  string
	sentAt    time.Time
	visibleAt time.Time
	receipt   int
	deleted   bool
	hidden    []int32 // each visibility timeout that was set after the receive
}

type sentMessage struct {
	url, body string
	at        time.Time
}

// failures holds the errors of the next calls, nil for a call that succeeds. All later calls succeed.
type failures struct{ next []error }

func (f *failures) take() error {
	if len(f.next) == 0 {
		return nil
	}
	err := f.next[0]
	f.next = f.next[1:]
	return err
}

func repeated(n int, err error) failures {
	var f failures
	for range n {
		f.next = append(f.next, err)
	}
	return f
}

// awsError has the shape of the SDK's errors.
type awsError struct {
	code   string
	status int
}

func (e *awsError) Error() string       { return e.code }
func (e *awsError) ErrorCode() string   { return e.code }
func (e *awsError) HTTPStatusCode() int { return e.status }

var (
	errThrottled   = &awsError{"ThrottlingException", 400}
	errUnavailable = &awsError{"InternalError", 503}
	errNoQueue     = &awsError{"AWS.SimpleQueueService.NonExistentQueue", 400}
	errNotOurs     = &awsError{"ReceiptHandleIsInvalid", 400}
)

func newFakeSQS() *fakeSQS { return &fakeSQS{changed: make(chan struct{})} }

var _ worker.Queue = (*fakeSQS)(nil)

func (q *fakeSQS) put(body string) *fakeMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	m := &fakeMessage{id: fmt.Sprintf("message-%d", len(q.messages)), body: body, sentAt: now, visibleAt: now}
	q.messages = append(q.messages, m)
	q.notify()
	return m
}

func (q *fakeSQS) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *fakeSQS) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	q.mu.Lock()
	blocks := q.sendBlocks
	q.mu.Unlock()
	if blocks {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.sendErrors.take(); err != nil {
		return nil, err
	}
	q.sent = append(q.sent, sentMessage{*in.QueueUrl, *in.MessageBody, time.Now()})
	return &sqs.SendMessageOutput{}, nil
}

func (q *fakeSQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.mu.Lock()
	q.receives = append(q.receives, in.MaxNumberOfMessages)
	err := q.receiveErrors.take()
	q.mu.Unlock()
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		messages, next, changed := q.takeVisible(in)
		if len(messages) > 0 || !time.Now().Before(end) {
			return &sqs.ReceiveMessageOutput{Messages: messages}, nil
		}
		wait := end
		if !next.IsZero() && next.Before(end) {
			wait = next
		}
		timer := time.NewTimer(time.Until(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (q *fakeSQS) takeVisible(in *sqs.ReceiveMessageInput) (taken []types.Message, next time.Time, changed chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, m := range q.messages {
		if m.deleted || len(taken) == int(in.MaxNumberOfMessages) {
			continue
		}
		if m.visibleAt.After(now) {
			if next.IsZero() || m.visibleAt.Before(next) {
				next = m.visibleAt
			}
			continue
		}
		m.receipt++
		m.visibleAt = now.Add(time.Duration(in.VisibilityTimeout) * time.Second)
		receipt := m.id + "#" + strconv.Itoa(m.receipt)
		taken = append(taken, types.Message{
			MessageId: &m.id, Body: &m.body, ReceiptHandle: &receipt,
			Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(m.sentAt.UnixMilli(), 10)},
		})
	}
	return taken, next, q.changed
}

func (q *fakeSQS) byReceipt(receipt string) *fakeMessage {
	for _, m := range q.messages {
		if !m.deleted && receipt == m.id+"#"+strconv.Itoa(m.receipt) {
			return m
		}
	}
	return nil
}

func (q *fakeSQS) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.deleteErrors.take(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if m := q.byReceipt(*in.ReceiptHandle); m != nil {
		m.deleted = true
	}
	return &sqs.DeleteMessageOutput{}, nil
}

func (q *fakeSQS) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.hideErrors.take(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m := q.byReceipt(*in.ReceiptHandle)
	if m == nil {
		return nil, errNotOurs
	}
	m.hidden = append(m.hidden, in.VisibilityTimeout)
	m.visibleAt = time.Now().Add(time.Duration(in.VisibilityTimeout) * time.Second)
	q.notify()
	return &sqs.ChangeMessageVisibilityOutput{}, nil
}

// completions returns the messages with the given status in the completions queue, oldest first.
func (q *fakeSQS) completions(status string) []completion {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []completion
	for _, m := range q.sent {
		var c completion
		if err := json.Unmarshal([]byte(m.body), &c); err != nil {
			panic(err)
		}
		c.at, c.url = m.at, m.url
		if c.Status == status {
			found = append(found, c)
		}
	}
	return found
}

func (q *fakeSQS) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, m := range q.messages {
		if !m.deleted {
			n++
		}
	}
	return n
}

// completion repeats the message as its receiver reads it, so that sender and receiver cannot change together unnoticed.
type completion struct {
	Version int
	TaskID  string `json:"task_id"`
	Attempt int
	Status  string
	Result  json.RawMessage
	Stats   map[string]any
	Error   struct {
		Type, Message string
	}
	Retryable  *bool
	RetryAfter string `json:"retry_after"`

	at  time.Time
	url string
}

// event returns a task's event. Each of the payload attributes has to end with a comma.
func event(id string, attempt int, deadline time.Time, attributes string) string {
	return fmt.Sprintf(`{%s"task_id":%q,"drover":{"version":1,"task_id":%q,"job_id":"nightly","labourer_id":"counter","attempt":%d,"deadline":%q,"completions_url":%q}}`,
		attributes, id, id, attempt, deadline.UTC().Format(time.RFC3339Nano), completionsURL)
}

var quiet = worker.Logger(slog.New(slog.DiscardHandler))
