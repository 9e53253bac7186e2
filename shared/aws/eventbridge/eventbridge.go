// Package eventbridge publishes Drover's facts on its bus.
package eventbridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/drover-run/drover/shared/core/escape"
	"github.com/drover-run/drover/shared/core/event"
)

// API has the calls of EventBridge that Drover makes.
type API interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// Bus is Drover's event bus.
type Bus struct {
	API  API
	Name string
}

// most and mostBytes limit the events of one PutEvents request, and their bytes in total.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
const (
	most      = 10
	mostBytes = 1 << 20
)

// Publish puts facts on the bus. If it fails, some of them may have been published. Publishing them again is harmless, because they have ids.
func (b Bus) Publish(ctx context.Context, facts ...event.Fact) error {
	var entries []types.PutEventsRequestEntry
	size := 0
	for _, f := range facts {
		detail, err := json.Marshal(f.Detail)
		if err != nil {
			return fmt.Errorf("encoding %s, %w", f.Type, err)
		}
		detail = escape.JSON(detail) // a rule may send it to a queue
		length := len(detail) + len(f.Type) + len(event.Source)
		if len(entries) == most || len(entries) > 0 && size+length > mostBytes {
			if err := b.put(ctx, entries); err != nil {
				return err
			}
			entries, size = nil, 0
		}
		size += length
		entries = append(entries, types.PutEventsRequestEntry{EventBusName: &b.Name, Source: aws.String(event.Source),
			DetailType: aws.String(f.Type), Detail: aws.String(string(detail))})
	}
	if len(entries) == 0 {
		return nil
	}
	return b.put(ctx, entries)
}

// Send puts an application's command on the bus and returns the id of its event.
func (b Bus) Send(ctx context.Context, source, detailType string, detail []byte) (string, error) {
	out, err := b.API.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: &b.Name, Source: &source, DetailType: &detailType, Detail: aws.String(string(escape.JSON(detail)))}}})
	if err != nil {
		return "", fmt.Errorf("putting %s on the bus, %w", detailType, err)
	}
	if err := failures(out); err != nil {
		return "", err
	}
	return aws.ToString(out.Entries[0].EventId), nil
}

// put sends entries, and sends failed entries once more.
func (b Bus) put(ctx context.Context, entries []types.PutEventsRequestEntry) error {
	for again := false; ; again = true {
		out, err := b.API.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		if err != nil {
			return fmt.Errorf("putting %d events on the bus, %w", len(entries), err)
		}
		if out.FailedEntryCount == 0 {
			return nil
		}
		if again {
			return failures(out)
		}
		var failed []types.PutEventsRequestEntry
		for i, e := range out.Entries {
			if e.ErrorCode != nil {
				failed = append(failed, entries[i])
			}
		}
		entries = failed
	}
}

func failures(out *eventbridge.PutEventsOutput) error {
	var errs []error
	for _, e := range out.Entries {
		if e.ErrorCode != nil {
			errs = append(errs, fmt.Errorf("the bus refuses an event: %s: %s", aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage)))
		}
	}
	return errors.Join(errs...)
}
