package fakeaws

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	drover "github.com/drover-run/drover/shared/aws/lambda"
)

var _ drover.API = (*Lambda)(nil)

// Lambda holds functions that are invoked asynchronously, without retries, with an on-failure destination.
type Lambda struct {
	Hooks
	world *World
	// OnFailure receives the record of an invocation that failed.
	OnFailure func(record []byte)
	// Scale says whether an event may start now, so long after the first invocation; otherwise it waits for a second. nil: each may.
	Scale func(since time.Duration) bool

	mu        sync.Mutex
	first     time.Time
	invoked   int
	functions map[string]Function
}

// Function handles an event and calls done once at its end. A function that never calls done hangs. The failure is nil after a success.
type Function func(event []byte, done func(failure *Failure))

// Failure says how a function failed, in Lambda's terms.
type Failure struct {
	Type, Message string
	Throttled     bool // the function never started
}

// NewLambda returns a Lambda without functions.
func NewLambda(w *World) *Lambda { return &Lambda{world: w, functions: map[string]Function{}} }

// Handle adds a function under its name or ARN.
func (l *Lambda) Handle(name string, f Function) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.functions[name] = f
}

// lambdaEventLimit holds the largest event of an asynchronous invocation, in bytes.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const lambdaEventLimit = 1 << 20

// Invoke starts a function later.
func (l *Lambda) Invoke(ctx context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	return serve(ctx, &l.Hooks, Request{"Lambda", "Invoke", in}, func() (*lambda.InvokeOutput, error) {
		name := aws.ToString(in.FunctionName)
		l.mu.Lock()
		f := l.functions[name]
		l.invoked++
		id := fmt.Sprintf("invocation-%06d", l.invoked)
		l.mu.Unlock()
		switch {
		case f == nil:
			return nil, &types.ResourceNotFoundException{Message: aws.String("Function not found: " + name)}
		case !json.Valid(in.Payload):
			return nil, &types.InvalidRequestContentException{Message: aws.String("Could not parse request body into json")}
		case len(in.Payload) > lambdaEventLimit:
			return nil, &types.RequestTooLargeException{Message: aws.String(
				fmt.Sprintf("%d byte payload is too large for the Event invocation type (limit %d bytes)", len(in.Payload), lambdaEventLimit))}
		}
		event := in.Payload
		l.start(0, name[strings.LastIndex(name, ":")+1:]+" "+string(event), func() {
			f(event, func(failure *Failure) {
				if failure != nil && l.OnFailure != nil {
					l.OnFailure(failureRecord(id, name, event, *failure, l.world.Now()))
				}
			})
		})
		return &lambda.InvokeOutput{StatusCode: 202}, nil
	})
}

// start runs an invocation after a delay, and later if the function has no instance for it then.
func (l *Lambda) start(after time.Duration, about string, run func()) {
	l.world.send(after, Run, about, func() {
		l.mu.Lock()
		if l.first.IsZero() {
			l.first = l.world.Now()
		}
		begun := l.world.Now().Sub(l.first)
		l.mu.Unlock()
		if l.Scale != nil && !l.Scale(begun) {
			l.start(time.Second, about, run)
			return
		}
		run()
	})
}

// failureRecord returns what Lambda sends to an on-failure destination.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func failureRecord(id, function string, event []byte, f Failure, at time.Time) []byte {
	record := map[string]any{
		"version": "1.0", "timestamp": at.UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext": map[string]any{"requestId": id, "functionArn": function, "condition": "RetriesExhausted", "approximateInvokeCount": 1},
		"requestPayload": json.RawMessage(event),
	}
	if f.Throttled {
		record["responsePayload"] = map[string]any{"__type": "TooManyRequestsException", "message": "Rate Exceeded."}
	} else {
		record["responseContext"] = map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
		record["responsePayload"] = map[string]any{"errorType": f.Type, "errorMessage": f.Message}
	}
	text, err := json.Marshal(record)
	if err != nil {
		panic(err) // it holds only strings, numbers and an event that is valid JSON
	}
	return text
}
