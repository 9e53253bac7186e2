package drovertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const finding = `
labourers:
  shop:
    target: {lambda: shop}
    max_simultaneous_invocations: {min: 2, max: 60, toward: {CPU: 60}%s}
    health_metrics:
      CPU: {details: {MetricName: CPU, Namespace: Mine}, feelings: {4: 90, 2: 95}}
job_schemas:
  default: {chunkable_attrs: [[n, {}]]}
`

// shop runs many tasks of half a minute on a database whose load is 10, and 2 for each running task.
type shop struct {
	*drovertest.Drover
	t *testing.T
}

func aShop(t *testing.T, with string) shop {
	d := drovertest.New()
	require.NoError(t, d.Apply(fmt.Sprintf(finding, with)))
	require.NoError(t, d.Worker("shop", 30*time.Second, func(context.Context, worker.Task) (any, error) { return struct{}{}, nil }))
	names := make([]string, 3000)
	for i := range names {
		names[i] = fmt.Sprintf("n%04d", i)
	}
	d.Submit(map[string]any{"job_id": "nightly", "labourer": "shop", "ns": names, "isolate_ns": true})
	return shop{d, t}
}

func (s shop) running() int {
	leases, err := s.Leases("shop")
	require.NoError(s.t, err)
	return queue.Running(leases)
}

// minutes passes time, and returns the most tasks that were seen running.
func (s shop) minutes(n int, load func(running int) float64) (most int) {
	for range n {
		for range 6 {
			s.RunFor(10 * time.Second)
			most = max(most, s.running())
		}
		s.CloudWatch.Put("Mine", "CPU", nil, s.World.Now(), load(s.running()))
	}
	return most
}

func (s shop) changes() (out []adaptive.Noted) {
	for _, fact := range s.Facts("LabourerCapChanged") {
		var n adaptive.Noted
		require.NoError(s.t, json.Unmarshal(fact.Detail, &n))
		out = append(out, n)
	}
	return out
}

func ofTasks(running int) float64 { return 10 + 2*float64(running) }

func TestACapFindsItself(t *testing.T) {
	s := aShop(t, "")
	require.LessOrEqual(t, s.minutes(1, ofTasks), 2, "it begins at its minimum")
	s.minutes(30, ofTasks)

	changes := s.changes()
	last := changes[len(changes)-1]
	require.InDelta(t, 25, last.To, 4, "10 and 2 × 25 are the target, 60")
	require.LessOrEqual(t, s.minutes(5, ofTasks), last.To)
	for i := 1; i < len(changes); i++ {
		require.Equal(t, changes[i-1].To, changes[i].From)
		require.GreaterOrEqual(t, changes[i].At.Sub(changes[i-1].At), time.Minute)
	}
	require.Equal(t, "CPU", last.Metric)

	noted, err := dynamo.Health{API: s.DynamoDB, Table: fakeaws.ControlTable}.Noted(context.Background(), "shop")
	require.NoError(t, err)
	require.Len(t, noted, len(changes)+1, "with its beginning")
	require.Equal(t, 0, noted[0].From)

	s.minutes(6, func(int) float64 { return 99 })
	require.LessOrEqual(t, s.running(), last.To/2, "an emergency halves it")
}

func TestAShadowOnlyRecordsTheCapThatItWouldFind(t *testing.T) {
	s := aShop(t, ", shadow: true")
	require.Equal(t, 60, s.minutes(8, ofTasks))
	require.Empty(t, s.changes(), "a load of 130 finds no cap above the minimum")
}

func TestAPinnedCapHoldsForItsTime(t *testing.T) {
	s := aShop(t, "")
	control := dynamo.Control{API: s.DynamoDB, Table: fakeaws.ControlTable}
	now := s.World.Now()
	require.NoError(t, control.SetPin(context.Background(), "shop", &queue.Pin{Cap: 7, At: now, Until: now.Add(10*time.Minute + time.Second)}))
	require.Equal(t, 7, s.minutes(8, ofTasks))
	require.NoError(t, s.Apply(fmt.Sprintf(finding, "")), "it outlives apply")
	require.Equal(t, 7, s.minutes(2, ofTasks))
	s.minutes(2, ofTasks)
	require.NotEqual(t, 7, s.running(), "then the cap finds itself again")

	require.NoError(t, control.SetPin(context.Background(), "shop", &queue.Pin{Cap: 0, At: now}))
	s.minutes(2, ofTasks)
	require.Zero(t, s.running())
	require.NoError(t, control.SetPin(context.Background(), "shop", nil))
	require.NotZero(t, s.minutes(2, ofTasks))
}
