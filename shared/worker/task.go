package worker

import (
	"context"
	"encoding/json"
	"time"
)

// Task holds one attempt of a task.
//
// A test can build a Task from its exported fields. Such a task drops stats, and sends no heartbeats.
type Task struct {
	// ID stays the same for all attempts of the task: use it as the key of effects that must happen only once.
	ID string
	// JobID names the task's job. For a plugin's turn it is the id of the run.
	JobID string
	// LabourerID names the labourer for which this worker runs.
	LabourerID string
	// Attempt counts from 1.
	Attempt int
	// Deadline ends the time that the task got when it was dispatched. Heartbeats extend the context, but do not change this field.
	Deadline time.Time
	// SoswTaskID names the task in sosw, if it was moved from there.
	SoswTaskID string
	// Payload holds the JSON object of the task's own attributes, in their order. For a plugin's turn, Turn has them decoded.
	Payload json.RawMessage
	// Trace holds the trace context of this attempt. It is empty unless the job or the run was submitted with one. The context that the function gets
	// has it too: see [TraceOf].
	Trace Trace
	// Turn says for which part of a workflow's run the task is: task.Plugin, task.Metadata and so on. It is empty for a task of a job.
	Turn

	completionsURL string
	sentAt         time.Time // when its message entered the queue, or zero without a queue
	run            *run
}

// Decode stores the payload in the value that v points to, like json.Unmarshal. Its error is Permanent and has the type "BadInput", because a retry
// would read the same payload.
func (t Task) Decode(v any) error {
	if err := json.Unmarshal(t.Payload, v); err != nil {
		return Permanent(Errorf("BadInput", "payload of task %s: %w", t.ID, err))
	}
	return nil
}

// Stats records a figure of this run (rows read, bytes written). It is archived with the task, also when the run fails.
// encoding/json must be able to encode the value. A second value with the same name replaces the first. Stats is safe for concurrent use.
func (t Task) Stats(name string, value any) {
	if t.run != nil {
		t.run.stat(name, value)
	}
}

// Heartbeat tells Drover that the worker is still running the task. It extends the lease, and this run's context, by the labourer's max_duration. It
// returns an error if the message could not be sent; then it extends neither.
func (t Task) Heartbeat(ctx context.Context) error {
	if t.run == nil {
		return nil
	}
	return t.run.heartbeat(ctx)
}
