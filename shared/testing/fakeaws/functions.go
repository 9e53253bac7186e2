package fakeaws

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/wiring"
)

// Clients are what functions reach outside of themselves.
type Clients = wiring.Clients

// Functions holds Drover's functions over one set of clients, each wired as it is deployed.
type Functions struct {
	Scheduler    wiring.Scheduler
	Orchestrator wiring.Orchestrator
	Assistant    wiring.Assistant
	Scavenger    wiring.Scavenger
	Workflow     wiring.Workflow
	Archiver     wiring.Archiver
}

// The names of a [Stack]'s parts.
const (
	BusName            = "drover"
	ArchiveBucket      = "archive"
	AlarmTopic         = "arn:aws:sns:us-west-2:000000000000:alarms"
	OrchestrateMachine = "arn:aws:states:us-west-2:000000000000:stateMachine:orchestrate"
	BackoffMachine     = "arn:aws:states:us-west-2:000000000000:stateMachine:backoff"

	WorkflowMachine = "arn:aws:states:us-west-2:000000000000:stateMachine:workflow"

	queuePrefix          = "https://sqs.us-west-2.amazonaws.com/000000000000/"
	JobsQueue            = queuePrefix + "jobs"
	JobsDeadLetters      = queuePrefix + "jobs-dead-letters"
	CompletionsQueue     = queuePrefix + "completions"
	CompletionsDead      = queuePrefix + "completions-dead-letters"
	StreamFailures       = queuePrefix + "stream-failures"
	RunsQueue            = queuePrefix + "runs"
	RunsDead             = queuePrefix + "runs-dead-letters"
	mostReceives         = 5 // deliveries of a message before its queue gives it up
	defaultMaxTasks      = 1_000_000
	orchestratorResource = "arn:aws:lambda:us-west-2:000000000000:function:orchestrator"
	orchestratorName     = "orchestrator"
	putEventsResource    = "arn:aws:states:::events:putEvents"
	sendMessageResource  = "arn:aws:states:::sqs:sendMessage"
)

// Retention says how long the stack keeps tasks and jobs after their end.
const Retention = 30 * 24 * time.Hour

// environment holds what the stack's template hands to functions.
var environment = wiring.Environment{
	Stack: "drover", Tasks: TasksTable, Control: ControlTable, Jobs: JobsTable, Runs: RunsTable, Statuses: StatusTable, Bus: BusName,
	RunsQueue: RunsQueue, RunsDead: RunsDead, Workflow: WorkflowMachine,
	JobsQueue: JobsQueue, JobsDead: JobsDeadLetters, Completions: CompletionsQueue, CompletionsDead: CompletionsDead, StreamFailures: StreamFailures,
	Archive: ArchiveBucket, Backoff: BackoffMachine, AlarmTopic: AlarmTopic, CompletionsReceives: mostReceives,
	MaxTasks: defaultMaxTasks, Retention: Retention, Orchestrator: orchestratorName,
}

// Wire returns the functions over clients. Without a log in the clients they log nothing.
func Wire(c Clients) *Functions {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Functions{
		wiring.NewScheduler(environment, c), wiring.NewOrchestrator(environment, c), wiring.NewAssistant(environment, c), wiring.NewScavenger(environment, c),
		wiring.NewWorkflow(environment, c), wiring.NewArchiver(environment, c),
	}
}

// Invocation is one call of one of Drover's functions.
type Invocation struct {
	Function string // scheduler, orchestrator, worker-assistant, scavenger, workflow, archiver
	ID       string // unique among invocations
	About    string // what it is called for, in words for people
	Timeout  time.Duration
	// Run calls the handler of the function.
	Run func(context.Context, *Functions) (any, error)
	// Done receives the result, once. If the function did not return, the error is a [*Failure].
	Done func(any, error)
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// FailureOf returns a function's error as Lambda reports it: with the name of its Go type.
func FailureOf(err error) *Failure {
	var f *Failure
	if err == nil || errors.As(err, &f) {
		return f
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return &Failure{Type: t.Name(), Message: err.Error()}
}

// The timeouts of the functions in the stack's template.
const (
	schedulerTimeout    = 20 * time.Second
	orchestratorTimeout = 30 * time.Second
	assistantTimeout    = 10 * time.Second
	scavengerTimeout    = 30 * time.Second
	workflowTimeout     = 60 * time.Second
	archiverTimeout     = 60 * time.Second
)

// invoked returns the context of an invocation: it carries the id that Lambda gives it.
func invoked(ctx context.Context, id string) context.Context {
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id})
}

// records returns a batch of a queue as Lambda hands it to a function.
func records(batch []Received) []events.SQSMessage {
	out := make([]events.SQSMessage, len(batch))
	for i, m := range batch {
		out[i] = events.SQSMessage{MessageId: m.ID, Body: m.Body, Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.Receives)}}
	}
	return out
}

// again returns the ids of the messages that must be redelivered.
func again(r events.SQSEventResponse) []string {
	var ids []string
	for _, f := range r.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	return ids
}

// schedule, carryOut, assist, scavenge, archiving and reading call the functions with a batch, mark with a sosw Worker's own call, step for a state of the orchestrate
// machine.
func schedule(id string, batch []Received) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		out, err := f.Scheduler.Handle(invoked(ctx, id), events.SQSEvent{Records: records(batch)})
		return again(out), err
	}
}

func carryOut(id string, batch []Received) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		out, err := f.Workflow.Handle(invoked(ctx, id), events.SQSEvent{Records: records(batch)})
		return again(out), err
	}
}

func assist(id string, batch []Received) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		return again(f.Assistant.HandleBatch(invoked(ctx, id), records(batch))), nil
	}
}

func mark(id string, text []byte) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		return nil, f.Assistant.HandleCall(invoked(ctx, id), text)
	}
}

func scavenge(id string, records []events.DynamoDBEventRecord) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		return nil, f.Scavenger.Handle(invoked(ctx, id), events.DynamoDBEvent{Records: records})
	}
}

func archiving(id string, records []events.DynamoDBEventRecord) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		return nil, f.Archiver.Handle(invoked(ctx, id), events.DynamoDBEvent{Records: records})
	}
}

func reading(id string, records []events.DynamoDBEventRecord) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		return nil, f.Assistant.HandleStatuses(invoked(ctx, id), events.DynamoDBEvent{Records: records})
	}
}

func step(in orchestrator.Step) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) { return f.Orchestrator.Handle(ctx, in) }
}
