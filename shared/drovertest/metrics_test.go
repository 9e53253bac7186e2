package drovertest_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/emf"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// logged makes a Drover write its log, and returns a function that reads the metrics in it.
func logged(t *testing.T, d *drovertest.Drover) func() emf.Points {
	t.Helper()
	var log bytes.Buffer
	d.Log = slog.New(slog.NewJSONHandler(&log, nil))
	return func() emf.Points {
		points, err := emf.Read(log.String())
		require.NoError(t, err)
		return points
	}
}

var of = []string{"Stack=drover", "Labourer=crew"}

// mishaps is a job of ten tasks. The first task completes at its third attempt, the second fails three times and dies, the third is lost twice
// and dies at a permanent failure, the others complete.
func mishaps(t *testing.T, d *drovertest.Drover) {
	t.Helper()
	require.NoError(t, d.Apply(`
labourers:
  crew: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:crew"}, max_simultaneous_invocations: 4, max_duration: 60s, cooldown: 0s, retry: {initial: 10s}}
job_schemas: {default: {chunkable_attrs: [[part, {}]]}}
`))
	require.NoError(t, d.Worker("crew", 5*time.Second, func(_ context.Context, task worker.Task) (any, error) {
		var payload struct{ Parts []int }
		if err := task.Decode(&payload); err != nil {
			return nil, err
		}
		switch part := payload.Parts[0]; {
		case part == 0 && task.Attempt < 3, part == 1:
			return nil, errors.New("it failed")
		case part == 2 && task.Attempt < 3:
			return nil, drovertest.ErrCrash
		case part == 2:
			return nil, worker.Permanent(errors.New("it is of no use"))
		}
		return nil, nil
	}))
	d.Lambda.OnFailure = func([]byte) {} // the target is not wired, so a crash shows at the end of the lease
	d.Submit(map[string]any{"job_id": "j", "labourer": "crew", "parts": []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "isolate_parts": true})
	require.NoError(t, d.Run())
}

func TestTheCountsOfAJobAddUp(t *testing.T) {
	for name, twice := range map[string]bool{"each invocation once": false, "each invocation twice": true} {
		t.Run(name, func(t *testing.T) {
			d := drovertest.New()
			points := logged(t, d)
			if twice {
				invoke := d.Invoke
				d.Invoke = func(i fakeaws.Invocation) {
					run := i.Run
					i.Run = func(ctx context.Context, f *fakeaws.Functions) (any, error) {
						out, err := run(ctx, f)
						_, _ = run(ctx, f)
						return out, err
					}
					invoke(i)
				}
			}

			mishaps(t, d)

			sums := map[string]float64{}
			for _, m := range []string{metric.Claimed, metric.Completed, metric.Failed, metric.Expired, metric.Retried, metric.Dead} {
				sums[m] = points().Sum(m, of...)
			}
			require.Equal(t, map[string]float64{metric.Claimed: 16, metric.Completed: 8, metric.Failed: 6, metric.Expired: 2, metric.Retried: 6, metric.Dead: 2}, sums)
			for _, m := range []string{metric.Failed, metric.Expired, metric.Dead} {
				require.InDelta(t, sums[m], points().Sum(m, "Stack=drover"), 0, "%s of the stack", m)
			}
			lasted := points().Of(metric.TaskDuration, of...)
			require.Len(t, lasted, 8)
			for _, seconds := range lasted {
				require.InDelta(t, 5.5, seconds, 0.6, "five seconds, and up to a second in which completions are gathered")
			}
			require.Len(t, points().Of(metric.StartLatency, of...), 16)
		})
	}
}

func TestStartLatencyIsTheTimeFromDueToHandedOut(t *testing.T) {
	d := drovertest.New()
	points := logged(t, d)
	require.NoError(t, d.Apply(`
labourers: {crew: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:crew"}, max_simultaneous_invocations: 1}}
job_schemas: {default: {chunkable_attrs: [[part, {}]]}}
`))
	d.GatherCompletions(0)
	require.NoError(t, d.Worker("crew", 10*time.Second, func(context.Context, worker.Task) (any, error) { return nil, nil }))
	d.Submit(map[string]any{"job_id": "j", "labourer": "crew", "parts": []int{0, 1, 2}, "isolate_parts": true})
	require.NoError(t, d.Run())

	waits := points().Of(metric.StartLatency, of...)
	require.Len(t, waits, 3)
	for i, want := range []float64{0, 10, 20} {
		require.InDelta(t, want, waits[i], 1)
	}
}
