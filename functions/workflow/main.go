// The workflow function carries out runs of workflows: it handles the messages of the runs queue.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/wiring"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	slog.SetDefault(log) // also for what Lambda's runtime prints
	env := wiring.Must(wiring.Load())
	cfg := wiring.Must(settings.Function())
	machines := sfn.NewFromConfig(cfg)
	lambda.Start(wiring.NewWorkflow(env, wiring.Clients{
		DynamoDB:      dynamodb.NewFromConfig(cfg),
		EventBridge:   eventbridge.NewFromConfig(cfg),
		StepFunctions: machines,
		Tokens:        machines,
		SQS:           sqs.NewFromConfig(cfg),
		Lambda:        awslambda.NewFromConfig(cfg),
		SNS:           sns.NewFromConfig(cfg),
		Now:           time.Now, Log: log,
	}).Handle)
}
