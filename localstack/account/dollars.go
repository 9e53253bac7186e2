package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/drover-run/drover/localstack"
)

// List prices of us-east-1 in dollars, before free tiers.
// https://aws.amazon.com/dynamodb/pricing/on-demand/, https://aws.amazon.com/lambda/pricing/, https://aws.amazon.com/sqs/pricing/
const (
	perWriteUnit    = 0.625e-6
	perReadUnit     = 0.125e-6
	perInvocation   = 0.20e-6
	perGigabyteSec  = 0.0000133334 // arm64; x86_64 is a quarter more
	perQueueRequest = 0.40e-6
	perStackAndRun  = 0.10 // alarms, dashboard and key of one stack, for the eight hours that a run takes at most
)

// estimated returns the expected cost of the parts of a run.
func (n amounts) estimated() []struct {
	what    string
	dollars float64
} {
	tasks, completions := float64(n.tasks), float64(n.completions*n.memories)
	return []struct {
		what    string
		dollars float64
	}{
		// A task is one write unit when it is created, and its segments and the job's cursor next to nothing.
		{fmt.Sprintf("%d tasks are created", n.tasks), tasks * 1.1 * perWriteUnit},
		// Created, claimed, closed and fed, archived and counted: 4.5 units; sent, received and deleted twice: 6 requests; a second of a
		// function's memory between 256 and 1,769 MB for each batch of ten, at two functions.
		{fmt.Sprintf("%d completions are taken in, at %d memory sizes", n.completions, n.memories),
			completions * (4.5*perWriteUnit + 6*perQueueRequest + 0.1*2*(0.85*perGigabyteSec+perInvocation))},
		{"the conformance suite", 0.01},
		{"the end-to-end tests: some ten thousand tasks, some hundred Standard executions, logs", 0.50},
		{"five stacks for eight hours, and a key until it is deleted", 5*perStackAndRun + 0.25},
	}
}

// affordable prints the estimate, and refuses a run that may cost more than its limit. The estimate adds half as much again for unforeseen costs.
func affordable(out io.Writer, n amounts) error {
	sum := 0.0
	for _, part := range n.estimated() {
		fmt.Fprintf(out, "%8.2f $  %s\n", part.dollars, part.what)
		sum += part.dollars
	}
	sum *= 1.5
	fmt.Fprintf(out, "%8.2f $  in all, with half as much again for what was not thought of\n", sum)
	text := os.Getenv("DROVER_TEST_DOLLARS")
	limit, err := strconv.ParseFloat(text, 64)
	switch {
	case text == "":
		return fmt.Errorf("what may this cost? set DROVER_TEST_DOLLARS to %.2f or more", sum)
	case err != nil:
		return fmt.Errorf("DROVER_TEST_DOLLARS is %q: dollars are wanted, such as %.2f", text, sum)
	case limit < sum:
		return fmt.Errorf("the run is estimated at %.2f $, and DROVER_TEST_DOLLARS allows %.2f", sum, limit)
	}
	return nil
}

// cost prints the cost of the run's tables, functions and queues by CloudWatch's counts, in dollars. The counts are a few minutes late, and
// exclude storage, logs and state machines, which are on the bill a day later.
func cost(out io.Writer, target localstack.Target, name string, began time.Time) {
	if !target.OnAWS() {
		fmt.Fprintln(out, "what it cost: not judged here: a local AWS counts nothing")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	fmt.Fprintln(out, "Waiting three minutes for CloudWatch to have counted all")
	time.Sleep(3 * time.Minute)
	m := meter{cloudwatch.NewFromConfig(target.Config()), began}
	dollars, err := m.dollars(ctx, target, name)
	if err != nil {
		fmt.Fprintf(out, "what it cost is not known: %v\n", err)
		return
	}
	fmt.Fprintf(out, "%8.2f $  were spent on tables, functions and queues, at list prices of us-east-1\n", dollars)
}

type meter struct {
	api   *cloudwatch.Client
	began time.Time
}

// sum returns the sum of a metric since the run began.
func (m meter) sum(ctx context.Context, namespace, metric, dimension, value string) (float64, error) {
	out, err := m.api.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{Namespace: &namespace, MetricName: &metric,
		Dimensions: []types.Dimension{{Name: &dimension, Value: &value}}, StartTime: aws.Time(m.began.Truncate(time.Minute)), EndTime: aws.Time(time.Now()),
		Period: aws.Int32(3600), Statistics: []types.Statistic{types.StatisticSum}})
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, point := range out.Datapoints {
		sum += aws.ToFloat64(point.Sum)
	}
	return sum, nil
}

func (m meter) dollars(ctx context.Context, target localstack.Target, name string) (float64, error) {
	total := 0.0
	add := func(price float64, namespace, metric, dimension, value string) error {
		units, err := m.sum(ctx, namespace, metric, dimension, value)
		total += units * price
		return err
	}
	tables, err := tablesOf(ctx, dynamodb.NewFromConfig(target.Config()), name)
	if err != nil {
		return 0, err
	}
	for _, table := range tables {
		if err := add(perWriteUnit, "AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", table); err != nil {
			return 0, err
		}
		if err := add(perReadUnit, "AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", table); err != nil {
			return 0, err
		}
	}
	functions := lambda.NewListFunctionsPaginator(lambda.NewFromConfig(target.Config()), &lambda.ListFunctionsInput{})
	for functions.HasMorePages() {
		page, err := functions.NextPage(ctx)
		if err != nil {
			return 0, err
		}
		for _, f := range page.Functions {
			function := aws.ToString(f.FunctionName)
			if !strings.HasPrefix(function, name) {
				continue
			}
			if err := add(perInvocation, "AWS/Lambda", "Invocations", "FunctionName", function); err != nil {
				return 0, err
			}
			gigabytes := float64(aws.ToInt32(f.MemorySize)) / 1024
			if err := add(gigabytes*perGigabyteSec/1000, "AWS/Lambda", "Duration", "FunctionName", function); err != nil { // milliseconds
				return 0, err
			}
		}
	}
	queues, err := queuesOf(ctx, sqs.NewFromConfig(target.Config()), name)
	if err != nil {
		return 0, err
	}
	for _, url := range queues {
		for _, metric := range []string{"NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfEmptyReceives", "NumberOfMessagesDeleted"} {
			if err := add(perQueueRequest, "AWS/SQS", metric, "QueueName", url[strings.LastIndex(url, "/")+1:]); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}
