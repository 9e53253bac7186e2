// Package completion reads what is told of the end of a worker, in each of the forms in which it comes:
//
//   - the message that a worker sends itself
//   - the record of Lambda's asynchronous invocation, by which a crash, a timeout or a throttle is noticed
//   - the "Execution Status Change" event of Step Functions
//   - the call of a sosw Worker to its assistant
package completion

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/task"
)

// Kind is what a report says.
type Kind string

// Lost starts are the target's, not the worker's: the task was never begun.
const (
	Completed    Kind = "completed"
	Failed       Kind = "failed"
	Running      Kind = "running"
	NeverStarted Kind = "never started"
)

// Report is what is told of one attempt at a task.
type Report struct {
	TaskID     string // as it came; not every sender has one that exists
	Attempt    int    // 0: the current one
	Kind       Kind
	At         time.Time // when Lambda gave up; zero where the sender names no time
	Result     json.RawMessage
	Stats      json.RawMessage
	Execution  string // the ARN of an execution whose output has to be fetched; then TooLarge says that it is left out
	TooLarge   string // why result and stats are not there: they were more than is kept
	Unreadable string // which parts are left out as they cannot be read, and why; the end counts all the same
	Error      *task.Error
	Permanent  bool
	RetryAfter time.Duration
	// Machine is the ARN of the state machine whose execution tells of its end, which whoever knows the labourer has to compare with its
	// target: anybody in the account may name an execution as they like. "" when no execution tells.
	Machine string
}

// Limits of what is kept of a report. An item of DynamoDB takes 400 KB, and payload and result share it.
const (
	MaxResult  = 256 << 10 // bytes of a result's JSON
	MaxStats   = 16 << 10  // bytes of the stats' JSON
	maxType    = 256       // bytes of an error's type; the rest is cut
	maxMessage = 4 << 10   // bytes of an error's message; the rest is cut
)

// Ignored says that a message can be read and means nothing to Drover.
var Ignored = errors.New("nothing that concerns a task")

// Read reads a message of the completions queue. An error other than Ignored says why it cannot be read.
//
// What makes it an end has to be readable: whose it is, and its status. Anything else that cannot be read is left out, and the end counts:
// refused, it would be lost, and the work done again.
func Read(text []byte) (Report, error) {
	m, err := messageOf(text)
	if err != nil {
		return Report{}, fmt.Errorf("the completion is no JSON object: %w", err)
	}
	switch {
	case m.given("detail-type"):
		return readExecution(text)
	case m.given("requestContext"):
		return readInvocation(m)
	case m.given("action"):
		return m.call()
	case !m.given("task_id") && !json.Valid(text):
		return Report{}, errors.New("the completion is no JSON, and what can be read of it has no task_id")
	case !m.given("task_id"):
		return Report{}, errors.New("the completion has no task_id")
	}
	return m.report()
}

// report is what a worker's own message says.
func (m message) report() (Report, error) {
	if err := m.once("version", "task_id", "status", "attempt"); err != nil {
		return Report{}, err
	}
	if v, ok := m.whole("version"); !ok || v != 1 {
		return Report{}, fmt.Errorf("the completion's version is %s; 1 is known", shown(string(m.values["version"])))
	}
	r := Report{Kind: Kind(m.text("status"))}
	if r.TaskID = m.text("task_id"); r.TaskID == "" {
		return r, fmt.Errorf("task_id is %s; the text that the worker was given would be right", shown(string(m.values["task_id"])))
	}
	// An attempt that cannot be read is as good as none: the one that is running.
	r.Attempt, _ = m.whole("attempt")
	switch r.Kind {
	case Completed, Running:
		return r.with(m.content("result"), m.content("stats")), nil
	case Failed:
		return m.failed(r), nil
	}
	return r, fmt.Errorf("status is %s; completed, failed and running are known", shown(first(string(r.Kind), string(m.values["status"]))))
}

func (m message) failed(r Report) Report {
	r.Error = m.failure("error").cut("Failed")
	r = r.with(m.content("result"), m.content("stats"))
	retryable, ok := m.flag("retryable", true)
	if r.Permanent = !retryable; !ok {
		r = r.note("retryable cannot be read; true and false are known")
	}
	if r.RetryAfter, ok = m.wait("retry_after"); !ok {
		r = r.note("retry_after cannot be read; a duration like \"90s\", or seconds, would be right")
	}
	return r
}

// note adds to what is said of the parts that cannot be read.
func (r Report) note(why string) Report {
	if r.Unreadable != "" {
		why = r.Unreadable + "; " + why
	}
	r.Unreadable = why
	return r
}

// content is a value that is kept as it is written, or why it cannot be kept.
type content struct {
	text       json.RawMessage // nil: it is absent, or null
	unreadable string
}

func contentOf(text json.RawMessage) content {
	if text = present(text); text == nil {
		return content{}
	}
	if err := exact.Check(text); err != nil {
		return content{text, err.Error()}
	}
	return content{text, ""}
}

func present(text json.RawMessage) json.RawMessage {
	if text = bytes.TrimSpace(text); len(text) == 0 || bytes.Equal(text, []byte("null")) {
		return nil
	}
	return text
}

// with adds result and stats where they can be kept. That they cannot is no error: an attempt that is not heard of is started again, and would
// say the same again.
func (r Report) with(result, stats content) Report {
	switch {
	case len(result.text) > MaxResult:
		r.TooLarge = fmt.Sprintf("the result has %d bytes, and %d are kept at most: store it elsewhere, in S3 for instance, and return its key", len(result.text), MaxResult)
		return r
	case len(stats.text) > MaxStats:
		r.TooLarge = fmt.Sprintf("the stats have %d bytes, and %d are kept at most", len(stats.text), MaxStats)
		return r
	}
	if r.Result = result.text; result.unreadable != "" {
		r.Result = nil
		r = r.note("the result cannot be read: " + result.unreadable)
	}
	if r.Stats = stats.text; stats.unreadable != "" {
		r.Stats = nil
		r = r.note("the stats cannot be read: " + stats.unreadable)
	}
	return r
}

const maxWait = 14 * 24 * time.Hour

type failure struct{ Type, Message string }

// cut returns the error as it is kept; name is its type where it has none.
func (f failure) cut(name string) *task.Error {
	return &task.Error{Type: shorten(first(f.Type, name), maxType), Message: shorten(f.Message, maxMessage)}
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// readInvocation reads the record of an asynchronous invocation.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func readInvocation(m message) (Report, error) {
	var request struct {
		Condition string `json:"condition"`
	}
	if err := exact.Decode(m.values["requestContext"], &request); err != nil {
		return Report{}, fmt.Errorf("the record of an invocation cannot be read: requestContext: %w", err)
	}
	r, err := origin(m.values["requestPayload"])
	if err != nil {
		return r, err
	}
	var response struct {
		FunctionError string `json:"functionError"`
	}
	_ = exact.Decode(m.values["responseContext"], &response) // it is absent, or null, where the function never ran
	// A function may answer anything.
	answer, _ := messageOf(m.values["responsePayload"])
	switch {
	case request.Condition == "Success":
		r.Kind = Completed
		return r.with(contentOf(m.values["responsePayload"]), content{}), nil
	case strings.Contains(answer.text("__type"), "TooManyRequests"), request.Condition == "EventAgeExceeded" && response.FunctionError == "":
		r.Kind = NeverStarted
		r.At, _ = time.Parse(time.RFC3339, m.text("timestamp"))
		r.Error = &task.Error{Type: "Throttled", Message: "the function could not be started in time"}
		return r, nil
	}
	r.Kind = Failed
	r.Error = failure{answer.shown("errorType"), answer.shown("errorMessage")}.cut(first(request.Condition, "Failed"))
	return r, nil
}

// origin finds the task in what a worker was started with.
func origin(event json.RawMessage) (Report, error) {
	whole, err := messageOf(event)
	if err != nil {
		return Report{}, Ignored
	}
	own, err := messageOf(whole.values["drover"])
	if err != nil || own.text("task_id") == "" {
		return Report{}, Ignored
	}
	attempt, _ := own.whole("attempt")
	return Report{TaskID: own.text("task_id"), Attempt: attempt}, nil
}

// ExecutionName is the name of the execution that an attempt at a task is, for targets that are state machines: so starting it again
// starts nothing, and its events tell whose they are.
func ExecutionName(id task.ID, attempt int) string {
	return fmt.Sprintf("%s%s-%d-%d", executionPrefix, id.Segment, id.N, attempt)
}

const executionPrefix = "drover-"

// readExecution reads a status change of an execution.
// https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
func readExecution(text []byte) (Report, error) {
	var m struct {
		Source string `json:"source"`
		Detail struct {
			ARN     string  `json:"executionArn"`
			Machine string  `json:"stateMachineArn"`
			Name    string  `json:"name"`
			Status  string  `json:"status"`
			Output  *string `json:"output"`
			Details struct {
				Included *bool `json:"included"`
			} `json:"outputDetails"`
			Error string `json:"error"`
			Cause string `json:"cause"`
		} `json:"detail"`
	}
	if err := exact.Decode(text, &m); err != nil {
		return Report{}, fmt.Errorf("the status change of an execution cannot be read: %w", err)
	}
	parts := strings.Split(strings.TrimPrefix(m.Detail.Name, executionPrefix), "-")
	if m.Source != "aws.states" || !strings.HasPrefix(m.Detail.Name, executionPrefix) || len(parts) != 3 {
		return Report{}, Ignored
	}
	attempt, err := strconv.Atoi(parts[2])
	if err != nil || attempt < 1 {
		return Report{}, Ignored
	}
	r, ended := Execution{Status: m.Detail.Status, Output: m.Detail.Output, Error: m.Detail.Error, Cause: m.Detail.Cause,
		LeftOut: m.Detail.Details.Included != nil && !*m.Detail.Details.Included}.Report()
	r.TaskID, r.Attempt, r.Machine = parts[0]+"."+parts[1], attempt, first(m.Detail.Machine, "unknown")
	if !ended {
		return r, Ignored
	}
	if r.TooLarge != "" {
		r.Execution = m.Detail.ARN
	}
	return r, nil
}

// Execution is an execution as Step Functions describes it.
type Execution struct {
	Status       string
	Output       *string
	LeftOut      bool // the output is there and was left out, as it has more than 248 KB
	Error, Cause string
}

// Report returns what is told of the attempt that the execution is, without whose it is; false while it runs.
func (e Execution) Report() (Report, bool) {
	var r Report
	switch e.Status {
	case "SUCCEEDED":
		r.Kind = Completed
		switch {
		case e.Output != nil:
			return r.with(contentOf(json.RawMessage(*e.Output)), content{}), true
		case e.LeftOut:
			r.TooLarge = "the execution's output was left out of what Step Functions tells of its end, as it has more than 248 KB: " +
				"store it elsewhere, in S3 for instance, and return its key"
		}
		return r, true
	case "FAILED", "TIMED_OUT", "ABORTED":
		r.Kind = Failed
		r.Error = failure{e.Error, e.Cause}.cut(map[string]string{"FAILED": "Failed", "TIMED_OUT": "TimedOut", "ABORTED": "Aborted"}[e.Status])
		return r, true
	}
	return r, false
}

// ExecutionARN returns the ARN of the execution that an attempt at a task is. machine may name a version or an alias, which executions do not.
func ExecutionARN(machine string, id task.ID, attempt int) string {
	parts := strings.Split(machine, ":")
	if len(parts) < 7 {
		return ""
	}
	return strings.Join(append(parts[:5:5], "execution", parts[6], ExecutionName(id, attempt)), ":")
}

// End returns how an attempt ended by a report of its completion or failure.
func (r Report) End(attempt int, dispatchedAt, at time.Time) task.End {
	e := task.End{Attempt: attempt, Status: task.Completed, DispatchedAt: dispatchedAt, At: at, Result: r.Result, Stats: r.Stats,
		Error: r.Error, Permanent: r.Permanent, RetryAfter: r.RetryAfter}
	if r.Kind == Failed {
		e.Status = task.Failed
	}
	if r.Unreadable != "" {
		e = e.Unreadable(r.Unreadable)
	}
	if r.TooLarge != "" {
		e = e.Without(r.TooLarge)
	}
	return e
}

// ReadCall reads the call of a sosw Worker. Stats and result come as objects or as JSON text.
func ReadCall(text []byte) (Report, error) {
	m, err := messageOf(text)
	if err != nil {
		return Report{}, fmt.Errorf("the call cannot be read: %w", err)
	}
	return m.call()
}

func (m message) call() (Report, error) {
	if err := m.once("action", "task_id"); err != nil {
		return Report{}, err
	}
	r := Report{TaskID: m.text("task_id")}
	if r.TaskID == "" {
		return r, fmt.Errorf("task_id is %s; the text that the worker was given would be right", shown(string(m.values["task_id"])))
	}
	switch m.text("action") {
	case "mark_task_as_completed":
		r.Kind = Completed
	case "mark_task_as_failed":
		r.Kind, r.Error = Failed, &task.Error{Type: "Failed", Message: "marked as failed by its worker"}
	default:
		return r, fmt.Errorf("action is %s; mark_task_as_completed and mark_task_as_failed are known", shown(first(m.text("action"), string(m.values["action"]))))
	}
	return r.with(m.content("result").unquoted(), m.content("stats").unquoted()), nil
}

// unquoted returns the JSON in a text of JSON, and anything else as it is.
func (c content) unquoted() content {
	if text, ok := exact.Text(c.text); ok && exact.Check([]byte(text)) == nil {
		return content{json.RawMessage(text), ""}
	}
	return c
}

// name is what names and numbers look like.
var name = regexp.MustCompile(`^[A-Za-z0-9_.:-]{0,40}$`)

// shown is a value as an error quotes it, which may stand in a log: a name as it is, and of anything else, which may be of a payload, only
// its length.
func shown(value string) string {
	if name.MatchString(value) {
		return strconv.Quote(value)
	}
	return fmt.Sprintf("something of %d bytes", len(value))
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
