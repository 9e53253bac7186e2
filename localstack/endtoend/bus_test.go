package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/event/schemas"
)

// bus records all events of a stack's event bus, by a rule and a queue that belong to the tests.
type bus struct {
	stop func()
	done chan struct{}

	mu     sync.Mutex
	events []event.Envelope
	facts  []object // the details of Drover's own events
	kinds  []string // their types
	wrong  []error  // violations of schemas
}

func watch(ctx context.Context, s *stack) (*bus, error) {
	name := s.name + "-watched"
	q, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return nil, err
	}
	attributes, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: q.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	if err != nil {
		return nil, err
	}
	arn := attributes.Attributes["QueueArn"]
	policy, err := json.Marshal(object{"Version": "2012-10-17", "Statement": []object{{
		"Effect": "Allow", "Principal": object{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}}})
	if err != nil {
		return nil, err
	}
	_, err = s.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: q.QueueUrl, Attributes: map[string]string{"Policy": string(policy)}})
	if err != nil {
		return nil, err
	}
	onBus := aws.String(s.out["EventBusName"])
	_, err = s.events.PutRule(ctx, &eventbridge.PutRuleInput{Name: &name, EventBusName: onBus, EventPattern: aws.String(`{"version": ["0"]}`)})
	if err != nil {
		return nil, err
	}
	_, err = s.events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &name, EventBusName: onBus, Targets: []types.Target{{Id: aws.String("tests"), Arn: &arn}}})
	if err != nil {
		return nil, err
	}
	listening, stop := context.WithCancel(context.Background())
	b := &bus{stop: stop, done: make(chan struct{})}
	go b.listen(listening, s, q.QueueUrl)
	return b, nil
}

func (b *bus) listen(ctx context.Context, s *stack, url *string) {
	defer close(b.done)
	for ctx.Err() == nil {
		got, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 10})
		if err != nil {
			time.Sleep(glance) // a waiting test reports an emulator that has ended
			continue
		}
		if len(got.Messages) == 0 {
			continue
		}
		var read []sqstypes.DeleteMessageBatchRequestEntry
		for i, m := range got.Messages {
			b.hear(aws.ToString(m.Body))
			read = append(read, sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
		}
		_, _ = s.sqs.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: read}) // a failure only redelivers them: facts have ids
	}
}

// hear records an event, and checks Drover's own events against their schemas.
func (b *bus) hear(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, err := event.Read([]byte(text))
	if err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("on the bus: %w: %s", err, text))
		return
	}
	b.events = append(b.events, e)
	if e.Source != event.Source {
		return
	}
	if err := schemas.Validate(e.DetailType, e.Detail); err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("on the bus: %w: %s", err, text))
	}
	var detail object
	if err := json.Unmarshal(e.Detail, &detail); err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("on the bus: %w: %s", err, text))
		return
	}
	b.facts, b.kinds = append(b.facts, detail), append(b.kinds, e.DetailType)
}

// told returns Drover's facts of one type with these fields, without duplicates.
func (b *bus) told(kind string, fields object) []object {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []object
	seen := map[any]bool{}
	for i, fact := range b.facts {
		if b.kinds[i] != kind || seen[fact["id"]] {
			continue
		}
		matches := true
		for name, value := range fields {
			matches = matches && reflect.DeepEqual(fact[name], value)
		}
		if matches {
			seen[fact["id"]] = true
			out = append(out, fact)
		}
	}
	return out
}

// close stops the recording and returns the errors of the recorded events.
func (b *bus) close() []error {
	b.stop()
	<-b.done
	return b.wrong
}

// fact waits until Drover has published such a fact, and returns the only one.
func (s *stack) fact(t *testing.T, kind string, fields object) object {
	t.Helper()
	facts := await(t, fmt.Sprintf("%s %v on the bus", kind, fields), func() ([]object, bool) {
		facts := s.bus.told(kind, fields)
		return facts, len(facts) > 0
	})
	if len(facts) > 1 {
		t.Fatalf("%s %v was published under %d ids: %s", kind, fields, len(facts), shown(facts))
	}
	return facts[0]
}
