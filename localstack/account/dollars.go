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
	"github.com/drover-run/drover/shared/testing/bill"
)

// List prices in dollars, before free tiers.
var (
	perWriteUnit    = bill.AWS().Of(bill.WriteUnits)
	perReadUnit     = bill.AWS().Of(bill.ReadUnits)
	perInvocation   = bill.AWS().Of(bill.Invocations)
	perGigabyteSec  = bill.AWS().Of(bill.Compute)
	perQueueRequest = bill.AWS().Of(bill.QueueRequests)
)

// perStackAndRun is for alarms, dashboard and key of one stack, for the eight hours that a run takes at most.
const perStackAndRun = 0.10

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
		// The creation of a task costs one write unit. Its share of the segments and of the job's cursor costs next to nothing.
		{fmt.Sprintf("%d tasks are created", n.tasks), tasks * 1.1 * perWriteUnit},
		// A task that is created, claimed, closed with the next one fed, archived and counted costs 4.5 units. Two messages that are sent, received
		// and deleted cost 6 requests. Each batch of ten costs a second of two functions, with memory between 256 and 1,769 MB.
		{fmt.Sprintf("%d completions are processed, at %d memory sizes", n.completions, n.memories),
			completions * (4.5*perWriteUnit + 6*perQueueRequest + 0.1*2*(0.85*perGigabyteSec+perInvocation))},
		{"the conformance suite", 0.01},
		{"the end-to-end tests: some ten thousand tasks, some hundred Standard executions, logs", 0.50},
		{"five stacks for eight hours, and a key until it is deleted", 5*perStackAndRun + 0.25},
	}
}

// affordable prints the estimate, and refuses a run that may cost more than its limit. The estimate adds 50% for unforeseen costs.
func affordable(out io.Writer, n amounts) error {
	sum := 0.0
	for _, part := range n.estimated() {
		fmt.Fprintf(out, "%8.2f $  %s\n", part.dollars, part.what)
		sum += part.dollars
	}
	sum *= 1.5
	fmt.Fprintf(out, "%8.2f $  in all, with 50%% for unforeseen costs\n", sum)
	text := os.Getenv("DROVER_TEST_DOLLARS")
	limit, err := strconv.ParseFloat(text, 64)
	switch {
	case text == "":
		return fmt.Errorf("the run has no cost limit: set DROVER_TEST_DOLLARS to %.2f or more", sum)
	case err != nil:
		return fmt.Errorf("DROVER_TEST_DOLLARS is %q; want dollars, such as %.2f", text, sum)
	case limit < sum:
		return fmt.Errorf("the run may cost %.2f $, but DROVER_TEST_DOLLARS allows %.2f $", sum, limit)
	}
	return nil
}

// cost prints what the run's tables, functions and queues cost by CloudWatch's counts, in dollars. The counts arrive a few minutes late. Storage,
// logs and state machines are not in them; they are on the bill a day later.
func cost(out io.Writer, target localstack.Target, name string, began time.Time) {
	if !target.OnAWS() {
		fmt.Fprintln(out, "cost of the run: not judged here: a local AWS counts nothing")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	fmt.Fprintln(out, "Waiting three minutes for CloudWatch's counts")
	time.Sleep(3 * time.Minute)
	m := meter{cloudwatch.NewFromConfig(target.Config()), began}
	dollars, err := m.dollars(ctx, target, name)
	if err != nil {
		fmt.Fprintf(out, "cost of the run: unknown: %v\n", err)
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
