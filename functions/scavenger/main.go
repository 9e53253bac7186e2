// The scavenger function: what has ended, from the stream of the tasks table.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/cancellation"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/environment"
	"github.com/drover-run/drover/shared/eventbridge"
	"github.com/drover-run/drover/shared/finish"
	"github.com/drover-run/drover/shared/metric"
	"github.com/drover-run/drover/shared/outcome"
	"github.com/drover-run/drover/shared/s3"
	"github.com/drover-run/drover/shared/scavenger"
	"github.com/drover-run/drover/shared/sns"
	"github.com/drover-run/drover/shared/sqs"
	"github.com/drover-run/drover/shared/stepfunctions"
	"github.com/drover-run/drover/shared/task"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	env := environment.Must(environment.Load())
	cfg := environment.Must(environment.AWS(context.Background()))
	db := dynamodb.NewFromConfig(cfg)
	tasks, control := dynamo.Tasks{API: db, Table: env.Tasks, Retention: env.Retention}, dynamo.Control{API: db, Table: env.Control}
	jobs := dynamo.Jobs{API: db, Table: env.Jobs, Control: env.Control, Retention: env.Retention}
	bus := eventbridge.Bus{API: awseventbridge.NewFromConfig(cfg), Name: env.Bus}
	service := scavenger.Service{
		Settler: outcome.Settler{Tasks: tasks, Deaths: dynamo.Deaths{Tasks: tasks, Control: control}, Control: control, Registry: dynamo.Registry{API: db, Table: env.Control},
			Waiter: stepfunctions.Backoff{API: sfn.NewFromConfig(cfg), Machine: env.Backoff}, Now: time.Now, Random: rand.Float64,
			Sweeper: cancellation.Service{Jobs: jobs, Control: control, Tasks: tasks, Now: time.Now}},
		Jobs: jobs, Finisher: finish.Finisher{Jobs: jobs, Bus: bus, Now: time.Now},
		Payloads: tasks, Archive: s3.Bucket{API: s3.NewClient(cfg), Name: env.Archive},
		Queue: control,
		Bus:   bus,
		Alarm: sns.Topic{API: awssns.NewFromConfig(cfg), ARN: env.AlarmTopic},
		Now:   time.Now,
	}
	graveyard := sqs.Graveyard{API: awssqs.NewFromConfig(cfg), URL: env.StreamFailures}
	lambda.Start(func(ctx context.Context, e events.DynamoDBEvent) error {
		var summary scavenger.Summary
		images, err := read(ctx, graveyard, e)
		if err == nil {
			summary, err = service.Handle(ctx, environment.Invocation(ctx), images)
		}
		failures := len(summary.Unsettled)
		if err != nil {
			failures = len(e.Records) // the whole batch comes again
		}
		level := slog.LevelInfo
		if failures > 0 {
			level = slog.LevelError
		}
		slog.Log(ctx, level, "scavenged", "records", len(e.Records), "summary", summary, "error", err,
			metric.Counts(env.Stack, time.Now(), map[string]int{metric.ScavengerFailures: failures}))
		return err
	})
}

// read is the tasks of a batch. A record that can not be read never will be: its keys go where a person finds them, and the rest goes on.
func read(ctx context.Context, g sqs.Graveyard, e events.DynamoDBEvent) ([]task.Task, error) {
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
		keys, _ := json.Marshal(map[string]any{"keys": r.Change.Keys, "sequence_number": r.Change.SequenceNumber}) //nolint:errchkjson // strings and numbers
		if err := g.Bury(ctx, string(keys), err.Error()); err != nil {
			return nil, err
		}
	}
	return out, nil
}
