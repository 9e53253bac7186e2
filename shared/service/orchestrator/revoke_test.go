package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// reportAll reports the completion of every attempt that was started and has not been reported, until no more are fed.
func reportAll(t require.TestingT, s *outage.Stage, reported map[string]bool) {
	for {
		var ends []string
		for _, h := range s.Handed(t, "f") {
			if key := fmt.Sprint(h.TaskID, h.Attempt); !reported[key] {
				reported[key] = true
				ends = append(ends, h.Completed())
			}
		}
		if len(ends) == 0 {
			return
		}
		s.Report(t, ends...)
	}
}

// finish works off all jobs of f.
func finish(t *testing.T, s *outage.Stage) {
	reported := map[string]bool{}
	for range 10 {
		s.Pass(time.Minute)
		require.NoError(t, execute(s, "tick"))
		reportAll(t, s, reported)
		s.Scavenge(t)
	}
}

// TestG7WhatWaitsInTheLeasesOfAPausedLabourerReturns: what runs may end, and nothing follows it until the labourer is resumed.
func TestG7WhatWaitsInTheLeasesOfAPausedLabourerReturns(t *testing.T) {
	s := stage(t, 3, 10)
	require.Equal(t, 3, s.HandOut(t, "f"))
	require.Equal(t, 7, waiting(t, s))
	require.NoError(t, s.Control.SetPaused(ctx, "f", true))

	require.NoError(t, execute(s, "paused", "f"))

	require.Equal(t, 3, held(t, s))
	require.Zero(t, waiting(t, s))
	require.Equal(t, 7, queued(t, s))
	s.Report(t, s.Handed(t, "f")[0].Completed())
	require.Len(t, s.Handed(t, "f"), 3, "nothing is fed")
	assessed, err := s.Services().Orchestrator.Service.Assess(ctx, "again", "f", orchestrator.Decided{Round: 0})
	require.NoError(t, err)
	require.False(t, assessed.Revoke, "once")

	require.NoError(t, s.Control.SetPaused(ctx, "f", false))
	require.NoError(t, execute(s, "resumed", "f"))
	require.Equal(t, 3, held(t, s))
	j, _, err := s.Jobs.Get(ctx, "job-0")
	require.NoError(t, err)
	require.Equal(t, j.TaskAt(3).String(), s.Handed(t, "f")[3].TaskID, "what returned keeps its place")
	finish(t, s)
	require.Contains(t, outage.Picture(s.Stack), "job job-0 completed of f total=10 cursor=1 completed=10")
}

// TestG3ALowerCapTakesSlotsFromTheLeasesThatAreLastInLine: tasks that wait keep their place, and are fed again under a higher cap.
func TestG3ALowerCapTakesSlotsFromTheLeasesThatAreLastInLine(t *testing.T) {
	s := stage(t, 6)
	s.Schedule(t, outage.Job("front", "f", 20))
	require.Equal(t, 6, s.HandOut(t, "f"))
	require.NoError(t, s.Apply(labourers(10)))
	s.Schedule(t, outage.Job("back", "f", 20))
	require.NoError(t, execute(s, "higher", "f"))
	require.Equal(t, 10, held(t, s))
	require.NoError(t, s.Apply(labourers(7)))

	require.NoError(t, execute(s, "lower", "f"))

	require.Equal(t, 10, held(t, s), "what runs may end")
	usable := 0
	for _, l := range leases(t, s) {
		usable += l.Usable()
	}
	require.Equal(t, 7, usable)
	for _, h := range s.Handed(t, "f")[:6] {
		s.Report(t, h.Completed())
	}
	require.Equal(t, 7, granted(t, s))
	require.Equal(t, 7, held(t, s), "the slots that are left are fed")

	require.NoError(t, s.Apply(labourers(12)))
	require.NoError(t, execute(s, "higher", "f"))
	require.Equal(t, 12, held(t, s))
	finish(t, s)
	require.Contains(t, outage.Picture(s.Stack), "job front completed of f total=20 cursor=1 completed=20")
	require.Contains(t, outage.Picture(s.Stack), "job back completed of f total=20 cursor=1 completed=20")
}

// TestG3AClaimThatDecidedBeforeARevocationGrantsNothing: the slots are revoked at one request of the claim.
func TestG3AClaimThatDecidedBeforeARevocationGrantsNothing(t *testing.T) {
	for at := 1; ; at++ {
		s := stage(t, 3, 20)
		require.Equal(t, 3, s.HandOut(t, "f"))
		require.NoError(t, s.Apply(labourers(6)))
		requests := 0
		s.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			if requests++; requests == at {
				require.NoError(t, s.Apply(labourers(1)))
				revoked, err := s.Services().Orchestrator.Service.Revoke(ctx, "f")
				require.NoError(t, err)
				require.Equal(t, orchestrator.Revoked{Slots: 2}, revoked)
			}
			return nil
		}

		_, err := s.Services().Orchestrator.Service.Claim(ctx, "early", "f", orchestrator.Decided{Round: 1})

		require.NoError(t, err)
		s.DynamoDB.Before = nil
		if requests < at {
			require.Equal(t, 6, held(t, s))
			require.Greater(t, at, 5)
			return
		}
		require.Equal(t, 3, granted(t, s), "at request %d", at)
		require.Equal(t, 1, leases(t, s)[0].Usable(), "at request %d", at)
	}
}

// TestG7ARevocationLosesNothingWhereverItIsCutOff: a labourer is paused while tasks run and others wait. Later it is resumed.
func TestG7ARevocationLosesNothingWhereverItIsCutOff(t *testing.T) {
	outage.Everywhere(t, func(t *testing.T, cut *outage.Cut) string {
		s := stage(t, 3, 6)
		s.Schedule(t, outage.Job("second", "f", 8))
		require.Equal(t, 3, s.HandOut(t, "f"))
		require.NoError(t, s.Apply(labourers(5)))
		require.Equal(t, 2, s.HandOut(t, "f"))
		require.NoError(t, s.Control.SetPaused(ctx, "f", true))
		cut.On(s.Stack)

		cut.Redeliver(t, s.World, time.Minute, func(delivery int) error { return execute(s, fmt.Sprintf("execution-%d", delivery), "f") })

		cut.Off()
		settle(t, s)
		require.Equal(t, 5, held(t, s), "what runs may end")
		require.Zero(t, waiting(t, s))
		require.Equal(t, 9, queued(t, s))
		require.NoError(t, s.Control.SetPaused(ctx, "f", false))
		finish(t, s)
		return outage.Picture(s.Stack)
	})
}

// TestG1AJobIsCancelledAlsoIfItsTasksReturnToTheQueueMeanwhile: its labourer is paused, so what waits in the leases returns to the queue at one
// request of the canceller. The revocation comes to its end, or dies before it sweeps what it returned.
func TestG1AJobIsCancelledAlsoIfItsTasksReturnToTheQueueMeanwhile(t *testing.T) {
	for name, dies := range map[string]bool{"as it comes to its end": false, "as it dies before it sweeps": true} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				s := stage(t, 2, 8)
				require.Equal(t, 2, s.HandOut(t, "f"))
				require.Equal(t, 6, waiting(t, s))
				require.NoError(t, s.Control.SetPaused(ctx, "f", true))
				requests := 0
				var cancelling func(context.Context, fakeaws.Request) error
				cancelling = func(context.Context, fakeaws.Request) error {
					if requests++; requests == at {
						s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
							if in, is := r.Input.(*dynamodb.QueryInput); dies && is && *in.TableName == fakeaws.TasksTable {
								return errors.New("the revocation has died")
							}
							return nil
						}
						_, err := s.Services().Orchestrator.Service.Revoke(ctx, "f")
						require.Equal(t, dies && err != nil, err != nil)
						s.DynamoDB.Before = cancelling
					}
					return nil
				}
				s.DynamoDB.Before = cancelling

				_, summary := s.Services().Scheduler.Service.Handle(ctx, "invocation", commands(outage.Command("cancel", "CancelJob", `{"job_id": "job-0"}`)))

				s.DynamoDB.Before = nil
				require.Empty(t, summary.Errors)
				for _, h := range s.Handed(t, "f") {
					s.Report(t, h.Completed())
				}
				s.Pass(2 * time.Minute)
				require.NoError(t, execute(s, "tick"))
				s.Scavenge(t)
				require.Contains(t, outage.Picture(s.Stack), "job job-0 cancelled of f total=8 cursor=1 completed=2 dead=0 cancelled=6", "at request %d", at)
				if requests < at {
					require.Greater(t, at, 8)
					return
				}
			}
		})
	}
}

// TestG5AnEndedTaskThatReturnsToTheQueueIsWithdrawnWithItsJob: its worker was started before, which was not heard of, and has completed it while it
// waited in a lease. The job's canceller died, and the tasks are given back.
func TestG5AnEndedTaskThatReturnsToTheQueueIsWithdrawnWithItsJob(t *testing.T) {
	s := stage(t, 2, 6)
	o := s.Services().Orchestrator.Service
	claimed, err := o.Claim(ctx, "execution", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Equal(t, 4, claimed.Waiting)
	tasks, err := s.Drover.Tasks("job-0")
	require.NoError(t, err)
	closed, err := tasks[5].Close(task.End{Attempt: 1, Status: task.Completed, At: s.World.Now()})
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(ctx, tasks[5], closed))
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "Query" {
			return errors.New("the canceller has died")
		}
		return nil
	}
	_, summary := s.Services().Scheduler.Service.Handle(ctx, "invocation", commands(outage.Command("cancel", "CancelJob", `{"job_id": "job-0"}`)))
	require.NotEmpty(t, summary.Errors)
	s.DynamoDB.Before = nil

	given, err := o.GiveBack(ctx, "execution", "f", claimed.Leases)

	require.NoError(t, err)
	require.Equal(t, 6, given)
	require.Zero(t, queued(t, s))
	s.Scavenge(t)
	require.Contains(t, outage.Picture(s.Stack), "job job-0 cancelled of f total=6 cursor=1 completed=1 dead=0 cancelled=5")
}
