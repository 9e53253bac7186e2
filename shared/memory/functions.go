package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/assistant"
	"github.com/drover-run/drover/shared/cancellation"
	"github.com/drover-run/drover/shared/cloudwatch"
	"github.com/drover-run/drover/shared/completion"
	"github.com/drover-run/drover/shared/dynamo"
	"github.com/drover-run/drover/shared/eventbridge"
	"github.com/drover-run/drover/shared/finish"
	"github.com/drover-run/drover/shared/health"
	"github.com/drover-run/drover/shared/lambda"
	"github.com/drover-run/drover/shared/orchestrator"
	"github.com/drover-run/drover/shared/outcome"
	"github.com/drover-run/drover/shared/replay"
	"github.com/drover-run/drover/shared/s3"
	"github.com/drover-run/drover/shared/scavenger"
	"github.com/drover-run/drover/shared/scheduler"
	"github.com/drover-run/drover/shared/sns"
	"github.com/drover-run/drover/shared/sqs"
	"github.com/drover-run/drover/shared/stepfunctions"
	"github.com/drover-run/drover/shared/task"
	"github.com/drover-run/drover/shared/throttling"
)

// Clients is all that Drover's functions reach.
type Clients struct {
	DynamoDB      dynamo.API
	SQS           sqs.API
	EventBridge   eventbridge.API
	StepFunctions stepfunctions.API
	Lambda        lambda.API
	S3            s3.API
	SNS           sns.API
	CloudWatch    cloudwatch.API
	Now           func() time.Time
	Random        func() float64              // uniform in [0,1)
	Wait          func(context.Context) error // until another reader of metrics may have answered
}

// Services is Drover's services, each as its function wires it.
type Services struct {
	Scheduler    *scheduler.Service
	Orchestrator *orchestrator.Service
	Assistant    *assistant.Service
	Scavenger    *scavenger.Service
	Graveyard    scavengerGraveyard // for records of the stream that can not be read
}

type scavengerGraveyard interface {
	Bury(ctx context.Context, body, reason string) error
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

// Wire is the services over clients.
func Wire(c Clients) *Services {
	tasks, control := dynamo.Tasks{API: c.DynamoDB, Table: TasksTable, Retention: defaultRetention}, dynamo.Control{API: c.DynamoDB, Table: ControlTable}
	jobs := dynamo.Jobs{API: c.DynamoDB, Table: JobsTable, Control: ControlTable, Retention: defaultRetention}
	registry, store := dynamo.Registry{API: c.DynamoDB, Table: ControlTable}, dynamo.Health{API: c.DynamoDB, Table: ControlTable}
	bus, backoff := eventbridge.Bus{API: c.EventBridge, Name: BusName}, stepfunctions.Backoff{API: c.StepFunctions, Machine: BackoffMachine}
	canceller := cancellation.Service{Jobs: jobs, Control: control, Tasks: tasks, Finisher: finish.Finisher{Jobs: jobs, Bus: bus, Now: c.Now}, Bus: bus, Now: c.Now}
	settler := outcome.Settler{Tasks: tasks, Deaths: dynamo.Deaths{Tasks: tasks, Control: control}, Control: control, Registry: registry, Waiter: backoff, Sweeper: canceller, Now: c.Now, Random: c.Random}
	return &Services{
		Scheduler: &scheduler.Service{Tasks: tasks, Jobs: jobs, Registry: registry, Bus: bus, Alarm: backoff, Now: c.Now, MaxTasks: defaultMaxTasks,
			Queue:     sqs.Jobs{Graveyard: sqs.Graveyard{API: c.SQS, URL: JobsDeadLetters}, URL: JobsQueue},
			Canceller: canceller,
			Replayer: replay.Service{Jobs: jobs, Tasks: tasks, Store: dynamo.Replays{API: c.DynamoDB, Tasks: TasksTable, Control: ControlTable, Jobs: JobsTable,
				Retention: defaultRetention}, Bus: bus, Now: c.Now, Retention: defaultRetention}},
		Orchestrator: &orchestrator.Service{Tasks: tasks, Control: control, Registry: registry, Memory: store,
			Health:  health.Service{Store: store, Source: cloudwatch.Source{API: c.CloudWatch}, Now: c.Now, Wait: c.Wait},
			Settler: settler, Sweeper: canceller, Bus: bus, Queues: sqs.Queues{API: c.SQS}, Executions: stepfunctions.Executions{API: c.StepFunctions}, Now: c.Now, CompletionsURL: CompletionsQueue,
			Starter: orchestrator.Targets{Lambda: lambda.Starter{API: c.Lambda}, SQS: sqs.Starter{API: c.SQS}, States: stepfunctions.Starter{API: c.StepFunctions}}},
		Assistant: &assistant.Service{Tasks: tasks, Control: control, Registry: registry, Bus: bus, Alarm: backoff, Sweeper: canceller,
			Graveyard: sqs.Graveyard{API: c.SQS, URL: CompletionsDead}, Now: c.Now, Executions: stepfunctions.Executions{API: c.StepFunctions}},
		Scavenger: &scavenger.Service{Settler: settler, Jobs: jobs, Finisher: canceller.Finisher, Payloads: tasks, Archive: s3.Bucket{API: c.S3, Name: ArchiveBucket}, Queue: control, Bus: bus,
			Alarm: sns.Topic{API: c.SNS, ARN: AlarmTopic}, Now: c.Now},
		Graveyard: sqs.Graveyard{API: c.SQS, URL: StreamFailures},
	}
}

// Invocation is one call of one of Drover's functions.
type Invocation struct {
	Function string // scheduler, orchestrator, worker-assistant, scavenger
	ID       string // no other invocation has it
	About    string // what it is called for, for people
	Timeout  time.Duration
	// Run does the function's work with services of its own.
	Run func(context.Context, *Services) (any, error)
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

// schedule, assist and scavenge are the work of the functions on their batches, step that of a state of the orchestrate machine.
func schedule(id string, batch []Received) func(context.Context, *Services) (any, error) {
	return func(ctx context.Context, s *Services) (any, error) {
		messages := make([]scheduler.Message, len(batch))
		for i, m := range batch {
			messages[i] = scheduler.Message{ID: m.ID, Body: m.Body, Receives: m.Receives}
		}
		failed, _ := s.Scheduler.Handle(ctx, id, messages)
		return failed, nil
	}
}

func assist(id string, batch []Received) func(context.Context, *Services) (any, error) {
	return func(ctx context.Context, s *Services) (any, error) {
		messages := make([]assistant.Message, len(batch))
		for i, m := range batch {
			messages[i] = assistant.Message{ID: m.ID, Body: m.Body}
		}
		failed, _ := s.Assistant.Handle(ctx, id, messages)
		return failed, nil
	}
}

// mark is a sosw Worker's own call of the worker assistant.
func mark(id string, text []byte) func(context.Context, *Services) (any, error) {
	return func(ctx context.Context, s *Services) (any, error) {
		report, err := completion.ReadCall(text)
		if err != nil {
			return nil, fmt.Errorf("reading a worker's call, %w", err)
		}
		_, err = s.Assistant.Mark(ctx, id, report)
		return nil, err
	}
}

func scavenge(id string, records []events.DynamoDBEventRecord) func(context.Context, *Services) (any, error) {
	return func(ctx context.Context, s *Services) (any, error) {
		var tasks []task.Task
		for _, r := range records {
			if r.EventName == string(events.DynamoDBOperationTypeRemove) {
				continue
			}
			t, err := dynamo.StreamImage(r.Change.NewImage)
			if err == nil {
				tasks = append(tasks, t)
				continue
			}
			keys, _ := json.Marshal(map[string]any{"keys": r.Change.Keys, "sequence_number": r.Change.SequenceNumber})
			if err := s.Graveyard.Bury(ctx, string(keys), err.Error()); err != nil {
				return nil, err
			}
		}
		return s.Scavenger.Handle(ctx, id, tasks)
	}
}

func step(in orchestrator.Step) func(context.Context, *Services) (any, error) {
	return func(ctx context.Context, all *Services) (any, error) {
		out, err := all.Orchestrator.Take(ctx, in)
		return out, throttling.Named(err)
	}
}
