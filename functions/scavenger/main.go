// The scavenger function processes the ends of attempts and tasks that the stream of the tasks table delivers.
package main

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
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
	lambda.Start(wiring.NewScavenger(env, wiring.Clients{
		DynamoDB:      dynamodb.NewFromConfig(cfg),
		EventBridge:   eventbridge.NewFromConfig(cfg),
		StepFunctions: sfn.NewFromConfig(cfg),
		SNS:           sns.NewFromConfig(cfg),
		SQS:           sqs.NewFromConfig(cfg),
		Now:           time.Now, Random: rand.Float64, Log: log,
	}).Handle)
}
