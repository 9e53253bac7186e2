package lambda_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	targets "github.com/drover-run/drover/shared/aws/lambda"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/orchestrator"
)

// TestDirectGrantsAreStartedByAsynchronousInvocations, a bounded number by each.
func TestDirectGrantsAreStartedByAsynchronousInvocations(t *testing.T) {
	f := &fake{}
	var starts []direct.Start
	for i := range 20 {
		starts = append(starts, direct.Start{Execution: fmt.Sprintf("e%02d", i), Labourer: "f", Lease: "lease#s#1#000", Tasks: "0"})
	}

	require.NoError(t, targets.Orchestrator{API: f, Function: "orchestrator"}.Start(t.Context(), starts))

	var asked []direct.Start
	for text, in := range f.asked {
		require.Equal(t, types.InvocationTypeEvent, in.InvocationType)
		require.Equal(t, "orchestrator", *in.FunctionName)
		var step orchestrator.Step
		require.NoError(t, json.Unmarshal([]byte(text), &step))
		require.Equal(t, "start", step.Step)
		require.LessOrEqual(t, len(step.Starts), 16)
		asked = append(asked, step.Starts...)
	}
	require.Len(t, f.asked, 2)
	slices.SortFunc(asked, func(a, b direct.Start) int { return slices.Compare([]byte(a.Execution), []byte(b.Execution)) })
	require.Equal(t, starts, asked)
}

// TestAnInvocationThatFailsKeepsNoOtherFromItsStart.
func TestAnInvocationThatFailsKeepsNoOtherFromItsStart(t *testing.T) {
	f := &fake{errs: map[string]error{}}
	starts := make([]direct.Start, 17)
	first, err := json.Marshal(orchestrator.Step{Step: "start", Starts: starts[:16]})
	require.NoError(t, err)
	f.errs[string(first)] = errors.New("out of order")

	err = targets.Orchestrator{API: f, Function: "orchestrator"}.Start(t.Context(), starts)

	require.EqualError(t, err, "starting 16 direct grants, out of order")
	require.Len(t, f.asked, 2)
}
