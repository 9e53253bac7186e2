package stepfunctions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
)

// Tokens has the call of Step Functions that answers a state.
type Tokens interface {
	SendTaskSuccess(context.Context, *sfn.SendTaskSuccessInput, ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error)
}

// Workflow stands for the machine of which each run of a workflow has one execution.
type Workflow struct {
	API     API
	Tokens  Tokens
	Machine string // ARN
}

var _ workflow.Executions = Workflow{}

// ARN returns the ARN of the execution of this name.
func (w Workflow) ARN(name string) string {
	return strings.Replace(w.Machine, ":stateMachine:", ":execution:", 1) + ":" + name
}

// Start starts an execution. One of this name counts as started.
func (w Workflow) Start(ctx context.Context, arn string, input []byte) error {
	return start(ctx, w.API, w.Machine, arn[strings.LastIndex(arn, ":")+1:], input)
}

// Answer ends the wait of a token. A token that nothing waits for any more, because it was answered or its execution ended, is no error.
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
func (w Workflow) Answer(ctx context.Context, token string, output []byte) error {
	_, err := w.Tokens.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(string(output))})
	var gone *types.TaskDoesNotExist
	var late *types.TaskTimedOut
	var unknown *types.InvalidToken
	if err == nil || errors.As(err, &gone) || errors.As(err, &late) || errors.As(err, &unknown) {
		return nil
	}
	return fmt.Errorf("answering an execution, %w", err)
}

// Ended returns how an execution ended: Cancelled, Timed Out or Error; "" if it runs or has succeeded.
func (w Workflow) Ended(ctx context.Context, arn string) (flow.State, error) {
	one, found, err := Executions{API: w.API}.Describe(ctx, arn)
	if err != nil || !found {
		return "", err
	}
	return map[string]flow.State{"ABORTED": flow.Cancelled, "TIMED_OUT": flow.TimedOut, "FAILED": flow.Error}[one.Status], nil
}
