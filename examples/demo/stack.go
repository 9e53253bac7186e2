package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drover-run/drover/examples/local"
	"github.com/drover-run/drover/examples/weather/data"
	stacks "github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/s3"

	"github.com/drover-run/drover/localstack"
)

const (
	// The job of the example names this bucket.
	dataBucket = "weather-data"
	dataKey    = "seattle-weather.csv"
)

// The paths of the workers' programs.
const (
	goWorker     = ".local/examples/weather/worker/bootstrap"
	pythonWorker = "examples/python/worker.py"
)

// stack is a deployed Drover, with clients to read it.
type stack struct {
	stacks.Stack

	jobs    dynamo.Jobs
	control dynamo.Control
	archive s3.Bucket
}

func deploy(ctx context.Context, e *localstack.Emulator) (*stack, error) {
	described, err := local.Deploy(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := described.Require("JobsTableName", "ControlTableName", "ArchiveBucketName", "CompletionsQueueArn"); err != nil {
		return nil, err
	}
	database := dynamodb.NewFromConfig(e.Config())
	return &stack{
		Stack:   described,
		jobs:    dynamo.Jobs{API: database, Table: described.Outputs["JobsTableName"]},
		control: dynamo.Control{API: database, Table: described.Outputs["ControlTableName"]},
		archive: s3.Bucket{API: s3.NewClient(e.Config()), Name: described.Outputs["ArchiveBucketName"]},
	}, nil
}

//go:embed workers.yaml
var workersTemplate string

// createWorkers uploads the data and the workers' code, and creates the workers.
func (s *stack) createWorkers(ctx context.Context, e *localstack.Emulator) error {
	binary, err := os.ReadFile(goWorker)
	if err != nil {
		return fmt.Errorf("the Go worker is not built: %w; to build it: make build", err)
	}
	source, err := os.ReadFile(pythonWorker)
	if err != nil {
		return err
	}
	objects := map[string][]byte{dataKey: data.CSV}
	for name, code := range map[string]struct {
		file     string
		contents []byte
	}{"weather.zip": {"bootstrap", binary}, "weather_kinds.zip": {"worker.py", source}} {
		if objects[name], err = local.Zipped(code.file, code.contents); err != nil {
			return err
		}
	}
	if err := local.Upload(ctx, e, dataBucket, objects); err != nil {
		return err
	}
	return local.CreateStack(ctx, e, "weather", workersTemplate, map[string]string{
		"Bucket": dataBucket, "CompletionsQueueArn": s.Outputs["CompletionsQueueArn"], "Architecture": local.Architecture(),
	})
}
