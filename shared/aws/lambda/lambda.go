// Package lambda starts workers that are Lambda functions.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/service/target"
)

// API has those calls of Lambda that start workers.
type API interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// invokers limits how many Invoke requests run at the same time.
const invokers = 24

// eventLimit limits the event of an asynchronous invocation, in bytes.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const eventLimit = 1 << 20

// Starter invokes functions asynchronously.
type Starter struct{ API API }

// Start invokes the function once for each task.
func (s Starter) Start(ctx context.Context, l labourer.Labourer, starts []target.Start) []error {
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

func (s Starter) start(ctx context.Context, l labourer.Labourer, start target.Start) error {
	if len(start.Event) > eventLimit {
		return &target.Refusal{Type: target.TooLarge, Reason: fmt.Sprintf("the event would have %d bytes; a function accepts %d", len(start.Event), eventLimit)}
	}
	in := &lambda.InvokeInput{FunctionName: aws.String(l.Target.Lambda), InvocationType: types.InvocationTypeEvent, Payload: start.Event}
	if start.Task.Qualifier != "" {
		in.Qualifier = aws.String(start.Task.Qualifier)
	}
	_, err := s.API.Invoke(ctx, in, func(o *lambda.Options) { o.APIOptions = append(o.APIOptions, settings.NewChain) })
	if err == nil {
		return nil
	}
	var many *types.TooManyRequestsException
	said := &settings.Said{Doing: "invoking function " + l.Target.Lambda, Err: err}
	switch code := codeOf(err); {
	case code == "RequestTooLargeException", code == "RequestEntityTooLargeException", statusOf(err) == http.StatusRequestEntityTooLarge:
		return &target.Refusal{Type: target.TooLarge, Reason: fmt.Sprintf(
			"function %s refused an event of %d bytes: %s", l.Target.Lambda, len(start.Event), messageOf(err))}
	case code == "InvalidRequestContentException":
		return &target.Refusal{Type: "InvalidPayload", Reason: fmt.Sprintf("function %s refused the event: %s", l.Target.Lambda, messageOf(err))}
	case start.Task.Qualifier != "" && slices.Contains(ofQualifier, code):
		// The job asked for this alias or version. If the error counted as trouble of the target, one job would block all others.
		return &target.Refusal{Type: "NoSuchQualifier", Retryable: true, Reason: fmt.Sprintf(
			"function %s cannot be invoked as %s, which the job asked for: %s", l.Target.Lambda, start.Task.Qualifier, settings.Reason(err))}
	case errors.As(err, &many), settings.Throttled(err):
		return &target.Throttled{Err: said}
	}
	return said
}

// ofQualifier holds errors that an alias or version can cause although the function itself works: it does not exist, its name is malformed, or the
// orchestrator's role does not cover it.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
var ofQualifier = []string{"ResourceNotFoundException", "InvalidParameterValueException", "ValidationException", "AccessDeniedException", "AccessDenied"}

func codeOf(err error) string {
	if told, ok := errors.AsType[smithy.APIError](err); ok {
		return told.ErrorCode()
	}
	return ""
}

// messageOf returns the message of an AWS error without the details of the request.
func messageOf(err error) string {
	if told, ok := errors.AsType[smithy.APIError](err); ok {
		return told.ErrorMessage()
	}
	return err.Error()
}

// statusOf returns the HTTP status of an answer, or 0 without one.
func statusOf(err error) int {
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		return answered.HTTPStatusCode()
	}
	return 0
}
