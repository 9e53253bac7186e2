package worker

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/core/exact"
)

// sqsBatch recognises the event of an SQS event source mapping. A task whose payload has an attribute "Records" is no batch: it also has "drover".
func sqsBatch(event []byte) (events.SQSEvent, bool) {
	var outline struct {
		Drover  json.RawMessage `json:"drover"`
		Records []struct {
			EventSource string `json:"eventSource"`
		}
	}
	if exact.Decode(event, &outline) != nil || outline.Drover != nil || len(outline.Records) == 0 || outline.Records[0].EventSource != "aws:sqs" {
		return events.SQSEvent{}, false
	}
	var batch events.SQSEvent
	return batch, exact.Decode(event, &batch) == nil
}

// performBatch runs the tasks of a batch in order and returns the messages to redeliver: those without a task (until they reach the dead letter
// queue), those whose end could not be reported, and those for which no time was left. A failed task that was reported is not redelivered: Drover
// starts its next attempt.
func (w *worker) performBatch(ctx context.Context, batch events.SQSEvent) events.SQSEventResponse {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	blocked := false
	for _, message := range batch.Records {
		if blocked || ctx.Err() != nil || w.performRecord(ctx, message) != nil {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: message.MessageId})
			// In a FIFO queue, the messages behind a redelivered one must be redelivered too.
			blocked = strings.HasSuffix(message.EventSourceARN, ".fifo")
		}
	}
	return response
}

func (w *worker) performRecord(ctx context.Context, message events.SQSMessage) error {
	task, err := ParseTask([]byte(message.Body))
	if err != nil {
		w.log.Error("message is not a task", "message_id", message.MessageId, "error", err)
		return err
	}
	task.sentAt = sentAt(message.Attributes)
	_, err = w.performOne(ctx, w.received(ctx, task))
	return err
}

// sentAt returns the time at which a message was put into its queue, or the zero time if the message does not have it.
func sentAt(attributes map[string]string) time.Time {
	milliseconds, err := strconv.ParseInt(attributes["SentTimestamp"], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds)
}
