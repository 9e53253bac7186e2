// Package orchestrator decides how many tasks of each labourer may run now, and hands them out.
//
// Its methods are the steps of the orchestrate state machine, in this order for each labourer:
//
//	Plan      find the labourers that may have something to do
//	Reap      close lost attempts; find unfinished dispatches
//	Claim     read health, cap, granted slots and due tasks; grant slots and tasks to leases, in one transaction
//	Revoke    lower the slots of leases, as the labourer is paused, its cap is lower or its health worse
//	Dispatch  start the workers of the tasks that the claim took in hand; then assess: may more start?
//
// Start is a step of its own, outside of the machine. It starts what package direct granted as it published tasks.
//
// From then on the worker assistant feeds the leases. Any step may run twice, or at the same time as the same step of another execution, or die
// at any point. The claim transaction alone keeps the cap. It succeeds only if no other claim succeeded since the state was read. The state is
// read before the leases, so any write in between can only have lowered the count.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/service/target"
)

// Control stores the labourers' states, leases and queues.
type Control interface { //nolint:interfacebloat // one table, all of whose writes the orchestrator makes
	State(ctx context.Context, labourer string) (queue.State, error)
	Leases(ctx context.Context, labourer string) ([]queue.Lease, error)
	Lease(ctx context.Context, labourer, item string) (queue.Lease, bool, error)
	// LeasesNamed reads leases together, without those that are gone or cannot be decoded.
	LeasesNamed(ctx context.Context, names []queue.LeaseName) (map[queue.LeaseName]queue.Lease, error)
	Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error)
	// Work reads the leases and then the first due entries, strongly consistent.
	Work(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Lease, []queue.Entry, error)
	Look(ctx context.Context, labourer string, now time.Time, page int) (queue.Look, error)

	Approach(ctx context.Context, labourer string, now time.Time, lock queue.Hold) error
	Grant(ctx context.Context, labourer string, g queue.Grant, lock queue.Hold) error
	Depart(ctx context.Context, labourer, execution string) error
	Revoke(ctx context.Context, labourer string, c queue.Change) error
	SetTrouble(ctx context.Context, labourer string, trouble *queue.Trouble) error

	Suspect(ctx context.Context, labourer, item string, now time.Time) error
	SetAside(ctx context.Context, labourer, item string, now time.Time) error
}

// Tasks stores the tasks.
type Tasks interface {
	// Load reads tasks together, without payloads that lie apart from them.
	Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error)
	// Chunks reads tasks of a segment in the order of their numbers, some at a time: together, their payloads may exceed a function's memory.
	Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error]
	Save(ctx context.Context, before, after task.Task) error
}

// Leases writes leases. queue.ErrChanged: the lease has changed since it was read.
type Leases interface {
	Save(ctx context.Context, before, after queue.Lease) (queue.Lease, error)
	Requeue(ctx context.Context, l queue.Lease, e queue.Entry) (queue.Lease, error)
}

// Registry stores the labourers that were applied.
type Registry interface {
	Labourer(ctx context.Context, id string) (labourer.Labourer, bool, error)
	Labourers(ctx context.Context) (map[string]labourer.Labourer, error)
}

// Health reads the labourers' metrics.
type Health interface {
	Readings(ctx context.Context, metrics map[string]ecology.Metric) (map[string]ecology.Reading, error)
}

// Memory stores what one assessment of a labourer leaves for the next.
type Memory interface {
	Recall(ctx context.Context, labourer string) (ecology.Remembered, error)
	Remember(ctx context.Context, labourer string, before, after ecology.Remembered) error
}

// Settler settles attempts that ended without success.
type Settler interface {
	Settle(ctx context.Context, ended []task.Task) (outcome.Settled, error)
}

// Sweeper cancels queued tasks whose jobs are being cancelled.
type Sweeper interface {
	Sweep(ctx context.Context, tasks []task.Task) error
	// FinishWithdrawn cancels tasks that were withdrawn before a time and never cancelled. It returns how many asides it finished.
	FinishWithdrawn(ctx context.Context, labourer string, before time.Time) (int, error)
}

// Bus publishes facts.
type Bus interface {
	Publish(ctx context.Context, facts ...event.Fact) error
}

// Service runs the steps of the orchestrator.
type Service struct {
	Control    Control
	Leases     Leases
	Tasks      Tasks
	Registry   Registry
	Health     Health
	Memory     Memory
	Caps       Caps
	Settler    Settler
	Sweeper    Sweeper
	Launcher   target.Launcher
	Queues     Queues
	Executions Executions
	Bus        Bus
	Now        func() time.Time
}

const (
	// tries limits how many times one step repeats a read or write that other executions overtake. The next wake or the reaper does the rest.
	tries = 3
	// feedTries limits how many times a write of a lease is repeated that the assistant feeds at the same time.
	feedTries = 20
	// errorsShown limits how many errors the output of a step shows.
	errorsShown = 5
)

// Step is an input of the orchestrator: from the state machine, or from a component that granted leases directly.
type Step struct {
	Step      string    `json:"step"`
	Execution string    `json:"execution"`
	Input     PlanInput `json:"input"`
	Labourer  string    `json:"labourer"`
	Decided   Decided   `json:"decided"` // what the execution decided about the labourer until now
	Leases    []Handout `json:"leases"`

	Starts []direct.Start `json:"starts"` // of a start: direct grants
}

// Handout names tasks of a lease whose workers are to be started.
type Handout struct {
	Lease string `json:"lease"` // its item
	Tasks string `json:"tasks"` // ranges of numbers
}

// Take runs a step and returns its output.
func (s *Service) Take(ctx context.Context, in Step) (any, error) {
	switch in.Step {
	case "plan":
		return s.Plan(ctx, in.Execution, in.Input)
	case "reap":
		return s.Reap(ctx, in.Labourer)
	case "revoke":
		return s.Revoke(ctx, in.Labourer)
	case "claim":
		return s.Claim(ctx, in.Execution, in.Labourer, in.Decided)
	case "dispatch":
		return s.DispatchAndAssess(ctx, in.Execution, in.Labourer, in.Decided, in.Leases)
	case "start":
		return s.Start(ctx, in.Starts)
	case "give_back":
		return s.GiveBack(ctx, in.Execution, in.Labourer, in.Leases)
	}
	return nil, fmt.Errorf("step is %q; plan, reap, revoke, claim, dispatch, start and give_back are known", in.Step)
}

// Made returns the decisions that a step's output made: each is logged once.
func Made(out any) []decision.Record {
	switch out := out.(type) {
	case Planned:
		return out.made
	case Continued:
		return out.made
	case Claimed:
		return out.made
	case Begun:
		var made []decision.Record
		for _, b := range out.Each {
			if !b.Empty() {
				made = append(made, b.Start.Decision)
			}
		}
		return made
	}
	return nil
}

// Counts returns the metrics of the stack that a step's output and error add to.
func Counts(out any, err error) map[string]int {
	counts := map[string]int{}
	if err != nil {
		counts[metric.OrchestratorFailures], counts[metric.FunctionFailures] = 1, 1
	}
	switch out := out.(type) {
	case Continued:
		counts[metric.TargetFailures] = out.Unreached
	case Begun:
		for _, b := range out.Each {
			counts[metric.TargetFailures] = max(counts[metric.TargetFailures], b.Unreached)
		}
	}
	return counts
}

// Troubles returns the errors that an output holds, if no execution shows it: of a start.
func Troubles(out any) error {
	var errs []error
	if begun, is := out.(Begun); is {
		for _, b := range begun.Each {
			for _, text := range b.Errors {
				errs = append(errs, fmt.Errorf("labourer %s: %s", b.Start.Labourer, text))
			}
		}
	}
	return errors.Join(errs[:min(len(errs), errorsShown)]...)
}

func (s *Service) labourer(ctx context.Context, id string) (labourer.Labourer, error) {
	l, found, err := s.Registry.Labourer(ctx, id)
	if err == nil && !found {
		err = fmt.Errorf("labourer %s is not applied", id)
	}
	return l, err
}
