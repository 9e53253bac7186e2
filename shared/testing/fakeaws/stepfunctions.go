package fakeaws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	drover "github.com/drover-run/drover/shared/aws/stepfunctions"
)

var _ drover.API = (*StepFunctions)(nil)

// StepFunctions holds state machines: those whose definition it interprets, and foreign ones, whose executions a function carries out.
type StepFunctions struct {
	Hooks
	world *World
	// Call carries out a Task: resource is the state's Resource, input the result of its Parameters. It calls done once.
	Call func(resource string, input any, done func(output any, failure *Failure))
	// Random is uniform in [0,1), for the jitter of retries.
	Random func() float64
	// Record is called for each event in the history of an execution that is interpreted, with the data that the event shows: the input of a
	// state, the parameters or the output of its task. nil data: the event shows none. It may be nil.
	Record func(machine, execution, event string, data any)
	// Changed is called at the end of each execution of a foreign machine, as EventBridge is.
	Changed func(detail []byte)

	mu       sync.Mutex
	started  int
	machines map[string]*machine
	tokens   map[string]func(output any)
	tokened  int
}

type machine struct {
	arn        string
	standard   bool
	definition asl
	foreign    Foreign
	executions map[string]*execution // of a standard machine, by name
	running    int
	performed  int
}

// Foreign carries out executions of a machine that is not interpreted. It calls done once. The output is nil after a failure.
type Foreign func(name string, input []byte, done func(output []byte, failure *Failure))

// NewStepFunctions returns a StepFunctions without machines.
func NewStepFunctions(w *World) *StepFunctions {
	return &StepFunctions{world: w, machines: map[string]*machine{}, tokens: map[string]func(any){}}
}

// Define adds a machine by its definition, with the names in ${…} replaced. In a standard machine the names of executions are unique.
func (s *StepFunctions) Define(arn string, standard bool, definition []byte, substitutions map[string]string) error {
	for name, value := range substitutions {
		definition = bytes.ReplaceAll(definition, []byte("${"+name+"}"), []byte(value))
	}
	m := &machine{arn: arn, standard: standard, executions: map[string]*execution{}}
	if err := json.Unmarshal(definition, &m.definition); err != nil {
		return fmt.Errorf("reading the definition of %s, %w", arn, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[arn] = m
	return nil
}

// Handle adds a machine whose executions f carries out.
func (s *StepFunctions) Handle(arn string, f Foreign) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machines[arn] = &machine{arn: arn, standard: true, foreign: f, executions: map[string]*execution{}}
}

// Running returns how many executions of a machine have not ended.
func (s *StepFunctions) Running(arn string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.machines[arn]; m != nil {
		return m.running
	}
	return 0
}

// Transitions returns how often executions of a machine have entered a state, or tried it again.
func (s *StepFunctions) Transitions(arn string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.machines[arn]; m != nil {
		return m.performed
	}
	return 0
}

func (s *StepFunctions) count(m *machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.performed++
}

// executionInputLimit holds the largest input of an execution, in bytes.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const executionInputLimit = 256 << 10

// StartExecution starts an execution. A standard machine starts a name once: starting it again with the same input succeeds while the
// execution runs, and starts nothing; otherwise the error is ExecutionAlreadyExists.
func (s *StepFunctions) StartExecution(ctx context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SFN", "StartExecution", in}, func() (*sfn.StartExecutionOutput, error) {
		input := []byte(aws.ToString(in.Input))
		if len(input) == 0 {
			input = []byte("{}")
		}
		if !json.Valid(input) || len(input) > executionInputLimit {
			return nil, &types.InvalidExecutionInput{Message: aws.String("Invalid State Machine Execution Input")}
		}
		arn, now := aws.ToString(in.StateMachineArn), s.world.Now()
		s.mu.Lock()
		m := s.machines[arn]
		if m == nil {
			s.mu.Unlock()
			return nil, &types.StateMachineDoesNotExist{Message: aws.String("State Machine Does Not Exist: '" + arn + "'")}
		}
		s.started++
		name := aws.ToString(in.Name)
		if name == "" {
			name = fmt.Sprintf("execution-%06d", s.started)
		}
		id := strings.Replace(arn, ":stateMachine:", ":execution:", 1) + ":" + name
		if before := m.executions[name]; before != nil {
			same := !before.ended && before.input == string(input)
			s.mu.Unlock()
			if same {
				return &sfn.StartExecutionOutput{ExecutionArn: &id, StartDate: &now}, nil
			}
			return nil, &types.ExecutionAlreadyExists{Message: aws.String("Execution Already Exists: '" + id + "'")}
		}
		x := &execution{service: s, machine: m, name: name, id: id, input: string(input), startedAt: now}
		if m.standard {
			m.executions[name] = x
		}
		m.running++
		s.mu.Unlock()
		s.world.At(now, Transition, name, x.start)
		return &sfn.StartExecutionOutput{ExecutionArn: &id, StartDate: &now}, nil
	})
}

// DescribeExecution returns the state of an execution of a standard machine, with outputs of up to 256 KB.
func (s *StepFunctions) DescribeExecution(ctx context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SFN", "DescribeExecution", in}, func() (*sfn.DescribeExecutionOutput, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range s.machines {
			for _, x := range m.executions {
				if x.id != aws.ToString(in.ExecutionArn) {
					continue
				}
				out := &sfn.DescribeExecutionOutput{ExecutionArn: &x.id, Name: &x.name, StateMachineArn: &m.arn, StartDate: &x.startedAt, Status: types.ExecutionStatusRunning}
				switch {
				case x.cut != "":
					out.Status = x.cut
				case x.failure != nil:
					out.Status, out.Error, out.Cause = types.ExecutionStatusFailed, &x.failure.Type, &x.failure.Message
				case x.ended:
					out.Status, out.Output = types.ExecutionStatusSucceeded, aws.String(string(x.output))
					out.OutputDetails = &types.CloudWatchEventsExecutionDataDetails{Included: true}
				}
				return out, nil
			}
		}
		return nil, &types.ExecutionDoesNotExist{Message: aws.String("Execution Does Not Exist: '" + aws.ToString(in.ExecutionArn) + "'")}
	})
}

// Stop ends a running execution of an interpreted machine from outside: as ABORTED, like StopExecution, or as TIMED_OUT. It returns false if none
// of this ARN runs.
func (s *StepFunctions) Stop(arn string, as types.ExecutionStatus) bool {
	s.mu.Lock()
	var x *execution
	for _, m := range s.machines {
		if one := m.executions[arn[strings.LastIndex(arn, ":")+1:]]; one != nil && one.id == arn {
			x = one
		}
	}
	s.mu.Unlock()
	if x == nil || x.ended {
		return false
	}
	x.stop(as)
	return true
}

// Executions returns the ARNs of the executions of a standard machine, in their order.
func (s *StepFunctions) Executions(arn string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if m := s.machines[arn]; m != nil {
		for _, x := range m.executions {
			out = append(out, x.id)
		}
	}
	slices.Sort(out)
	return out
}

// token returns a new token. The one before it, of an attempt that failed, ends no wait any more.
func (s *StepFunctions) token(before string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, before)
	s.tokened++
	return fmt.Sprintf("token-%06d", s.tokened)
}

// await has resume called when the token is answered.
func (s *StepFunctions) await(token string, resume func(output any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = resume
}

// SendTaskSuccess ends the wait of a state for its token.
func (s *StepFunctions) SendTaskSuccess(ctx context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	return serve(ctx, &s.Hooks, Request{"SFN", "SendTaskSuccess", in}, func() (*sfn.SendTaskSuccessOutput, error) {
		var output any
		if err := json.Unmarshal([]byte(aws.ToString(in.Output)), &output); err != nil {
			return nil, &types.InvalidOutput{Message: aws.String("Invalid Output")}
		}
		token := aws.ToString(in.TaskToken)
		s.mu.Lock()
		resume := s.tokens[token]
		delete(s.tokens, token)
		s.mu.Unlock()
		if resume == nil {
			return nil, &types.TaskDoesNotExist{Message: aws.String("Task Timed Out: 'Provided task does not exist anymore'")}
		}
		resume(output)
		return &sfn.SendTaskSuccessOutput{}, nil
	})
}

// statusOutputLimit says how many bytes of input and output together a status event holds; it leaves out larger ones.
// https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
const statusOutputLimit = 248 << 10

// execution is one run of a machine.
type execution struct {
	service   *StepFunctions
	machine   *machine
	name, id  string
	input     string
	startedAt time.Time
	limit     *Coming // its timeout
	ended     bool
	cut       types.ExecutionStatus // how it was ended from outside; "": it was not
	output    []byte                // of an execution of a foreign machine
	failure   *Failure              // of an execution of a foreign machine
}

func (x *execution) start() {
	if x.machine.foreign != nil {
		x.machine.foreign(x.name, []byte(x.input), func(output []byte, failure *Failure) {
			x.output, x.failure = output, failure
			x.end()
			x.tell(output, failure)
		})
		return
	}
	var data any
	if err := json.Unmarshal([]byte(x.input), &data); err != nil {
		panic(err) // it was valid when the execution started
	}
	d := x.machine.definition
	if d.TimeoutSeconds > 0 {
		x.limit = x.service.world.At(x.startedAt.Add(seconds(d.TimeoutSeconds)), Timer, x.name+" runs out of time", func() { x.stop(types.ExecutionStatusTimedOut) })
	}
	x.record("ExecutionStarted", data)
	t := &thread{execution: x, states: d.States, done: func(output any, failure *Failure) {
		x.failure = failure
		if failure == nil {
			x.record("ExecutionSucceeded", output)
		} else {
			x.record("ExecutionFailed", failure)
		}
		x.end()
		if x.machine.standard {
			text, _ := json.Marshal(output) //nolint:errchkjson // it was JSON
			x.tell(text, failure)
		}
	}}
	t.enter(d.StartAt, data)
}

func (x *execution) record(event string, data any) {
	if x.service.Record != nil {
		x.service.Record(x.machine.arn, x.name, event, data)
	}
}

// stop ends an execution that has not come to its end.
func (x *execution) stop(as types.ExecutionStatus) {
	x.cut = as
	x.record("Execution"+map[types.ExecutionStatus]string{types.ExecutionStatusAborted: "Aborted", types.ExecutionStatusTimedOut: "TimedOut"}[as], nil)
	x.end()
	if x.machine.standard {
		x.tell(nil, nil)
	}
}

func (x *execution) end() {
	if x.ended {
		return
	}
	x.ended = true
	x.service.world.Cancel(x.limit)
	x.service.mu.Lock()
	x.machine.running--
	x.service.mu.Unlock()
}

// tell reports an execution's end as EventBridge does.
// https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
func (x *execution) tell(output []byte, failure *Failure) {
	if x.service.Changed == nil {
		return
	}
	detail := map[string]any{"executionArn": x.id, "stateMachineArn": x.machine.arn, "name": x.name, "input": x.input, "status": "SUCCEEDED", "output": string(output),
		"outputDetails": map[string]any{"included": true}}
	if len(output) > statusOutputLimit {
		detail["output"], detail["outputDetails"] = nil, map[string]any{"included": false}
	}
	if x.cut != "" {
		detail["status"], detail["output"] = x.cut, nil
	}
	if failure != nil {
		detail["status"], detail["output"], detail["error"], detail["cause"] = "FAILED", nil, failure.Type, failure.Message
	}
	text, err := json.Marshal(detail)
	if err != nil {
		panic(err) // it holds only strings
	}
	x.service.Changed(text)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
