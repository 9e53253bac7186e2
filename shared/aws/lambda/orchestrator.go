package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/orchestrator"
)

// Orchestrator stands for the orchestrator function.
type Orchestrator struct {
	API      API
	Function string // its name
}

// startsMost limits the direct grants of one invocation: the function starts the workers of each in its time.
const startsMost = 16

// Start has the function start the workers of direct grants, and returns before it does.
func (o Orchestrator) Start(ctx context.Context, starts []direct.Start) error {
	var errs []error
	for some := range slices.Chunk(starts, startsMost) {
		in, err := json.Marshal(orchestrator.Step{Step: "start", Starts: some})
		if err == nil {
			_, err = o.API.Invoke(ctx, &lambda.InvokeInput{FunctionName: &o.Function, InvocationType: types.InvocationTypeEvent, Payload: in})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("starting %d direct grants, %w", len(some), err))
		}
	}
	return errors.Join(errs...)
}
