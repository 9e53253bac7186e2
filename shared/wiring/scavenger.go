package wiring

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/sns"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/scavenger"
)

// Scavenger is a scavenger function: it processes the ends that the stream of the tasks table delivers.
type Scavenger struct {
	Service   *scavenger.Service
	graveyard sqs.Graveyard // for records that cannot be read
	env       Environment
	clients   Clients
}

// NewScavenger wires the scavenger. It uses all clients but Lambda and CloudWatch.
func NewScavenger(e Environment, c Clients) Scavenger {
	return Scavenger{env: e, clients: c, graveyard: sqs.Graveyard{API: c.SQS, URL: e.StreamFailures}, Service: &scavenger.Service{
		Settler: settler(e, c), Jobs: jobs(e, c), Finisher: finisher(e, c), Queue: control(e, c), Bus: bus(e, c), Payloads: tasks(e, c),
		Archive: s3.Bucket{API: c.S3, Name: e.Archive}, Pager: sns.Topic{API: c.SNS, ARN: e.AlarmTopic}, Now: c.Now,
	}}
}

// Handle processes a batch of the stream. After an error the stream redelivers the whole batch.
func (f Scavenger) Handle(ctx context.Context, e events.DynamoDBEvent) error {
	var summary scavenger.Summary
	images, err := f.read(ctx, e)
	if err == nil {
		summary, err = f.Service.Handle(ctx, invocation(ctx, f.clients.Now()), images)
	}
	failures := len(summary.Unsettled)
	if err != nil {
		failures = len(e.Records)
	}
	level := slog.LevelInfo
	if failures > 0 {
		level = slog.LevelError
	}
	f.clients.Log.Log(ctx, level, "scavenged", "records", len(e.Records), "summary", summary, "error", err,
		metric.Counts(f.env.Stack, f.clients.Now(), map[string]int{metric.ScavengerFailures: failures}))
	return err
}

// read returns the tasks of a batch as they were after each write. The keys of a record that is partly unreadable go to the dead-letter
// queue. The readable parts of its task go on, because its job would otherwise wait for it forever.
func (f Scavenger) read(ctx context.Context, e events.DynamoDBEvent) ([]task.Task, error) {
	var out []task.Task
	for _, r := range e.Records {
		if r.EventName == string(events.DynamoDBOperationTypeRemove) {
			continue
		}
		t, err := dynamo.StreamImage(r.Change.NewImage)
		if err == nil {
			out = append(out, t)
			continue
		}
		unreadable, _ := task.Unreadable(err)
		out = append(out, unreadable...)
		keys, _ := json.Marshal(map[string]any{"keys": r.Change.Keys, "sequence_number": r.Change.SequenceNumber}) //nolint:errchkjson // strings and numbers
		if err := f.graveyard.Bury(ctx, string(keys), err.Error()); err != nil {
			return nil, err
		}
	}
	return out, nil
}
