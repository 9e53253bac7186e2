package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// function names a Lambda function that is a worker.
type function struct {
	name      string  // its name or ARN
	qualifier *string // alias or version; nil if there is none
}

func functionOf(t labourer.Target) function {
	name, qualifier := t.Function()
	if qualifier == "" {
		return function{name: name}
	}
	return function{name, &qualifier}
}

// takeTimeouts gives labourers without a max_duration the timeout of their function. If it cannot read the timeout, it keeps the value of the last
// apply to the same function.
func (s *stack) takeTimeouts(ctx context.Context, labourers map[string]labourer.Labourer, applied dynamo.Applied) []string {
	var warnings []string
	for _, id := range slices.Sorted(maps.Keys(labourers)) {
		l := labourers[id]
		if l.MaxDurationGiven || l.Target.Kind() != "lambda" {
			continue
		}
		if far, _ := inspect.OutOfReach(l.Target, s.home()); far != "" {
			continue // apply warns of an unreachable target elsewhere
		}
		timeout, err := s.timeout(ctx, functionOf(l.Target))
		if err == nil {
			l.MaxDuration, l.MaxDurationGiven = timeout, true
		} else {
			was, unread := labourer.Decode(id, []byte(applied.Labourers[id].Text))
			if unread == nil && was.MaxDurationGiven && was.Target == l.Target {
				l.MaxDuration, l.MaxDurationGiven = was.MaxDuration, true
			}
			warnings = append(warnings, fmt.Sprintf("labourers.%s: the function's timeout cannot be read, so max_duration is %s: %s", id, l.MaxDuration, reason(err)))
		}
		labourers[id] = l
	}
	return warnings
}

func (s *stack) timeout(ctx context.Context, f function) (time.Duration, error) {
	out, err := s.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
	if err != nil {
		return 0, err
	}
	if seconds := aws.ToInt32(out.Timeout); seconds > 0 {
		return time.Duration(seconds) * time.Second, nil
	}
	return 0, errors.New("it has no timeout")
}

// wire holds the settings of a function's asynchronous invocations.
type wire struct {
	retries     *int32 // nil: Lambda's default of two
	maximumAge  *int32 // in seconds; nil: Lambda's default of six hours
	destination *types.DestinationConfig
}

// lacks says which setting keeps the stack from learning of the end of an attempt in time. It returns "" if all are right.
func (w wire) lacks(queue string, l labourer.Labourer) string {
	switch {
	case w.destination == nil || w.destination.OnFailure == nil || aws.ToString(w.destination.OnFailure.Destination) != queue:
		return "crashes and timeouts of the function do not go to the completions queue, so Drover notices them only when the lease ends"
	case w.retries == nil || *w.retries != 0:
		return "Lambda retries failed invocations by itself, in addition to Drover"
	}
	if kept, longest := w.keeps(), longestKept(l); kept > longest {
		return fmt.Sprintf("Lambda keeps a throttled event for up to %s, more than the cooldown allows (%s): a worker could start after its lease has ended", kept, longest)
	}
	return ""
}

// keeps returns how long Lambda keeps a throttled event.
func (w wire) keeps() time.Duration {
	if w.maximumAge == nil || *w.maximumAge <= 0 {
		return oldest
	}
	return time.Duration(*w.maximumAge) * time.Second
}

// longestKept returns how long Lambda may keep a labourer's throttled event: the cooldown, within Lambda's bounds.
func longestKept(l labourer.Labourer) time.Duration { return min(max(l.Cooldown, youngest), oldest) }

func (s *stack) wired(ctx context.Context, f function) (wire, error) {
	out, err := s.functions.GetFunctionEventInvokeConfig(ctx, &awslambda.GetFunctionEventInvokeConfigInput{FunctionName: &f.name, Qualifier: f.qualifier})
	if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
		// Lambda answers the same for a missing function. Reading its configuration distinguishes the two.
		_, err := s.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
		return wire{}, err
	}
	if err != nil {
		return wire{}, err
	}
	return wire{out.MaximumRetryAttempts, out.MaximumEventAgeInSeconds, out.DestinationConfig}, nil
}

// The bounds within which Lambda can be told to keep a throttled event.
// https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
const (
	youngest = time.Minute
	oldest   = 6 * time.Hour
)

// rewire sends failures to the completions queue and turns off Lambda's own retries. It limits how long Lambda keeps a throttled event to the
// labourer's cooldown: a worker that starts later would still run after its lease has ended. The owner's other settings stay.
func (s *stack) rewire(ctx context.Context, l labourer.Labourer, f function, is wire) error {
	queue := s.Outputs["CompletionsQueueArn"]
	if queue == "" {
		return s.Require("CompletionsQueueArn")
	}
	to := &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &queue}}
	if is.destination != nil {
		to.OnSuccess = is.destination.OnSuccess
	}
	age := int32(min(longestKept(l), is.keeps()) / time.Second)
	_, err := s.functions.PutFunctionEventInvokeConfig(ctx, &awslambda.PutFunctionEventInvokeConfigInput{FunctionName: &f.name, Qualifier: f.qualifier,
		MaximumRetryAttempts: aws.Int32(0), MaximumEventAgeInSeconds: &age, DestinationConfig: to})
	if err != nil {
		return fmt.Errorf("setting the destination of failed invocations (the function's role needs sqs:SendMessage on %s): %s", queue, reason(err))
	}
	return nil
}
