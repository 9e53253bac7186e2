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

	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/labourer"
)

// functions is the calls of Lambda that the command line makes.
type functions interface {
	GetFunctionConfiguration(context.Context, *awslambda.GetFunctionConfigurationInput, ...func(*awslambda.Options)) (*awslambda.GetFunctionConfigurationOutput, error)
	GetFunctionEventInvokeConfig(context.Context, *awslambda.GetFunctionEventInvokeConfigInput, ...func(*awslambda.Options)) (*awslambda.GetFunctionEventInvokeConfigOutput, error)
	PutFunctionEventInvokeConfig(context.Context, *awslambda.PutFunctionEventInvokeConfigInput, ...func(*awslambda.Options)) (*awslambda.PutFunctionEventInvokeConfigOutput, error)
	ListEventSourceMappings(context.Context, *awslambda.ListEventSourceMappingsInput, ...func(*awslambda.Options)) (*awslambda.ListEventSourceMappingsOutput, error)
	ListTags(context.Context, *awslambda.ListTagsInput, ...func(*awslambda.Options)) (*awslambda.ListTagsOutput, error)
	TagResource(context.Context, *awslambda.TagResourceInput, ...func(*awslambda.Options)) (*awslambda.TagResourceOutput, error)
	GetAccountSettings(context.Context, *awslambda.GetAccountSettingsInput, ...func(*awslambda.Options)) (*awslambda.GetAccountSettingsOutput, error)
}

// function is a worker that is a Lambda function.
type function struct {
	name      string  // or ARN
	qualifier *string // alias or version; nil when there is none
}

func functionOf(target string) function {
	name, qualifier := labourer.Target{Lambda: target}.Function()
	f := function{name: name}
	if qualifier != "" {
		f.qualifier = &qualifier
	}
	return f
}

// takeTimeouts gives labourers that name no max_duration the timeout of their function. Where that can not be read, what was taken the last
// time stays: the function is the same.
func (s *stack) takeTimeouts(ctx context.Context, labourers map[string]labourer.Labourer, applied dynamo.Applied) []string {
	var warnings []string
	for _, id := range slices.Sorted(maps.Keys(labourers)) {
		l := labourers[id]
		if l.MaxDurationGiven || l.Target.Kind() != "lambda" {
			continue
		}
		if far, _ := s.outOfReach(l.Target); far != "" {
			continue // which is told by itself
		}
		timeout, err := s.timeout(ctx, functionOf(l.Target.Lambda))
		if err == nil {
			l.MaxDuration, l.MaxDurationGiven = timeout, true
		} else {
			was, unread := labourer.Decode(id, []byte(applied.Labourers[id].Text))
			if unread == nil && was.MaxDurationGiven && was.Target == l.Target {
				l.MaxDuration, l.MaxDurationGiven = was.MaxDuration, true
			}
			warnings = append(warnings, fmt.Sprintf("labourers.%s: the function's timeout can not be read, so max_duration is %s: %s", id, l.MaxDuration, reason(err)))
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
	return 0, errors.New("it has none")
}

// wire is what Lambda does with asynchronous invocations of a function.
type wire struct {
	retries     *int32 // nil: Lambda's own two
	maximumAge  *int32 // in seconds; nil: Lambda's own six hours
	destination *types.DestinationConfig
}

// lacks says what is missing for the end of each attempt of a labourer to be known in time; "" when nothing is.
func (w wire) lacks(queue string, l labourer.Labourer) string {
	switch {
	case w.destination == nil || w.destination.OnFailure == nil || aws.ToString(w.destination.OnFailure.Destination) != queue:
		return "crashes and timeouts of the function are not sent to the completions queue, and are found out only when the lease ends"
	case w.retries == nil || *w.retries != 0:
		return "Lambda tries failed invocations again by itself, beside Drover"
	}
	if kept, longest := w.keeps(), longestKept(l); kept > longest {
		return fmt.Sprintf("Lambda keeps an event for which it finds no room for up to %s; more than %s, the cooldown, and a worker could begin when its lease has ended", kept, longest)
	}
	return ""
}

// keeps is how long Lambda keeps an event for which there is no room.
func (w wire) keeps() time.Duration {
	if w.maximumAge == nil || *w.maximumAge <= 0 {
		return oldest
	}
	return time.Duration(*w.maximumAge) * time.Second
}

// longestKept is how long Lambda may keep an event of a labourer: within its cooldown, as far as Lambda goes along.
func longestKept(l labourer.Labourer) time.Duration { return min(max(l.Cooldown, youngest), oldest) }

func (s *stack) wired(ctx context.Context, f function) (wire, error) {
	out, err := s.functions.GetFunctionEventInvokeConfig(ctx, &awslambda.GetFunctionEventInvokeConfigInput{FunctionName: &f.name, Qualifier: f.qualifier})
	if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
		// Also the answer where there is no such function, which is told apart by asking for that.
		_, err := s.functions.GetFunctionConfiguration(ctx, &awslambda.GetFunctionConfigurationInput{FunctionName: &f.name, Qualifier: f.qualifier})
		return wire{}, err
	}
	if err != nil {
		return wire{}, err
	}
	return wire{out.MaximumRetryAttempts, out.MaximumEventAgeInSeconds, out.DestinationConfig}, nil
}

// Bounds of how long Lambda keeps an event for which there is no room.
// https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
const (
	youngest = time.Minute
	oldest   = 6 * time.Hour
)

// rewire sends failures to the completions queue and turns Lambda's own retries off. An event for which Lambda finds no room is given back
// within the labourer's cooldown, for a worker that begins later than that would still run when its lease has ended. What the owner has
// set besides stays.
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
		return fmt.Errorf("setting what Lambda does with failed invocations (the function's role needs sqs:SendMessage on %s): %s", queue, reason(err))
	}
	return nil
}
