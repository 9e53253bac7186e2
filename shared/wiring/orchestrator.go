package wiring

import (
	"context"
	"errors"
	"log/slog"

	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/settings"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/service/health"
	"github.com/drover-run/drover/shared/service/metering"
	"github.com/drover-run/drover/shared/service/orchestrator"
)

// Orchestrator is an orchestrator function: it executes the steps of the orchestrate state machine.
type Orchestrator struct {
	Service *orchestrator.Service
	env     Environment
	clients Clients
}

// NewOrchestrator wires the orchestrator. It uses all clients but SNS.
func NewOrchestrator(e Environment, c Clients) Orchestrator {
	c = c.metered()
	store := dynamo.Health{API: c.DynamoDB, Table: e.Control}
	return Orchestrator{env: e, clients: c, Service: &orchestrator.Service{
		Tasks: tasks(e, c), Control: control(e, c), Registry: registry(e, c), Memory: store, Caps: store, Settler: settler(e, c), Sweeper: canceller(e, c), Bus: bus(e, c),
		Health: health.Service{Store: store, Source: cloudwatch.Source{API: c.CloudWatch}, Now: c.Now, Wait: c.Wait},
		Leases: leases(e, c), Launcher: launcher(e, c),
		Queues: sqs.Queues{API: c.SQS}, Executions: stepfunctions.Executions{API: c.StepFunctions}, Now: c.Now,
	}}
}

// Handle executes a step of the orchestrate machine, or starts direct grants, and writes a line with its gauges for each decision. Another step has a line only if it failed
// or has figures: the log of the execution shows what it did. A transient error carries the name that the machine retries.
func (f Orchestrator) Handle(ctx context.Context, in orchestrator.Step) (any, error) {
	out, err := f.Service.Take(ctx, in)
	for name, n := range orchestrator.Counts(out, err) {
		f.clients.tally.Count(metric.Subject{}, name, n)
	}
	if begun, is := out.(orchestrator.Begun); is {
		for _, b := range begun.Each {
			metering.Began(f.clients.tally, b.At, b.Start.Decision, b.Dispatched.Dispatched)
		}
	}
	for _, r := range orchestrator.Made(out) {
		metering.Decided(f.clients.tally, r)
		writeLines(ctx, f.env, f.clients, slog.LevelInfo, decision.Logged, r.Attrs()...)
	}
	shown := errors.Join(err, orchestrator.Troubles(out))
	if shown != nil || !f.clients.tally.Empty() {
		writeLines(ctx, f.env, f.clients, slog.LevelInfo, "step", "step", in.Step, "labourer", in.Labourer, cause(shown))
	}
	return out, settings.Named(err)
}
