package memory

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/drover-run/drover/shared/orchestrator"
	"github.com/drover-run/drover/shared/wiring"
)

// Clients is all that Drover's functions reach.
type Clients = wiring.Clients

// Functions is Drover's functions over one set of clients, each wired as it is deployed.
type Functions struct {
	Scheduler    wiring.Scheduler
	Orchestrator wiring.Orchestrator
	Assistant    wiring.Assistant
	Scavenger    wiring.Scavenger
}

// The names of the parts of a [Stack].
const (
	BusName            = "drover"
	ArchiveBucket      = "archive"
	AlarmTopic         = "arn:aws:sns:us-west-2:000000000000:alarms"
	OrchestrateMachine = "arn:aws:states:us-west-2:000000000000:stateMachine:orchestrate"
	BackoffMachine     = "arn:aws:states:us-west-2:000000000000:stateMachine:backoff"

	queuePrefix          = "https://sqs.us-west-2.amazonaws.com/000000000000/"
	JobsQueue            = queuePrefix + "jobs"
	JobsDeadLetters      = queuePrefix + "jobs-dead-letters"
	CompletionsQueue     = queuePrefix + "completions"
	CompletionsDead      = queuePrefix + "completions-dead-letters"
	StreamFailures       = queuePrefix + "stream-failures"
	defaultMaxTasks      = 1_000_000
	defaultRetention     = 30 * 24 * time.Hour
	orchestratorResource = "arn:aws:lambda:us-west-2:000000000000:function:orchestrator"
	putEventsResource    = "arn:aws:states:::events:putEvents"
)

// environment is what the stack's template hands to functions.
var environment = wiring.Environment{
	Stack: "drover", Tasks: TasksTable, Control: ControlTable, Jobs: JobsTable, Bus: BusName,
	JobsQueue: JobsQueue, JobsDead: JobsDeadLetters, Completions: CompletionsQueue, CompletionsDead: CompletionsDead, StreamFailures: StreamFailures,
	Archive: ArchiveBucket, Backoff: BackoffMachine, AlarmTopic: AlarmTopic, MaxTasks: defaultMaxTasks, Retention: defaultRetention,
}

// Wire returns the functions over clients. Without a log of their own they write none.
func Wire(c Clients) *Functions {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Functions{wiring.NewScheduler(environment, c), wiring.NewOrchestrator(environment, c), wiring.NewAssistant(environment, c), wiring.NewScavenger(environment, c)}
}

// Invocation is one call of one of Drover's functions.
type Invocation struct {
	Function string // scheduler, orchestrator, worker-assistant, scavenger
	ID       string // no other invocation has it
	About    string // what it is called for, for people
	Timeout  time.Duration
	// Run does the function's work with services of its own.
	Run func(context.Context, *Functions) (any, error)
	// Done is told what came of it, once. The error of a function that did not come back is a [*Failure].
	Done func(any, error)
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// failureOf is an error of a function as Lambda tells it: by the name of its Go type.
func failureOf(err error) *Failure {
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

// The timeouts of the functions, as the stack's template has them.
const (
	schedulerTimeout    = 20 * time.Second
	orchestratorTimeout = 30 * time.Second
	assistantTimeout    = 10 * time.Second
	scavengerTimeout    = 30 * time.Second
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

// again returns the ids of the messages that have to come again.
func again(r events.SQSEventResponse) []string {
	var ids []string
	for _, f := range r.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	return ids
}

// schedule, assist and scavenge are the work of the functions on their batches, mark a sosw Worker's own call, step a state of the orchestrate
// machine.
func schedule(id string, batch []Received) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) {
		out, err := f.Scheduler.Handle(invoked(ctx, id), events.SQSEvent{Records: records(batch)})
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

func step(in orchestrator.Step) func(context.Context, *Functions) (any, error) {
	return func(ctx context.Context, f *Functions) (any, error) { return f.Orchestrator.Handle(ctx, in) }
}
