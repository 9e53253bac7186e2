package stepfunctions_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/target"
)

const machine = "arn:aws:states:us-west-2:000000000000:stateMachine:worker"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 5_000_000, time.UTC)

// fake records its requests by name, and answers with the error for that name.
type fake struct {
	errs map[string]error
	all  error

	described *sfn.DescribeExecutionOutput

	mu    sync.Mutex
	asked map[string]*sfn.StartExecutionInput
}

func (f *fake) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[string]*sfn.StartExecutionInput{}
	}
	f.asked[*in.Name] = in
	if f.all != nil {
		return nil, f.all
	}
	return &sfn.StartExecutionOutput{}, f.errs[*in.Name]
}

func (f *fake) DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	return f.described, f.all
}

func TestAnExecutionIsDescribed(t *testing.T) {
	f := &fake{described: &sfn.DescribeExecutionOutput{Status: types.ExecutionStatusSucceeded, OutputDetails: &types.CloudWatchEventsExecutionDataDetails{}}}

	x, found, err := stepfunctions.Executions{API: f}.Describe(context.Background(), "arn")

	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, completion.Execution{Status: "SUCCEEDED", LeftOut: true}, x)
	for name, final := range map[string]error{"unknown": &types.ExecutionDoesNotExist{}, "of an Express machine": &types.InvalidArn{},
		"without the right": &smithy.GenericAPIError{Code: "AccessDeniedException"}} {
		f.all = final
		_, found, err = stepfunctions.Executions{API: f}.Describe(context.Background(), "arn")
		require.NoError(t, err, name)
		require.False(t, found, name)
	}
	f.all = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	_, _, err = stepfunctions.Executions{API: f}.Describe(context.Background(), "arn")
	require.ErrorContains(t, err, "Rate exceeded")
}

func start(n, attempt int, event string) target.Start {
	return target.Start{Task: task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: n}}, Attempt: attempt, Event: []byte(event)}
}

func worker() labourer.Labourer {
	l := labourer.New("f")
	l.Target.States = machine
	return l
}

// TestG4AnExecutionIsStartedOnceForAnAttempt: the execution is named after the attempt, so a repeated start succeeds without effect.
func TestG4AnExecutionIsStartedOnceForAnAttempt(t *testing.T) {
	f := &fake{errs: map[string]error{"drover-abcdefghijklmnop-8-2": &types.ExecutionAlreadyExists{Message: aws.String("Execution Already Exists")}}}

	errs := stepfunctions.Starter{API: f}.Start(context.Background(), worker(), []target.Start{start(7, 1, `{"a":1}`), start(8, 2, `{"a":2}`)})

	require.Equal(t, []error{nil, nil}, errs)
	require.Equal(t, &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String("drover-abcdefghijklmnop-7-1"), Input: aws.String(`{"a":1}`)}, f.asked["drover-abcdefghijklmnop-7-1"])
}

// TestG8ARefusedTaskIsDistinguishedFromATroubledTarget also requires that each error is at the index of its start.
func TestG8ARefusedTaskIsDistinguishedFromATroubledTarget(t *testing.T) {
	name := func(n int) string { return fmt.Sprintf("drover-abcdefghijklmnop-%d-1", n) }
	f := &fake{errs: map[string]error{
		name(1): &types.InvalidExecutionInput{Message: aws.String("Invalid")},
		name(2): &types.ExecutionLimitExceeded{Message: aws.String("a million")},
		name(3): &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"},
		name(4): &types.StateMachineDoesNotExist{Message: aws.String("gone")},
	}}

	errs := stepfunctions.Starter{API: f}.Start(context.Background(), worker(), []target.Start{
		start(0, 1, `{}`), start(1, 1, `{}`), start(2, 1, `{}`), start(3, 1, `{}`), start(4, 1, `{}`), start(5, 1, strings.Repeat("x", 256<<10+1)), start(6, 1, strings.Repeat("x", 256<<10))})

	kinds := make([]string, len(errs))
	for i, err := range errs {
		var refusal *target.Refusal
		var throttled *target.Throttled
		switch {
		case err == nil:
			kinds[i] = "started"
		case errors.As(err, &refusal):
			kinds[i] = refusal.Type
		case errors.As(err, &throttled):
			kinds[i] = "throttled"
		default:
			kinds[i] = "trouble"
		}
	}
	require.Equal(t, []string{"started", "InvalidPayload", "throttled", "throttled", "trouble", "PayloadTooLarge", "started"}, kinds)
	require.EqualError(t, errs[5], "the input would have 262145 bytes; an execution accepts 262144")
	require.NotContains(t, f.asked, name(5))
}

func failing(n, attempt int, kind string) task.Task {
	return task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: n}, Attempt: attempt, Attempts: []task.Attempt{{Attempt: attempt, Error: &task.Error{Type: kind, Message: "secret"}}}}
}

func TestABackoffShowsPeopleItsTasks(t *testing.T) {
	f := &fake{}
	silent := task.Task{ID: task.ID{Segment: "abcdefghijklmnop", N: 8}, Attempt: 2}
	b := stepfunctions.Backoff{API: f, Machine: machine}

	require.NoError(t, b.Backoff(context.Background(), outcome.Backoff{Labourer: "f", Until: noon, Tasks: []task.Task{failing(7, 1, "Boom"), silent}}))

	require.Len(t, f.asked, 1)
	for name, in := range f.asked {
		require.Regexp(t, `^backoff-[0-9a-f]{32}$`, name)
		require.Equal(t, machine, *in.StateMachineArn)
		require.JSONEq(t, `{"labourers": ["f"], "due_at": "2026-11-22T12:00:00.005Z", "count": 2, "tasks": [
			{"task_id": "abcdefghijklmnop.7", "attempt": 2, "error": "Boom"}, {"task_id": "abcdefghijklmnop.8", "attempt": 3}]}`, *in.Input)
	}
}

// TestTasksOfALabourerThatWaitForTheSameTimeShareABackoff: whichever tasks they are. The second start finds the name taken.
func TestTasksOfALabourerThatWaitForTheSameTimeShareABackoff(t *testing.T) {
	f := &ending{ended: map[string]bool{}}
	b := stepfunctions.Backoff{API: f, Machine: machine}
	for _, w := range []outcome.Backoff{
		{Labourer: "f", Until: noon, Tasks: []task.Task{failing(7, 1, "Boom")}},
		{Labourer: "f", Until: noon, Tasks: []task.Task{failing(8, 2, "Boom")}},
		{Labourer: "f", Until: noon.Add(time.Second), Tasks: []task.Task{failing(9, 1, "Boom")}},
		{Labourer: "g", Until: noon, Tasks: []task.Task{failing(10, 1, "Boom")}},
	} {
		require.NoError(t, b.Backoff(context.Background(), w))
		for name := range f.ended {
			f.ended[name] = true // each later start of the name is refused
		}
	}

	require.Len(t, f.ended, 3)
}

func TestABackoffOfManyNamesSomeAndCountsAll(t *testing.T) {
	f := &fake{}
	var tasks []task.Task
	for i := range 256 {
		tasks = append(tasks, failing(i, 1, strings.Repeat("T", 256)))
	}

	require.NoError(t, stepfunctions.Backoff{API: f, Machine: machine}.Backoff(context.Background(), outcome.Backoff{Labourer: "f", Until: noon, Tasks: tasks}))

	for _, in := range f.asked {
		require.Contains(t, *in.Input, `"count":256`)
		require.Equal(t, 100, strings.Count(*in.Input, "task_id"))
		require.Less(t, len(*in.Input), 256<<10)
	}
}

func TestAWakeIsStartedForATime(t *testing.T) {
	f := &fake{}
	b := stepfunctions.Backoff{API: f, Machine: machine}

	require.NoError(t, b.WakeAt(context.Background(), noon.In(time.FixedZone("", 3600)), "f", "g"))
	require.NoError(t, b.WakeAt(context.Background(), noon, "f", "g"))
	require.NoError(t, b.WakeAt(context.Background(), noon, "f"))

	require.Len(t, f.asked, 2)
	for name, in := range f.asked {
		require.Regexp(t, `^wake-[0-9a-f]{32}$`, name)
		require.Contains(t, *in.Input, `"due_at":"2026-11-22T12:00:00.005Z"`)
	}
}

// TestAWakeWhoseExecutionHasEndedIsStartedAgain: a name stays in use for 90 days. A waiting execution gets no second one.
func TestAWakeWhoseExecutionHasEndedIsStartedAgain(t *testing.T) {
	f := &ending{ended: map[string]bool{}}
	b := stepfunctions.Backoff{API: f, Machine: machine}
	for range 5 {
		require.NoError(t, b.WakeAt(context.Background(), noon, "f"))
	}
	require.Len(t, f.ended, 1)
	for name := range f.ended {
		f.ended[name] = true
	}

	require.NoError(t, b.WakeAt(context.Background(), noon, "f"))

	require.Len(t, f.ended, 2)
	for range 5 {
		for name := range f.ended {
			f.ended[name] = true
		}
		require.NoError(t, b.WakeAt(context.Background(), noon, "f"), "the tick comes anyway")
	}
	require.Len(t, f.ended, 3)
}

// ending is a Step Functions on which some executions have ended and others run.
type ending struct {
	fake
	ended map[string]bool
}

func (e *ending) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	if e.ended[*in.Name] {
		return nil, &types.ExecutionAlreadyExists{}
	}
	e.ended[*in.Name] = false
	return &sfn.StartExecutionOutput{}, nil
}

func TestAWaitThatCannotBeStartedIsAnError(t *testing.T) {
	f := &fake{all: errors.New("the service is away")}
	b := stepfunctions.Backoff{API: f, Machine: machine}

	require.ErrorContains(t, b.Backoff(context.Background(), outcome.Backoff{Labourer: "f", Until: noon}), "starting execution backoff-")
	f.all = &types.ExecutionAlreadyExists{}
	require.NoError(t, b.WakeAt(context.Background(), noon, "f"), "an execution already waits")
}
