package worker

import (
	"context"
	"encoding/json"
	"time"
)

// Task is one attempt at a task.
//
// A test can build a Task from its exported fields: it drops stats, and sends no heartbeats.
type Task struct {
	// ID stays the same for all attempts of the task: use it as the key of effects that must happen only once.
	ID string
	// JobID names the task's job.
	JobID string
	// LabourerID names the labourer for which this worker runs.
	LabourerID string
	// Attempt counts from 1.
	Attempt int
	// Deadline ends the time that the task was given when it was dispatched. Heartbeats move the end of
	// the context, not this field.
	Deadline time.Time
	// Payload holds the JSON object of the task's own attributes, in their order.
	Payload json.RawMessage

	completionsURL string
	sentAt         time.Time // when its message entered the queue; zero without a queue
	run            *run
}

// Decode stores the payload in the value that v points to, as json.Unmarshal does. Its error is Permanent and of the type
// "BadInput", as another attempt would read the same payload.
func (t Task) Decode(v any) error {
	if err := json.Unmarshal(t.Payload, v); err != nil {
		return Permanent(Errorf("BadInput", "payload of task %s: %w", t.ID, err))
	}
	return nil
}

// Stats records a figure of this run (rows read, bytes written). It is archived with the task, also when the run fails.
// encoding/json must be able to encode the value; a second value of a name replaces the first. It is safe for concurrent use.
func (t Task) Stats(name string, value any) {
	if t.run != nil {
		t.run.stat(name, value)
	}
}

// Heartbeat tells Drover that the worker is still running the task. It extends the lease, and this run's context, by the
// labourer's max_duration. It returns an error when the message could not be sent; the deadline then does not move.
func (t Task) Heartbeat(ctx context.Context) error {
	if t.run == nil {
		return nil
	}
	return t.run.heartbeat(ctx)
}
