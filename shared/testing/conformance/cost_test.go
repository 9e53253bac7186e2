package conformance_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/conformance"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// costs measures steps on a DynamoDB in memory that counts as AWS does.
type costs struct {
	conformance.Stores
	t     *testing.T
	db    *fakeaws.DynamoDB
	lines []line
}

// line holds the cost of a step over all tables and indexes.
type line struct {
	step   string
	calls  string // by operation
	writes float64
	reads  float64
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newCosts(t *testing.T) *costs {
	db := fakeaws.NewDynamoDB(func() time.Time { return noon })
	return &costs{Stores: conformance.On(db, ""), t: t, db: db}
}

// step measures one step.
func (c *costs) step(name string, do func() error) line {
	c.t.Helper()
	c.db.ResetUsage()
	require.NoError(c.t, do(), name)
	out := line{step: name}
	calls := map[string]int{}
	for use, cost := range c.db.Usage() {
		// A transaction is one call, to however many tables: it always has a table that no other step here writes to.
		calls[use.Operation] = max(calls[use.Operation], cost.Calls)
		out.writes, out.reads = out.writes+cost.WriteUnits, out.reads+cost.ReadUnits
	}
	var parts []string
	for operation, n := range calls {
		parts = append(parts, fmt.Sprintf("%d %s", n, operation))
	}
	slices.Sort(parts)
	out.calls = strings.Join(parts, ", ")
	c.lines = append(c.lines, out)
	return out
}

func (c *costs) print() {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "step\twrite units\tread units\tcalls")
	for _, l := range c.lines {
		fmt.Fprintf(w, "%s\t%g\t%g\t%s\n", l.step, l.writes, l.reads, l.calls)
	}
	require.NoError(c.t, w.Flush())
	c.t.Log("\n" + table.String())
}

// payload returns a typical payload of a task in sosw's job language.
var payload = json.RawMessage(`{"section":"a","stores":["x","y"],"date":"2026-11-22","job_schema_name":"default","isolate_stores":true}`)

// job returns a job that is being created, with its tasks.
func (c *costs) job(id string, total int) (ledger.Job, []task.Task) {
	j := ledger.Job{ID: id, Labourer: "some_function", State: ledger.Scheduling, Text: []byte(`{"labourer":"some_function","period":"last_3_days","isolate_days":true}`),
		Fingerprint: strings.Repeat("f", 32), SubmittedAt: noon, Total: total, Owner: "owner", OwnedUntil: noon.Add(time.Minute), Generation: 1}
	var tasks []task.Task
	for k := range total {
		tasks = append(tasks, task.Task{ID: j.TaskAt(k), Labourer: j.Labourer, JobID: j.ID, Payload: payload, CreatedAt: noon})
	}
	return j, tasks
}

// queued returns a published job of at most one segment, and its entry.
func (c *costs) queued(id string, total int) (ledger.Job, []task.Task, queue.Entry) {
	j, tasks := c.job(id, total)
	require.NoError(c.t, c.Jobs.Create(c.t.Context(), j))
	require.NoError(c.t, c.Tasks.Create(c.t.Context(), tasks))
	at, numbers := j.SegmentAt(0)
	e := queue.Entry{Labourer: j.Labourer, Due: noon, Segment: at, First: numbers.Min(), Tasks: numbers, Attempt: 1}
	require.NoError(c.t, c.Jobs.Publish(c.t.Context(), []ledger.Job{j}, e))
	return j, tasks, e
}

func (c *costs) state() queue.State {
	s, err := c.Control.State(c.t.Context(), "some_function")
	require.NoError(c.t, err)
	return s
}

func (c *costs) takings(free int) []queue.Taking {
	due, err := c.Control.Due(c.t.Context(), "some_function", noon, 30)
	require.NoError(c.t, err)
	return queue.Take(c.state(), due, free, noon, func(time.Duration) time.Duration { return 20 * time.Minute })
}

// claimed returns a dispatched lease on the first n tasks.
func (c *costs) claimed(n int) queue.Lease {
	takings := c.takings(n)
	require.NoError(c.t, c.Control.Claim(c.t.Context(), "some_function", c.state(), takings, queue.Hold{}))
	require.Len(c.t, takings, 1)
	require.NoError(c.t, c.Control.Dispatched(c.t.Context(), takings[0].Lease, noon, noon.Add(time.Hour)))
	return takings[0].Lease
}

func (c *costs) closed(of task.Task, status task.Status) task.Task {
	e := task.End{Attempt: of.Attempt + 1, Status: status, DispatchedAt: noon, At: noon.Add(time.Minute)}
	if status == task.Completed {
		e.Result, e.Stats = json.RawMessage(`{"rows":10}`), json.RawMessage(`{"seconds":1.25}`)
	} else {
		e.Error = &task.Error{Type: "Timeout", Message: "the database did not answer within 30 seconds"}
	}
	after, err := of.Close(e)
	require.NoError(c.t, err)
	return after
}

func TestCostOfEachStep(t *testing.T) {
	ctx := t.Context()
	c := newCosts(t)
	want := func(got line, writes, reads float64, calls string) {
		t.Helper()
		require.Equal(t, line{got.step, calls, writes, reads}, got)
	}

	j, tasks := c.job("nightly", segment.Size)
	want(c.step("create a job's record", func() error { return c.Jobs.Create(ctx, j) }), 2, 0, "1 PutItem")
	want(c.step("create 256 tasks", func() error { return c.Tasks.Create(ctx, tasks) }), 256, 0, "11 BatchWriteItem")
	at, numbers := j.SegmentAt(0)
	e := queue.Entry{Labourer: j.Labourer, Due: noon, Segment: at, Tasks: numbers, Attempt: 1}
	want(c.step("publish a segment", func() error { return c.Jobs.Publish(ctx, []ledger.Job{j}, e) }), 4, 0, "1 TransactWriteItems")

	want(c.step("approach", func() error {
		return c.Control.Approach(ctx, j.Labourer, noon, queue.Hold{By: "execution", Until: noon.Add(time.Second)})
	}), 1, 0, "1 UpdateItem")
	want(c.step("approach while another claims", func() error {
		require.ErrorIs(t, c.Control.Approach(ctx, j.Labourer, noon, queue.Hold{By: "another", Until: noon.Add(time.Second)}), queue.ErrChanged)
		return nil
	}), 1, 0, "1 UpdateItem")
	want(c.step("read what a claim stands on", func() error {
		if _, err := c.Control.State(ctx, j.Labourer); err != nil {
			return err
		}
		if _, err := c.Control.Leases(ctx, j.Labourer); err != nil {
			return err
		}
		_, err := c.Control.Due(ctx, j.Labourer, noon, 30)
		return err
	}), 0, 3, "1 GetItem, 2 Query")
	var leases []queue.Lease
	for _, n := range []int{1, 10, 100} {
		takings, state := c.takings(n), c.state()
		want(c.step(fmt.Sprintf("claim %d tasks of an entry", n), func() error { return c.Control.Claim(ctx, j.Labourer, state, takings, queue.Hold{}) }), 6, 0, "1 TransactWriteItems")
		leases = append(leases, takings[0].Lease)
	}
	takings, state := c.takings(200), c.state()
	want(c.step("claim the rest of an entry", func() error { return c.Control.Claim(ctx, j.Labourer, state, takings, queue.Hold{}) }), 6, 0, "1 TransactWriteItems")
	want(c.step("claim on an old version", func() error {
		require.ErrorIs(t, c.Control.Claim(ctx, j.Labourer, state, takings, queue.Hold{}), queue.ErrChanged)
		return nil
	}), 6, 0, "1 TransactWriteItems")
	want(c.step("read 10 tasks to dispatch", func() error { _, err := c.Tasks.Range(ctx, at, leases[1].Tasks); return err }), 0, 1, "1 Query")
	want(c.step("read 100 tasks to dispatch", func() error { _, err := c.Tasks.Range(ctx, at, leases[2].Tasks); return err }), 0, 5, "1 Query")
	want(c.step("note a dispatch", func() error { return c.Control.Dispatched(ctx, leases[1], noon, noon.Add(time.Hour)) }), 1, 0, "1 UpdateItem")

	var ten []task.Task
	var ids []task.ID
	for n := range leases[1].Tasks.All() {
		ten, ids = append(ten, tasks[n]), append(ids, tasks[n].ID)
	}
	want(c.step("look up 10 completed tasks", func() error {
		if _, err := c.Tasks.Load(ctx, ids); err != nil {
			return err
		}
		_, err := c.Control.LeasesOn(ctx, j.Labourer, at)
		return err
	}), 0, 11, "1 BatchGetItem, 1 Query")
	want(c.step("close 10 tasks", func() error {
		for _, one := range ten {
			if err := c.Tasks.Save(ctx, one, c.closed(one, task.Completed)); err != nil {
				return err
			}
		}
		return nil
	}), 10, 0, "10 UpdateItem")
	want(c.step("close a task again", func() error {
		require.ErrorIs(t, c.Tasks.Save(ctx, ten[0], c.closed(ten[0], task.Completed)), task.ErrStale)
		return nil
	}), 1, 0, "1 UpdateItem")
	want(c.step("release the 10 of a lease", func() error { return c.Control.Release(ctx, leases[1], leases[1].Tasks) }), 1, 0, "1 DeleteItem")
	want(c.step("release 10 of a lease of 100", func() error { return c.Control.Release(ctx, leases[2], leases[2].Tasks.First(10)) }), 1, 0, "1 UpdateItem")
	hundred, _, err := c.Control.Lease(ctx, j.Labourer, leases[2].Item())
	require.NoError(t, err)
	failed := hundred.Held().First(10)
	want(c.step("queue 10 failed tasks again", func() error {
		return c.Control.Requeue(ctx, hundred, queue.Entry{Labourer: j.Labourer, Due: noon.Add(time.Minute), Segment: at, First: failed.Min(), Tasks: failed, Attempt: 2})
	}), 4, 0, "1 TransactWriteItems")
	want(c.step("a first heartbeat", func() error { return c.Control.Hear(ctx, leases[0], leases[0].First, noon) }), 1, 0, "1 UpdateItem")

	var lives []int
	for n := range numbers.All() {
		lives = append(lives, ledger.Life(n, 0))
	}
	var p ledger.Progress
	want(c.step("record 100 ends", func() error {
		p, err = c.Jobs.Record(ctx, j.ID, at, ledger.Ends{task.Completed: lives[:100]})
		return err
	}), 1, 0, "1 UpdateItem")
	want(c.step("record the last of 256 ends", func() error { p, err = c.Jobs.Record(ctx, j.ID, at, ledger.Ends{task.Completed: lives}); return err }), 1, 0, "1 UpdateItem")
	want(c.step("enter a segment in its job's totals", func() error { return c.Jobs.Roll(ctx, p, noon) }), 4, 0, "1 TransactWriteItems")
	j, _, err = c.Jobs.Get(ctx, j.ID)
	require.NoError(t, err)
	want(c.step("finish a job", func() error { return c.Jobs.Finish(ctx, j, ledger.Completed, noon) }), 1, 0, "1 UpdateItem")
	want(c.step("look whether there is something to do", func() error {
		_, err := c.Control.Look(ctx, j.Labourer, noon, 50)
		return err
	}), 0, 0.5, "1 Query")
	c.print()
}

// TestCostOfALook measures what a tick reads of each labourer: all of its leases, in the worst case one for each task.
func TestCostOfALook(t *testing.T) {
	for leases, want := range map[int]line{
		10:  {"look", "1 Query", 0, 0.5},
		49:  {"look", "1 Query", 0, 1},
		200: {"look", "2 Query", 0, 3.5},
		500: {"look", "2 Query", 0, 8},
	} {
		t.Run(fmt.Sprintf("%d leases", leases), func(t *testing.T) {
			c := newCosts(t)
			for i := range leases {
				_, _, e := c.queued(fmt.Sprintf("job-%d", i), 1)
				takings := queue.Take(c.state(), []queue.Entry{e}, 1, noon, func(time.Duration) time.Duration { return time.Hour })
				require.NoError(t, c.Control.Claim(t.Context(), "some_function", c.state(), takings, queue.Hold{}))
				require.NoError(t, c.Control.Dispatched(t.Context(), takings[0].Lease, noon, noon.Add(time.Hour)))
			}

			got := c.step("look", func() error {
				seen, err := c.Control.Look(t.Context(), "some_function", noon, 50)
				require.Len(t, seen.Leases, leases)
				return err
			})

			require.Equal(t, want, got)
		})
	}
}

// TestCostOfATask measures the stores' part of a task: a whole segment, from the event to the end of the job, at a cap of 100 with completions
// in batches of ten.
func TestCostOfATask(t *testing.T) {
	ctx := t.Context()
	c := newCosts(t)
	all := c.step("256 tasks, each completed at its first attempt", func() error {
		j, tasks, _ := c.queued("nightly", segment.Size)
		at, _ := j.SegmentAt(0)
		for done := 0; done < j.Total; {
			require.NoError(t, c.Control.Approach(ctx, j.Labourer, noon, queue.Hold{By: "execution", Until: noon.Add(time.Second)}))
			l := c.claimed(100)
			_, err := c.Tasks.Range(ctx, at, l.Tasks)
			require.NoError(t, err)
			numbers := slices.Collect(l.Tasks.All())
			for batch := range slices.Chunk(numbers, 10) {
				for _, n := range batch {
					require.NoError(t, c.Tasks.Save(ctx, tasks[n], c.closed(tasks[n], task.Completed)))
				}
				now, _, err := c.Control.Lease(ctx, j.Labourer, l.Item())
				require.NoError(t, err)
				require.NoError(t, c.Control.Release(ctx, now, segment.Of(batch...)))
			}
			p, err := c.Jobs.Record(ctx, j.ID, at, ledger.Ends{task.Completed: numbers})
			require.NoError(t, err)
			if done += len(numbers); done == j.Total {
				require.NoError(t, c.Jobs.Roll(ctx, p, noon))
			}
		}
		j, _, err := c.Jobs.Get(ctx, j.ID)
		require.NoError(t, err)
		return c.Jobs.Finish(ctx, j, ledger.Completed, noon)
	})
	c.print()
	perTask := all.writes / segment.Size
	t.Logf("%.3f write units a task", perTask)
	require.LessOrEqual(t, perTask, 2.4)
	require.Equal(t, 576.0, all.writes)
}

// TestCostOfSmallJobs measures jobs of few tasks that are scheduled together: they share a segment and its entry.
func TestCostOfSmallJobs(t *testing.T) {
	ctx := t.Context()
	c := newCosts(t)
	var jobs []ledger.Job
	var tasks []task.Task
	first := 0
	for i := range 10 {
		j, _ := c.job(fmt.Sprintf("small-%d", i), 3)
		if i > 0 {
			j.Segment, j.First = segment.IDOf(jobs[0].ID, 0), first
		}
		first += j.Total
		require.NoError(t, c.Jobs.Create(ctx, j))
		jobs = append(jobs, j)
		for k := range j.Total {
			tasks = append(tasks, task.Task{ID: j.TaskAt(k), Labourer: j.Labourer, JobID: j.ID, Payload: payload, CreatedAt: noon})
		}
	}
	require.True(t, slices.IsSortedFunc(tasks, func(a, b task.Task) int { return cmp.Compare(a.ID.N, b.ID.N) }))
	require.Equal(t, 30.0, c.step("create 30 tasks of 10 jobs", func() error { return c.Tasks.Create(ctx, tasks) }).writes)
	e := queue.Entry{Labourer: "some_function", Due: noon, Segment: segment.IDOf(jobs[0].ID, 0), Tasks: segment.Range(0, first-1), Attempt: 1}
	require.Equal(t, line{"publish 10 jobs together", "1 TransactWriteItems", 22, 0}, c.step("publish 10 jobs together", func() error { return c.Jobs.Publish(ctx, jobs, e) }))
	c.print()
}
