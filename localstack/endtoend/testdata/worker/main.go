// The worker of the end-to-end tests: a Lambda whose tasks name their own outcome.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/shared/worker"
)

// order describes the outcome that a task requests.
type order struct {
	// Do is how an attempt ends: complete (the default), meet, or one of the failures fail, permanent, panic, crash, exit, hang.
	Do string `json:"do"`
	// Until is the last attempt that ends in the failure; those after it complete. 0: all of them fail.
	Until int `json:"until"`
	// Meet sets the number of workers that have to run at the same time before a meeting worker goes on.
	Meet int `json:"meet"`
	// Bytes makes the result of a turn that completes so much longer.
	Bytes int `json:"bytes"`
}

func main() { worker.Start(work) }

func work(ctx context.Context, task worker.Task) (any, error) {
	o, err := ordered(task)
	if err != nil {
		return nil, err
	}
	task.Stats("rows", 1)
	if o.Until > 0 && task.Attempt > o.Until {
		o.Do = "complete"
	}
	switch o.Do {
	case "", "complete":
		if task.Plugin != "" {
			names, err := before(ctx, task)
			result := map[string]any{"attempt": task.Attempt, "before": names}
			if task.ResultsURL != "" {
				result["results_url"] = task.ResultsURL
			}
			if o.Bytes > 0 {
				result["filling"] = strings.Repeat("x", o.Bytes)
			}
			return result, err
		}
		return map[string]int{"attempt": task.Attempt}, nil
	case "meet":
		return meet(ctx, task.LabourerID, o.Meet)
	case "fail":
		return nil, worker.Errorf("Boom", "attempt %d was told to fail", task.Attempt)
	case "permanent":
		return nil, worker.Permanent(worker.Errorf("Hopeless", "attempt %d was told that there is no hope", task.Attempt))
	case "panic":
		panic("told to panic")
	case "crash":
		go func() { panic("told to crash where nobody recovers") }()
		select {}
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour) // whatever the context says
	}
	return nil, worker.Permanent(fmt.Errorf("do is %q, which this worker does not know", o.Do))
}

// ordered returns the order of a task: its payload or, for a turn, the part of the metadata that is called like its plugin.
func ordered(task worker.Task) (order, error) {
	var o order
	if task.Plugin == "" {
		return o, task.Decode(&o)
	}
	var orders map[string]order
	err := task.DecodeMetadata(&orders)
	return orders[task.Plugin], err
}

// before returns the plugins whose results a turn got, in its event or in S3.
func before(ctx context.Context, task worker.Task) ([]string, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	got, err := task.LoadResults(ctx, s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" }))
	names := []string{}
	for activity, results := range got {
		for plugin := range results {
			names = append(names, activity+"/"+plugin)
		}
	}
	slices.Sort(names)
	return names, err
}

// labour sets the duration of a meeting worker, so that later workers visibly overlap with it.
const labour = 100 * time.Millisecond

// meet counts the running workers of a labourer, and returns the number including this one.
func meet(ctx context.Context, labourer string, enough int) (any, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	c := counter{dynamodb.NewFromConfig(cfg), os.Getenv("COUNTERS_TABLE"), labourer}
	running, err := c.add(ctx, 1)
	if err != nil {
		return nil, err
	}
	err = c.await(ctx, running, enough)
	time.Sleep(labour)
	_, left := c.add(ctx, -1)
	return map[string]int{"running": running}, errors.Join(err, left)
}

// counter is one labourer's item in the table of counters.
type counter struct {
	api      *dynamodb.Client
	table    string
	labourer string
}

func (c counter) add(ctx context.Context, n int) (int, error) {
	out, err := c.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: c.key(), UpdateExpression: aws.String("ADD running :n"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": number(n)}, ReturnValues: types.ReturnValueUpdatedNew,
	})
	if err != nil {
		return 0, err
	}
	return whole(out.Attributes["running"]), nil
}

// await notes the greatest number of workers seen, and waits until that is enough.
func (c counter) await(ctx context.Context, running, enough int) error {
	_, err := c.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: c.key(), UpdateExpression: aws.String("SET peak = :n"),
		ConditionExpression:       aws.String("attribute_not_exists(peak) OR peak < :n"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": number(running)},
	})
	var lower *types.ConditionalCheckFailedException
	if err != nil && !errors.As(err, &lower) {
		return err
	}
	for {
		out, err := c.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: c.key(), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return err
		}
		if whole(out.Item["peak"]) >= enough {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d workers did not meet: %w", enough, ctx.Err())
		case <-time.After(labour):
		}
	}
}

func (c counter) key() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"labourer": &types.AttributeValueMemberS{Value: c.labourer}}
}

func number(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: strconv.Itoa(n)} }

func whole(v types.AttributeValue) int {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	i, _ := strconv.Atoi(n.Value)
	return i
}
