package worker

import (
	"context"
	"encoding/json"
	"time"
)

// Task is one attempt to run a task.
//
// A Task that a test of your own builds from its exported fields works too: Stats are dropped, and heartbeats go nowhere.
type Task struct {
	// ID is the same for all attempts of the task: the key for whatever must happen only once.
	ID string
	// JobID is the job that the task is a part of.
	JobID string
	// LabourerID is the labourer for which this worker runs.
	LabourerID string
	// Attempt counts from 1.
	Attempt int
	// Deadline is the end of the time that the task had been given when it was dispatched. Heartbeats move the end of
	// the context, not this field.
	Deadline time.Time
	// Payload is the JSON object of the task's own attributes, in their order.
	Payload json.RawMessage

	completionsURL string
	sentAt         time.Time // when it was put into the queue it came by; zero if it came by none
	run            *run
}

// Decode stores the payload in the value that v points to, as json.Unmarshal does. Its error is Permanent and of the type
// "BadInput": another attempt would read the same.
func (t Task) Decode(v any) error {
	if err := json.Unmarshal(t.Payload, v); err != nil {
		return Permanent(Errorf("BadInput", "payload of task %s: %w", t.ID, err))
	}
	return nil
}

// Stats records a figure of this run (rows read, bytes written). It is archived with the task, also when the run fails.
// The value has to be one that encoding/json can encode; the same name again replaces the figure. Safe for concurrent use.
func (t Task) Stats(name string, value any) {
	if t.run != nil {
		t.run.stat(name, value)
	}
}

// Heartbeat tells Drover that the task is still being worked on. It extends the lease by the labourer's max_duration, and
// the context of this run with it. It returns an error when the message could not be sent; the deadline then stays where it was.
func (t Task) Heartbeat(ctx context.Context) error {
	if t.run == nil {
		return nil
	}
	return t.run.heartbeat(ctx)
}
