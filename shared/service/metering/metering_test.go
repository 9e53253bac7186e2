package metering_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/metering"
)

var (
	noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	crew = metric.Subject{Labourer: "crew"}
)

func TestOnlyEndsThatCountAreCounted(t *testing.T) {
	since, at := noon, noon.Add(90*time.Second)
	attempts := []task.Attempt{{Attempt: 1, DispatchedAt: &since, ClosedAt: &at}}
	for status, want := range map[task.Status]map[string][]float64{
		task.Completed: {metric.Completed: {1}, metric.TaskDuration: {90}},
		task.Failed:    {metric.Failed: {1}},
		task.Expired:   {metric.Expired: {1}},
		task.Cancelled: nil,
	} {
		var tally metric.Tally
		metering.Ended(&tally, task.Task{Labourer: "crew", Status: status, Attempts: attempts})
		require.Equal(t, want, tally.Take()[crew], string(status))
	}
}

func TestOnlyTasksThatAChangeTakesInHandAreClaimed(t *testing.T) {
	lease := queue.Lease{Labourer: "crew", Due: noon, Tasks: segment.Range(0, 3), Waiting: segment.Range(1, 3), Hands: map[int]queue.Hand{0: {}}}
	fed := lease
	fed.Hands, fed.Waiting = map[int]queue.Hand{0: {}, 1: {}, 2: {}}, segment.Of(3)
	var tally metric.Tally
	metering.Claimed(&tally, noon.Add(time.Minute), queue.Change{Before: lease, After: fed})
	metering.Claimed(&tally, noon.Add(time.Hour), queue.Change{Before: fed, After: fed})
	require.Equal(t, map[string][]float64{metric.Claimed: {2}, metric.StartLatency: {60, 60}}, tally.Take()[crew])
}

func TestATaskThatReturnsForTheSameAttemptIsNoRetry(t *testing.T) {
	lease := queue.Lease{Labourer: "crew", Attempt: 2}
	var tally metric.Tally
	metering.Requeued(&tally, lease, queue.Entry{Attempt: 2, Tasks: segment.Of(1)})
	require.Empty(t, tally.Take())
	metering.Requeued(&tally, lease, queue.Entry{Attempt: 3, Tasks: segment.Range(1, 2)})
	require.Equal(t, map[string][]float64{metric.Retried: {2}}, tally.Take()[crew])
}

func TestTheGaugesAreTheNumbersOfTheDecision(t *testing.T) {
	oldest := noon.Add(-90 * time.Second)
	var tally metric.Tally
	metering.Decided(&tally, decision.Record{At: noon, Labourer: "crew", Due: 7, Running: 2, Cap: 2.5, OldestDue: &oldest})
	require.Equal(t, map[string][]float64{metric.Due: {7}, metric.Running: {2}, metric.Cap: {2.5}, metric.OldestDueAge: {90}}, tally.Take()[crew])
	metering.Decided(&tally, decision.Record{At: noon, Labourer: "crew"})
	require.Equal(t, []float64{0}, tally.Take()[crew][metric.OldestDueAge])
}

// known answers with a labourer, or an error.
type known struct{ err error }

func (known) Learn(context.Context, ...string) {}

func (k known) Recent(context.Context, string) (labourer.Labourer, error) {
	return labourer.New("crew"), k.err
}

func TestALabourerAtRestWhoseCapIsUnknownReportsNothing(t *testing.T) {
	var tally metric.Tally
	metering.Rests{Tally: &tally, Labourers: known{errors.New("throttled")}}.Rested(t.Context(), "crew")
	require.Empty(t, tally.Take())
	metering.Rests{Tally: &tally, Labourers: known{}}.Rested(t.Context(), "crew")
	require.Equal(t, map[string][]float64{metric.Due: {0}, metric.Running: {0}, metric.Cap: {1}, metric.OldestDueAge: {0}}, tally.Take()[crew])
}
