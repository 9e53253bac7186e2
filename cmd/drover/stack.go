package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscloudformation "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	awscloudwatch "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/logs"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/aws/sosw"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/inspect"
)

// stack is a deployed stack with everything that commands read and write.
type stack struct {
	cloudformation.Stack
	region    string
	endpoint  string // of every service; "": AWS's own
	tasks     dynamo.Tasks
	control   dynamo.Control
	jobs      dynamo.Jobs
	runs      dynamo.Runs
	registry  dynamo.Registry
	health    dynamo.Health
	bus       eventbridge.Bus
	metrics   cloudwatch.Source
	archive   s3.Bucket
	decisions logs.Decisions

	compositions *dynamo.Compositions
	waker        sqs.Runs

	caller func(context.Context) string // the identity of the credentials; "" if it is not known

	functions  functions
	queues     queues
	topics     topics
	rules      rules
	machines   machines
	formations cloudformation.API
	deploys    cloudformation.DeployAPI
	artifacts  s3.ArtifactsAPI
	listing    tables
	sosw       soswTables
	schedules  sosw.Rules
	bins       buckets
}

// needed names the outputs that every command needs.
var needed = []string{"EventBusName", "TasksTableName", "ControlTableName", "JobsTableName", "ArchiveBucketName"}

// callerOf returns the identity of the credentials.
func callerOf(cfg aws.Config) func(context.Context) string {
	return func(ctx context.Context) string {
		out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return ""
		}
		return aws.ToString(out.Arn)
	}
}

// impatient limits the number of tries.
func impatient(o *awscloudformation.Options) { o.RetryMaxAttempts = 2 }

var errNoRegion = errors.New("no region: set AWS_REGION, or region in ~/.aws/config")

// openStack finds a stack by its name. With a *cloudformation.MissingError it returns a stack that can only read the account.
func openStack(ctx context.Context, name string) (*stack, error) {
	cfg, err := settings.AWS(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errNoRegion
	}
	if _, err := cfg.Credentials.Retrieve(ctx); signedOut(err) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%w)", err)
	}
	cfg.Logger = logging.Nop{} // the SDK itself handles the causes of its warnings
	formations := awscloudformation.NewFromConfig(cfg)
	// The first call fails fast when AWS does not answer.
	found, missing := cloudformation.Describe(ctx, awscloudformation.NewFromConfig(cfg, impatient), name)
	if missing != nil && !cloudformation.IsMissing(missing) {
		return nil, missing
	}
	found.Name = name
	db, out := dynamodb.NewFromConfig(cfg), found.Outputs
	s := &stack{
		Stack:     found,
		region:    cfg.Region,
		endpoint:  aws.ToString(cfg.BaseEndpoint),
		tasks:     dynamo.Tasks{API: db, Table: out["TasksTableName"]},
		control:   dynamo.Control{API: db, Table: out["ControlTableName"]},
		jobs:      dynamo.Jobs{API: db, Table: out["JobsTableName"], Control: out["ControlTableName"]},
		runs:      dynamo.Runs{API: db, Table: out["RunsTableName"], Control: out["ControlTableName"]},
		registry:  dynamo.Registry{API: db, Table: out["ControlTableName"]},
		health:    dynamo.Health{API: db, Table: out["ControlTableName"]},
		bus:       eventbridge.Bus{API: awseventbridge.NewFromConfig(cfg), Name: out["EventBusName"]},
		metrics:   cloudwatch.Source{API: awscloudwatch.NewFromConfig(cfg)},
		archive:   s3.Bucket{API: s3.NewClient(cfg), Name: out["ArchiveBucketName"]},
		decisions: logs.Decisions{API: cloudwatchlogs.NewFromConfig(cfg)},
		caller:    callerOf(cfg),

		compositions: dynamo.NewCompositions(db, out["RunsTableName"]),
		waker:        sqs.Runs{API: awssqs.NewFromConfig(cfg), URL: out["RunsQueueUrl"]},

		functions:  awslambda.NewFromConfig(cfg),
		queues:     awssqs.NewFromConfig(cfg),
		topics:     awssns.NewFromConfig(cfg),
		rules:      awseventbridge.NewFromConfig(cfg),
		machines:   sfn.NewFromConfig(cfg),
		formations: formations,
		deploys:    formations,
		artifacts:  s3.NewClient(cfg),
		listing:    db,
		sosw:       db,
		schedules:  awseventbridge.NewFromConfig(cfg),
		bins:       s3.NewClient(cfg),
	}
	return s, missing
}

// reader returns a reader of the stack for this command.
func (s *shell) reader(st *stack) *inspect.Reader {
	return &inspect.Reader{Tasks: st.tasks, Jobs: st.jobs, Control: st.control, Registry: st.registry, Health: st.health, Metrics: st.metrics, Queues: st,
		Archive: st.archive, Created: st.CreatedAt, RetentionDays: retentionDays(st.Parameters["RetentionDays"]), Now: s.now, Wait: s.wait}
}

// retentionDays returns the value of the stack's parameter RetentionDays, or its default if the value cannot be read.
func retentionDays(parameter string) int {
	if days, err := strconv.Atoi(parameter); err == nil {
		return days
	}
	return 30
}

// Backlog counts the messages of a queue.
func (s *stack) Backlog(ctx context.Context, url string) (inspect.Backlog, error) {
	q, err := s.queue(ctx, url)
	return q.Backlog, err
}
