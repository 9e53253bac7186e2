package wiring

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/metering"
)

// Assistant is a worker assistant function: it handles reports on running attempts, from the completions queue, from the status table that plugins of
// moe's orchestrator write to, or from a sosw Worker's call.
type Assistant struct {
	Service *assistant.Service
	env     Environment
	clients Clients
}

// NewAssistant wires the worker assistant. It uses DynamoDB, SQS, Lambda, EventBridge, StepFunctions, S3, Now, Random and Log.
func NewAssistant(e Environment, c Clients) Assistant {
	c = c.metered()
	known := &assistant.Labourers{Registry: registry(e, c), Now: c.Now}
	return Assistant{env: e, clients: c, Service: &assistant.Service{
		Tasks: tasks(e, c), Control: control(e, c), Leases: leases(e, c), Launcher: launcher(e, c),
		Labourers: known, Gauge: metering.Rests{Tally: c.tally, Labourers: known},
		Bus: bus(e, c), Timer: timer(e, c), Sweeper: canceller(e, c), Executions: stepfunctions.Executions{API: c.StepFunctions},
		Graveyard: sqs.Graveyard{API: c.SQS, URL: e.CompletionsDead}, Now: c.Now, Random: c.Random, MostReceives: e.CompletionsReceives,
	}}
}

// Handle accepts a batch of the completions queue or of the status table's stream, or a sosw Worker's call, and tells them apart by the form of the
// event.
func (f Assistant) Handle(ctx context.Context, text json.RawMessage) (any, error) {
	var stream events.DynamoDBEvent
	if json.Unmarshal(text, &stream) == nil && len(stream.Records) > 0 && stream.Records[0].EventSource == dynamo.StreamSource {
		return nil, f.HandleStatuses(ctx, stream)
	}
	var batch struct{ Records []events.SQSMessage }
	if exact.Decode(text, &batch) == nil && len(batch.Records) > 0 {
		return f.HandleBatch(ctx, batch.Records), nil
	}
	return nil, f.HandleCall(ctx, text)
}

// HandleBatch processes a batch of the completions queue and returns the messages to redeliver.
func (f Assistant) HandleBatch(ctx context.Context, records []events.SQSMessage) events.SQSEventResponse {
	messages := make([]assistant.Message, len(records))
	for i, r := range records {
		messages[i] = assistant.Message{ID: r.MessageId, Body: r.Body, Receives: receives(r)}
	}
	failed, summary := f.Service.Handle(ctx, invocation(ctx, f.clients.Now()), messages)
	failures(f.clients, metric.WorkerAssistantFailures, len(failed))
	writeLines(ctx, f.env, f.clients, slog.LevelInfo, "closed", "summary", summary)
	return sqs.Failures(failed)
}

// HandleStatuses processes a batch of the status table's stream. After an error the stream redelivers the whole batch.
func (f Assistant) HandleStatuses(ctx context.Context, e events.DynamoDBEvent) error {
	var writes []assistant.Write
	for _, r := range e.Records {
		if r.EventName == string(events.DynamoDBOperationTypeRemove) {
			continue
		}
		keys := document.Encode(map[string]any{"keys": r.Change.Keys, "sequence_number": r.Change.SequenceNumber})
		writes = append(writes, assistant.Write{ID: r.EventID, Named: string(keys), Before: dynamo.StatusImage(r.Change.OldImage), After: dynamo.StatusImage(r.Change.NewImage)})
	}
	failed, summary := f.Service.Read(ctx, invocation(ctx, f.clients.Now()), writes)
	failures(f.clients, metric.WorkerAssistantFailures, len(failed))
	writeLines(ctx, f.env, f.clients, slog.LevelInfo, "read", "records", len(e.Records), "summary", summary)
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d writes of the status table could not be processed: %v", len(failed), len(writes), summary.Errors)
	}
	return nil
}

// HandleCall executes a sosw Worker's call. An unreadable call is the caller's fault and does not count as a failure of the function.
func (f Assistant) HandleCall(ctx context.Context, text []byte) error {
	report, err := completion.ReadCall(text)
	if err != nil {
		f.clients.Log.InfoContext(ctx, "call refused", "error", err)
		return fmt.Errorf("reading a worker's call, %w", err)
	}
	summary, err := f.Service.Mark(ctx, invocation(ctx, f.clients.Now()), report)
	if err != nil {
		failures(f.clients, metric.WorkerAssistantFailures, 1)
	}
	writeLines(ctx, f.env, f.clients, slog.LevelInfo, "called", "summary", summary)
	return err
}
