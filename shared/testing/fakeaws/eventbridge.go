package fakeaws

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	drover "github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/core/event"
)

var _ drover.API = (*EventBridge)(nil)

// EventBridge holds buses and their rules. It delivers an event later, to each rule's target by itself.
type EventBridge struct {
	Hooks
	world *World

	mu    sync.Mutex
	put   int
	rules []Rule
	told  []event.Envelope
}

// Rule passes the events of a bus that match it to a target.
type Rule struct {
	Name, Bus string
	Takes     func(event.Envelope) bool
	Target    func(event.Envelope)
}

// NewEventBridge returns an EventBridge without rules.
func NewEventBridge(w *World) *EventBridge { return &EventBridge{world: w} }

// AddRule adds a rule.
func (e *EventBridge) AddRule(r Rule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = append(e.rules, r)
}

// Told returns every event that was put on a bus, in order.
func (e *EventBridge) Told() []event.Envelope {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]event.Envelope(nil), e.told...)
}

func (e *EventBridge) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = nil
}

// Limits of PutEvents. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
const (
	eventsMost  = 10
	eventsBytes = 1 << 20
)

// PutEvents puts up to ten events on buses.
func (e *EventBridge) PutEvents(ctx context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	return serve(ctx, &e.Hooks, Request{"EventBridge", "PutEvents", in}, func() (*eventbridge.PutEventsOutput, error) {
		size := 0
		for _, entry := range in.Entries {
			size += len(aws.ToString(entry.Detail)) + len(aws.ToString(entry.DetailType)) + len(aws.ToString(entry.Source))
		}
		if n := len(in.Entries); n == 0 || n > eventsMost || size > eventsBytes {
			return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: fmt.Sprintf("%d entries of %d bytes in all; 1 to 10 of 1 MB in all are taken", n, size)}
		}
		out := &eventbridge.PutEventsOutput{}
		for _, entry := range in.Entries {
			result := types.PutEventsResultEntry{}
			switch id, why := e.Put(aws.ToString(entry.EventBusName), aws.ToString(entry.Source), aws.ToString(entry.DetailType), []byte(aws.ToString(entry.Detail))); why {
			case "":
				result.EventId = &id
			default:
				result.ErrorCode, result.ErrorMessage = aws.String("MalformedDetail"), aws.String(why)
				out.FailedEntryCount++
			}
			out.Entries = append(out.Entries, result)
		}
		return out, nil
	})
}

// Put puts one event on a bus and returns its id, or why it is refused.
func (e *EventBridge) Put(bus, source, detailType string, detail []byte) (id, why string) {
	var object map[string]json.RawMessage
	if json.Unmarshal(detail, &object) != nil || source == "" || detailType == "" {
		return "", "Detail is malformed."
	}
	e.mu.Lock()
	e.put++
	one := event.Envelope{ID: fmt.Sprintf("event-%06d", e.put), Source: source, DetailType: detailType, Time: e.world.Now().Truncate(time.Second), Detail: detail}
	e.told = append(e.told, one)
	e.mu.Unlock()
	for _, r := range e.Takers(bus, one) {
		e.world.send(0, Delivery, r.Name+" "+detailType+" "+string(detail), func() { r.Target(one) })
	}
	return one.ID, ""
}

// Takers returns the rules of a bus that match an event.
func (e *EventBridge) Takers(bus string, one event.Envelope) []Rule {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Rule
	for _, r := range e.rules {
		if r.Bus == bus && r.Takes(one) {
			out = append(out, r)
		}
	}
	return out
}
