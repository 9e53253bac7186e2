package drovertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/worker"
)

// fed returns a Drover with a labourer of one slot and a job of eight tasks, which are all in one lease. ran has the payloads in the
// order of their starts.
func fed(t *testing.T, options string) (d *drovertest.Drover, ran *[]string) {
	t.Helper()
	d, ran = drovertest.New(), &[]string{}
	require.NoError(t, d.Apply("labourers:\n  w:\n    target: {lambda: work}\n    max_simultaneous_invocations: 1\n"+options+
		"job_schemas:\n  default: {chunkable_attrs: [[part, {}]]}\n"))
	require.NoError(t, d.Worker("w", 10*time.Second, func(_ context.Context, one worker.Task) (any, error) {
		var payload struct{ Parts []int }
		err := one.Decode(&payload)
		*ran = append(*ran, fmt.Sprint(payload.Parts[0]))
		return nil, err
	}))
	d.Submit(`{"job_id": "j", "labourer": "w", "parts": [1, 2, 3, 4, 5, 6, 7, 8], "isolate_parts": true}`)
	return d, ran
}

// TestG7APauseTakesBackTheSlotsOfLeases within seconds: the task in hand ends, and no other starts.
func TestG7APauseTakesBackTheSlotsOfLeases(t *testing.T) {
	d, ran := fed(t, "")
	d.RunFor(15 * time.Second)
	leases, err := d.Leases("w")
	require.NoError(t, err)
	require.Positive(t, queue.Waiting(leases))
	require.Equal(t, []string{"1", "2"}, *ran)

	require.NoError(t, d.Pause("w"))
	d.RunFor(2 * time.Second)
	leases, err = d.Leases("w")
	require.NoError(t, err)
	require.Zero(t, queue.Waiting(leases), "what waited is in the queue again")
	require.NoError(t, d.Run())
	require.Equal(t, []string{"1", "2"}, *ran)

	require.NoError(t, d.Resume("w"))
	require.NoError(t, d.Run())
	require.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7", "8"}, *ran)
	job, _, err := d.Job("j")
	require.NoError(t, err)
	require.Equal(t, 8, job.Counts.Completed)
}

// TestG7WorseHealthTakesBackTheSlotsOfLeases within a minute, and Run ends although tasks wait in a lease.
func TestG7WorseHealthTakesBackTheSlotsOfLeases(t *testing.T) {
	d, ran := fed(t, "    health_metrics: {cpu: {details: {MetricName: CPU, Namespace: Mine}, feelings: {4: 50}, missing: bad}}\n")
	d.CloudWatch.Put("Mine", "CPU", nil, d.World.Now(), 10)
	d.RunFor(15 * time.Second)
	require.NotEmpty(t, *ran)
	d.CloudWatch.Put("Mine", "CPU", nil, d.World.Now().Add(45*time.Second), 90)
	d.RunFor(2 * time.Minute)
	before := len(*ran)
	require.Less(t, before, 8)

	require.NoError(t, d.Run())
	require.Len(t, *ran, before)
	leases, err := d.Leases("w")
	require.NoError(t, err)
	require.Positive(t, queue.Waiting(leases))
	for _, l := range leases {
		require.Zero(t, l.Slots)
	}

	for range 5 {
		d.CloudWatch.Put("Mine", "CPU", nil, d.World.Now(), 10)
		d.RunFor(time.Minute)
	}
	require.Len(t, *ran, 8)
}

// TestARetryStartsInTimeWhereNothingElseRuns: its wake was sent while others waited in its lease, and these have ended since.
func TestARetryStartsInTimeWhereNothingElseRuns(t *testing.T) {
	for _, wait := range []time.Duration{3 * time.Second, 6 * time.Second, 20 * time.Second} {
		d := drovertest.New()
		require.NoError(t, d.Apply(fmt.Sprintf("labourers:\n  w: {target: {lambda: work}, max_simultaneous_invocations: 10, retry: {min: %[1]s, initial: %[1]s, max: %[1]s}}\n"+
			"job_schemas:\n  default: {chunkable_attrs: [[part, {}]]}\n", wait)))
		var failed, last time.Time
		require.NoError(t, d.Worker("w", 200*time.Millisecond, func(context.Context, worker.Task) (any, error) {
			if last = d.World.Now(); failed.IsZero() {
				failed = last
				return nil, errors.New("not yet")
			}
			return nil, nil
		}))
		d.Submit(map[string]any{"job_id": "nightly", "labourer": "w", "parts": make([]int, 40), "isolate_parts": true})

		require.NoError(t, d.Run())

		require.GreaterOrEqual(t, last.Sub(failed), wait)
		require.LessOrEqual(t, last.Sub(failed), wait+4*time.Second, "windows, the rounding of wakes, and a second of SQS")
	}
}
