package wiring

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/sns"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/metering"
	"github.com/drover-run/drover/shared/service/scavenger"
	"github.com/drover-run/drover/shared/service/workflow"
)

// Scavenger is a scavenger function: it processes the ends that the stream of the tasks table delivers.
type Scavenger struct {
	Service   *scavenger.Service
	graveyard sqs.Graveyard // for records that cannot be read
	env       Environment
	clients   Clients
}

// NewScavenger wires the scavenger. It uses all clients but Lambda, S3 and CloudWatch.
func NewScavenger(e Environment, c Clients) Scavenger {
	c = c.metered()
	return Scavenger{env: e, clients: c, graveyard: sqs.Graveyard{API: c.SQS, URL: e.StreamFailures}, Service: &scavenger.Service{
		Settler: settler(e, c), Progress: entering(e, c), Finisher: finisher(e, c), Queue: control(e, c), Bus: bus(e, c),
		Gauge: metering.Rests{Tally: c.tally, Labourers: &assistant.Labourers{Registry: registry(e, c), Now: c.Now}},
		Turns: workflow.Recorder{Counter: runs(e, c), Waker: sqs.Runs{API: c.SQS, URL: e.RunsQueue}},
		Pager: sns.Topic{API: c.SNS, ARN: e.AlarmTopic}, Now: c.Now,
	}}
}

// Handle processes a batch of the stream, a chunk of its tasks at a time: a batch has up to 6 MB, and its payloads, which the tables compress,
// may exceed the function's memory. After an error the stream redelivers the whole batch.
func (f Scavenger) Handle(ctx context.Context, e events.DynamoDBEvent) error {
	var summary scavenger.Summary
	err := f.handle(ctx, e, &summary)
	failed := len(summary.Unsettled)
	if err != nil {
		failed = len(e.Records)
	}
	level := slog.LevelInfo
	if failed > 0 {
		level = slog.LevelError
	}
	failures(f.clients, metric.ScavengerFailures, failed)
	writeLines(ctx, f.env, f.clients, level, "scavenged", "records", len(e.Records), "summary", summary, cause(err))
	return err
}

func (f Scavenger) handle(ctx context.Context, e events.DynamoDBEvent, summary *scavenger.Summary) error {
	chunks, id := 0, invocation(ctx, f.clients.Now())
	for tasks, err := range task.Chunks(images(ctx, e, f.graveyard)) {
		if err != nil {
			return err
		}
		of := id
		if chunks++; chunks > 1 {
			of = fmt.Sprintf("%s/%d", id, chunks) // it names the events of the chunk
		}
		some, err := f.Service.Handle(ctx, of, tasks)
		summary.Add(some)
		if err != nil {
			return err
		}
	}
	return nil
}
