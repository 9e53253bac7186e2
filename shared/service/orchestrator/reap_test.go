package orchestrator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// TestG1LostTasksAreReapedWithinThreeMinutesOfTheirEnd: 200 tasks run in a lease each, started one second apart, and all their workers are lost.
// Leases whose dispatcher died are dispatched within the same time. The order of the leases' keys does not matter.
func TestG1LostTasksAreReapedWithinThreeMinutesOfTheirEnd(t *testing.T) {
	const limit, within = 200, 3 * time.Minute
	s := stage(t, limit)
	for i := range limit - 1 {
		s.Schedule(t, outage.Job(fmt.Sprintf("lost-%d", i), "f", 1))
		require.Equal(t, 1, s.HandOut(t, "f"))
		s.Pass(time.Second)
	}
	s.Schedule(t, outage.Job("undispatched", "f", 1))
	s.Pass(time.Second)
	claimed, err := s.Services().Orchestrator.Service.Claim(ctx, "dead", "f", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	require.Equal(t, 1, claimed.Claimed)
	claimedAt := s.World.Now()
	ends := map[string]time.Time{}
	for _, l := range leases(t, s) {
		if end := l.EndOf(0, queue.Limits{MaxDuration: 10 * time.Minute, Cooldown: 5 * time.Minute}); !end.IsZero() {
			ends[string(l.Segment)] = end
		}
	}
	require.Len(t, ends, limit-1)

	for range 25 {
		s.Pass(time.Minute)
		require.NoError(t, execute(s, "tick"))
		if s.World.Now().After(claimedAt.Add(within)) {
			require.Len(t, first(s.Handed(t, "f")), limit, "the last one was dispatched")
		}
		for at, end := range ends {
			if s.World.Now().After(end.Add(within)) {
				tasks, err := s.Tasks.Range(ctx, segment.ID(at), segment.Of(0))
				require.NoError(t, err)
				require.Equal(t, task.Expired, tasks[0].Status, "the lease on %s ended at %s", at, end)
				delete(ends, at)
			}
		}
	}

	require.Empty(t, ends)
}

// first returns the first attempts among those that were started.
func first(handed []outage.Handed) []outage.Handed {
	return slices.DeleteFunc(handed, func(h outage.Handed) bool { return h.Attempt > 1 })
}

// TestAWakeReadsOnlyTheLabourersThatItNames: and not all of 500 labourers and their job schemas.
func TestAWakeReadsOnlyTheLabourersThatItNames(t *testing.T) {
	var text strings.Builder
	text.WriteString("labourers:\n")
	for i := range 500 {
		fmt.Fprintf(&text, "  l%03d: {target: {lambda: l%03d}, max_simultaneous_invocations: 10, max_attempts: 3}\n", i, i)
	}
	text.WriteString("job_schemas:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "  s%03d: {chunkable_attrs: [[store, {}], [product, {}]]}\n", i)
	}
	s := stage(t, 1)
	require.NoError(t, s.Apply(text.String()))
	plan := func(named ...string) (queries int, units float64) {
		s.DynamoDB.ResetUsage()
		_, err := s.Services().Orchestrator.Service.Plan(ctx, "execution", orchestrator.PlanInput{Labourers: named})
		require.NoError(t, err)
		for use, cost := range s.DynamoDB.Usage() {
			require.Equal(t, fakeaws.ControlTable, use.Table)
			queries, units = queries+cost.Calls, units+cost.ReadUnits
		}
		return queries, units
	}

	calls, units := plan("l007")
	require.Equal(t, 2, calls, "its configuration, a look at it")
	require.LessOrEqual(t, units, 1.5)
	calls, units = plan("l007", "l008", "unknown")
	require.Equal(t, 5, calls)
	require.LessOrEqual(t, units, 4.0)
	calls, units = plan()
	require.Equal(t, 503, calls, "a tick reads the list, and looks at each, f and g included")
	require.Less(t, units, 275.0)
	t.Logf("a tick of 500 labourers reads %g units", units)
}
