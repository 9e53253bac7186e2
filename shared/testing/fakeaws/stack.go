package fakeaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/statemachines"
)

// Stack holds in memory what the stack's template makes: tables, queues, bus and rules, both state machines, and the five functions with
// their mappings. It does nothing by itself: see [World].
type Stack struct {
	World         *World
	DynamoDB      *DynamoDB
	S3            *S3
	SNS           *SNS
	CloudWatch    *CloudWatch
	SQS           *SQS
	EventBridge   *EventBridge
	StepFunctions *StepFunctions
	Lambda        *Lambda
	Stream        *Mapping // of the tasks table to the scavenger
	Archiving     *Mapping // of the tasks table to the archiver
	Statuses      *Mapping // of the status table to the worker assistant

	// Invoke runs Drover's functions. By default it runs each at once, to its end, in the process that ran it before: what a function remembers
	// from one invocation to the next is there.
	Invoke func(Invocation)
	// Log receives what the functions log; nil: nothing does.
	Log *slog.Logger
	// Random returns the functions' randomness, uniform in [0,1).
	Random func() float64

	invoked int
	warm    *Functions
	tick    *Coming
	pulling bool // the stream has records that the mapping has not read
	pulled  int
	read    int  // records of the status table's stream
	flows   bool // workflows were applied
}

// tickEvery says how often the schedule starts the orchestrate machine.
const tickEvery = time.Minute

// NewStack returns a stack whose time begins at start. random is uniform in [0,1).
func NewStack(start time.Time, random func() float64) (*Stack, error) {
	w := NewWorld(start)
	s := &Stack{World: w, DynamoDB: NewDynamoDB(w.Now, StackTables("")...), S3: NewS3(ArchiveBucket), SNS: NewSNS(AlarmTopic), CloudWatch: NewCloudWatch(),
		SQS: NewSQS(w), EventBridge: NewEventBridge(w), StepFunctions: NewStepFunctions(w), Lambda: NewLambda(w), Random: random}
	s.Invoke = s.invoke
	s.queues()
	s.rules()
	s.stream()
	if err := s.machines(); err != nil {
		return nil, err
	}
	s.Lambda.Handle(orchestratorName, s.startDirectly)
	s.Lambda.OnFailure = func(record []byte) { s.Deliver(CompletionsQueue, string(record)) }
	s.schedule()
	return s, nil
}

// Clients returns the stack's services as a function uses them.
func (s *Stack) Clients() Clients {
	return Clients{Log: s.Log, DynamoDB: s.DynamoDB, SQS: s.SQS, EventBridge: s.EventBridge, StepFunctions: s.StepFunctions, Tokens: s.StepFunctions, Lambda: s.Lambda, S3: s.S3,
		SNS: s.SNS, CloudWatch: s.CloudWatch, Now: s.World.Now, Random: s.Random, Wait: func(context.Context) error { return nil }}
}

// Idle reports whether nothing but the next tick of the schedule is under way.
func (s *Stack) Idle() bool { return s.World.Only(s.tick) }

// invoke runs a function at once.
func (s *Stack) invoke(i Invocation) {
	if s.warm == nil {
		s.warm = Wire(s.Clients())
	}
	out, err := i.Run(context.Background(), s.warm)
	i.Done(out, err)
}

// call invokes a function. done receives its result.
func (s *Stack) call(function, about string, timeout time.Duration, run func(id string) func(context.Context, *Functions) (any, error), done func(any, error)) {
	s.invoked++
	id := fmt.Sprintf("%s-%06d", function, s.invoked)
	s.Invoke(Invocation{Function: function, ID: id, About: about, Timeout: timeout, Run: run(id), Done: done})
}

func (s *Stack) queues() {
	// As in the stack's template: a message is hidden for six times the function's timeout.
	s.SQS.Create(JobsDeadLetters, Queue{})
	s.SQS.Create(CompletionsDead, Queue{})
	s.SQS.Create(StreamFailures, Queue{})
	s.SQS.Create(JobsQueue, Queue{Visibility: 6 * schedulerTimeout, MaxReceives: mostReceives, DeadLetters: JobsDeadLetters})
	s.SQS.Create(CompletionsQueue, Queue{Visibility: 6 * assistantTimeout, MaxReceives: mostReceives, DeadLetters: CompletionsDead})
	s.SQS.Create(RunsDead, Queue{})
	s.SQS.Create(RunsQueue, Queue{Visibility: 6 * workflowTimeout, MaxReceives: mostReceives, DeadLetters: RunsDead})
	s.SQS.Map(RunsQueue, Consumer{Batch: 10, Most: 10, Take: func(batch []Received, done func([]string, error)) {
		s.call("workflow", about(batch), workflowTimeout, func(id string) func(context.Context, *Functions) (any, error) { return carryOut(id, batch) }, answer(done))
	}})
	s.SQS.Map(JobsQueue, Consumer{Most: 10, Take: func(batch []Received, done func([]string, error)) {
		s.call("scheduler", about(batch), schedulerTimeout, func(id string) func(context.Context, *Functions) (any, error) { return schedule(id, batch) }, answer(done))
	}})
	s.SQS.Map(CompletionsQueue, Consumer{Most: 20, Take: func(batch []Received, done func([]string, error)) {
		s.call("worker-assistant", about(batch), assistantTimeout, func(id string) func(context.Context, *Functions) (any, error) { return assist(id, batch) }, answer(done))
	}})
	s.GatherJobs(time.Second)
	s.GatherCompletions(time.Second)
}

// GatherJobs sets how long jobs are gathered to a batch: the parameter JobsWindowSeconds of the stack's template. It is a second by default.
// Without gathering a batch has at most ten.
func (s *Stack) GatherJobs(window time.Duration) {
	batch := 50
	if window == 0 {
		batch = 10
	}
	s.SQS.Gather(JobsQueue, window, batch)
}

// GatherCompletions sets how long completions are gathered to a batch: the parameter CompletionsWindowSeconds of the stack's template. It is a
// second by default. Without gathering a batch has at most ten.
func (s *Stack) GatherCompletions(window time.Duration) {
	batch := 100
	if window == 0 {
		batch = 10
	}
	s.SQS.Gather(CompletionsQueue, window, batch)
}

func about(batch []Received) string {
	ids := make([]string, len(batch))
	for i, m := range batch {
		ids[i] = strings.TrimPrefix(m.ID, "message-")
	}
	return "messages " + strings.Join(ids, ", ")
}

func answer(done func([]string, error)) func(any, error) {
	return func(out any, err error) {
		failed, _ := out.([]string)
		done(failed, err)
	}
}

// Deliver puts a message into a queue on behalf of AWS itself: it calls no hook.
func (s *Stack) Deliver(url, body string) { s.SQS.put(s.SQS.queues[url], body, nil, "", 0) }

func (s *Stack) rules() {
	queue := func(url string) func(event.Envelope) {
		return func(e event.Envelope) {
			text, err := json.Marshal(e)
			if err != nil {
				panic(err) // it was valid when it was put
			}
			s.Deliver(url, string(text))
		}
	}
	ofType := func(types ...string) func(event.Envelope) bool {
		return func(e event.Envelope) bool { return slices.Contains(types, e.DetailType) }
	}
	s.EventBridge.AddRule(Rule{Name: "commands", Bus: BusName, Takes: ofType(event.SubmitJob, event.CancelJob, event.ReplayTasks), Target: queue(JobsQueue)})
	s.EventBridge.AddRule(Rule{Name: "workflow commands", Bus: BusName, Takes: ofType(event.StartWorkflow, event.CancelWorkflow), Target: queue(RunsQueue)})
	s.EventBridge.AddRule(Rule{Name: "tasks due", Bus: BusName, Takes: ofType("TasksDue"), Target: func(e event.Envelope) { s.Orchestrate(e.Detail) }})
	const changed = "Step Functions Execution Status Change"
	s.EventBridge.AddRule(Rule{Name: "worker machines", Target: queue(CompletionsQueue), Takes: func(e event.Envelope) bool {
		var detail struct{ Name, Status string }
		return e.Source == "aws.states" && e.DetailType == changed && json.Unmarshal(e.Detail, &detail) == nil && strings.HasPrefix(detail.Name, "drover-") &&
			slices.Contains([]string{"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}, detail.Status)
	}})
	s.EventBridge.AddRule(Rule{Name: "workflow executions", Target: queue(RunsQueue), Takes: func(e event.Envelope) bool {
		var detail struct {
			Machine string `json:"stateMachineArn"`
			Status  string `json:"status"`
		}
		return e.Source == "aws.states" && e.DetailType == changed && json.Unmarshal(e.Detail, &detail) == nil && detail.Machine == WorkflowMachine &&
			slices.Contains([]string{"FAILED", "TIMED_OUT", "ABORTED"}, detail.Status)
	}})
	s.StepFunctions.Changed = func(detail []byte) { s.EventBridge.Put("", "aws.states", changed, detail) }
}

// Orchestrate starts the orchestrate machine. An invalid input starts nothing, as with a rule.
func (s *Stack) Orchestrate(input []byte) {
	text, machine := string(input), OrchestrateMachine
	_, _ = s.StepFunctions.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: &machine, Input: &text})
}

// schedule starts the orchestrate machine each minute, and sends the tick to the runs queue once the stack has workflows: before, it does nothing.
func (s *Stack) schedule() {
	at := s.World.Now().Truncate(tickEvery).Add(tickEvery)
	s.tick = s.World.At(at, Timer, "tick", func() {
		s.World.send(0, Tick, "tick", func() { s.Orchestrate([]byte("{}")) })
		if s.flows {
			s.World.send(0, Tick, "tick of runs", func() {
				s.Deliver(RunsQueue, fmt.Sprintf(`{"id":"tick-%d","source":"aws.events","detail-type":"Scheduled Event","detail":{}}`, at.Unix()))
			})
		}
		s.schedule()
	})
}

func (s *Stack) machines() error {
	s.StepFunctions.Random = s.Random
	s.StepFunctions.Call = func(resource string, input any, done func(any, *Failure)) {
		switch resource {
		case orchestratorResource:
			s.step(input, done)
		case putEventsResource:
			done(s.putEvents(input))
		case sendMessageResource:
			done(s.sendMessage(input))
		default:
			done(nil, &Failure{Type: "States.Runtime", Message: "the resource " + resource + " is not known"})
		}
	}
	names := map[string]string{"Partition": "aws", "EventBusName": BusName, "OrchestratorFunctionArn": orchestratorResource, "RunsQueueUrl": RunsQueue}
	return errors.Join(s.StepFunctions.Define(OrchestrateMachine, false, statemachines.Orchestrate, names),
		s.StepFunctions.Define(BackoffMachine, true, statemachines.Backoff, names),
		s.StepFunctions.Define(WorkflowMachine, true, statemachines.Workflow, names))
}

// startDirectly invokes the orchestrator for direct grants.
func (s *Stack) startDirectly(text []byte, _ func(*Failure)) {
	var in orchestrator.Step
	if err := json.Unmarshal(text, &in); err == nil {
		s.tryStart(in, 1)
	}
}

// startTries says how often the stack's template lets a start of direct grants be tried.
const startTries = 3

// tryStart tries a start of direct grants. As Lambda does, it tries again a minute after the first failure, and two after the second.
func (s *Stack) tryStart(in orchestrator.Step, try int) {
	run := func(string) func(context.Context, *Functions) (any, error) { return step(in) }
	s.call("orchestrator", in.Step, orchestratorTimeout, run, func(_ any, err error) {
		if err != nil && try < startTries {
			s.World.At(s.World.Now().Add(time.Duration(try)*time.Minute), Timer, "the orchestrator starts direct grants again", func() { s.tryStart(in, try+1) })
		}
	})
}

// step invokes the orchestrator for a state.
func (s *Stack) step(input any, done func(any, *Failure)) {
	text, err := json.Marshal(input)
	var in orchestrator.Step
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		done(nil, FailureOf(err))
		return
	}
	run := func(string) func(context.Context, *Functions) (any, error) { return step(in) }
	s.call("orchestrator", strings.TrimSpace(in.Step+" "+in.Labourer), orchestratorTimeout, run, func(out any, err error) {
		if err != nil {
			done(nil, FailureOf(err))
			return
		}
		result, err := plain(out)
		done(result, FailureOf(err))
	})
}

// putEvents acts as the integration of Step Functions with EventBridge: it encodes a Detail that is an object as text. The state fails if any
// event does.
func (s *Stack) putEvents(input any) (any, *Failure) {
	text, err := json.Marshal(input)
	var in struct {
		Entries []struct {
			EventBusName, Source, DetailType string
			Detail                           json.RawMessage
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return nil, FailureOf(err)
	}
	for _, e := range in.Entries {
		if _, why := s.EventBridge.Put(e.EventBusName, e.Source, e.DetailType, e.Detail); why != "" {
			return nil, &Failure{Type: "EventBridge.FailedEntry", Message: why}
		}
	}
	return map[string]any{"FailedEntryCount": 0.0}, nil
}

// sendMessage acts as the integration of Step Functions with SQS: it encodes a MessageBody that is an object as text.
func (s *Stack) sendMessage(input any) (any, *Failure) {
	text, err := json.Marshal(input)
	var in struct {
		QueueUrl    string //nolint:revive // SQS's own name
		MessageBody json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return nil, FailureOf(err)
	}
	s.Deliver(in.QueueUrl, string(in.MessageBody))
	return map[string]any{}, nil
}

// Mark calls the worker assistant as a sosw Worker does. done receives the result of the call; it may be nil.
func (s *Stack) Mark(text []byte, done func(error)) {
	s.call("worker-assistant", "call of a worker", assistantTimeout, func(id string) func(context.Context, *Functions) (any, error) { return mark(id, text) }, func(_ any, err error) {
		if done != nil {
			done(err)
		}
	})
}

func (s *Stack) stream() {
	lose := func(batch []events.DynamoDBEventRecord) {
		s.Deliver(StreamFailures, fmt.Sprintf(`{"records":%d,"from":%q}`, len(batch), batch[0].Change.SequenceNumber))
	}
	s.Stream = &Mapping{world: s.World, name: "scavenger", key: "segment", window: streamPoll, batch: scavengerBatch, takes: scavenged, lose: lose,
		take: func(about string, batch []events.DynamoDBEventRecord, done func(error)) {
			s.call("scavenger", about, scavengerTimeout, func(id string) func(context.Context, *Functions) (any, error) { return scavenge(id, batch) },
				func(_ any, err error) { done(err) })
		},
	}
	s.Archiving = &Mapping{world: s.World, name: "archiver", key: "segment", window: archiverWindow, batch: archiverBatch, takes: archived, lose: lose,
		take: func(about string, batch []events.DynamoDBEventRecord, done func(error)) {
			s.call("archiver", about, archiverTimeout, func(id string) func(context.Context, *Functions) (any, error) { return archiving(id, batch) },
				func(_ any, err error) { done(err) })
		},
	}
	s.Statuses = &Mapping{world: s.World, name: "statuses", key: "uid", window: streamPoll, batch: scavengerBatch, takes: written, lose: lose,
		take: func(about string, batch []events.DynamoDBEventRecord, done func(error)) {
			s.call("worker-assistant", about, assistantTimeout, func(id string) func(context.Context, *Functions) (any, error) { return reading(id, batch) },
				func(_ any, err error) { done(err) })
		},
	}
	s.DynamoDB.Watch = s.Watched
}

// Forget drops what is kept of the past for tests alone: the records of streams that were passed on, and the events that were put on the bus. A test of
// millions of tasks calls it from time to time, to bound its memory.
func (s *Stack) Forget() {
	s.DynamoDB.Trim(TasksTable, s.pulled)
	s.DynamoDB.Trim(StatusTable, s.read)
	for _, m := range []*Mapping{s.Stream, s.Archiving, s.Statuses} {
		m.log = nil
	}
	s.EventBridge.forget()
}

// Watched watches the stack's tables. A function that replaces it in DynamoDB.Watch must call it.
func (s *Stack) Watched(table string, _, _ Item) {
	s.flows = s.flows || table == RunsTable
	if table != TasksTable && table != StatusTable || s.pulling {
		return
	}
	s.pulling = true
	s.World.At(s.World.Now(), Stream, "records", func() {
		s.pulling = false
		records := s.DynamoDB.Stream(TasksTable, s.pulled)
		s.pulled += len(records)
		s.Stream.append(records...)
		s.Archiving.append(records...)
		statuses := s.DynamoDB.Stream(StatusTable, s.read)
		s.read += len(statuses)
		s.Statuses.append(statuses...)
	})
}
