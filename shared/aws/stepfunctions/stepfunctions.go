// Package stepfunctions starts executions of workers that are state machines, and of the backoff machine, in which failed tasks wait if
// their wait is long.
package stepfunctions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/target"
)

// API has the calls of Step Functions that Drover makes.
type API interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
}

// inputLimit limits the input of an execution, in bytes.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const inputLimit = 256 << 10

// starters limits how many StartExecution requests run at the same time.
const starters = 16

// Starter starts executions of labourers whose target is a state machine.
type Starter struct{ API API }

// Start starts an execution for each task. The execution is named after the task and the attempt, so a repeated start has no effect.
func (s Starter) Start(ctx context.Context, l labourer.Labourer, starts []target.Start) []error {
	errs := make([]error, len(starts))
	var g errgroup.Group
	g.SetLimit(starters)
	for i, one := range starts {
		g.Go(func() error {
			errs[i] = s.start(ctx, l, one)
			return nil
		})
	}
	_ = g.Wait()
	return errs
}

func (s Starter) start(ctx context.Context, l labourer.Labourer, one target.Start) error {
	if len(one.Event) > inputLimit {
		return &target.Refusal{Type: target.TooLarge, Reason: fmt.Sprintf("the input would have %d bytes; an execution accepts %d", len(one.Event), inputLimit)}
	}
	err := start(ctx, s.API, l.Target.States, completion.ExecutionName(one.Task.ID, one.Attempt), one.Event)
	var input *types.InvalidExecutionInput
	var limit *types.ExecutionLimitExceeded
	switch {
	case errors.As(err, &input):
		return &target.Refusal{Type: "InvalidPayload", Reason: err.Error()}
	case errors.As(err, &limit), settings.Throttled(err):
		return &target.Throttled{Err: err}
	}
	return err
}

// start starts an execution. An earlier execution with this name counts as started.
func start(ctx context.Context, api API, machine, name string, input []byte) error {
	err := startNew(ctx, api, machine, name, input)
	if _, ok := errors.AsType[*types.ExecutionAlreadyExists](err); ok {
		return nil
	}
	return err
}

// startNew starts an execution. A running execution with the same name and input counts as started. *types.ExecutionAlreadyExists: an execution with
// this name has ended.
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
func startNew(ctx context.Context, api API, machine, name string, input []byte) error {
	_, err := api.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: aws.String(string(input))})
	if err != nil {
		return &settings.Said{Doing: "starting execution " + name + " of " + machine, Err: err}
	}
	return nil
}

// Executions reads executions of workers that are state machines.
type Executions struct{ API API }

// Describe returns the state of an execution. It returns false if Step Functions does not know the execution, if Drover may not describe it, or if the
// machine is Express. It returns only temporary errors.
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
func (e Executions) Describe(ctx context.Context, arn string) (completion.Execution, bool, error) {
	out, err := e.API.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil && (settings.Passes(err) || ctx.Err() != nil) {
		return completion.Execution{}, false, fmt.Errorf("describing execution %s, %w", arn, err)
	}
	if err != nil {
		return completion.Execution{}, false, nil //nolint:nilerr // false reports it, and a retry would not help
	}
	return completion.Execution{Status: string(out.Status), Output: out.Output, Error: aws.ToString(out.Error), Cause: aws.ToString(out.Cause),
		LeftOut: out.OutputDetails != nil && !out.OutputDetails.Included}, true, nil
}

// Backoff starts executions of the machine in which tasks wait until they are due again, if that is long.
type Backoff struct {
	API     API
	Machine string
}

type waiting struct {
	Labourers []string    `json:"labourers"`
	DueAt     time.Time   `json:"due_at"`
	Count     int         `json:"count,omitempty"`
	Tasks     []waitingOn `json:"tasks,omitempty"`
}

type waitingOn struct {
	TaskID  string `json:"task_id"`
	Attempt int    `json:"attempt"` // that begins then
	Error   string `json:"error,omitempty"`
}

// shown limits how many tasks an execution's input lists. Its count covers all of them.
const shown = 100

// Backoff starts an execution for failed tasks of a labourer. It is named for the labourer and the time, so all tasks that wait until then
// share it: its two transitions cost as much as eighty writes. Its input shows the tasks of the batch that started it. An execution that has
// ended early, as it was stopped or its clock was ahead, is not started again: the tick comes anyway.
func (b Backoff) Backoff(ctx context.Context, w outcome.Backoff) error {
	in := waiting{Labourers: []string{w.Labourer}, DueAt: w.Until, Count: len(w.Tasks)}
	for _, t := range w.Tasks[:min(len(w.Tasks), shown)] {
		one := waitingOn{TaskID: t.ID.String(), Attempt: t.Attempt + 1}
		if e := t.LastError(); e != nil {
			one.Error = e.Type
		}
		in.Tasks = append(in.Tasks, one)
	}
	name := sha256.Sum256(fmt.Appendln(nil, w.Labourer, w.Until.UnixMilli()))
	return b.start(ctx, "backoff-"+hex.EncodeToString(name[:16]), in)
}

// mostWakes limits how many ended executions of one wake WakeAt skips before it gives up: the tick comes within a minute anyway.
const mostWakes = 3

// WakeAt starts an execution that wakes the orchestrator for labourers at a time, to the millisecond. A running execution for the same time is enough.
// An ended one is not: it was stopped, or its clock was ahead and it woke the orchestrator too early.
func (b Backoff) WakeAt(ctx context.Context, at time.Time, labourers ...string) error {
	at = at.UTC().Add(time.Millisecond - 1).Truncate(time.Millisecond)
	sum := sha256.Sum256(fmt.Appendln(nil, labourers, at.UnixMilli()))
	name := "wake-" + hex.EncodeToString(sum[:16])
	input, err := json.Marshal(waiting{Labourers: labourers, DueAt: at})
	if err != nil {
		return fmt.Errorf("encoding the input of execution %s, %w", name, err)
	}
	for n := range mostWakes {
		one := name
		if n > 0 {
			one += fmt.Sprintf("-%d", n+1)
		}
		err := startNew(ctx, b.API, b.Machine, one, input)
		if _, ended := errors.AsType[*types.ExecutionAlreadyExists](err); !ended {
			return err
		}
	}
	return nil
}

func (b Backoff) start(ctx context.Context, name string, in waiting) error {
	input, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding the input of execution %s, %w", name, err)
	}
	return start(ctx, b.API, b.Machine, name, input)
}
