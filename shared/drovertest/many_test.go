package drovertest_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// crowd counts the workers of functions that run at once.
type crowd struct {
	*drovertest.Drover
	running, most map[string]int
}

// newCrowd returns a Drover with labourers w0, w1, …, each with a function of its own and this cap. A task takes the time.
func newCrowd(t *testing.T, labourers, limit int, takes time.Duration) crowd {
	t.Helper()
	c := crowd{drovertest.New(), map[string]int{}, map[string]int{}}
	var configuration strings.Builder
	configuration.WriteString("job_schemas: {default: {chunkable_attrs: [[part, {}]]}}\nlabourers:\n")
	for i := range labourers {
		name := fmt.Sprintf("w%d", i)
		fmt.Fprintf(&configuration, "  %s: {target: {lambda: %s}, max_simultaneous_invocations: %d}\n", name, name, limit)
		c.Lambda.Handle(name, func(text []byte, done func(*fakeaws.Failure)) {
			var one struct {
				TaskID string `json:"task_id"`
			}
			require.NoError(t, json.Unmarshal(text, &one))
			c.running[name]++
			c.most[name] = max(c.most[name], c.running[name])
			c.World.At(c.World.Now().Add(takes), fakeaws.Run, "end of "+one.TaskID, func() {
				c.running[name]--
				c.Deliver(fakeaws.CompletionsQueue, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed"}`, one.TaskID))
				done(nil)
			})
		})
	}
	require.NoError(t, c.Apply(configuration.String()))
	require.NoError(t, c.Run())
	c.DynamoDB.ResetUsage()
	return c
}

// units returns the write and read units that were used since the crowd was made.
func (c crowd) units() (writes, reads float64) {
	for _, cost := range c.DynamoDB.Usage() {
		writes, reads = writes+cost.WriteUnits, reads+cost.ReadUnits
	}
	return writes, reads
}

func (c crowd) submit(id, labourer string, tasks int) {
	c.Submit(map[string]any{"job_id": id, "labourer": labourer, "parts": make([]int, tasks), "isolate_parts": true})
}

func (c crowd) requireCompleted(t *testing.T, id string, tasks int) {
	t.Helper()
	job, found, err := c.Job(id)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, tasks, job.Counts.Completed, id)
}

func TestG3FiveHundredLabourersAtOnceKeepTheirCaps(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	const labourers, each = 500, 6
	c := newCrowd(t, labourers, 2, 5*time.Second)
	for i := range labourers {
		c.submit(fmt.Sprintf("j%d", i), fmt.Sprintf("w%d", i), each)
	}
	require.NoError(t, c.Run())

	for i := range labourers {
		c.requireCompleted(t, fmt.Sprintf("j%d", i), each)
		require.Equal(t, 2, c.most[fmt.Sprintf("w%d", i)])
	}
	require.Len(t, c.Facts("JobCompleted"), labourers)
	writes, reads := c.units()
	t.Logf("%.2f write units and %.2f read units a task", writes/(labourers*each), reads/(labourers*each))
	require.InDelta(t, 4.33, writes/(labourers*each), 0.05, "as docs/costs.md says")
}

func TestG3FiftyJobsAtOnceShareACap(t *testing.T) {
	const jobs, each = 50, 20
	c := newCrowd(t, 1, 12, 5*time.Second)
	for i := range jobs {
		c.submit(fmt.Sprintf("j%d", i), "w0", each)
	}
	require.NoError(t, c.Run())

	for i := range jobs {
		c.requireCompleted(t, fmt.Sprintf("j%d", i), each)
	}
	require.Equal(t, 12, c.most["w0"])
	writes, reads := c.units()
	t.Logf("%.2f write units and %.2f read units a task", writes/(jobs*each), reads/(jobs*each))
	require.InDelta(t, 2.75, writes/(jobs*each), 0.05, "as docs/costs.md says")
}

var deepest = flag.Int("deep", 100_000, "how many tasks the deep queue of TestADeepQueueCostsNoMore has")

// TestADeepQueueCostsNoMore: what a task costs does not depend on how many wait behind it.
func TestADeepQueueCostsNoMore(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	cost := func(deep int) (writes, reads float64) {
		c := newCrowd(t, 1, 12, 5*time.Second)
		const each = 100_000 // in an event of a megabyte
		var jobs []string
		for left := deep; left > 0; left -= each {
			jobs = append(jobs, fmt.Sprintf("j%d", len(jobs)))
			c.submit(jobs[len(jobs)-1], "w0", min(left, each))
		}
		c.RunFor(5 * time.Minute)
		c.DynamoDB.ResetUsage()
		before := c.completed(t, jobs)
		c.RunFor(10 * time.Minute)
		done := float64(c.completed(t, jobs) - before)
		require.Greater(t, done, 1000.)
		writes, reads = c.units()
		return writes / done, reads / done
	}
	shallowWrites, shallowReads := cost(3000)
	deepWrites, deepReads := cost(*deepest)
	t.Logf("write units a task %.3f and %.3f, read units %.3f and %.3f", shallowWrites, deepWrites, shallowReads, deepReads)
	require.InDelta(t, 1.44, deepWrites, 0.05, "as docs/costs.md says")
	require.InDelta(t, 1.61, deepReads, 0.05, "as docs/costs.md says")
	require.InEpsilon(t, shallowWrites, deepWrites, 0.05)
	require.InEpsilon(t, shallowReads, deepReads, 0.05)
}

func (c crowd) completed(t *testing.T, jobs []string) (n int) {
	t.Helper()
	for _, id := range jobs {
		job, _, err := c.Job(id)
		require.NoError(t, err)
		n += job.Counts.Completed
	}
	return n
}
