package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// handOn runs a workflow whose first stage returns results of so many bytes each. It returns what the turns of the next two stages found.
func handOn(t *testing.T, d *drovertest.Drover, target string, plugins, size int) map[string][]worker.Task {
	t.Helper()
	text := "workflows: {w: {activities: [a]}}\nlabourers:\n" +
		"  maker: {target: {lambda: \"arn:aws:lambda:us-west-2:000000000000:function:maker\"}, max_simultaneous_invocations: 10}\n" +
		"  taker: {target: " + target + ", max_simultaneous_invocations: 2}\nplugins:\n" +
		"  last: {activity: a, stage: post, labourer: taker}\n  left: {activity: a, stage: parallel, labourer: taker}\n" +
		"  right: {activity: a, stage: parallel, labourer: taker}\n"
	for n := range plugins {
		text += fmt.Sprintf("  p%d: {activity: a, stage: pre, labourer: maker}\n", n)
	}
	require.NoError(t, d.Apply(text))
	require.NoError(t, d.Worker("maker", time.Second, func(context.Context, worker.Task) (any, error) { return strings.Repeat("x", size), nil }))
	found := map[string][]worker.Task{}
	require.NoError(t, d.Worker("taker", time.Second, func(ctx context.Context, task worker.Task) (any, error) {
		found[task.Plugin] = append(found[task.Plugin], task)
		results, err := task.LoadResults(ctx, d.S3)
		if err != nil {
			return nil, err
		}
		for n := range plugins {
			var text string
			if found, err := results.Decode("a", fmt.Sprintf("p%d", n), &text); !found || err != nil || len(text) != size {
				return nil, worker.Permanent(fmt.Errorf("the result of p%d has %d bytes: %v, %w", n, len(text), found, err))
			}
		}
		if task.Attempt == 1 {
			return nil, errors.New("once more")
		}
		return task.Plugin, nil
	}))
	run := d.StartWorkflow(map[string]any{"workflow": "w", "uid": "u"})
	require.NoError(t, d.Run())
	tree, err := d.Workflow(run)
	require.NoError(t, err)
	require.Equal(t, "Complete", string(tree.State), tree.Message)
	return found
}

const (
	byFunction = `{lambda: "arn:aws:lambda:us-west-2:000000000000:function:taker"}`
	byQueue    = `{sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/taker"}`
	byMachine  = `{states: "arn:aws:states:us-west-2:000000000000:stateMachine:taker"}`
)

func TestResultsTooLargeForATargetAreHandedOnByTheirAddress(t *testing.T) {
	for name, c := range map[string]struct {
		target        string
		plugins, size int
		byAddress     bool
	}{
		"a function takes a megabyte":         {byFunction, 4, 240 << 10, false},
		"more than a function takes":          {byFunction, 5, 240 << 10, true},
		"a queue takes a megabyte":            {byQueue, 4, 240 << 10, false},
		"more than a queue takes":             {byQueue, 5, 240 << 10, true},
		"an execution takes a quarter of one": {byMachine, 1, 240 << 10, false},
		"more than an execution takes":        {byMachine, 2, 240 << 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := drovertest.New()

			found := handOn(t, d, c.target, c.plugins, c.size)

			for plugin, tasks := range found {
				require.Len(t, tasks, 2, "two attempts at %s", plugin)
				require.Equal(t, tasks[0].ResultsURL, tasks[1].ResultsURL, "each attempt gets the same")
				if !c.byAddress {
					require.Empty(t, tasks[0].ResultsURL)
					continue
				}
				stage := map[string]string{"left": "parallel", "right": "parallel", "last": "post/last"}[plugin]
				require.Equal(t, "s3://"+fakeaws.ArchiveBucket+"/runs/"+tasks[0].RunID+"/a/"+stage+".json", tasks[0].ResultsURL)
				require.Nil(t, tasks[0].Results, "the address is in their place")
				require.Equal(t, "w", tasks[0].Workflow)
			}
			archived, err := d.Archived()
			require.NoError(t, err, "the results are beside the archive")
			require.Len(t, archived, c.plugins+len(found))
		})
	}
}

// TestAQueueWithALimitOfItsOwnGetsTheAddress: Drover does not know that limit before the queue refuses a message.
func TestAQueueWithALimitOfItsOwnGetsTheAddress(t *testing.T) {
	d := drovertest.New()
	d.SQS.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		in, is := r.Input.(*sqs.SendMessageBatchInput)
		if is && slices.ContainsFunc(in.Entries, func(e types.SendMessageBatchRequestEntry) bool { return len(*e.MessageBody) > 64<<10 }) {
			return &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: "One or more parameters are invalid. Reason: Message must be shorter than 65536 bytes."}
		}
		return nil
	}

	found := handOn(t, d, byQueue, 1, 100<<10)

	require.NotEmpty(t, found["last"][0].ResultsURL)
}

// TestATurnWhoseResultsCannotBeStoredWaits: the fault is neither its own nor its target's.
func TestATurnWhoseResultsCannotBeStoredWaits(t *testing.T) {
	d := drovertest.New()
	refused := 0
	d.S3.Hooks.Before = func(_ context.Context, r fakeaws.Request) error {
		if strings.HasPrefix(r.Operation, "Put") && refused < 3 {
			refused++
			return errors.New("S3 is out of reach")
		}
		return nil
	}

	found := handOn(t, d, byFunction, 5, 240<<10)

	require.Equal(t, 3, refused)
	require.Len(t, found["left"], 2, "no attempt was lost")
}
