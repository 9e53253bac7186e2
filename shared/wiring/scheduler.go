package wiring

import (
	"context"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/service/replay"
	"github.com/drover-run/drover/shared/service/scheduler"
)

// Scheduler is the scheduler function: jobs from the jobs queue to tasks.
type Scheduler struct {
	Service *scheduler.Service
	env     Environment
	clients Clients
}

// NewScheduler wires the scheduler. It uses DynamoDB, SQS, EventBridge, StepFunctions, Now and Log.
func NewScheduler(e Environment, c Clients) Scheduler {
	return Scheduler{env: e, clients: c, Service: &scheduler.Service{
		Tasks: tasks(e, c), Jobs: jobs(e, c), Registry: registry(e, c), Bus: bus(e, c), Alarm: backoff(e, c), Canceller: canceller(e, c),
		Queue: sqs.Jobs{Graveyard: sqs.Graveyard{API: c.SQS, URL: e.JobsDead}, URL: e.JobsQueue},
		Replayer: replay.Service{Jobs: jobs(e, c), Tasks: tasks(e, c), Bus: bus(e, c), Now: c.Now, Retention: e.Retention,
			Store: dynamo.Replays{API: c.DynamoDB, Tasks: e.Tasks, Control: e.Control, Jobs: e.Jobs, Retention: e.Retention}},
		Now: c.Now, MaxTasks: e.MaxTasks,
	}}
}

// Handle works through a batch of the jobs queue and returns the messages that have to come again.
func (f Scheduler) Handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	messages := make([]scheduler.Message, len(e.Records))
	for i, r := range e.Records {
		messages[i] = scheduler.Message{ID: r.MessageId, Body: r.Body, Receives: receives(r)}
	}
	failed, summary := f.Service.Handle(ctx, invocation(ctx, f.clients.Now()), messages)
	f.clients.Log.InfoContext(ctx, "scheduled", "summary", summary, "failed", len(failed),
		metric.Counts(f.env.Stack, f.clients.Now(), map[string]int{metric.SchedulerFailures: len(failed)}))
	return sqs.Failures(failed), nil
}

// receives returns how often a message was received, this time included; 0 where the queue does not say.
func receives(m events.SQSMessage) int {
	n, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return n
}
