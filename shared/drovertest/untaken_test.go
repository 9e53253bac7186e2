package drovertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const workQueue = "https://sqs.us-west-2.amazonaws.com/000000000000/work"

// queued returns a Drover with a labourer whose workers read a queue, and a job of this many tasks.
func queued(t *testing.T, options string, q fakeaws.Queue, tasks int) *drovertest.Drover {
	d := drovertest.New()
	require.NoError(t, d.Apply("labourers:\n  w:\n    target: {sqs: \""+workQueue+"\"}\n"+options+"job_schemas:\n  default: {chunkable_attrs: [[n, {}]]}\n"))
	d.SQS.Create(workQueue, q)
	d.Submit(map[string]any{"job_id": "j", "labourer": "w", "ns": make([]int, tasks), "isolate_ns": true})
	return d
}

// plain reads the queue like a worker without Drover's SDK: it receives a message, works for some time and reports completion. For a task that it loses,
// it deletes the message and reports nothing.
func plain(t *testing.T, d *drovertest.Drover, most int, takes time.Duration, loses func(task string, attempt int) bool) map[string]int {
	received := map[string]int{}
	d.SQS.Map(workQueue, fakeaws.Consumer{Batch: 1, Most: most, Take: func(batch []fakeaws.Received, done func([]string, error)) {
		var event struct {
			TaskID string `json:"task_id"`
			Drover struct{ Attempt int }
		}
		require.NoError(t, json.Unmarshal([]byte(batch[0].Body), &event))
		received[event.TaskID]++
		d.World.At(d.World.Now().Add(takes), fakeaws.Run, "end of "+event.TaskID, func() {
			if !loses(event.TaskID, event.Drover.Attempt) {
				d.Deliver(fakeaws.CompletionsQueue, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed"}`, event.TaskID, event.Drover.Attempt))
			}
			done(nil, nil)
		})
	}})
	return received
}

func never(string, int) bool { return false }

// TestG4AMessageThatNoWorkerReceivedIsNoAttempt: the workers are away for half a day, with and without heartbeats.
func TestG4AMessageThatNoWorkerReceivedIsNoAttempt(t *testing.T) {
	for name, options := range map[string]string{"": "", "with heartbeats": "    heartbeat: 1m\n"} {
		t.Run(name, func(t *testing.T) {
			d := queued(t, "    max_simultaneous_invocations: 3\n"+options, fakeaws.Queue{Visibility: time.Hour}, 7)
			d.RunFor(12 * time.Hour)
			tasks, err := d.Tasks("j")
			require.NoError(t, err)
			for _, one := range tasks {
				require.Zero(t, one.Attempt, "task %s has %+v", one.ID, one.Attempts)
			}
			require.Len(t, d.SQS.Letters(workQueue), 3, "each is sent once")

			received := plain(t, d, 10, 20*time.Second, never)
			d.SQS.Wake(workQueue)
			require.NoError(t, d.Run())

			job, _, err := d.Job("j")
			require.NoError(t, err)
			require.Equal(t, 7, job.Counts.Completed)
			require.Len(t, received, 7)
			for id, times := range received {
				require.Equal(t, 1, times, id)
			}
		})
	}
}

// TestG4TheDelayOfAQueueIsNoAttempt: the delay is longer than a task may take.
func TestG4TheDelayOfAQueueIsNoAttempt(t *testing.T) {
	d := queued(t, "    max_duration: 1m\n    cooldown: 10s\n    max_attempts: 1\n", fakeaws.Queue{Delay: 15 * time.Minute, Visibility: time.Hour}, 2)
	received := plain(t, d, 10, 30*time.Second, never)
	require.NoError(t, d.Run())

	job, _, err := d.Job("j")
	require.NoError(t, err)
	require.Equal(t, 2, job.Counts.Completed)
	require.Len(t, received, 2)
}

// TestG1ATaskThatItsWorkerLostIsRetriedWhileMessagesWait: two workers never reach the end of the queue, and lose its first messages.
func TestG1ATaskThatItsWorkerLostIsRetriedWhileMessagesWait(t *testing.T) {
	d := queued(t, "    max_simultaneous_invocations: 20\n    max_duration: 5m\n    cooldown: 1m\n", fakeaws.Queue{Visibility: time.Hour}, 200)
	d.GatherCompletions(0) // tasks end when the orchestrator checks the queue: it must not find them lost while their completions are gathered
	lost := map[string]bool{}
	plain(t, d, 2, time.Minute, func(id string, attempt int) bool {
		if len(lost) < 2 && attempt == 1 {
			lost[id] = true
			return true
		}
		return false
	})
	d.RunFor(time.Hour)

	tasks, err := d.Tasks("j")
	require.NoError(t, err)
	waiting := 0
	for _, one := range tasks {
		if !lost[one.ID.String()] {
			for _, a := range one.Attempts {
				require.EqualValues(t, "completed", a.Status, "task %s waited in the queue, and has %+v", one.ID, a)
			}
			waiting++
			continue
		}
		require.NotEmpty(t, one.Attempts, "task %s is lost, and its lease never ends", one.ID)
		require.EqualValues(t, "expired", one.Attempts[0].Status)
	}
	require.Equal(t, 198, waiting)
}

// TestG1ATaskWhoseMessageIsGoneExpires: the queue was purged, or its retention ended.
func TestG1ATaskWhoseMessageIsGoneExpires(t *testing.T) {
	d := queued(t, "    max_attempts: 2\n    retry: {max: 1s}\n", fakeaws.Queue{Retention: time.Hour}, 1)
	d.RunFor(30 * time.Minute)
	tasks, err := d.Tasks("j")
	require.NoError(t, err)
	require.Zero(t, tasks[0].Attempt)

	d.RunFor(4 * time.Hour)

	tasks, err = d.Tasks("j")
	require.NoError(t, err)
	require.EqualValues(t, "dead", tasks[0].Status)
	require.Contains(t, tasks[0].LastError().Message, "nothing was heard of it")
}

// TestG4AnEndedExecutionIsNotRepeatedWhenItsStatusEventIsLost: EventBridge loses the status event.
func TestG4AnEndedExecutionIsNotRepeatedWhenItsStatusEventIsLost(t *testing.T) {
	const machine = "arn:aws:states:us-west-2:000000000000:stateMachine:w"
	for name, c := range map[string]struct {
		f      worker.Func
		status string
		is     string
	}{
		"succeeded": {func(context.Context, worker.Task) (any, error) { return 42, nil }, "completed", "42"},
		"failed":    {func(context.Context, worker.Task) (any, error) { return nil, worker.Errorf("Broken", "no luck") }, "dead", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, runs := drovertest.New(), 0
			require.NoError(t, d.Apply("labourers:\n  w: {target: {states: \""+machine+"\"}, max_attempts: 1}\n"))
			require.NoError(t, d.Worker("w", time.Minute, func(ctx context.Context, t worker.Task) (any, error) {
				runs++
				return c.f(ctx, t)
			}))
			d.StepFunctions.Changed = nil // AWS may lose the event
			d.Submit(`{"job_id": "j", "labourer": "w"}`)
			require.NoError(t, d.Run())

			tasks, err := d.Tasks("j")
			require.NoError(t, err)
			require.Equal(t, 1, runs)
			require.EqualValues(t, c.status, tasks[0].Status)
			require.Equal(t, c.is, string(tasks[0].Result))
			if c.status == "dead" {
				require.Equal(t, "no luck", tasks[0].LastError().Message)
			}
		})
	}
}

// TestAnOutputThatAStatusEventOmitsIsFetched: an output that cannot be fetched is reported as missing.
func TestAnOutputThatAStatusEventOmitsIsFetched(t *testing.T) {
	const machine = "arn:aws:states:us-west-2:000000000000:stateMachine:w"
	result := strings.Repeat("x", 250<<10)
	for name, c := range map[string]struct {
		before func(context.Context, fakeaws.Request) error
		status string
	}{
		"fetched":       {nil, "completed"},
		"not permitted": {func(_ context.Context, r fakeaws.Request) error { return denied(r, "DescribeExecution") }, "dead"},
	} {
		t.Run(name, func(t *testing.T) {
			d := drovertest.New()
			require.NoError(t, d.Apply("labourers:\n  w: {target: {states: \""+machine+"\"}}\n"))
			require.NoError(t, d.Worker("w", time.Minute, func(context.Context, worker.Task) (any, error) { return result, nil }))
			d.StepFunctions.Before = c.before
			d.Submit(`{"job_id": "j", "labourer": "w"}`)
			require.NoError(t, d.Run())

			tasks, err := d.Tasks("j")
			require.NoError(t, err)
			require.EqualValues(t, c.status, tasks[0].Status)
			if c.status == "completed" {
				require.Equal(t, `"`+result+`"`, string(tasks[0].Result))
				return
			}
			require.Equal(t, "ResultTooLarge", tasks[0].LastError().Type)
			require.Contains(t, tasks[0].LastError().Message, "248 KB")
		})
	}
}

// denied refuses one kind of request like AWS if the caller has no right to it.
func denied(r fakeaws.Request, operation string) error {
	if r.Operation != operation {
		return nil
	}
	return &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized", Fault: smithy.FaultClient}
}
