package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/exact"
)

// Version numbers the format of the `drover` part of the events that this package reads, and of the completions that it sends.
const Version = 1

// BadEvent reports that an event is not a task of Drover. There is no task to report as failed, so the worker returns the error to the sender: the
// event goes to Lambda's on-failure destination or to the queue's dead letters.
type BadEvent struct {
	Field  string // path of the wrong attribute, or "event" for the whole event
	Reason string
}

func (e *BadEvent) Error() string { return e.Field + ": " + e.Reason }

// envelope is Drover's part of the event, under the key "drover".
type envelope struct {
	Version        json.RawMessage `json:"version"`
	TaskID         string          `json:"task_id"`
	JobID          string          `json:"job_id"`
	LabourerID     string          `json:"labourer_id"`
	Attempt        int             `json:"attempt"`
	Deadline       string          `json:"deadline"`
	CompletionsURL string          `json:"completions_url"`
	TraceParent    json.RawMessage `json:"traceparent"`
	TraceState     json.RawMessage `json:"tracestate"`
	SoswTaskID     string          `json:"sosw_task_id"`
}

// ParseTask reads the event of one task: a Lambda event, the body of an SQS message or the input of a state machine.
// Every error is a *BadEvent. It ignores unknown attributes of `drover`, and refuses an unknown version.
func ParseTask(event []byte) (Task, error) {
	attributes, err := splitEvent(event)
	if err != nil {
		return Task{}, err
	}
	if attributes.drover == nil {
		return Task{}, &BadEvent{"drover", "is missing; Drover did not send this event"}
	}
	task, err := attributes.drover.task()
	if err != nil {
		return Task{}, err
	}
	if attributes.taskID != "" && attributes.taskID != task.ID {
		return Task{}, &BadEvent{"task_id", fmt.Sprintf("is %q, but drover.task_id is %q; want the same id", attributes.taskID, task.ID)}
	}
	task.Payload = attributes.payload
	task.Turn = turnOf(task.Payload, task.JobID)
	return task, nil
}

// eventParts holds the parts of an event: Drover's, and the rest, which is the payload.
type eventParts struct {
	taskID  string
	drover  *envelope
	payload json.RawMessage
}

// splitEvent splits the top level instead of decoding it into a map: the payload keeps its order and each number its digits.
func splitEvent(event []byte) (eventParts, error) {
	var parts eventParts
	if !json.Valid(event) {
		return parts, &BadEvent{"event", "is not one JSON document"}
	}
	members, err := exact.Members(event)
	if err != nil {
		return parts, &BadEvent{"event", "is not a JSON object"}
	}
	payload := bytes.NewBufferString("{")
	own := map[string]bool{}
	for _, m := range members {
		if own[m.Name] {
			return parts, &BadEvent{m.Name, "occurs twice; want it once"}
		}
		switch m.Name {
		case "task_id":
			own[m.Name] = true
			if exact.Decode(m.Value, &parts.taskID) != nil {
				return parts, &BadEvent{"task_id", "is not a string"}
			}
		case "drover":
			own[m.Name] = true
			if parts.drover, err = readEnvelope(m.Value); err != nil {
				return parts, err
			}
		default:
			appendAttribute(payload, m.Name, m.Value)
		}
	}
	payload.WriteByte('}')
	parts.payload = payload.Bytes()
	return parts, nil
}

func appendAttribute(object *bytes.Buffer, name string, value json.RawMessage) {
	if object.Len() > 1 {
		object.WriteByte(',')
	}
	object.Write(mustEncode(name))
	object.WriteByte(':')
	object.Write(value)
}

func readEnvelope(value json.RawMessage) (*envelope, error) {
	var version struct {
		Version json.RawMessage `json:"version"`
	}
	if err := exact.Decode(value, &version); err != nil {
		return nil, badDrover(err)
	}
	// The version is checked first, because the rest of another version is unknown.
	if err := checkVersion(version.Version); err != nil {
		return nil, err
	}
	var e envelope
	if err := exact.Decode(value, &e); err != nil {
		return nil, badDrover(err)
	}
	return &e, nil
}

func badDrover(err error) *BadEvent {
	wrong, ok := errors.AsType[*exact.Error](err)
	if ok && wrong.Path != "" {
		return &BadEvent{"drover." + wrong.Path, wrong.Reason}
	}
	return &BadEvent{"drover", err.Error()}
}

func checkVersion(version json.RawMessage) error {
	if len(version) == 0 {
		return &BadEvent{"drover.version", fmt.Sprintf("is missing; this worker knows version %d", Version)}
	}
	if string(version) != fmt.Sprint(Version) {
		return &BadEvent{"drover.version", fmt.Sprintf("is %s; this worker knows version %d: build it with a newer shared/worker", clip(string(version), 40), Version)}
	}
	return nil
}

func (e *envelope) task() (Task, error) {
	if e.TaskID == "" {
		return Task{}, &BadEvent{"drover.task_id", "is missing"}
	}
	if e.Attempt < 1 {
		return Task{}, &BadEvent{"drover.attempt", fmt.Sprintf("is %d; attempts count from 1", e.Attempt)}
	}
	if e.CompletionsURL == "" {
		return Task{}, &BadEvent{"drover.completions_url", "is missing; the worker cannot report without it"}
	}
	deadline, err := time.Parse(time.RFC3339Nano, e.Deadline)
	if err != nil {
		return Task{}, &BadEvent{"drover.deadline", fmt.Sprintf("is %q; want a time such as 2026-11-22T08:00:00Z", clip(e.Deadline, 40))}
	}
	return Task{
		ID: e.TaskID, JobID: e.JobID, LabourerID: e.LabourerID, Attempt: e.Attempt,
		Deadline: deadline, completionsURL: e.CompletionsURL, SoswTaskID: e.SoswTaskID, Trace: readTrace(e.TraceParent, e.TraceState),
	}, nil
}
