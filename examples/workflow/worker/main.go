// Worker runs as the Lambda function of all plugins of the workflow "climate report".
package main

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/examples/workflow"
	"github.com/drover-run/drover/shared/worker"
)

func main() {
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatalf("reading the AWS settings: %v", err)
	}
	client := s3.NewFromConfig(settings, func(options *s3.Options) {
		// A local AWS has no host name for each bucket.
		options.UsePathStyle = options.BaseEndpoint != nil
	})
	worker.Start(workflow.Plugins(client))
}
