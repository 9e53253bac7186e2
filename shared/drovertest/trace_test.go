package drovertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/trace"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-03"
)

// heard records what workers get of a trace, by task and attempt. The first attempt at each task fails.
type heard map[string]worker.Trace

func (h heard) work(ctx context.Context, t worker.Task) (any, error) {
	h[fmt.Sprintf("%s %d", t.ID, t.Attempt)] = t.Trace
	if of := worker.TraceOf(ctx); of != t.Trace && of != (worker.Trace{}) {
		return nil, worker.Permanent(errors.New("the context has another trace"))
	}
	if t.Attempt == 1 {
		return nil, errors.New("not yet")
	}
	return nil, nil
}

// TestEachAttemptGetsItsOwnSpanOfTheJobsTrace holds for each kind of target, for jobs that share a segment, after a failure and after a replay.
func TestEachAttemptGetsItsOwnSpanOfTheJobsTrace(t *testing.T) {
	for kind, target := range map[string]string{
		"lambda":     `{lambda: "arn:aws:lambda:us-west-2:000000000000:function:w"}`,
		"sqs":        `{sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/w"}`,
		"fifo queue": `{sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/w.fifo"}`,
		"states":     `{states: "arn:aws:states:us-west-2:000000000000:stateMachine:w"}`,
	} {
		t.Run(kind, func(t *testing.T) {
			d, came := drovertest.New(), heard{}
			require.NoError(t, d.Apply("labourers: {w: {target: "+target+", max_simultaneous_invocations: 2}}"))
			require.NoError(t, d.Worker("w", time.Second, came.work))
			d.Submit(`{"job_id": "traced", "labourer": "w", "traceparent": "` + traceparent + `", "tracestate": "rojo=1"}`)
			d.Submit(`{"job_id": "untraced", "labourer": "w"}`)
			d.Submit(`{"job_id": "odd", "labourer": "w", "traceparent": "` + traceparent + `0"}`)
			require.NoError(t, d.Run())

			require.Len(t, came, 6)
			for job, traced := range map[string]bool{"traced": true, "untraced": false, "odd": false} {
				tasks, err := d.Tasks(job)
				require.NoError(t, err)
				one := tasks[0]
				for _, o := range tasks {
					if o.JobID == job {
						one = o
					}
				}
				require.EqualValues(t, "completed", one.Status, job)
				require.NotContains(t, string(one.Payload), "trace")
				for attempt := 1; attempt <= 2; attempt++ {
					got := came[fmt.Sprintf("%s %d", one.ID, attempt)]
					if !traced {
						require.Empty(t, got.Keys(), job)
						continue
					}
					require.Equal(t, "00-"+traceID+"-"+trace.AttemptSpan(one.ID.String(), attempt)+"-03", got.Traceparent())
					require.Equal(t, "rojo=1", got.Tracestate())
				}
			}
		})
	}
}

// TestTheTurnsOfARunGetItsTrace: the run keeps the context, its tasks do not.
func TestTheTurnsOfARunGetItsTrace(t *testing.T) {
	d, came := drovertest.New(), heard{}
	require.NoError(t, d.Apply(`
labourers: {crew: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:crew"}, max_simultaneous_invocations: 2}}
workflows: {order: {activities: [ship]}}
plugins: {stock: {activity: ship, stage: pre, labourer: crew}, audit: {activity: ship, stage: post, labourer: crew}}
`))
	require.NoError(t, d.Worker("crew", time.Second, came.work))
	run := d.StartWorkflow(`{"workflow": "order", "start_id": "s", "traceparent": "` + traceparent + `", "tracestate": "rojo=1"}`)
	again := d.StartWorkflow(`{"workflow": "order", "start_id": "s", "uid": "", "traceparent": 7}`)
	require.NoError(t, d.Run())

	require.Equal(t, run, again, "another trace makes no other start")
	tree, err := d.Workflow(run)
	require.NoError(t, err)
	require.Len(t, came, 4)
	for _, id := range []string{tree.Activities[0].Pre.Mandatory["stock"].TaskID, tree.Activities[0].Post.Mandatory["audit"].TaskID} {
		for attempt := 1; attempt <= 2; attempt++ {
			require.Equal(t, "00-"+traceID+"-"+trace.AttemptSpan(id, attempt)+"-03", came[fmt.Sprintf("%s %d", id, attempt)].Traceparent())
		}
	}
}

// TestATracedJobCostsAsManyWritesAndRequestsAsAnotherOne compares a large job, and small ones that share a segment. Its items are longer, so reads that
// are charged by bytes may cost a little more.
func TestATracedJobCostsAsManyWritesAndRequestsAsAnotherOne(t *testing.T) {
	consumed := func(traced bool) (writes, reads float64, requests int) {
		d := drovertest.New()
		require.NoError(t, d.Apply(`
labourers: {w: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:w"}, max_simultaneous_invocations: 20}}
job_schemas: {default: {chunkable_attrs: [[part, {}]]}}`))
		require.NoError(t, d.Worker("w", time.Second, func(context.Context, worker.Task) (any, error) { return nil, nil }))
		d.DynamoDB.ResetUsage()
		d.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
			requests++
			return nil
		}
		for i, parts := range []int{300, 1, 1, 2, 1} {
			job := map[string]any{"job_id": fmt.Sprintf("j%d", i), "labourer": "w", "parts": make([]int, parts), "isolate_parts": true}
			if traced {
				job["traceparent"], job["tracestate"] = fmt.Sprintf("00-%032x-%016x-01", i+1, i+1), "rojo=00f067aa0ba902b7"
			}
			d.Submit(job)
		}
		require.NoError(t, d.Run())
		for _, cost := range d.DynamoDB.Usage() {
			writes, reads = writes+cost.WriteUnits, reads+cost.ReadUnits
		}
		return writes, reads, requests
	}

	writes, reads, requests := consumed(false)
	tracedWrites, tracedReads, tracedRequests := consumed(true)

	require.InDelta(t, writes, tracedWrites, 0)
	require.Equal(t, requests, tracedRequests)
	require.InEpsilon(t, reads, tracedReads, 0.1)
}
