// The worker assistant function: what is told of running attempts, by the completions queue or by a sosw Worker's call.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/assistant"
	"github.com/drover-run/drover/shared/cancellation"
	"github.com/drover-run/drover/shared/completion"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/environment"
	"github.com/drover-run/drover/shared/eventbridge"
	"github.com/drover-run/drover/shared/exact"
	"github.com/drover-run/drover/shared/metric"
	"github.com/drover-run/drover/shared/sqs"
	"github.com/drover-run/drover/shared/stepfunctions"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	env := environment.Must(environment.Load())
	cfg := environment.Must(environment.AWS(context.Background()))
	db, machines := dynamodb.NewFromConfig(cfg), sfn.NewFromConfig(cfg)
	tasks, control := dynamo.Tasks{API: db, Table: env.Tasks, Retention: env.Retention}, dynamo.Control{API: db, Table: env.Control}
	service := assistant.Service{
		Tasks:     tasks,
		Control:   control,
		Registry:  dynamo.Registry{API: db, Table: env.Control},
		Bus:       eventbridge.Bus{API: awseventbridge.NewFromConfig(cfg), Name: env.Bus},
		Alarm:     stepfunctions.Backoff{API: machines, Machine: env.Backoff},
		Graveyard: sqs.Graveyard{API: awssqs.NewFromConfig(cfg), URL: env.CompletionsDead},
		Sweeper:   cancellation.Service{Jobs: dynamo.Jobs{API: db, Table: env.Jobs}, Control: control, Tasks: tasks, Now: time.Now},
		Now:       time.Now,

		Executions: stepfunctions.Executions{API: machines},
	}
	lambda.Start(func(ctx context.Context, text json.RawMessage) (any, error) {
		var batch struct{ Records []events.SQSMessage }
		if exact.Decode(text, &batch) == nil && len(batch.Records) > 0 {
			return handle(ctx, env.Stack, &service, batch.Records), nil
		}
		return call(ctx, env.Stack, &service, text)
	})
}

func handle(ctx context.Context, stack string, s *assistant.Service, records []events.SQSMessage) events.SQSEventResponse {
	messages := make([]assistant.Message, len(records))
	for i, r := range records {
		messages[i] = assistant.Message{ID: r.MessageId, Body: r.Body}
	}
	failed, summary := s.Handle(ctx, environment.Invocation(ctx), messages)
	slog.InfoContext(ctx, "closed", "summary", summary, "failed", len(failed), failures(stack, len(failed)))
	return sqs.Failures(failed)
}

func failures(stack string, n int) slog.Attr {
	return metric.Counts(stack, time.Now(), map[string]int{metric.WorkerAssistantFailures: n})
}

// call carries out a sosw Worker's own call. One that cannot be read is the caller's fault, which it is told; it counts as none of ours.
func call(ctx context.Context, stack string, s *assistant.Service, text json.RawMessage) (any, error) {
	report, err := completion.ReadCall(text)
	if err != nil {
		slog.InfoContext(ctx, "call refused", "error", err)
		return nil, fmt.Errorf("reading a worker's call, %w", err)
	}
	summary, err := s.Mark(ctx, environment.Invocation(ctx), report)
	failed := 0
	if err != nil {
		failed = 1
	}
	slog.InfoContext(ctx, "called", "summary", summary, failures(stack, failed))
	return nil, err
}
