// The scheduler function: jobs from the jobs queue to tasks.
package main

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/cancellation"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/environment"
	"github.com/drover-run/drover/shared/eventbridge"
	"github.com/drover-run/drover/shared/finish"
	"github.com/drover-run/drover/shared/metric"
	"github.com/drover-run/drover/shared/replay"
	"github.com/drover-run/drover/shared/scheduler"
	"github.com/drover-run/drover/shared/sqs"
	"github.com/drover-run/drover/shared/stepfunctions"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	env := environment.Must(environment.Load())
	cfg := environment.Must(environment.AWS(context.Background()))
	db, queue := dynamodb.NewFromConfig(cfg), awssqs.NewFromConfig(cfg)
	tasks := dynamo.Tasks{API: db, Table: env.Tasks, Retention: env.Retention}
	jobs := dynamo.Jobs{API: db, Table: env.Jobs, Control: env.Control, Retention: env.Retention}
	bus := eventbridge.Bus{API: awseventbridge.NewFromConfig(cfg), Name: env.Bus}
	service := scheduler.Service{
		Tasks: tasks, Jobs: jobs, Bus: bus,
		Registry: dynamo.Registry{API: db, Table: env.Control},
		Queue:    sqs.Jobs{Graveyard: sqs.Graveyard{API: queue, URL: env.JobsDead}, URL: env.JobsQueue},
		Alarm:    stepfunctions.Backoff{API: sfn.NewFromConfig(cfg), Machine: env.Backoff},
		Canceller: cancellation.Service{Jobs: jobs, Control: dynamo.Control{API: db, Table: env.Control}, Tasks: tasks,
			Finisher: finish.Finisher{Jobs: jobs, Bus: bus, Now: time.Now}, Bus: bus, Now: time.Now},
		Replayer: replay.Service{Jobs: jobs, Tasks: tasks, Store: dynamo.Replays{API: db, Tasks: env.Tasks, Control: env.Control, Jobs: env.Jobs,
			Retention: env.Retention}, Bus: bus, Now: time.Now, Retention: env.Retention},
		Now:      time.Now,
		MaxTasks: env.MaxTasks,
	}
	lambda.Start(func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		messages := make([]scheduler.Message, len(e.Records))
		for i, r := range e.Records {
			receives, _ := strconv.Atoi(r.Attributes["ApproximateReceiveCount"])
			messages[i] = scheduler.Message{ID: r.MessageId, Body: r.Body, Receives: receives}
		}
		failed, summary := service.Handle(ctx, environment.Invocation(ctx), messages)
		slog.InfoContext(ctx, "scheduled", "summary", summary, "failed", len(failed),
			metric.Counts(env.Stack, time.Now(), map[string]int{metric.SchedulerFailures: len(failed)}))
		return sqs.Failures(failed), nil
	})
}
