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

	"github.com/drover-run/drover/shared/task"
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
	Result     json.RawMessage
	Stats      json.RawMessage
	TooLarge   string // why result and stats are not there: they were more than is kept
	Error      *task.Error
	Permanent  bool
	RetryAfter time.Duration
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

// Read reads a message of the completions queue. An error other than Ignored says why it can not be read.
func Read(text []byte) (Report, error) {
	var form struct {
		Version        json.RawMessage `json:"version"`
		TaskID         *string         `json:"task_id"`
		RequestContext json.RawMessage `json:"requestContext"`
		DetailType     string          `json:"detail-type"`
		Action         string          `json:"action"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return Report{}, fmt.Errorf("the completion is no JSON object: %s", misread(err))
	}
	switch {
	case form.DetailType != "":
		return readExecution(text)
	case form.RequestContext != nil:
		return readInvocation(text)
	case form.Action != "":
		return ReadCall(text)
	case form.TaskID == nil:
		return Report{}, errors.New("the completion has no task_id")
	case string(form.Version) != "1":
		return Report{}, fmt.Errorf("the completion's version is %s; 1 is known", shown(string(form.Version)))
	}
	return readMessage(text)
}

func readMessage(text []byte) (Report, error) {
	var m struct {
		TaskID     string          `json:"task_id"`
		Attempt    *int            `json:"attempt"`
		Status     string          `json:"status"`
		Result     json.RawMessage `json:"result"`
		Stats      json.RawMessage `json:"stats"`
		Error      *failure        `json:"error"`
		Retryable  *bool           `json:"retryable"`
		RetryAfter json.RawMessage `json:"retry_after"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Report{}, fmt.Errorf("the completion can not be read: %s", misread(err))
	}
	r := Report{TaskID: m.TaskID, Kind: Kind(m.Status), Permanent: m.Retryable != nil && !*m.Retryable}
	if m.Attempt != nil {
		if r.Attempt = *m.Attempt; r.Attempt < 1 {
			return r, fmt.Errorf("attempt is %d; the first one is 1", r.Attempt)
		}
	}
	switch r.Kind {
	case Completed, Running:
	case Failed:
		r.Error = m.Error.cut("Failed")
	default:
		return r, fmt.Errorf("status is %s; completed, failed and running are known", shown(m.Status))
	}
	var err error
	if r.RetryAfter, err = wait(m.RetryAfter); err != nil {
		return r, err
	}
	return r.with(m.Result, m.Stats), nil
}

// with adds result and stats, if they are not too large to be kept. That they are is no error: who is not heard of is started again, and
// would say the same again.
func (r Report) with(result, stats json.RawMessage) Report {
	result, stats = present(result), present(stats)
	switch {
	case len(result) > MaxResult:
		r.TooLarge = fmt.Sprintf("the result has %d bytes, and %d are kept at most: store it elsewhere, in S3 for instance, and return its key", len(result), MaxResult)
	case len(stats) > MaxStats:
		r.TooLarge = fmt.Sprintf("the stats have %d bytes, and %d are kept at most", len(stats), MaxStats)
	default:
		r.Result, r.Stats = result, stats
	}
	return r
}

func present(text json.RawMessage) json.RawMessage {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil
	}
	return text
}

// wait reads a Go duration or seconds. What is too long is brought down to maxWait: to refuse it would lose the end of the attempt.
func wait(text json.RawMessage) (time.Duration, error) {
	if present(text) == nil || len(text) == 0 {
		return 0, nil
	}
	var seconds float64
	if json.Unmarshal(text, &seconds) == nil && seconds >= 0 {
		return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second)), nil
	}
	var words string
	if json.Unmarshal(text, &words) == nil {
		if d, err := time.ParseDuration(words); err == nil && d >= 0 {
			return min(d, maxWait), nil
		}
	}
	return 0, fmt.Errorf("retry_after is %s; a duration as \"90s\", or seconds, would be right", shown(first(words, string(text))))
}

const maxWait = 14 * 24 * time.Hour

type failure struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// UnmarshalJSON takes a bare text for the message as well.
func (f *failure) UnmarshalJSON(text []byte) error {
	var message string
	if json.Unmarshal(text, &message) == nil {
		f.Message = message
		return nil
	}
	type plain failure
	return json.Unmarshal(text, (*plain)(f))
}

// cut is the error as it is kept; name is its type where it has none.
func (f *failure) cut(name string) *task.Error {
	if f == nil {
		return &task.Error{Type: name}
	}
	if f.Type != "" {
		name = f.Type
	}
	return &task.Error{Type: shorten(name, maxType), Message: shorten(f.Message, maxMessage)}
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// readInvocation reads the record of an asynchronous invocation.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
func readInvocation(text []byte) (Report, error) {
	var m struct {
		RequestContext struct {
			Condition string `json:"condition"`
		} `json:"requestContext"`
		RequestPayload  json.RawMessage `json:"requestPayload"`
		ResponseContext *struct {
			FunctionError string `json:"functionError"`
		} `json:"responseContext"`
		ResponsePayload json.RawMessage `json:"responsePayload"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Report{}, fmt.Errorf("the record of an invocation can not be read: %s", misread(err))
	}
	r, err := origin(m.RequestPayload)
	if err != nil {
		return r, err
	}
	var answer struct {
		Type         string `json:"__type"`
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}
	_ = json.Unmarshal(m.ResponsePayload, &answer) // a function may answer anything
	failed := m.ResponseContext != nil && m.ResponseContext.FunctionError != ""
	switch {
	case m.RequestContext.Condition == "Success":
		r.Kind = Completed
		return r.with(m.ResponsePayload, nil), nil
	case strings.Contains(answer.Type, "TooManyRequests"), m.RequestContext.Condition == "EventAgeExceeded" && !failed:
		r.Kind = NeverStarted
		r.Error = &task.Error{Type: "Throttled", Message: "the function could not be started in time"}
		return r, nil
	}
	r.Kind = Failed
	f := failure{answer.ErrorType, answer.ErrorMessage}
	r.Error = f.cut(first(m.RequestContext.Condition, "Failed"))
	return r, nil
}

// origin finds the task in what a worker was started with.
func origin(event json.RawMessage) (Report, error) {
	var e struct {
		Drover *struct {
			Version int    `json:"version"`
			TaskID  string `json:"task_id"`
			Attempt int    `json:"attempt"`
		} `json:"drover"`
	}
	if err := json.Unmarshal(event, &e); err != nil || e.Drover == nil || e.Drover.TaskID == "" {
		return Report{}, Ignored
	}
	return Report{TaskID: e.Drover.TaskID, Attempt: e.Drover.Attempt}, nil
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
			Name   string  `json:"name"`
			Status string  `json:"status"`
			Output *string `json:"output"`
			Error  string  `json:"error"`
			Cause  string  `json:"cause"`
		} `json:"detail"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Report{}, fmt.Errorf("the status change of an execution can not be read: %s", misread(err))
	}
	parts := strings.Split(strings.TrimPrefix(m.Detail.Name, executionPrefix), "-")
	if m.Source != "aws.states" || !strings.HasPrefix(m.Detail.Name, executionPrefix) || len(parts) != 3 {
		return Report{}, Ignored
	}
	attempt, err := strconv.Atoi(parts[2])
	if err != nil || attempt < 1 {
		return Report{}, Ignored
	}
	r := Report{TaskID: parts[0] + "." + parts[1], Attempt: attempt}
	switch m.Detail.Status {
	case "SUCCEEDED":
		r.Kind = Completed
		if m.Detail.Output != nil && json.Valid([]byte(*m.Detail.Output)) {
			return r.with(json.RawMessage(*m.Detail.Output), nil), nil
		}
		return r, nil
	case "FAILED", "TIMED_OUT", "ABORTED":
		r.Kind = Failed
		f := failure{m.Detail.Error, m.Detail.Cause}
		r.Error = f.cut(map[string]string{"FAILED": "Failed", "TIMED_OUT": "TimedOut", "ABORTED": "Aborted"}[m.Detail.Status])
		return r, nil
	}
	return r, Ignored
}

// ReadCall reads the call of a sosw Worker. Stats and result come as objects or as JSON text.
func ReadCall(text []byte) (Report, error) {
	var m struct {
		Action string          `json:"action"`
		TaskID json.RawMessage `json:"task_id"`
		Stats  json.RawMessage `json:"stats"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Report{}, fmt.Errorf("the call can not be read: %s", misread(err))
	}
	var r Report
	if err := json.Unmarshal(m.TaskID, &r.TaskID); err != nil || r.TaskID == "" {
		return r, fmt.Errorf("task_id is %s; the text that the worker was given would be right", shown(string(m.TaskID)))
	}
	switch m.Action {
	case "mark_task_as_completed":
		r.Kind = Completed
	case "mark_task_as_failed":
		r.Kind, r.Error = Failed, &task.Error{Type: "Failed", Message: "marked as failed by its worker"}
	default:
		return r, fmt.Errorf("action is %s; mark_task_as_completed and mark_task_as_failed are known", shown(m.Action))
	}
	return r.with(unquote(m.Result), unquote(m.Stats)), nil
}

// unquote is the JSON in a text of JSON, and anything else as it is.
func unquote(value json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(value, &text) == nil && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return value
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

// misread is why JSON can not be read as what it should be. The decoder's own words would quote a number that does not fit.
func misread(err error) string {
	if mismatch, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		kind, _, _ := strings.Cut(mismatch.Value, " ")
		return fmt.Sprintf("a %s can not be %s of type %s", kind, first(mismatch.Field, "a value"), mismatch.Type)
	}
	return err.Error()
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
