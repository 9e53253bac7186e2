package orchestrator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// unstarted returns Lambda's record of an event that it dropped at a time, as it could not start the function.
func unstarted(h outage.Handed, at time.Time) string {
	return fmt.Sprintf(`{"version": "1.0", "timestamp": %q, "requestContext": {"condition": "EventAgeExceeded"},
		"requestPayload": {"drover": {"version": 1, "task_id": %q, "attempt": %d}}}`, at.Format(time.RFC3339Nano), h.TaskID, h.Attempt)
}

// between calls a function once, just before the next request of this operation.
func between(s *outage.Stage, operation string, happens func()) (done *bool) {
	done = new(bool)
	s.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == operation && !*done {
			*done = true
			happens()
		}
		return nil
	}
	return done
}

// TestG1ALateReaperDeletesNoOtherLease: one of a lease's tasks returned to the queue, and the other has ended, so a reaper empties the lease. Just
// before, another one does, and the task is claimed again in a lease under the same key.
func TestG1ALateReaperDeletesNoOtherLease(t *testing.T) {
	s := stage(t, 2, 2)
	require.Equal(t, 2, s.HandOut(t, "f"))
	h := s.Handed(t, "f")
	s.Report(t, unstarted(h[0], s.World.Now()))
	endUnreleased(t, s, h[1])
	require.Equal(t, 1, held(t, s))
	key := leases(t, s)[0].Item()
	s.Pass(20 * time.Minute)
	overtaken := between(s, "DeleteItem", func() {
		_, err := s.Services().Orchestrator.Service.Reap(ctx, "f")
		require.NoError(t, err)
		require.Equal(t, 1, s.HandOut(t, "f"))
	})

	_, err := s.Services().Orchestrator.Service.Reap(ctx, "f")

	require.NoError(t, err)
	require.True(t, *overtaken)
	require.Equal(t, 1, held(t, s), "the task that was started again is held")
	require.Equal(t, key, leases(t, s)[0].Item())
	s.Report(t, s.Handed(t, "f")[2].Completed())
	s.Scavenge(t)
	require.Contains(t, outage.Picture(s.Stack), "job job-0 completed of f total=2 cursor=1 completed=2")
}

// TestG4ATaskThatWasNeverStartedReturnsOnce: Lambda's record of it comes twice, the second time after or during the next start under the same key.
func TestG4ATaskThatWasNeverStartedReturnsOnce(t *testing.T) {
	again := func(s *outage.Stage, record string) {
		_, summary := s.Services().Assistant.Service.Handle(ctx, "again", messages(record))
		require.Empty(t, summary.Errors)
		require.Zero(t, summary.Completed)
	}
	restart := func(s *outage.Stage) {
		s.Pass(6 * time.Second)
		require.Equal(t, 1, s.HandOut(t, "f"))
	}
	for name, tell := range map[string]func(s *outage.Stage, record string){
		"one after the other": func(s *outage.Stage, record string) {
			again(s, record)
			restart(s)
			again(s, record)
		},
		"one overtakes the other": func(s *outage.Stage, record string) {
			overtaken := between(s, "TransactWriteItems", func() {
				again(s, record)
				restart(s)
			})
			again(s, record)
			require.True(t, *overtaken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, 1, 1)
			require.Equal(t, 1, s.HandOut(t, "f"))

			tell(s, unstarted(s.Handed(t, "f")[0], s.World.Now()))

			require.Equal(t, 1, held(t, s), "the worker that was started again keeps its slot")
			s.Pass(6 * time.Second)
			require.Zero(t, s.HandOut(t, "f"))
			require.Len(t, s.Handed(t, "f"), 2)
		})
	}
}

// TestG3ALeaseThatAnotherDispatcherHasAdoptedIsNotGivenBack: an execution that was taken for dead continues, and gives back its claim. Another one
// adopts the lease and starts its worker at the same moment.
func TestG3ALeaseThatAnotherDispatcherHasAdoptedIsNotGivenBack(t *testing.T) {
	s := stage(t, 1, 1)
	s.Pass(time.Second)
	claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "slow", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	s.Pass(time.Minute)
	overtaken := between(s, "TransactWriteItems", func() { require.NoError(t, execute(s, "tick")) })

	_, err = s.Services().Orchestrator.Service.GiveBack(ctx, "slow", "f", claimed.Leases)

	require.NoError(t, err)
	require.True(t, *overtaken)
	require.Equal(t, 1, held(t, s))
	require.NotContains(t, outage.Picture(s.Stack), "is queued")
	require.Len(t, s.Handed(t, "f"), 1)
}
