// The orchestrator function: the steps of the orchestrate state machine.
package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	awscloudwatch "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/cancellation"
	"github.com/drover-run/drover/shared/cloudwatch"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/environment"
	"github.com/drover-run/drover/shared/eventbridge"
	"github.com/drover-run/drover/shared/health"
	targets "github.com/drover-run/drover/shared/lambda"
	"github.com/drover-run/drover/shared/metric"
	"github.com/drover-run/drover/shared/orchestrator"
	"github.com/drover-run/drover/shared/outcome"
	"github.com/drover-run/drover/shared/sqs"
	"github.com/drover-run/drover/shared/stepfunctions"
	"github.com/drover-run/drover/shared/throttling"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	env := environment.Must(environment.Load())
	cfg := environment.Must(environment.AWS(context.Background()))
	db, machines, queues := dynamodb.NewFromConfig(cfg), sfn.NewFromConfig(cfg), awssqs.NewFromConfig(cfg)
	tasks, control := dynamo.Tasks{API: db, Table: env.Tasks, Retention: env.Retention}, dynamo.Control{API: db, Table: env.Control}
	registry, store := dynamo.Registry{API: db, Table: env.Control}, dynamo.Health{API: db, Table: env.Control}
	canceller := cancellation.Service{Jobs: dynamo.Jobs{API: db, Table: env.Jobs}, Control: control, Tasks: tasks, Now: time.Now}
	service := orchestrator.Service{
		Tasks: tasks, Control: control, Registry: registry, Memory: store,
		Health: health.Service{Store: store, Source: cloudwatch.Source{API: awscloudwatch.NewFromConfig(cfg)}, Now: time.Now, Wait: shortly},
		Settler: outcome.Settler{Tasks: tasks, Deaths: dynamo.Deaths{Tasks: tasks, Control: control}, Control: control, Registry: registry,
			Waiter: stepfunctions.Backoff{API: machines, Machine: env.Backoff}, Now: time.Now, Random: rand.Float64, Sweeper: canceller},
		Sweeper: canceller,
		Starter: orchestrator.Targets{Lambda: targets.Starter{API: awslambda.NewFromConfig(cfg)},
			SQS: sqs.Starter{API: queues}, States: stepfunctions.Starter{API: machines}},
		Queues: sqs.Queues{API: queues}, Executions: stepfunctions.Executions{API: machines},
		Bus: eventbridge.Bus{API: awseventbridge.NewFromConfig(cfg), Name: env.Bus},
		Now: time.Now, CompletionsURL: env.Completions,
	}
	lambda.Start(func(ctx context.Context, in orchestrator.Step) (any, error) {
		out, err := service.Take(ctx, in)
		slog.InfoContext(ctx, "step", "step", in.Step, "labourer", in.Labourer, "round", in.Round, "error", err,
			metric.Counts(env.Stack, time.Now(), orchestrator.Counts(out, err)))
		return out, throttling.Named(err)
	})
}

// shortly waits for as long as another function may take to ask CloudWatch.
func shortly(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(150 * time.Millisecond):
		return nil
	}
}
