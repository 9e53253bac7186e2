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
		Fingerprint: strings.Repeat("f", 32), SubmittedAt: noon, RecordedAt: noon, Total: total, Owner: "owner", OwnedUntil: noon.Add(time.Minute), Generation: 1}
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

func (c *costs) leases() []queue.Lease {
	leases, err := c.Control.Leases(c.t.Context(), "some_function")
	require.NoError(c.t, err)
	return leases
}

// plan decides on a grant by what is stored. free limits the slots, and all is how many the labourer has in all.
func (c *costs) plan(free, all int, now time.Time) queue.Grant {
	due, err := c.Control.Due(c.t.Context(), "some_function", noon, 30)
	require.NoError(c.t, err)
	state := c.state()
	state.Pace.Rate = 60
	return queue.Plan(state, c.leases(), due, queue.Room{Free: free, Slots: all, Starts: 1000}, now)
}

// granted grants slots and returns the leases that changed.
func (c *costs) granted(free, all int, now time.Time) []queue.Lease {
	g := c.plan(free, all, now)
	if !g.Fenced() {
		return nil
	}
	require.NoError(c.t, c.Control.Grant(c.t.Context(), "some_function", g, queue.Hold{}))
	var out []queue.Lease
	for _, change := range g.Changed {
		out = append(out, change.Written())
	}
	return out
}

func (c *costs) save(before, after queue.Lease) queue.Lease {
	require.NoError(c.t, c.Control.Save(c.t.Context(), before, after))
	return queue.Change{Before: before, After: after}.Written()
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

	lone, its := c.job("lone", 1)
	require.NoError(t, c.Jobs.Create(ctx, lone))
	require.NoError(t, c.Tasks.Create(ctx, its))
	place, number := lone.SegmentAt(0)
	var direct queue.Direct
	want(c.step("read what a direct grant stands on", func() error {
		state, err := c.Control.State(ctx, "idle")
		if err != nil {
			return err
		}
		leases, _, err := c.Control.Quiet(ctx, "idle", noon, 10)
		g, _ := queue.GrantDirectly(state, leases, queue.Entry{Labourer: "idle", Due: noon, Segment: place, Tasks: number, Attempt: 1}, queue.Room{Free: 1, Slots: 1, Starts: 1}, noon)
		direct = queue.Direct{Labourer: "idle", Grant: g, Hold: queue.Hold{By: "e", Until: noon.Add(time.Second)}}
		return err
	}), 0, 2, "1 GetItem, 1 Query")
	want(c.step("publish a job of one task with a direct grant", func() error { return c.Jobs.PublishGranted(ctx, []ledger.Job{lone}, direct) }), 6, 0, "1 TransactWriteItems")

	want(c.step("read what a claim stands on", func() error {
		if _, err := c.Control.State(ctx, j.Labourer); err != nil {
			return err
		}
		_, _, err := c.Control.Work(ctx, j.Labourer, noon, 30)
		return err
	}), 0, 2, "1 GetItem, 1 Query")
	hold := queue.Hold{By: "execution", Until: noon.Add(time.Second)}
	granting := func(g queue.Grant) func() error {
		return func() error { return c.Control.Grant(ctx, j.Labourer, g, hold) }
	}
	want(c.step("grant a slot, and 6 tasks of an entry", granting(c.plan(1, 100, noon))), 6, 0, "1 TransactWriteItems")
	want(c.step("give a lease three more slots", granting(c.plan(3, 100, noon))), 4, 0, "1 TransactWriteItems")
	want(c.step("extend a lease by twenty slots, and 144 tasks of an entry", granting(c.plan(20, 100, noon))), 6, 0, "1 TransactWriteItems")
	state, hundred := c.state(), c.plan(76, 100, noon)
	require.Len(t, hundred.Changed, 3)
	want(c.step("grant the rest of a hundred slots, and of an entry, to three leases", granting(hundred)), 10, 0, "1 TransactWriteItems")
	old := queue.Grant{State: state, Changed: hundred.Changed, Takings: hundred.Takings}
	want(c.step("grant on an old version", func() error {
		require.ErrorIs(t, granting(old)(), queue.ErrChanged)
		return nil
	}), 10, 0, "1 TransactWriteItems")
	want(c.step("end the lock", func() error { return c.Control.Depart(ctx, j.Labourer, hold.By) }), 1, 0, "1 UpdateItem")
	leases := c.leases()
	slices.SortFunc(leases, func(a, b queue.Lease) int { return cmp.Compare(a.Tasks.Len(), b.Tasks.Len()) })
	small, l := leases[0], leases[len(leases)-1]
	require.Equal(t, queue.MostSlots, l.Running())
	require.Greater(t, l.Waiting.Len(), 40)
	want(c.step("read 40 tasks to dispatch", func() error { _, err := c.Tasks.Range(ctx, at, l.InHand()); return err }), 0, 2, "1 Query")
	want(c.step("note the dispatch of 40", func() error { l = c.save(l, l.Marked(l.InHand(), queue.Dispatched, noon)); return nil }), 1, 0, "1 UpdateItem")

	var ten []task.Task
	var ids []task.ID
	for n := range l.InHand().First(10).All() {
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
	before := l
	feed := func(ended segment.Numbers) func() error {
		return func() error {
			after, fed := l.Ended(ended).Feed(queue.MostSlots, queue.Mark("message"), noon.Add(time.Hour))
			require.Equal(t, ended.Len(), fed.Len())
			l = c.save(l, after)
			return nil
		}
	}
	want(c.step("feed one slot", feed(l.InHand().First(1))), 1, 0, "1 UpdateItem")
	want(c.step("feed 40 slots", feed(l.InHand())), 1, 0, "1 UpdateItem")
	want(c.step("feed on an old revision", func() error {
		require.ErrorIs(t, c.Control.Save(ctx, before, before.Ended(before.InHand().First(1))), queue.ErrChanged)
		return nil
	}), 1, 0, "1 UpdateItem")
	want(c.step("a heartbeat", func() error { return c.Control.Hear(ctx, l, l.InHand().Min(), noon) }), 1, 0, "1 UpdateItem")
	want(c.step("queue 10 failed tasks again", func() error {
		failed := l.InHand().First(10)
		err := c.Control.Requeue(ctx, l, l.Without(failed), l.Next(failed, noon.Add(time.Minute)))
		l = queue.Change{Before: l, After: l.Without(failed)}.Written()
		return err
	}), 4, 0, "1 TransactWriteItems")
	want(c.step("withdraw what waits in a lease", func() error {
		_, err := c.Control.SetWaitingAside(ctx, l, l.Without(l.Waiting), l.Returned(l.Waiting), noon)
		l = queue.Change{Before: l, After: l.Without(l.Waiting)}.Written()
		return err
	}), 4, 0, "1 TransactWriteItems")
	var failed, dead []task.Task
	for n := range l.InHand().First(10).All() {
		failed = append(failed, c.closed(tasks[n], task.Failed))
		killed, err := failed[len(failed)-1].Kill(noon)
		require.NoError(t, err)
		dead = append(dead, killed)
		require.NoError(t, c.Tasks.Save(ctx, tasks[n], failed[len(failed)-1]))
	}
	want(c.step("end 10 failed tasks as dead", func() error {
		return c.Deaths.Kill(ctx, l, l.Without(l.InHand().First(10)), failed, dead)
	}), 22, 0, "1 TransactWriteItems")
	want(c.step("revoke the slots of a lease", func() error { return c.Control.Revoke(ctx, j.Labourer, queue.Revoke([]queue.Lease{small}, 0)[0]) }), 4, 0, "1 TransactWriteItems")
	small.Revision, small.Slots = small.Revision+1, 0
	want(c.step("end a lease", func() error { c.save(small, small.Ended(small.Held())); return nil }), 1, 0, "1 DeleteItem")

	var lives []int
	for n := range numbers.All() {
		lives = append(lives, ledger.Life(n, 0))
	}
	var p ledger.Progress
	var err error
	want(c.step("record 100 ends", func() error {
		p, err = c.Jobs.Record(ctx, j.ID, at, ledger.Ends{task.Completed: lives[:100]})
		return err
	}), 1, 0, "1 UpdateItem")
	want(c.step("record the last of 256 ends", func() error { p, err = c.Jobs.Record(ctx, j.ID, at, ledger.Ends{task.Completed: lives}); return err }), 1, 0, "1 UpdateItem")
	want(c.step("enter a segment in its job's totals", func() error { return c.Jobs.Roll(ctx, p, noon) }), 4, 0, "1 TransactWriteItems")
	j, _, err = c.Jobs.Get(ctx, j.ID)
	require.NoError(t, err)
	want(c.step("finish a job", func() error { return c.Jobs.Finish(ctx, j, ledger.Completed, noon) }), 1, 0, "1 UpdateItem")
	whole, _, _ := c.queued("job-whole", 3)
	whole, _, err = c.Jobs.Get(ctx, whole.ID)
	require.NoError(t, err)
	want(c.step("complete a job whose tasks all completed under one lease", func() error { return c.Jobs.Complete(ctx, whole, noon) }), 1, 0, "1 UpdateItem")
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
		500: {"look", "2 Query", 0, 7.5},
	} {
		t.Run(fmt.Sprintf("%d leases", leases), func(t *testing.T) {
			c := newCosts(t)
			for i := range leases {
				c.queued(fmt.Sprintf("job-%d", i), 1)
				for _, l := range c.granted(1, leases, noon) {
					c.save(l, l.Marked(l.InHand(), queue.Dispatched, noon))
				}
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

// TestCostOfATask measures the stores' part of a task over a job of ten segments, from the event to the job's end: tasks that take equally long, and
// completions that come in batches. The assistant feeds each batch, and the orchestrator grants when an eighth of the slots is free.
func TestCostOfATask(t *testing.T) {
	for name, load := range map[string]struct {
		slots, batch int
		takes        time.Duration
		most         float64 // write units a task
	}{
		"cap 1, 1 s":                {1, 1, time.Second, 3.2},
		"cap 12, 5 s":               {12, 1, 5 * time.Second, 3.45},
		"cap 100, 30 s":             {100, 1, 30 * time.Second, 3.5},
		"cap 100, 1 s, batches":     {100, 10, time.Second, 2.3},
		"cap 100, 1 s, in lockstep": {100, 100, time.Second, 2.15},
		"cap 1000, 1 s, batches":    {1000, 100, time.Second, 2.2},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, c, now := t.Context(), newCosts(t), noon
			const total = 10 * segment.Size
			all := c.step(name, func() error {
				j, tasks := c.job("nightly", total)
				require.NoError(t, c.Jobs.Create(ctx, j))
				require.NoError(t, c.Tasks.Create(ctx, tasks))
				byID := map[task.ID]task.Task{}
				for _, one := range tasks {
					byID[one.ID] = one
				}
				for ordinal := range j.Segments() {
					at, numbers := j.SegmentAt(ordinal)
					require.NoError(t, c.Jobs.Publish(ctx, []ledger.Job{j}, queue.Entry{Labourer: j.Labourer, Due: noon, Segment: at, Tasks: numbers, Job: j.ID, Attempt: 1}))
					j.Cursor++
				}
				for done := 0; done < total; {
					if free := load.slots - queue.Granted(c.leases()); free >= (load.slots+7)/8 {
						for _, l := range c.granted(free, load.slots, now) {
							c.save(l, l.Marked(l.By(queue.Undispatched), queue.Dispatched, now))
						}
					}
					now = now.Add(load.takes * time.Duration(load.batch) / time.Duration(load.slots))
					batch := c.oldest(load.batch)
					done += len(batch)
					for l, ended := range batch.byLease() {
						for n := range ended.All() {
							one := byID[task.ID{Segment: l.Segment, N: n}]
							require.NoError(t, c.Tasks.Save(ctx, one, c.closed(one, task.Completed)))
						}
						after, _ := l.Ended(ended).Feed(queue.MostSlots, queue.Mark(now.String()), now)
						if after.Empty() {
							c.enter(after, j)
						}
						c.save(*l, after)
					}
				}
				j, _, err := c.Jobs.Get(ctx, j.ID)
				require.NoError(t, err)
				require.Zero(t, j.Open())
				return c.Jobs.Finish(ctx, j, ledger.Completed, noon)
			})

			t.Logf("%.3f write units a task", all.writes/total)
			require.LessOrEqual(t, all.writes/total, load.most)
		})
	}
}

// running names a task in hand.
type running struct {
	lease *queue.Lease
	n     int
}

type batch []running

// oldest returns the tasks that have been in hand for the longest time.
func (c *costs) oldest(most int) batch {
	var all batch
	for _, l := range c.leases() {
		for n := range l.InHand().All() {
			all = append(all, running{&l, n})
		}
	}
	slices.SortStableFunc(all, func(a, b running) int { return a.lease.Hands[a.n].Since.Compare(b.lease.Hands[b.n].Since) })
	return all[:min(most, len(all))]
}

func (b batch) byLease() map[*queue.Lease]segment.Numbers {
	out := map[*queue.Lease]segment.Numbers{}
	for _, one := range b {
		out[one.lease] = out[one.lease].Union(segment.Of(one.n))
	}
	return out
}

// enter enters what was completed under a lease in its job's progress.
func (c *costs) enter(l queue.Lease, j ledger.Job) {
	ends := ledger.Ends{}
	for n := range l.Done().All() {
		ends.Add(n, 0, task.Completed)
	}
	p, err := c.Jobs.Record(c.t.Context(), l.Job, l.Segment, ends)
	require.NoError(c.t, err)
	if p.Counts().Sum() == j.SizeOf(l.Segment) {
		require.NoError(c.t, c.Jobs.Roll(c.t.Context(), p, noon))
	}
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
