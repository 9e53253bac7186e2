package local

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	stacks "github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/s3"

	"github.com/drover-run/drover/localstack"
)

// CommandLine holds the path of the command line, which make build makes, from the project's folder.
const CommandLine = "bin/drover"

// StackName names the stack of Drover.
const StackName = "drover"

// Deploy deploys the template with the code of make build, and returns the stack. The working directory has to be the project's folder.
func Deploy(ctx context.Context, e *localstack.Emulator) (stacks.Stack, error) {
	command := exec.CommandContext(ctx, CommandLine, "--stack", StackName, "deploy", "--yes", "--template", "infra/template.yaml")
	command.Env = append(e.Environ(), "DROVER_ARTIFACTS_BUCKET=")
	if _, err := Output(command); err != nil {
		return stacks.Stack{}, err
	}
	return stacks.Describe(ctx, cloudformation.NewFromConfig(e.Config()), StackName)
}

// Drover runs the command line on the stack and returns what it printed, also if it failed.
func Drover(ctx context.Context, e *localstack.Emulator, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, CommandLine, arguments...)
	command.Env = append(e.Environ(), "DROVER_STACK="+StackName)
	return Output(command)
}

// Upload creates a bucket with these objects.
func Upload(ctx context.Context, e *localstack.Emulator, bucket string, objects map[string][]byte) error {
	api := s3.NewClient(e.Config())
	if _, err := api.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return fmt.Errorf("creating bucket %s: %w", bucket, err)
	}
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if _, err := api.PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(objects[key])}); err != nil {
			return fmt.Errorf("uploading s3://%s/%s: %w", bucket, key, err)
		}
	}
	return nil
}

// Architecture returns the architecture of the functions that make build makes, as Lambda names it.
func Architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// Zipped returns a zip with one executable file.
func Zipped(name string, contents []byte) ([]byte, error) {
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

// CreateStack creates a stack of an application and waits until it is complete. The error contains CloudFormation's reasons.
func CreateStack(ctx context.Context, e *localstack.Emulator, name, template string, parameters map[string]string) error {
	api := cloudformation.NewFromConfig(e.Config())
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
