package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/localstack"
)

// stackGoes limits how long a stack's deletion may take.
const stackGoes = 20 * time.Minute

// takeAway deletes everything whose name begins with the run's: stacks, retained resources, and resources that tests created. It is
// idempotent. The error lists everything that is left, with the reasons.
func takeAway(ctx context.Context, out io.Writer, target localstack.Target, name string) error {
	fmt.Fprintf(out, "\nDeleting everything named %s…\n", name)
	a := away{target: target, name: name, out: out}
	for _, step := range []func(context.Context) error{a.rules, a.rights, a.stacks, a.tables, a.buckets, a.queues, a.machines, a.logs} {
		if err := step(ctx); err != nil {
			a.left = append(a.left, err)
		}
	}
	return errors.Join(a.left...)
}

type away struct {
	target localstack.Target
	name   string
	out    io.Writer
	left   []error
}

// gone records the result of one deletion.
func (a *away) gone(what, name string, err error) {
	if err != nil {
		a.left = append(a.left, fmt.Errorf("could not delete %s %s: %w", what, name, err))
		return
	}
	fmt.Fprintf(a.out, "  %s %s\n", what, name)
}

// rules deletes the tests' own rules on the stacks' buses: CloudFormation cannot delete a bus with foreign rules.
func (a *away) rules(ctx context.Context) error {
	api := eventbridge.NewFromConfig(a.target.Config())
	buses, err := api.ListEventBuses(ctx, &eventbridge.ListEventBusesInput{NamePrefix: &a.name})
	if err != nil {
		return fmt.Errorf("listing buses, %w", err)
	}
	for _, bus := range buses.EventBuses {
		if !strings.HasPrefix(aws.ToString(bus.Name), a.name) {
			continue
		}
		rules, err := api.ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: bus.Name})
		if err != nil {
			return fmt.Errorf("listing rules, %w", err)
		}
		for _, rule := range rules.Rules {
			if !strings.HasSuffix(aws.ToString(rule.Name), "-watched") {
				continue
			}
			_, err := api.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: rule.Name, EventBusName: bus.Name, Ids: []string{"tests"}})
			if err == nil {
				_, err = api.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: rule.Name, EventBusName: bus.Name})
			}
			a.gone("rule", aws.ToString(rule.Name), err)
		}
	}
	return nil
}

// rights removes the policies with which a test denies DynamoDB: CloudFormation cannot delete a role with a foreign policy.
func (a *away) rights(ctx context.Context) error {
	if !a.target.OnAWS() {
		return nil
	}
	api := cloudformation.NewFromConfig(a.target.Config())
	stacks, err := a.living(ctx, api)
	if err != nil {
		return err
	}
	for _, stack := range stacks {
		pages := cloudformation.NewListStackResourcesPaginator(api, &cloudformation.ListStackResourcesInput{StackName: &stack})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("listing the resources of %s, %w", stack, err)
			}
			for _, r := range page.StackResourceSummaries {
				if aws.ToString(r.ResourceType) != "AWS::IAM::Role" {
					continue
				}
				// Most roles have no such policy, so the error does not matter.
				remove := exec.CommandContext(ctx, ".local/venv/bin/aws", "iam", "delete-role-policy", "--role-name", aws.ToString(r.PhysicalResourceId), "--policy-name", "outage")
				remove.Env = a.target.Environ()
				_ = remove.Run()
			}
		}
	}
	return nil
}

// living returns the run's existing stacks, dependent stacks first.
func (a *away) living(ctx context.Context, api *cloudformation.Client) ([]string, error) {
	var names []string
	pages := cloudformation.NewListStacksPaginator(api, &cloudformation.ListStacksInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing stacks, %w", err)
		}
		for _, s := range page.StackSummaries {
			if strings.HasPrefix(aws.ToString(s.StackName), a.name) && s.StackStatus != cfntypes.StackStatusDeleteComplete {
				names = append(names, aws.ToString(s.StackName))
			}
		}
	}
	slices.SortFunc(names, func(x, y string) int { return len(y) - len(x) })
	return slices.Compact(names), nil
}

func (a *away) stacks(ctx context.Context) error {
	api := cloudformation.NewFromConfig(a.target.Config())
	names, err := a.living(ctx, api)
	if err != nil {
		return err
	}
	for _, name := range names {
		_, err := api.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &name})
		if err == nil {
			err = cloudformation.NewStackDeleteCompleteWaiter(api, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
				o.MinDelay, o.MaxDelay = time.Second, 10*time.Second
			}).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &name}, stackGoes)
		}
		a.gone("stack", name, err)
	}
	return nil
}

func tablesOf(ctx context.Context, api *dynamodb.Client, name string) ([]string, error) {
	var names []string
	pages := dynamodb.NewListTablesPaginator(api, &dynamodb.ListTablesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing tables, %w", err)
		}
		for _, table := range page.TableNames {
			if strings.HasPrefix(table, name) {
				names = append(names, table)
			}
		}
	}
	return names, nil
}

func (a *away) tables(ctx context.Context) error {
	api := dynamodb.NewFromConfig(a.target.Config())
	names, err := tablesOf(ctx, api, a.name)
	if err != nil {
		return err
	}
	for _, name := range names {
		_, err := api.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
		a.gone("table", name, err)
	}
	return nil
}

func makeBucket(ctx context.Context, target localstack.Target, name string) error {
	in := &s3.CreateBucketInput{Bucket: &name}
	if region := target.Config().Region; region != "us-east-1" {
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}
	}
	if _, err := storage(target).CreateBucket(ctx, in); err != nil {
		return fmt.Errorf("creating bucket %s, %w", name, err)
	}
	return nil
}

func storage(target localstack.Target) *s3.Client {
	return s3.NewFromConfig(target.Config(), func(o *s3.Options) { o.UsePathStyle = !target.OnAWS() })
}

func (a *away) buckets(ctx context.Context) error {
	api := storage(a.target)
	all, err := api.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return fmt.Errorf("listing buckets, %w", err)
	}
	for _, bucket := range all.Buckets {
		if !strings.HasPrefix(aws.ToString(bucket.Name), a.name) {
			continue
		}
		err := empty(ctx, api, bucket.Name)
		if err == nil {
			_, err = api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket.Name})
		}
		a.gone("bucket", aws.ToString(bucket.Name), err)
	}
	return nil
}

// empty deletes all versions of all objects of a bucket.
func empty(ctx context.Context, api *s3.Client, bucket *string) error {
	pages := s3.NewListObjectVersionsPaginator(api, &s3.ListObjectVersionsInput{Bucket: bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		var all []s3types.ObjectIdentifier
		for _, v := range page.Versions {
			all = append(all, s3types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range page.DeleteMarkers {
			all = append(all, s3types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
		if len(all) == 0 {
			continue
		}
		out, err := api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &s3types.Delete{Objects: all, Quiet: aws.Bool(true)}})
		if err != nil {
			return err
		}
		if len(out.Errors) > 0 {
			return fmt.Errorf("%s: %s", aws.ToString(out.Errors[0].Key), aws.ToString(out.Errors[0].Message))
		}
	}
	return nil
}

func queuesOf(ctx context.Context, api *sqs.Client, name string) ([]string, error) {
	var urls []string
	pages := sqs.NewListQueuesPaginator(api, &sqs.ListQueuesInput{QueueNamePrefix: &name, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing queues, %w", err)
		}
		urls = append(urls, page.QueueUrls...)
	}
	return urls, nil
}

func (a *away) queues(ctx context.Context) error {
	api := sqs.NewFromConfig(a.target.Config())
	urls, err := queuesOf(ctx, api, a.name)
	if err != nil {
		return err
	}
	for _, url := range urls {
		_, err := api.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
		a.gone("queue", url[strings.LastIndex(url, "/")+1:], err)
	}
	return nil
}

func (a *away) machines(ctx context.Context) error {
	api := sfn.NewFromConfig(a.target.Config())
	pages := sfn.NewListStateMachinesPaginator(api, &sfn.ListStateMachinesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing state machines, %w", err)
		}
		for _, m := range page.StateMachines {
			if strings.HasPrefix(aws.ToString(m.Name), a.name) {
				_, err := api.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: m.StateMachineArn})
				a.gone("state machine", aws.ToString(m.Name), err)
			}
		}
	}
	return nil
}

// logs deletes the log groups whose names contain the run's name: they begin with /aws/lambda/ or /aws/vendedlogs/.
func (a *away) logs(ctx context.Context) error {
	api := cloudwatchlogs.NewFromConfig(a.target.Config())
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(api, &cloudwatchlogs.DescribeLogGroupsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing log groups, %w", err)
		}
		for _, group := range page.LogGroups {
			if strings.Contains(aws.ToString(group.LogGroupName), a.name) {
				_, err := api.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: group.LogGroupName})
				a.gone("log group", aws.ToString(group.LogGroupName), err)
			}
		}
	}
	return nil
}
