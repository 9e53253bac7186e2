package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Into returns the settings with the plan's faults, which clients made with them then meet. instance distinguishes processes that share a plan, so that
// they do not all fail at the same steps.
func (p Plan) Into(cfg aws.Config, instance string) aws.Config {
	d := &dice{plan: p, instance: instance, throws: map[string]uint64{}}
	cfg.APIOptions = append(append([]func(*middleware.Stack) error{}, cfg.APIOptions...), d.addTo)
	return cfg
}

// addTo adds three steps to the handling of a request: the first may omit a part of the request, the second may fail an attempt before or after it is
// sent, and the third may answer instead of the service.
func (d *dice) addTo(stack *middleware.Stack) error {
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("FaultsInParts", d.part), middleware.After); err != nil {
		return fmt.Errorf("adding faults, %w", err)
	}
	if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("FaultsInTries", d.try), "Retry", middleware.After); err != nil {
		return fmt.Errorf("adding faults, %w", err)
	}
	if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("FaultsThatGetThrough", exhausted), "Retry", middleware.Before); err != nil {
		return fmt.Errorf("adding faults, %w", err)
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("FaultsInAnswers", answer), middleware.After)
}

// exhausted wraps an error that must not be retried, like the SDK wraps the error of its last attempt.
func exhausted(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleFinalize(ctx, in)
	if last, ok := errors.AsType[final](err); ok {
		err = &retry.MaxAttemptsError{Attempt: 1, Err: last.error}
	}
	return out, metadata, err
}

// try passes on an attempt of a request, or fails it.
func (d *dice) try(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
	r := d.throw(service, operation, "try")
	possible := []Kind{Before, After, Throttle, Slow}
	if conflicting(service, operation) {
		possible = append(possible, Conflict)
	}
	kind := d.pick(r, service, operation, possible...)
	through := r.Float64() < d.plan.Through
	failed := func(metadata middleware.Metadata, err error) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if through {
			err = final{err}
		}
		return middleware.FinalizeOutput{}, metadata, err
	}
	switch kind {
	case Before:
		return failed(middleware.Metadata{}, &Fault{kind, service, operation})
	case After:
		_, metadata, _ := next.HandleFinalize(ctx, in) // the caller never learns the result
		return failed(metadata, &Fault{kind, service, operation})
	case Throttle, Conflict:
		ctx = middleware.WithStackValue(ctx, verdictKey{}, verdict{kind, r})
		_, metadata, err := next.HandleFinalize(ctx, in)
		return failed(metadata, err)
	case Slow:
		return d.slow(ctx, r, in, next)
	}
	return next.HandleFinalize(ctx, in)
}

func (d *dice) slow(ctx context.Context, r *rand.Rand, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	delay, before := time.Duration(r.Int64N(int64(d.plan.Delay)))+1, r.IntN(2) == 0
	if before {
		if err := wait(ctx, delay); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		return next.HandleFinalize(ctx, in)
	}
	out, metadata, err := next.HandleFinalize(ctx, in)
	if late := wait(ctx, delay); late != nil {
		return middleware.FinalizeOutput{}, metadata, late
	}
	return out, metadata, err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return &smithy.CanceledError{Err: ctx.Err()}
	case <-timer.C:
		return nil
	}
}

// verdict holds the decision on an attempt until its request is sent.
type verdict struct {
	kind   Kind
	random *rand.Rand
}

type (
	verdictKey struct{}
	writesKey  struct{} // how many writes a transaction has
)

// answer answers instead of the service and in its format, so that the SDK builds the same error as for the service.
func answer(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	v, decided := middleware.GetStackValue(ctx, verdictKey{}).(verdict)
	request, is := in.Request.(*smithyhttp.Request)
	if !decided || !is {
		return next.HandleDeserialize(ctx, in)
	}
	writes, _ := middleware.GetStackValue(ctx, writesKey{}).(int)
	said := refusal(v, awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx), writes)
	return middleware.DeserializeOutput{RawResponse: said.response(request)}, middleware.Metadata{}, nil
}
