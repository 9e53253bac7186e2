// The worker assistant function handles reports on running attempts, from the completions queue or from a sosw Worker's call, and
// starts the next tasks.
package main

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/wiring"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	slog.SetDefault(log) // also for what Lambda's runtime prints
	env := wiring.Must(wiring.Load())
	cfg := wiring.Must(settings.Function())
	lambda.Start(wiring.NewAssistant(env, wiring.Clients{
		DynamoDB:      dynamodb.NewFromConfig(cfg),
		EventBridge:   eventbridge.NewFromConfig(cfg),
		Lambda:        awslambda.NewFromConfig(cfg),
		S3:            s3.NewClient(cfg),
		StepFunctions: sfn.NewFromConfig(cfg),
		SQS:           sqs.NewFromConfig(cfg),
		Now:           time.Now, Random: rand.Float64, Log: log,
	}).Handle)
}
