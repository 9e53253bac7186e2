package assistant_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/assistant"
	"github.com/drover-run/drover/shared/testing/outage"
)

const worker = "arn:aws:states:us-west-2:000000000000:stateMachine:worker"

// runs returns a stage on which one attempt at a task runs, and the task's id. The target of its labourer is now a state machine.
func runs(t *testing.T, target string) (*outage.Stage, string) {
	t.Helper()
	s := stage(t, 1)
	s.Schedule(t, `{"job_id": "nightly", "labourer": "f"}`)
	require.Equal(t, 1, s.HandOut(t, "f"))
	require.NoError(t, s.Apply(fmt.Sprintf(`labourers: {f: {target: %s, max_duration: 10m, cooldown: 5m}}`, target)))
	return s, s.Handed(t, "f")[0].TaskID
}

// ended returns the event of an execution that has the name which Drover gives to a task's first attempt.
func ended(taskID, machine string) string {
	return fmt.Sprintf(`{"detail-type": "Step Functions Execution Status Change", "source": "aws.states",
		"detail": {"stateMachineArn": %q, "name": "drover-%s-1", "status": "SUCCEEDED", "output": "{}"}}`, machine, strings.ReplaceAll(taskID, ".", "-"))
}

func TestAnExecutionOfTheLabourersOwnMachineEndsItsTask(t *testing.T) {
	for name, target := range map[string]string{"by the machine": worker, "by a version": worker + ":3", "by an alias": worker + ":live"} {
		t.Run(name, func(t *testing.T) {
			for _, told := range []string{worker, worker + ":3"} {
				s, id := runs(t, fmt.Sprintf("{states: %q}", target))
				require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, ended(id, told)))
				require.Equal(t, task.Completed, stored(t, s, id).Status)
			}
		})
	}
}

// A principal that may start any state machine of the account may give its execution any name.
func TestAnExecutionOfAnotherMachineEndsNoTask(t *testing.T) {
	for name, machine := range map[string]string{
		"another":                   "arn:aws:states:us-west-2:000000000000:stateMachine:worker2",
		"one whose name is shorter": "arn:aws:states:us-west-2:000000000000:stateMachine:work",
		"one of another account":    "arn:aws:states:us-west-2:111122223333:stateMachine:worker",
		"one of another region":     "arn:aws:states:eu-west-1:000000000000:stateMachine:worker",
		"none":                      "",
	} {
		t.Run(name, func(t *testing.T) {
			s, id := runs(t, fmt.Sprintf("{states: %q}", worker))
			require.Equal(t, assistant.Summary{Foreign: 1}, handle(t, s, ended(id, machine)))
			require.Equal(t, task.Open, stored(t, s, id).Status)
			require.Equal(t, assistant.Summary{Completed: 1}, handle(t, s, ended(id, worker)), "the labourer's own execution still counts")
		})
	}
	t.Run("any, of a labourer whose target is a queue", func(t *testing.T) {
		s, id := runs(t, fmt.Sprintf("{sqs: %q}", outage.Worker("f")))
		require.Equal(t, assistant.Summary{Foreign: 1}, handle(t, s, ended(id, worker)))
	})
}

// unreadable is a registry that is unavailable.
type unreadable struct{}

func (unreadable) Labourer(context.Context, string) (labourer.Labourer, bool, error) {
	return labourer.Labourer{}, false, context.DeadlineExceeded
}

func (unreadable) Named(context.Context, []string) (map[string]labourer.Labourer, error) {
	return nil, context.DeadlineExceeded
}

func TestTheEventOfAnExecutionWithAnUnreadableLabourerIsRedelivered(t *testing.T) {
	s, id := runs(t, fmt.Sprintf("{states: %q}", worker))
	service := s.Services().Assistant.Service
	service.Labourers.Registry = unreadable{}
	missing, summary := service.Handle(context.Background(), "invocation", messages(ended(id, worker)))
	require.Len(t, missing, 1)
	require.Len(t, summary.Errors, 1)
	require.Contains(t, summary.Errors[0], "reading labourer f")

	completed := fmt.Sprintf(`{"version": 1, "task_id": %q, "status": "completed"}`, id)
	missing, summary = service.Handle(context.Background(), "invocation", messages(completed))
	require.Empty(t, missing, "a worker's own message needs no labourer")
	require.Equal(t, assistant.Summary{Completed: 1}, summary)
}
