package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscloudformation "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	awscloudwatch "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"github.com/drover-run/drover/shared/cloudformation"
	"github.com/drover-run/drover/shared/cloudwatch"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/environment"
	"github.com/drover-run/drover/shared/eventbridge"
	"github.com/drover-run/drover/shared/s3"
)

// stack is a deployed stack with all that the commands read and write of it.
type stack struct {
	cloudformation.Stack
	region   string
	endpoint string // of every service, where one is set; "": AWS's own
	tasks    dynamo.Tasks
	control  dynamo.Control
	jobs     dynamo.Jobs
	registry dynamo.Registry
	health   dynamo.Health
	bus      eventbridge.Bus
	metrics  cloudwatch.Source
	archive  s3.Bucket

	functions  functions
	queues     queues
	rules      rules
	machines   machines
	formations cloudformation.API
	listing    tables
	bins       buckets
}

// needed are the outputs without which nothing can be done.
var needed = []string{"EventBusName", "TasksTableName", "ControlTableName", "JobsTableName", "ArchiveBucketName"}

func impatient(o *awscloudformation.Options) { o.RetryMaxAttempts = 2 }

// openStack finds a stack by its name. A *cloudformation.MissingError: there is none; what is returned beside it can look at the account,
// and at nothing of a stack.
func openStack(ctx context.Context, name string) (*stack, error) {
	cfg, err := environment.AWS(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("no region: set AWS_REGION, or region in ~/.aws/config")
	}
	if _, err := cfg.Credentials.Retrieve(ctx); signedOut(err) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%w)", err)
	}
	cfg.Logger = logging.Nop{} // what the SDK warns of, it also handles: people have no use for it
	formations := awscloudformation.NewFromConfig(cfg)
	// The first call: where nobody answers it should not take the patience that the others have.
	found, missing := cloudformation.Describe(ctx, awscloudformation.NewFromConfig(cfg, impatient), name)
	if missing != nil && !cloudformation.IsMissing(missing) {
		return nil, missing
	}
	found.Name = name
	db, out := dynamodb.NewFromConfig(cfg), found.Outputs
	s := &stack{
		Stack:    found,
		region:   cfg.Region,
		endpoint: aws.ToString(cfg.BaseEndpoint),
		tasks:    dynamo.Tasks{API: db, Table: out["TasksTableName"]},
		control:  dynamo.Control{API: db, Table: out["ControlTableName"]},
		jobs:     dynamo.Jobs{API: db, Table: out["JobsTableName"], Control: out["ControlTableName"]},
		registry: dynamo.Registry{API: db, Table: out["ControlTableName"]},
		health:   dynamo.Health{API: db, Table: out["ControlTableName"]},
		bus:      eventbridge.Bus{API: awseventbridge.NewFromConfig(cfg), Name: out["EventBusName"]},
		metrics:  cloudwatch.Source{API: awscloudwatch.NewFromConfig(cfg)},
		archive:  s3.Bucket{API: s3.NewClient(cfg), Name: out["ArchiveBucketName"]},

		functions:  awslambda.NewFromConfig(cfg),
		queues:     awssqs.NewFromConfig(cfg),
		rules:      awseventbridge.NewFromConfig(cfg),
		machines:   sfn.NewFromConfig(cfg),
		formations: formations,
		listing:    db,
		bins:       s3.NewClient(cfg),
	}
	return s, missing
}
