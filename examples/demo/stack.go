package main

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/examples/weather/data"
	stacks "github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/s3"

	"github.com/drover-run/drover/localstack"
)

const (
	stackName = "drover"
	// The job of the example names this bucket.
	dataBucket = "weather-data"
	dataKey    = "seattle-weather.csv"
	// endsWithin limits the time that an interrupted program may take to clean up.
	endsWithin = 5 * time.Second
)

// The paths of the programs that make build makes, and of files in the project.
const (
	commandLine  = "bin/drover"
	goWorker     = ".local/examples/weather/worker/bootstrap"
	pythonWorker = "examples/python/worker.py"
	deployment   = "infra/deploy"
)

// stack is a deployed Drover, with clients to read it.
type stack struct {
	stacks.Stack

	jobs    dynamo.Jobs
	control dynamo.Control
	archive s3.Bucket
}

// deploy deploys the template as make deploy does.
func deploy(ctx context.Context, e *localstack.Emulator) (*stack, error) {
	command := exec.CommandContext(ctx, filepath.Join(".local", "venv", "bin", "python3"), deployment)
	command.Env = append(e.Environ(), "DROVER_STACK="+stackName, "PARAMETERS=", "DROVER_ARTIFACTS_BUCKET=")
	if _, err := output(command); err != nil {
		return nil, err
	}
	described, err := stacks.Describe(ctx, cloudformation.NewFromConfig(e.Config()), stackName)
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

// output runs a program and returns what it printed. The error contains what the program printed on standard error. When the demo is interrupted, the
// program ends with all the processes that it started.
func output(command *exec.Cmd) (string, error) {
	var said, troubles bytes.Buffer
	command.Stdout, command.Stderr = &said, &troubles
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) } // an interrupt lets it remove its temporary files
	command.WaitDelay = endsWithin
	err := command.Run()
	if command.Process != nil {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // ends the processes that are left
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, bytes.TrimSpace(troubles.Bytes()))
	}
	return strings.TrimSpace(said.String()), nil
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
		if objects[name], err = zipped(code.file, code.contents); err != nil {
			return err
		}
	}
	bucket := s3.NewClient(e.Config())
	if _, err := bucket.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: aws.String(dataBucket)}); err != nil {
		return fmt.Errorf("creating bucket %s: %w", dataBucket, err)
	}
	for key, contents := range objects {
		if _, err := bucket.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(dataBucket), Key: &key, Body: bytes.NewReader(contents)}); err != nil {
			return fmt.Errorf("uploading s3://%s/%s: %w", dataBucket, key, err)
		}
	}
	return createStack(ctx, cloudformation.NewFromConfig(e.Config()), "weather", workersTemplate, map[string]string{
		"Bucket": dataBucket, "CompletionsQueueArn": s.Outputs["CompletionsQueueArn"], "Architecture": architecture(),
	})
}

func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

func zipped(name string, contents []byte) ([]byte, error) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	header := &zip.FileHeader{Name: name, Method: zip.Deflate}
	header.SetMode(0o755)
	file, err := z.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(contents); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

func createStack(ctx context.Context, api *cloudformation.Client, name, template string, parameters map[string]string) error {
	in := &cloudformation.CreateStackInput{StackName: &name, TemplateBody: &template, Capabilities: []types.Capability{types.CapabilityCapabilityIam}}
	for key, value := range parameters {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: &key, ParameterValue: &value})
	}
	if _, err := api.CreateStack(ctx, in); err != nil {
		return fmt.Errorf("creating stack %s: %w", name, err)
	}
	waiter := cloudformation.NewStackCreateCompleteWaiter(api, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	})
	if err := waiter.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &name}, time.Minute); err != nil {
		return errors.Join(fmt.Errorf("creating stack %s: %w", name, err), failures(ctx, api, name))
	}
	return nil
}

// failures returns CloudFormation's reasons for the resources that failed.
func failures(ctx context.Context, api *cloudformation.Client, name string) error {
	said, err := api.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &name})
	if err != nil {
		return err
	}
	var failed []error
	for _, event := range said.StackEvents {
		if strings.HasSuffix(string(event.ResourceStatus), "_FAILED") {
			failed = append(failed, fmt.Errorf("%s: %s", aws.ToString(event.LogicalResourceId), aws.ToString(event.ResourceStatusReason)))
		}
	}
	return errors.Join(failed...)
}
