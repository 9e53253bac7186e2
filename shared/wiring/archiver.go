package wiring

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/archiver"
)

// Archiver is an archiver function: it archives the tasks whose end the stream of the tasks table delivers.
type Archiver struct {
	Service   *archiver.Service
	graveyard sqs.Graveyard // for records that cannot be read
	env       Environment
	clients   Clients
}

// NewArchiver wires the archiver. It uses DynamoDB, S3, SQS, Now and Log.
func NewArchiver(e Environment, c Clients) Archiver {
	c = c.metered()
	return Archiver{env: e, clients: c, graveyard: sqs.Graveyard{API: c.SQS, URL: e.StreamFailures},
		Service: &archiver.Service{Payloads: tasks(e, c), Store: s3.Bucket{API: c.S3, Name: e.Archive}}}
}

// Handle archives a batch of the stream, a chunk of its tasks at a time: see [Scavenger.Handle]. After an error the stream redelivers the whole
// batch.
func (f Archiver) Handle(ctx context.Context, e events.DynamoDBEvent) error {
	archived, err := f.handle(ctx, e)
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelError
		failures(f.clients, metric.ArchiverFailures, len(e.Records))
	}
	writeLines(ctx, f.env, f.clients, level, "archived", "records", len(e.Records), "archived", archived, cause(err))
	return err
}

func (f Archiver) handle(ctx context.Context, e events.DynamoDBEvent) (archived int, err error) {
	for tasks, err := range task.Chunks(images(ctx, e, f.graveyard)) {
		if err != nil {
			return archived, err
		}
		some, err := f.Service.Handle(ctx, tasks)
		if archived += some; err != nil {
			return archived, err
		}
	}
	return archived, nil
}
