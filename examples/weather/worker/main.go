// Worker runs as the weather example's Lambda function: it sums up some days of the weather data in S3.
package main

import (
	"context"
	"io"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

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
	worker.Start(summing{bucket{client}}.work)
}

type bucket struct{ client *s3.Client }

func (b bucket) open(ctx context.Context, name, key string) (io.ReadCloser, error) {
	object, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &name, Key: &key})
	if err != nil {
		return nil, err
	}
	return object.Body, nil
}
