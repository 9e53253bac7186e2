package orchestrator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/direct"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// kept keeps the starts that a scheduler asks for.
type kept struct{ starts []direct.Start }

func (k *kept) Start(_ context.Context, starts []direct.Start) error {
	k.starts = append(k.starts, starts...)
	return nil
}

// granter returns what grants directly, with this starter.
func granter(s *outage.Stage, starter direct.Starter) direct.Granter {
	return direct.Granter{Control: s.Control, Registry: dynamo.Registry{API: s.DynamoDB, Table: fakeaws.ControlTable}, Starter: starter, Now: s.World.Now}
}

// published returns a stage with labourer f, which has this cap, and the direct grant of a job of so many tasks for it.
func published(t require.TestingT, limit, tasks int) (*outage.Stage, direct.Start) {
	s := stage(t, limit)
	service, k := s.Services().Scheduler.Service, &kept{}
	service.Granter = granter(s, k)
	failed, summary := service.Handle(ctx, "scheduler", []scheduler.Message{outage.Command("lone", "SubmitJob", outage.Job("lone", "f", tasks))})
	require.Empty(t, failed, "%v", summary.Errors)
	require.Equal(t, tasks, summary.Granted)
	require.Len(t, k.starts, 1)
	return s, k.starts[0]
}

// TestTheWorkersOfADirectGrantAreStarted, and its hold ends, with these requests.
func TestTheWorkersOfADirectGrantAreStarted(t *testing.T) {
	s, start := published(t, 2, 2)
	s.DynamoDB.ResetUsage()

	out, err := s.Services().Orchestrator.Service.Start(ctx, []direct.Start{start})

	require.NoError(t, err)
	for operation, calls := range map[string]int{"GetItem": 1, "Query": 1, "UpdateItem": 2, "TransactWriteItems": 0} {
		require.Equal(t, calls, s.DynamoDB.Usage()[fakeaws.Use{Operation: operation, Table: fakeaws.ControlTable}].Calls, operation)
	}
	require.Equal(t, 2, out.Each[0].Dispatched.Dispatched)
	require.False(t, out.Each[0].Woken)
	require.Len(t, s.Handed(t, "f"), 2)
	require.Equal(t, 2, leases(t, s)[0].By(queue.Dispatched).Len())
	state, err := s.Control.State(ctx, "f")
	require.NoError(t, err)
	require.Zero(t, state.Hold)
	require.Equal(t, start.Decision, orchestrator.Made(out)[0])
}

// twoPublished returns a stage with labourer f, and the direct grants of two jobs of one task each.
func twoPublished(t require.TestingT) (*outage.Stage, []direct.Start) {
	s, first := published(t, 3, 1)
	service, k := s.Services().Scheduler.Service, &kept{}
	require.NoError(t, s.Control.Depart(ctx, "f", first.Execution)) // else the hold keeps the second off
	service.Granter = granter(s, k)
	_, summary := service.Handle(ctx, "another", []scheduler.Message{outage.Command("second", "SubmitJob", outage.Job("second", "f", 1))})
	require.Equal(t, 1, summary.Granted)
	return s, []direct.Start{first, k.starts[0]}
}

// TestTheLeasesAndTasksOfManyDirectGrantsAreReadTogether.
func TestTheLeasesAndTasksOfManyDirectGrantsAreReadTogether(t *testing.T) {
	s, starts := twoPublished(t)
	s.DynamoDB.ResetUsage()

	out, err := s.Services().Orchestrator.Service.Start(ctx, starts)

	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{out.Each[0].Dispatched.Dispatched, out.Each[1].Dispatched.Dispatched})
	for use, calls := range map[fakeaws.Use]int{
		{Operation: "BatchGetItem", Table: fakeaws.ControlTable}: 1, {Operation: "GetItem", Table: fakeaws.ControlTable}: 0,
		{Operation: "BatchGetItem", Table: fakeaws.TasksTable}: 1, {Operation: "Query", Table: fakeaws.TasksTable}: 0,
	} {
		require.Equal(t, calls, s.DynamoDB.Usage()[use].Calls, "%v", use)
	}
	require.Len(t, s.Handed(t, "f"), 2)
	for _, l := range leases(t, s) {
		require.Equal(t, 1, l.By(queue.Dispatched).Len())
	}
}

// TestG1WhatCannotBeReadTogetherIsReadByItself.
func TestG1WhatCannotBeReadTogetherIsReadByItself(t *testing.T) {
	for _, table := range []string{fakeaws.ControlTable, fakeaws.TasksTable} {
		s, starts := twoPublished(t)
		s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
			if in, is := r.Input.(*dynamodb.BatchGetItemInput); is && len(in.RequestItems[table].Keys) > 0 {
				return errors.New("out of order")
			}
			return nil
		}

		_, err := s.Services().Orchestrator.Service.Start(ctx, starts)

		require.NoError(t, err)
		require.Len(t, s.Handed(t, "f"), 2)
	}
}

// TestG4OfManyDirectGrantsThoseThatWereStartedAreNotStartedAgain, and one whose lease is gone keeps no other back.
func TestG4OfManyDirectGrantsThoseThatWereStartedAreNotStartedAgain(t *testing.T) {
	s, starts := twoPublished(t)
	_, err := s.Services().Orchestrator.Service.Start(ctx, starts[:1])
	require.NoError(t, err)
	s.Report(t, s.Handed(t, "f")[0].Completed())

	for range 2 {
		_, err = s.Services().Orchestrator.Service.Start(ctx, starts)
		require.NoError(t, err)
	}

	require.Len(t, s.Handed(t, "f"), 2)
	require.Len(t, leases(t, s), 1)
}

// TestG4WhatWasReadTogetherIsReadAgainAfterSomeTime: another start of the same grant may have come first, and its task may have ended.
func TestG4WhatWasReadTogetherIsReadAgainAfterSomeTime(t *testing.T) {
	s, starts := twoPublished(t)
	service := s.Services().Orchestrator.Service
	done := false
	s.DynamoDB.After = func(_ context.Context, r fakeaws.Request) error {
		if in, is := r.Input.(*dynamodb.BatchGetItemInput); !is || len(in.RequestItems[fakeaws.TasksTable].Keys) == 0 || done {
			return nil
		}
		done = true
		_, err := service.Start(ctx, starts[:1])
		require.NoError(t, err)
		s.Report(t, s.Handed(t, "f")[0].Completed())
		s.Pass(3 * time.Second)
		return nil
	}

	_, err := service.Start(ctx, starts)

	require.NoError(t, err)
	require.True(t, done)
	require.Len(t, s.Handed(t, "f"), 2, "each task once")
}

// TestADirectGrantThatSaysNothingOfItsLabourerIsStarted: the publisher is of an earlier version.
func TestADirectGrantThatSaysNothingOfItsLabourerIsStarted(t *testing.T) {
	s, start := published(t, 2, 1)
	start.Settings = nil

	out, err := s.Services().Orchestrator.Service.Start(ctx, []direct.Start{start})

	require.NoError(t, err)
	require.Equal(t, 1, out.Each[0].Dispatched.Dispatched)
}

// TestG4ALaterStartOfADirectGrantDoesNothing, and logs no decision. Of two at the same time both may start a worker, of the same attempt.
func TestG4ALaterStartOfADirectGrantDoesNothing(t *testing.T) {
	s, start := published(t, 2, 1)
	for i := range 3 {
		out, err := s.Services().Orchestrator.Service.Start(ctx, []direct.Start{start})
		require.NoError(t, err)
		require.Equal(t, i == 0, len(orchestrator.Made(out)) == 1)
	}

	require.Len(t, s.Handed(t, "f"), 1)
}

// TestWhatYieldedToTheHoldOfADirectGrantIsWokenFor, if a slot is free for it.
func TestWhatYieldedToTheHoldOfADirectGrantIsWokenFor(t *testing.T) {
	for limit, woken := range map[int]bool{2: true, 1: false} {
		s, start := published(t, limit, 1)
		s.Schedule(t, outage.Job("second", "f", 1))
		require.NoError(t, execute(s, "second", "f"))
		require.Equal(t, 1, held(t, s), "the execution yields to the hold")

		out, err := s.Services().Orchestrator.Service.Start(ctx, []direct.Start{start})

		require.NoError(t, err)
		require.Equal(t, woken, out.Each[0].Woken)
	}
}

// TestATaskOfADirectGrantThatCannotBeStartedReturnsToTheQueue, and an execution is woken for it unless its target rests.
func TestATaskOfADirectGrantThatCannotBeStartedReturnsToTheQueue(t *testing.T) {
	for name, c := range map[string]struct {
		given     func(*outage.Stage)
		fails     bool
		unreached int
		leased    bool // until a tick takes it over
	}{
		"its lease cannot be read":              {fails: true, given: failedReads(1)},
		"nor can it be read to return the task": {fails: true, leased: true, given: failedReads(2)},
		"its target is gone": {unreached: 1, given: func(s *outage.Stage) {
			s.SQS.Before = func(context.Context, fakeaws.Request) error { return errors.New("no such queue") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, start := published(t, 2, 1)
			c.given(s)

			out, err := s.Services().Orchestrator.Service.Start(ctx, []direct.Start{start})

			require.Equal(t, c.fails, err != nil)
			require.Equal(t, c.fails, out.Each[0].Woken, "the target rests")
			require.Equal(t, c.unreached, orchestrator.Counts(out, nil)[metric.TargetFailures])
			require.Equal(t, c.unreached > 0, orchestrator.Troubles(out) != nil)
			state, err := s.Control.State(ctx, "f")
			require.NoError(t, err)
			require.Zero(t, state.Hold)
			if c.leased {
				require.Equal(t, 1, leases(t, s)[0].By(queue.Undispatched).Len())
				return
			}
			due, err := s.Control.Due(ctx, "f", s.World.Now().Add(time.Hour), 9)
			require.NoError(t, err)
			require.Len(t, due, 1)
			require.Equal(t, 1, due[0].Attempt, "no attempt is used up")
			require.Empty(t, leases(t, s))
		})
	}
}

// failedReads lets the first reads of items fail.
func failedReads(n int) func(*outage.Stage) {
	return func(s *outage.Stage) {
		reads := 0
		s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
			if r.Operation != "GetItem" {
				return nil
			}
			if reads++; reads <= n {
				return errors.New("out of order")
			}
			return nil
		}
	}
}

// TestG1ADirectGrantWhoseStartGetsLostIsTakenOver by a tick.
func TestG1ADirectGrantWhoseStartGetsLostIsTakenOver(t *testing.T) {
	s, _ := published(t, 2, 1)
	s.Pass(time.Minute)

	require.NoError(t, execute(s, "tick"))

	require.Len(t, s.Handed(t, "f"), 1)
	require.Equal(t, 1, held(t, s))
}

// TestG4ATaskThatEndedBeforeItsStartIsNotStarted: its job was cancelled after the direct grant.
func TestG4ATaskThatEndedBeforeItsStartIsNotStarted(t *testing.T) {
	s, start := published(t, 2, 1)
	lease := leases(t, s)[0]
	for tasks, err := range s.Tasks.Chunks(ctx, lease.Segment, lease.Tasks) {
		require.NoError(t, err)
		after, err := tasks[0].Cancel(s.World.Now())
		require.NoError(t, err)
		require.NoError(t, s.Tasks.Save(ctx, tasks[0], after))
		require.Equal(t, task.Cancelled, after.Status)
	}

	_, err := s.Services().Orchestrator.Service.Start(ctx, []direct.Start{start})

	require.NoError(t, err)
	require.Empty(t, s.Handed(t, "f"))
	require.Empty(t, leases(t, s))
}
