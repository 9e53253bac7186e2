package wiring

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/sns"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/aws/stepfunctions"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/service/workflow"
)

// Workflow is a workflow function: it carries out runs of workflows.
type Workflow struct {
	Service   *workflow.Service
	graveyard sqs.Graveyard
	env       Environment
	clients   Clients
}

// NewWorkflow wires the workflow function. It uses DynamoDB, SQS, EventBridge, StepFunctions, Tokens, Lambda, SNS, Now and Log.
func NewWorkflow(e Environment, c Clients) Workflow {
	c = c.metered()
	return Workflow{env: e, clients: c, graveyard: sqs.Graveyard{API: c.SQS, URL: e.RunsDead}, Service: &workflow.Service{
		Compositions: dynamo.NewCompositions(c.DynamoDB, e.Runs), Runs: runs(e, c), Claims: runs(e, c), Stages: runs(e, c), Tasks: tasks(e, c), Granter: granter(e, c),
		Executions: stepfunctions.Workflow{API: c.StepFunctions, Tokens: c.Tokens, Machine: e.Workflow}, Bus: bus(e, c),
		Pager: sns.Topic{API: c.SNS, ARN: e.AlarmTopic}, Gauges: runs(e, c), Rows: statuses(e, c), Tally: c.tally, Now: c.Now,
	}}
}

// Handle processes a batch of the runs queue and returns the messages to redeliver.
func (f Workflow) Handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	messages := make([]workflow.Message, len(e.Records))
	for i, r := range e.Records {
		messages[i] = workflow.Message{ID: r.MessageId, Body: r.Body}
	}
	failed, summary := f.Service.Handle(ctx, f.graveyard, messages)
	failures(f.clients, metric.WorkflowFailures, len(failed))
	writeLines(ctx, f.env, f.clients, slog.LevelInfo, "ran", "summary", summary)
	return sqs.Failures(failed), nil
}
