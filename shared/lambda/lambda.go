// Package lambda starts workers that are Lambda functions.
package lambda

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/orchestrator"
)

// API is the calls of Lambda that the orchestrator makes.
type API interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// invokers is how many functions are invoked at the same time.
const invokers = 24

// Starter invokes functions asynchronously.
type Starter struct{ API API }

// Start invokes the function once for each task.
func (s Starter) Start(ctx context.Context, l labourer.Labourer, starts []orchestrator.Start) []error {
	errs := make([]error, len(starts))
	var g errgroup.Group
	g.SetLimit(invokers)
	for i, start := range starts {
		g.Go(func() error {
			errs[i] = s.start(ctx, l, start)
			return nil
		})
	}
	_ = g.Wait()
	return errs
}

func (s Starter) start(ctx context.Context, l labourer.Labourer, start orchestrator.Start) error {
	in := &lambda.InvokeInput{FunctionName: aws.String(l.Target.Lambda), InvocationType: types.InvocationTypeEvent, Payload: start.Event}
	if start.Task.Qualifier != "" {
		in.Qualifier = aws.String(start.Task.Qualifier)
	}
	_, err := s.API.Invoke(ctx, in)
	var large *types.RequestTooLargeException
	var many *types.TooManyRequestsException
	var none *types.ResourceNotFoundException
	var wrong *types.InvalidParameterValueException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return &orchestrator.Refusal{Type: "PayloadTooLarge", Reason: fmt.Sprintf(
			"function %s refuses an event of %d bytes: %s", l.Target.Lambda, len(start.Event), large.ErrorMessage()),
		}
	case start.Task.Qualifier != "" && (errors.As(err, &none) || errors.As(err, &wrong)):
		// It is the job that asked for this alias or version: were it taken for the target's trouble, one job would hold up all others.
		return &orchestrator.Refusal{Type: "NoSuchQualifier", Reason: fmt.Sprintf(
			"function %s can not be invoked as %s, which its job asked for: %v", l.Target.Lambda, start.Task.Qualifier, err)}
	case errors.As(err, &many):
		return &orchestrator.Throttled{Err: fmt.Errorf("invoking function %s, %w", l.Target.Lambda, err)}
	}
	return fmt.Errorf("invoking function %s, %w", l.Target.Lambda, err)
}
