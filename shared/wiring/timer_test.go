package wiring_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestAShortWaitIsAMessageAndALongOneAnExecution: the limit is 15 minutes.
func TestAShortWaitIsAMessageAndALongOneAnExecution(t *testing.T) {
	for wait, short := range map[time.Duration]bool{
		0: true, time.Second: true, 899 * time.Second: true, 900 * time.Second: true, 900*time.Second + 1: false, 901 * time.Second: false, time.Hour: false,
	} {
		s, f, _ := stage(t)
		settler, is := f.Scavenger.Service.Settler.(outcome.Settler)
		require.True(t, is)
		calls := map[string]int{}
		count := func(_ context.Context, r fakeaws.Request) error {
			calls[r.Operation]++
			return nil
		}
		s.SQS.Before, s.StepFunctions.Before = count, count
		until := s.World.Now().Add(wait)

		require.NoError(t, f.Scheduler.Service.Timer.WakeAt(context.Background(), until, "f"))
		require.NoError(t, f.Assistant.Service.Timer.WakeAt(context.Background(), until, "f", "g"))
		require.NoError(t, settler.Waiter.Backoff(context.Background(), outcome.Backoff{Labourer: "f", Until: until, Tasks: []task.Task{{}, {}, {}}}))

		if short {
			require.Equal(t, map[string]int{"SendMessage": 3}, calls, "%s: one for a batch, whatever its tasks", wait)
			continue
		}
		require.Equal(t, map[string]int{"StartExecution": 3}, calls, wait)
	}
}

// TestAWakeForRetriesIsSentOnce by a process: until it comes, and for each labourer and time. What could not be sent is sent again.
func TestAWakeForRetriesIsSentOnce(t *testing.T) {
	s, f, _ := stage(t)
	settler, is := f.Scavenger.Service.Settler.(outcome.Settler)
	require.True(t, is)
	sent, broken := 0, true
	s.SQS.Before = func(context.Context, fakeaws.Request) error {
		if broken {
			return errors.New("out of order")
		}
		sent++
		return nil
	}
	until := s.World.Now().Add(20 * time.Second)
	backoff := func(labourer string, until time.Time) error {
		return settler.Waiter.Backoff(context.Background(), outcome.Backoff{Labourer: labourer, Until: until, Tasks: []task.Task{{}}})
	}

	require.Error(t, backoff("f", until))
	broken = false
	for range 3 {
		require.NoError(t, backoff("f", until))
		require.NoError(t, backoff("f", until.Add(time.Second)))
		require.NoError(t, backoff("g", until))
	}
	require.Equal(t, 3, sent)

	s.World.Advance(until)
	require.NoError(t, backoff("f", until))
	require.Equal(t, 4, sent, "it has come, and this task may have failed since")
}
