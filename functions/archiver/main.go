// The archiver function archives the tasks whose end the stream of the tasks table delivers.
package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
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
	lambda.Start(wiring.NewArchiver(env, wiring.Clients{
		DynamoDB: dynamodb.NewFromConfig(cfg),
		S3:       s3.NewClient(cfg),
		SQS:      sqs.NewFromConfig(cfg),
		Now:      time.Now, Log: log,
	}).Handle)
}
