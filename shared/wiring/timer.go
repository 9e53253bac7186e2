package wiring

import (
	"context"
	"time"

	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/scheduler"
)

// waits wakes the orchestrator when tasks are due. A wait of up to [completion.LongestWake] is a message, a longer one an execution of the backoff
// machine: a person can look at it, but its two transitions cost as much as fifty messages.
type waits struct {
	short sqs.Wakes
	long  stepfunctions.Backoff
	now   func() time.Time
}

var (
	_ assistant.Timer = waits{}
	_ scheduler.Timer = waits{}
	_ outcome.Waiter  = waits{}
)

func timer(e Environment, c Clients) waits {
	return waits{now: c.Now, short: sqs.Wakes{API: c.SQS, URL: e.Completions, Now: c.Now},
		long: stepfunctions.Backoff{API: c.StepFunctions, Machine: e.Backoff}}
}

// WakeAt wakes the orchestrator for labourers at a time.
func (w waits) WakeAt(ctx context.Context, at time.Time, labourers ...string) error {
	if w.isShort(at) {
		return w.short.WakeAt(ctx, at, labourers...)
	}
	return w.long.WakeAt(ctx, at, labourers...)
}

// Backoff wakes the orchestrator for failed tasks when they are due.
func (w waits) Backoff(ctx context.Context, b outcome.Backoff) error {
	if w.isShort(b.Until) {
		return w.short.WakeAt(ctx, b.Until, b.Labourer)
	}
	return w.long.Backoff(ctx, b)
}

func (w waits) isShort(until time.Time) bool { return until.Sub(w.now()) <= completion.LongestWake }
