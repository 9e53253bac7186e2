// Package target starts workers: the orchestrator hands out granted tasks, and the worker assistant feeds tasks to slots that become free.
package target

import (
	"context"
	"fmt"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
)

// Start describes one worker to start.
type Start struct {
	Task    task.Task
	Attempt int
	Event   []byte // the worker's input
}

// Starter starts workers. It returns errors in the order of the starts, nil for a worker that was started. An error that wraps a *Refusal is
// the task's fault and ends its attempt. An error that wraps an *Unsent means that the start was not tried. Any other error is the target's
// trouble and may pass.
type Starter interface {
	Start(ctx context.Context, l labourer.Labourer, starts []Start) []error
}

// Targets starts workers by the kind of their target.
type Targets struct{ Lambda, SQS, States Starter }

// Start hands the workers to the starter of the labourer's target.
func (t Targets) Start(ctx context.Context, l labourer.Labourer, starts []Start) []error {
	switch l.Target.Kind() {
	case "lambda":
		return t.Lambda.Start(ctx, l, starts)
	case "sqs":
		return t.SQS.Start(ctx, l, starts)
	case "states":
		return t.States.Start(ctx, l, starts)
	}
	errs := make([]error, len(starts))
	for i := range errs {
		errs[i] = fmt.Errorf("labourer %s has no target", l.ID)
	}
	return errs
}

// Refusal is a fault of one task, for which its target does not start it: for example, its event is too large. The attempt fails with this type.
type Refusal struct {
	Type, Reason string
	// Retryable says that the fault lies outside the task's contents, so a later attempt may start: the task is retried by its labourer's
	// policy. If it is false, the target would refuse the same contents again, and the task is dead at once.
	Retryable bool
}

func (r *Refusal) Error() string { return r.Reason }

// Unsent says that a start was not tried, because one before it in the target's order failed.
type Unsent struct{ Err error }

func (u *Unsent) Error() string { return "not sent, as one before it failed: " + u.Err.Error() }
func (u *Unsent) Unwrap() error { return u.Err }

// Throttled says that the target accepts no more starts just now.
type Throttled struct{ Err error }

func (t *Throttled) Error() string { return "throttled: " + t.Err.Error() }
func (t *Throttled) Unwrap() error { return t.Err }
