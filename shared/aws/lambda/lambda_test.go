package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	targets "github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/target"
)

// fake records its requests by payload, and answers with the error for that payload.
type fake struct {
	errs map[string]error

	mu    sync.Mutex
	asked map[string]*lambda.InvokeInput
}

func (f *fake) Invoke(_ context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[string]*lambda.InvokeInput{}
	}
	f.asked[string(in.Payload)] = in
	return &lambda.InvokeOutput{}, f.errs[string(in.Payload)]
}

func function() labourer.Labourer {
	l := labourer.New("f")
	l.Target.Lambda = "arn:aws:lambda:us-west-2:000000000000:function:f"
	return l
}

func start(event string) target.Start {
	return target.Start{Attempt: 1, Event: []byte(event)}
}

func TestAFunctionIsInvokedAsynchronously(t *testing.T) {
	f := &fake{}
	qualified := target.Start{Task: task.Task{Qualifier: "prod"}, Event: []byte(`{"a":2}`)}

	errs := targets.Starter{API: f}.Start(context.Background(), function(), []target.Start{start(`{"a":1}`), qualified})

	require.Equal(t, []error{nil, nil}, errs)
	for event, want := range map[string]string{
		`{"a":1}`: `{"FunctionName": "arn:aws:lambda:us-west-2:000000000000:function:f", "InvocationType": "Event", "Payload": "eyJhIjoxfQ=="}`,
		`{"a":2}`: `{"FunctionName": "arn:aws:lambda:us-west-2:000000000000:function:f", "InvocationType": "Event", "Payload": "eyJhIjoyfQ==", "Qualifier": "prod"}`,
	} {
		text, err := json.Marshal(f.asked[event])
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, json.Unmarshal(text, &got))
		for name, value := range got {
			if value == nil || value == "" {
				delete(got, name)
			}
		}
		plain, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, want, string(plain))
	}
}

// TestG8ARefusedTaskIsDistinguishedFromATroubledTarget also requires that each error is at the index of its start.
func TestG8ARefusedTaskIsDistinguishedFromATroubledTarget(t *testing.T) {
	gone := &types.ResourceNotFoundException{Message: aws.String("Function not found")}
	denied := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized to perform lambda:InvokeFunction"}
	f := &fake{errs: map[string]error{
		`"large"`:     &types.RequestTooLargeException{Message: aws.String("1048577 bytes")},
		`"throttled"`: &types.TooManyRequestsException{Message: aws.String("Rate Exceeded.")},
		`"gone"`:      gone,
		`"alias"`:     gone,
		`"other"`:     &types.InvalidParameterValueException{Message: aws.String("The derived qualifier from the function name does not match the specified qualifier.")},
		`"denied"`:    denied,
		`"entity"`:    &smithy.GenericAPIError{Code: "RequestEntityTooLargeException", Message: "1048577 bytes"},
		`"413"`:       &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusRequestEntityTooLarge}}, Err: errors.New("no JSON")},
		`"forbidden"`: denied,
		`"content"`:   &types.InvalidRequestContentException{Message: aws.String("Could not parse request body into json")},
		`"quota"`:     &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate Exceeded."},
	}}
	qualified := func(event string) target.Start {
		return target.Start{Task: task.Task{Qualifier: "42"}, Event: []byte(event)}
	}

	errs := targets.Starter{API: f}.Start(context.Background(), function(), []target.Start{
		start(`"fine"`), start(`"large"`), start(`"throttled"`), start(`"gone"`), qualified(`"alias"`), qualified(`"other"`), start(`"denied"`), start(`"fine too"`),
		start(`"entity"`), start(`"413"`), qualified(`"forbidden"`), start(`"content"`), start(`"quota"`)})

	require.Len(t, errs, 13)
	kinds := make([]string, len(errs))
	for i, err := range errs {
		var refusal *target.Refusal
		var throttled *target.Throttled
		switch {
		case err == nil:
			kinds[i] = "started"
		case errors.As(err, &refusal) && refusal.Retryable:
			kinds[i] = refusal.Type + ", may be retried"
		case errors.As(err, &refusal):
			kinds[i] = refusal.Type
		case errors.As(err, &throttled):
			kinds[i] = "throttled"
		default:
			kinds[i] = "trouble"
		}
	}
	require.Equal(t, []string{"started", "PayloadTooLarge", "throttled", "trouble", "NoSuchQualifier, may be retried", "NoSuchQualifier, may be retried", "trouble", "started",
		"PayloadTooLarge", "PayloadTooLarge", "NoSuchQualifier, may be retried", "InvalidPayload", "throttled"}, kinds)
	require.EqualError(t, errs[1], "function arn:aws:lambda:us-west-2:000000000000:function:f refused an event of 7 bytes: 1048577 bytes")
	require.ErrorContains(t, errs[4], "cannot be invoked as 42, which the job asked for: ResourceNotFoundException: Function not found")
	require.ErrorContains(t, errs[6], "invoking function arn:aws:lambda:us-west-2:000000000000:function:f: AccessDeniedException")
}

func TestAnEventOverTheLimitIsRefusedWithoutARequest(t *testing.T) {
	f := &fake{}
	text := func(bytes int) string { return `"` + strings.Repeat("x", bytes-2) + `"` }

	errs := targets.Starter{API: f}.Start(context.Background(), function(), []target.Start{start(text(1 << 20)), start(text(1<<20 + 1))})

	require.NoError(t, errs[0])
	require.EqualError(t, errs[1], "the event would have 1048577 bytes; a function accepts 1048576")
	require.Len(t, f.asked, 1)
}

func TestManyFunctionsAreInvokedInParallel(t *testing.T) {
	f := &fake{}
	var starts []target.Start
	for i := range 200 {
		starts = append(starts, start(fmt.Sprint(i)))
	}

	errs := targets.Starter{API: f}.Start(context.Background(), function(), starts)

	require.Len(t, errs, 200)
	require.NoError(t, errors.Join(errs...))
	require.Len(t, f.asked, 200)
	require.Empty(t, targets.Starter{API: f}.Start(context.Background(), function(), nil))
}
