package wiring

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/service/replay"
	"github.com/drover-run/drover/shared/service/scheduler"
)

// Scheduler is a scheduler function: it turns jobs from the jobs queue into tasks.
type Scheduler struct {
	Service *scheduler.Service
	env     Environment
	clients Clients
}

// NewScheduler wires the scheduler. It uses DynamoDB, SQS, EventBridge, StepFunctions, Lambda, Now and Log.
func NewScheduler(e Environment, c Clients) Scheduler {
	c = c.metered()
	return Scheduler{env: e, clients: c, Service: &scheduler.Service{
		Tasks: tasks(e, c), Jobs: jobs(e, c), Registry: registry(e, c), Granter: granter(e, c), Bus: bus(e, c), Timer: timer(e, c), Canceller: canceller(e, c),
		Queue: sqs.Jobs{Graveyard: sqs.Graveyard{API: c.SQS, URL: e.JobsDead}, URL: e.JobsQueue},
		Replayer: replay.Service{Jobs: jobs(e, c), Tasks: tasks(e, c), Bus: bus(e, c), Now: c.Now, Retention: e.Retention,
			Store: dynamo.Replays{API: c.DynamoDB, Tasks: e.Tasks, Control: e.Control, Jobs: e.Jobs, Retention: e.Retention}},
		Now: c.Now, MaxTasks: e.MaxTasks,
	}}
}

// Handle processes a batch of the jobs queue and returns the messages to redeliver.
func (f Scheduler) Handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	messages := make([]scheduler.Message, len(e.Records))
	for i, r := range e.Records {
		messages[i] = scheduler.Message{ID: r.MessageId, Body: r.Body, Receives: receives(r)}
	}
	failed, summary := f.Service.Handle(ctx, invocation(ctx, f.clients.Now()), messages)
	failures(f.clients, metric.SchedulerFailures, len(failed))
	writeLines(ctx, f.env, f.clients, slog.LevelInfo, "scheduled", "summary", summary)
	return sqs.Failures(failed), nil
}

// receives returns how often a message was received, this time included, or 0 if the queue does not report it.
func receives(m events.SQSMessage) int {
	n, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return n
}
