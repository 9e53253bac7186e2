package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/target"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// starter returns for each start what answer, or answerTo, returns; nil means started.
type starter struct {
	asked   int
	started []target.Start
	answer  func(n int) error

	answerTo func(id task.ID) error
}

func (s *starter) Start(_ context.Context, _ labourer.Labourer, starts []target.Start) []error {
	errs := make([]error, len(starts))
	s.asked += len(starts)
	for i, one := range starts {
		if s.answer != nil {
			errs[i] = s.answer(one.Task.ID.N)
		}
		if s.answerTo != nil {
			errs[i] = s.answerTo(one.Task.ID)
		}
		if errs[i] == nil {
			s.started = append(s.started, one)
		}
	}
	return errs
}

// claimed returns a stage with so many tasks claimed and not dispatched, its orchestrator with a starter, and the leases.
func claimed(t *testing.T, n int) (*outage.Stage, *orchestrator.Service, *starter, []orchestrator.Handout) {
	s := stage(t, n, n)
	o, starts := s.Services().Orchestrator.Service, &starter{}
	o.Launcher.Starter = starts
	out, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Equal(t, n, out.Claimed)
	return s, o, starts, out.Leases
}

func TestTheInputOfAWorker(t *testing.T) {
	for name, c := range map[string]struct{ job, event string }{
		"attributes": {
			`{"job_id": "nightly", "labourer": "f", "stores": ["x"], "logging": {"level": "DEBUG"}}`,
			`{"task_id":"%[1]s.0","drover":{"version":1,"task_id":"%[1]s.0","job_id":"nightly","labourer_id":"f","attempt":1,"deadline":"2150-01-01T00:10:00Z","completions_url":"` +
				fakeaws.CompletionsQueue + `"},"stores":["x"],"logging":{"level":"DEBUG"}}`,
		},
		"none": {
			`{"job_id": "nightly", "labourer": "f"}`,
			`{"task_id":"%[1]s.0","drover":{"version":1,"task_id":"%[1]s.0","job_id":"nightly","labourer_id":"f","attempt":1,"deadline":"2150-01-01T00:10:00Z","completions_url":"` +
				fakeaws.CompletionsQueue + `"}}`,
		},
		"a time of the job's own": {
			`{"job_id": "nightly", "labourer": "f", "max_duration": "1h"}`,
			`{"task_id":"%[1]s.0","drover":{"version":1,"task_id":"%[1]s.0","job_id":"nightly","labourer_id":"f","attempt":1,"deadline":"2150-01-01T01:00:00Z","completions_url":"` +
				fakeaws.CompletionsQueue + `"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 1)
			s.Schedule(t, c.job)
			require.Equal(t, 1, s.HandOut(t, "f"))
			j, _, err := s.Jobs.Get(ctx, "nightly")
			require.NoError(t, err)

			require.Equal(t, fmt.Sprintf(c.event, j.TaskAt(0).Segment), s.SQS.Letters(outage.Worker("f"))[0].Body)
		})
	}
}

func TestADispatchedLeaseIsPassedOver(t *testing.T) {
	_, o, starts, items := claimed(t, 3)
	first, err := o.Dispatch(ctx, "f", items)
	require.NoError(t, err)
	require.Equal(t, 3, first.Dispatched)

	again, err := o.Dispatch(ctx, "f", append(items, orchestrator.Handout{Lease: "lease#abcdefghijklmnop#1#000", Tasks: "0-3"}))

	require.NoError(t, err)
	require.Equal(t, orchestrator.Dispatched{Errors: []string{}}, again)
	require.Len(t, starts.started, 3)
	given, err := o.GiveBack(ctx, "execution", "f", append(items, orchestrator.Handout{Lease: "lease#abcdefghijklmnop#1#000", Tasks: "0-3"}))
	require.NoError(t, err)
	require.Zero(t, given, "dispatched tasks are not given back")
}

// TestG1PartialFailuresAreToldApart: of five tasks two are started, one can never be started, and two cannot be started now.
func TestG1PartialFailuresAreToldApart(t *testing.T) {
	s, o, starts, items := claimed(t, 5)
	starts.answer = func(n int) error {
		switch n {
		case 1:
			return fmt.Errorf("sending: %w", &target.Refusal{Type: "PayloadTooLarge", Reason: "too large"})
		case 2, 3:
			return errors.New("access denied")
		}
		return nil
	}

	out, err := o.Dispatch(ctx, "f", items)

	require.NoError(t, err)
	require.Equal(t, 2, out.Dispatched)
	require.Equal(t, 1, out.Failed)
	require.Equal(t, 2, out.GivenBack)
	require.Len(t, out.Errors, 3)
	require.Equal(t, 3, held(t, s), "two that run, and one that has failed and is not settled yet")
	back, err := s.Control.Queue(ctx, "f")
	require.NoError(t, err)
	require.Len(t, back, 1)
	require.Equal(t, 2, back[0].Tasks.Len())
	require.Equal(t, 1, back[0].Attempt, "it burns no attempt")
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "access denied", state.Trouble.Error)
	require.Equal(t, outage.Start.Add(30*time.Second), state.Trouble.Until)
	s.Scavenge(t)
	failures := 0
	for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
		if it["status"] != nil {
			failures++
		}
	}
	require.Equal(t, 1, failures)
}

func TestAThrottledTargetRestsForAShorterTime(t *testing.T) {
	s, o, starts, items := claimed(t, 2)
	starts.answer = func(int) error { return &target.Throttled{Err: errors.New("rate exceeded")} }

	out, err := o.Dispatch(ctx, "f", items)

	require.NoError(t, err)
	require.Equal(t, 2, out.GivenBack)
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "throttled: rate exceeded", state.Trouble.Error)
	require.Equal(t, outage.Start.Add(3*time.Second), state.Trouble.Until)
	assessed, err := o.Assess(ctx, "execution", "f", orchestrator.Decided{Round: 0})
	require.NoError(t, err)
	require.False(t, assessed.Start)

	s.Pass(15 * time.Second)
	starts.answer = nil
	again, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Equal(t, 2, again.Claimed)
	_, err = o.Dispatch(ctx, "f", again.Leases)
	require.NoError(t, err)
	state, err = s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Nil(t, state.Trouble, "a target that can be reached has no trouble")
}

func TestG6TasksThatAreGivenBackStayBeforeLaterOnes(t *testing.T) {
	s, o, _, items := claimed(t, 2)
	s.Pass(time.Second)
	s.Schedule(t, outage.Job("later", "f", 1))

	given, err := o.GiveBack(ctx, "execution", "f", items)
	require.NoError(t, err)
	require.Equal(t, 2, given)

	line, err := s.Control.Queue(ctx, "f")
	require.NoError(t, err)
	require.Len(t, line, 2)
	require.Equal(t, 2, line[0].Tasks.Len())
	require.True(t, line[0].Due.Before(line[1].Due))
	again, err := o.GiveBack(ctx, "execution", "f", items)
	require.NoError(t, err)
	require.Zero(t, again)
}

func TestG5ATaskThatEndsBeforeItsDispatchIsNotStarted(t *testing.T) {
	s, o, starts, items := claimed(t, 3)
	all := leases(t, s)
	tasks, err := s.Tasks.Range(ctx, all[0].Segment, all[0].Tasks)
	require.NoError(t, err)
	cancelled, err := tasks[0].Cancel(outage.Start)
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(ctx, tasks[0], cancelled))
	failed, err := tasks[1].Close(task.End{Attempt: 1, Status: task.Failed, At: outage.Start, Error: &task.Error{Type: "Boom"}})
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(ctx, tasks[1], failed))

	out, err := o.Dispatch(ctx, "f", items)

	require.NoError(t, err)
	require.Equal(t, 1, out.Dispatched)
	require.Equal(t, 2, out.Ended)
	require.Len(t, starts.started, 1)
	require.Equal(t, 1, held(t, s))
	line, err := s.Control.Queue(ctx, "f")
	require.NoError(t, err)
	require.Len(t, line, 1, "what has failed is settled at once")
	require.Equal(t, 2, line[0].Attempt)
}

func TestALabourerWithoutATargetStartsNothing(t *testing.T) {
	errs := target.Targets{}.Start(ctx, labourer.New("f"), make([]target.Start, 2))

	require.Len(t, errs, 2)
	require.EqualError(t, errs[0], "labourer f has no target")
}

func TestEachKindOfTargetHasItsStarter(t *testing.T) {
	kinds := map[string]*starter{"lambda": {}, "sqs": {}, "states": {}}
	all := target.Targets{Lambda: kinds["lambda"], SQS: kinds["sqs"], States: kinds["states"]}
	for kind, of := range map[string]labourer.Target{"lambda": {Lambda: "f"}, "sqs": {SQS: "https://queue"}, "states": {States: "arn"}} {
		l := labourer.New("f")
		l.Target = of

		require.Equal(t, []error{nil}, all.Start(ctx, l, make([]target.Start, 1)))
		require.Len(t, kinds[kind].started, 1, kind)
	}
}

func TestOnlySomeErrorsAreShown(t *testing.T) {
	_, o, starts, items := claimed(t, 20)
	starts.answer = func(int) error { return errors.New("access denied") }

	out, err := o.Dispatch(ctx, "f", items)

	require.NoError(t, err)
	require.Len(t, out.Errors, 5, "the output of a state is bounded")
	require.Equal(t, 20, out.GivenBack)
	text, err := json.Marshal(out)
	require.NoError(t, err)
	require.Contains(t, string(text), `"dispatched":0,"given_back":20,"errors":["task `)
}

// TestG8ATaskThatItsQueueRefusesBlocksNoOther: the queue accepts messages of up to 64 KB, and one task has 70 KB.
func TestG8ATaskThatItsQueueRefusesBlocksNoOther(t *testing.T) {
	s := stage(t, 2)
	s.SQS.Create(outage.Worker("f"), fakeaws.Queue{MaxMessage: 64 << 10})
	s.Schedule(t, fmt.Sprintf(`{"job_id": "large", "labourer": "f", "ballast": %q}`, strings.Repeat("x", 70<<10)), `{"job_id": "other", "labourer": "f"}`)

	s.HandOut(t, "f")

	require.Len(t, s.Handed(t, "f"), 1)
	ended := s.Ended(t)
	require.Len(t, ended, 1)
	require.Equal(t, "PayloadTooLarge", ended[0].LastError().Type)
	require.Contains(t, ended[0].LastError().Message, "Message must be shorter than 65536 bytes")
	require.True(t, ended[0].Permanent)
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Nil(t, state.Trouble)
}
