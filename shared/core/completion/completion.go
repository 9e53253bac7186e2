// Package completion reads the reports of the end of a worker, in all their forms:
//
//   - the message that the worker itself sends
//   - the record of Lambda's asynchronous invocation, which reveals a crash, a timeout or a throttle
//   - the "Execution Status Change" event of Step Functions
//   - the call of a sosw Worker to its assistant
//
// It also reads the wakes that Drover sends to the same queue.
package completion

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/lazyregexp"
	"github.com/drover-run/drover/shared/core/task"
)

// Kind names what happened to the attempt.
type Kind string

// NeverStarted is a failure of the target, not of the worker: the task never began.
const (
	Completed    Kind = "completed"
	Failed       Kind = "failed"
	Running      Kind = "running"
	NeverStarted Kind = "never started"
	TasksDue     Kind = "tasks due" // no report, but a wake
)

// Report describes one attempt of a task, as its sender reported it.
type Report struct {
	TaskID     string // as received; it need not exist
	Attempt    int    // 0: the current one
	Kind       Kind
	At         time.Time // when Lambda gave up, or zero if the sender gives no time
	Result     json.RawMessage
	Stats      json.RawMessage
	Execution  string // the ARN of an execution whose output must be fetched; then TooLarge says that the event omits it
	TooLarge   string // why result and stats are absent: they were too large to be stored
	Unreadable string // which parts are absent because they were unreadable, and why; the end still counts
	Error      *task.Error
	Permanent  bool
	RetryAfter time.Duration
	// Machine has the ARN of the state machine whose execution reports, or "" for other reports. The caller must compare it with the labourer's target,
	// because any user of the account may choose the name of an execution.
	Machine string
	Wake    Wake // of the kind TasksDue, which has nothing else
}

// The limits of the stored parts of a report. A DynamoDB item has at most 400 KB, which payload and result share.
const (
	MaxResult  = 256 << 10 // bytes of a result's JSON
	MaxStats   = 16 << 10  // bytes of the stats' JSON
	maxType    = 256       // bytes of an error's type; the rest is cut
	maxMessage = 4 << 10   // bytes of an error's message; the rest is cut
)

// Ignored reports that a message is readable but has no meaning for Drover.
var Ignored = errors.New("does not concern a task")

// Read reads a message of the completions queue. An error other than Ignored says why it cannot be read.
//
// Only the task and the status have to be readable. Read omits other unreadable parts, and the end counts: a refused end would be lost, and the work
// would be repeated.
func Read(text []byte) (Report, error) {
	m, err := messageOf(text)
	if err != nil {
		return Report{}, fmt.Errorf("the completion is not a JSON object: %w", err)
	}
	switch {
	case m.text("detail-type") == tasksDue && m.text("source") == event.Source:
		return readWake(text)
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

// report returns the content of a worker's own message.
func (m message) report() (Report, error) {
	if err := m.once("version", "task_id", "status", "attempt"); err != nil {
		return Report{}, err
	}
	if v, ok := m.whole("version"); !ok || v != 1 {
		return Report{}, fmt.Errorf("the completion's version is %s; want 1", shown(string(m.values["version"])))
	}
	r := Report{Kind: Kind(m.text("status"))}
	if r.TaskID = m.text("task_id"); r.TaskID == "" {
		return r, fmt.Errorf("task_id is %s; want the text that the worker was given", shown(string(m.values["task_id"])))
	}
	// An unreadable attempt counts as absent, which means the running one.
	r.Attempt, _ = m.whole("attempt")
	switch r.Kind {
	case Completed, Running:
		return r.with(m.content("result"), m.content("stats")), nil
	case Failed:
		return m.failed(r), nil
	}
	return r, fmt.Errorf("status is %s; want completed, failed or running", shown(first(string(r.Kind), string(m.values["status"]))))
}

func (m message) failed(r Report) Report {
	r.Error = m.failure("error").cut("Failed")
	r = r.with(m.content("result"), m.content("stats"))
	retryable, ok := m.flag("retryable", true)
	if r.Permanent = !retryable; !ok {
		r = r.note("retryable cannot be read; want true or false")
	}
	if r.RetryAfter, ok = m.wait("retry_after"); !ok {
		r = r.note("retry_after cannot be read; want a duration like \"90s\", or seconds")
	}
	return r
}

// note adds a sentence to the description of the unreadable parts.
func (r Report) note(why string) Report {
	if r.Unreadable != "" {
		why = r.Unreadable + "; " + why
	}
	r.Unreadable = why
	return r
}

// content holds a value as written, or why it cannot be stored.
type content struct {
	text       json.RawMessage // nil: absent or null
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

// with adds result and stats if they can be stored. If not, it returns no error: an attempt without a known end would be started again, and would
// report the same.
func (r Report) with(result, stats content) Report {
	switch {
	case len(result.text) > MaxResult:
		r.TooLarge = fmt.Sprintf("the result has %d bytes; want at most %d: store it elsewhere, in S3 for instance, and return its key", len(result.text), MaxResult)
		return r
	case len(stats.text) > MaxStats:
		r.TooLarge = fmt.Sprintf("the stats have %d bytes; want at most %d", len(stats.text), MaxStats)
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

// cut returns the error in its stored form. name becomes its type if it has none.
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
	_ = exact.Decode(m.values["responseContext"], &response) // absent or null if the function never ran
	// A function may return anything.
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

// origin reads the task from the worker's input.
func origin(event json.RawMessage) (Report, error) {
	whole, err := messageOf(unwrapped(event))
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

// unwrapped returns the message in an event that has the form of SNS, as plugins of moe's orchestrator get theirs. Other events stay as they are.
func unwrapped(event json.RawMessage) json.RawMessage {
	var notification struct {
		Records []struct{ Sns struct{ Message string } }
	}
	if exact.Decode(event, &notification) != nil || len(notification.Records) != 1 || notification.Records[0].Sns.Message == "" {
		return event
	}
	return json.RawMessage(notification.Records[0].Sns.Message)
}

// ExecutionName returns the name of an attempt's execution, for targets that are state machines. Because of the name, a repeated start has no effect,
// and the execution's events identify the attempt.
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

// Execution holds an execution as Step Functions describes it.
type Execution struct {
	Status       string
	Output       *string
	LeftOut      bool // the output exists, but is omitted because it has more than 248 KB
	Error, Cause string
}

// Report returns the report of the execution's attempt, without the attempt's name. It returns false while the execution runs.
func (e Execution) Report() (Report, bool) {
	var r Report
	switch e.Status {
	case "SUCCEEDED":
		r.Kind = Completed
		switch {
		case e.Output != nil:
			return r.with(contentOf(json.RawMessage(*e.Output)), content{}), true
		case e.LeftOut:
			r.TooLarge = "the execution's output was left out of its status event, as it has more than 248 KB: " +
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

// ExecutionARN returns the ARN of the attempt's execution. machine may name a version or an alias, which an execution's ARN does not have.
func ExecutionARN(machine string, id task.ID, attempt int) string {
	parts := strings.Split(machine, ":")
	if len(parts) < 7 {
		return ""
	}
	return strings.Join(append(parts[:5:5], "execution", parts[6], ExecutionName(id, attempt)), ":")
}

// End returns the end of an attempt that a report of its completion or failure describes.
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

// ReadCall reads the call of a sosw Worker. Stats and result are objects or JSON text.
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
		return r, fmt.Errorf("task_id is %s; want the text that the worker was given", shown(string(m.values["task_id"])))
	}
	switch m.text("action") {
	case "mark_task_as_completed":
		r.Kind = Completed
	case "mark_task_as_failed":
		r.Kind, r.Error = Failed, &task.Error{Type: "Failed", Message: "marked as failed by the worker"}
	default:
		return r, fmt.Errorf("action is %s; want mark_task_as_completed or mark_task_as_failed", shown(first(m.text("action"), string(m.values["action"]))))
	}
	return r.with(m.content("result").unquoted(), m.content("stats").unquoted()), nil
}

// unquoted returns the JSON inside a JSON string, and any other value unchanged.
func (c content) unquoted() content {
	if text, ok := exact.Text(c.text); ok && exact.Check([]byte(text)) == nil {
		return content{json.RawMessage(text), ""}
	}
	return c
}

// plain matches values that are surely names or numbers.
var plain = lazyregexp.New(`^[A-Za-z0-9_.:-]{0,40}$`)

// shown returns a value for an error, which may be logged. It returns names and numbers unchanged. Of anything else it returns only the length, because
// it may be part of a payload.
func shown(value string) string {
	if plain.MatchString(value) {
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
