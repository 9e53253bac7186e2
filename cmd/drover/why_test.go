package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// measured is a labourer whose pace depends on a metric.
const measured = `
labourers:
  shop:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/shop"}
    max_simultaneous_invocations: 4
    health_metrics: {cpu: {details: {MetricName: CPU, Namespace: Mine}, feelings: {3: 50, 4: 25}}}
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
`

func (g *ground) why(id string) map[string]any {
	g.t.Helper()
	return g.drover("--json", "why", id).one()
}

// record returns the only decision at the end of an answer.
func record(t *testing.T, why map[string]any) map[string]any {
	t.Helper()
	require.Len(t, why["chain"], 1)
	return why["chain"].([]any)[0].(map[string]any)
}

func (g *ground) control() dynamo.Control {
	return dynamo.Control{API: g.DynamoDB, Table: fakeaws.ControlTable}
}

// TestWhyNamesEachBindingWithItsEvidence: one scenario for each.
func TestWhyNamesEachBindingWithItsEvidence(t *testing.T) {
	open := func(g *ground, n int) { // n long tasks
		g.openShop(time.Hour, well)
		g.Submit(sections("nightly", n))
		g.RunFor(time.Second)
	}
	for _, c := range []struct {
		binding string
		given   func(g *ground)
		reason  string
		next    string
		shown   string // in the text for people
		numbers []any  // desired, running, free, due
	}{
		{"nothing_due", func(g *ground) { open(g, 2) }, "nothing is due", "nothing", "0", []any{3.0, 2.0, 1.0, 0.0}},
		{"paused", func(g *ground) {
			g.openShop(time.Hour, well)
			g.drover("pause", "shop").ok()
			g.Submit(sections("nightly", 2))
			g.RunFor(time.Second)
		}, "the labourer is paused by arn:aws:iam::000000000000:user/ada since 2026-01-01T00:00:00Z", "to start its tasks: drover resume shop", "user/ada", []any{3.0, 0.0, 3.0, 2.0}},
		{"cap", func(g *ground) { open(g, 5) }, "no slot is free: 3 of 3 are taken, 2 tasks are due", "drover task ", "SLOT HELD BY", []any{3.0, 3.0, 0.0, 2.0}},
		{"health", func(g *ground) {
			require.NoError(g.t, g.Apply(measured))
			g.CloudWatch.Put("Mine", "CPU", nil, g.World.Now(), 97.5)
			g.Submit(sections("nightly", 2))
			g.RunFor(time.Second)
		}, "health is Bad: cpu is Bad: 97.5 is not <= 50 (Good) or 25 (High)", "relieve what cpu measures: at <= 50 more tasks may run", "FOR BETTER", []any{0.0, 0.0, 0.0, 2.0}},
		{"target", func(g *ground) {
			require.NoError(g.t, g.Apply(shop))
			g.Submit(sections("nightly", 2))
			g.RunFor(time.Second)
		}, "the target could not be reached, it is tried again at ", "drover doctor", "target", []any{3.0, 0.0, 3.0, 2.0}},
		{"busy", func(g *ground) {
			g.openShop(time.Hour, well)
			require.NoError(g.t, g.control().SetPaused(g.t.Context(), "shop", true))
			g.Submit(sections("nightly", 2))
			g.RunFor(time.Second)
			require.NoError(g.t, g.control().SetPaused(g.t.Context(), "shop", false))
			now := g.World.Now()
			require.NoError(g.t, g.control().Approach(g.t.Context(), "shop", now, queue.Hold{By: "another", Until: now.Add(10 * time.Second)}))
		}, "another execution holds the labourer: 3 of 3 are free, 2 tasks are due", "ask again in a moment", "busy", []any{3.0, 0.0, 3.0, 2.0}},
		{"none", func(g *ground) {
			g.openShop(time.Hour, well)
			require.NoError(g.t, g.control().SetPaused(g.t.Context(), "shop", true))
			g.Submit(sections("nightly", 2))
			g.RunFor(time.Second)
			require.NoError(g.t, g.control().SetPaused(g.t.Context(), "shop", false))
		}, "tasks are being started: 3 of 3 are free, 2 tasks are due", "nothing", "due", []any{3.0, 0.0, 3.0, 2.0}},
	} {
		t.Run(c.binding, func(t *testing.T) {
			g := newGround(t)
			c.given(g)
			why := g.why("shop")
			r := record(t, why)
			require.Equal(t, []any{"labourer", "shop", r["status"], c.binding}, []any{why["kind"], why["id"], why["status"], r["binding"]}, why)
			for name, value := range r {
				require.Equal(t, value, why[name], "the record itself is there too: %s", name)
			}
			require.Contains(t, r["reason"], c.reason)
			require.Contains(t, why["next"], c.next)
			numbers := []any{r["desired"], r["running"], r["free"], r["due"]}
			require.Equal(t, c.numbers, numbers)
			require.Contains(t, g.drover("why", "shop").ok(), c.shown)
			line := g.drover("--json", "labourer", "shop").one()
			require.Equal(t, []any{r["binding"], r["reason"]}, []any{line["binding"], line["reason"]}, "every command says the same")
		})
	}
}

func TestWhyFollowsATaskInEachOfItsStates(t *testing.T) {
	g := busy(t)
	for _, c := range []struct{ job, status, waiting, next, binding string }{
		{"mixed", "completed", "", "nothing", ""},
		{"mixed", "dead", "", "mend the cause, then: drover replay ", ""},
		{"mixed", "waiting", "its time, 2026-01-01T00:00:", "nothing", "cap"},
		{"next", "running", "its worker, until ", "nothing", "cap"},
		{"next", "queued", "granted, waits for a slot of its lease: 1 in hand of 1 slot", "wait until a slot is free (the longest: drover task ", "cap"},
		{"gone", "cancelled", "", "nothing", ""},
	} {
		id := g.drover("--json", "tasks", "--job", c.job, "--status", c.status).lines()[0]["task_id"].(string)
		why := g.why(id)
		require.Equal(t, []any{"task", id, c.status}, []any{why["kind"], why["id"], why["status"]})
		require.Contains(t, why["waiting_for"], c.waiting, c.status)
		require.Equal(t, c.waiting == "", why["waiting_for"] == "")
		require.Contains(t, why["next"], c.next, c.status)
		if c.binding == "" {
			require.Equal(t, []any{}, why["chain"], c.status)
			continue
		}
		require.Equal(t, c.binding, record(t, why)["binding"])
		if shown := g.drover("--json", "task", id).one(); c.status != "completed" {
			require.Equal(t, shown["waiting_for"], why["waiting_for"])
		}
		require.Contains(t, g.drover("why", id).ok(), "labourer")
	}
	g.drover("why", "nothing").fails(failed, "labourer, job, task or run", "nothing")
	g.drover("why").fails(misuse, "is missing")
}

// TestWhyLeadsToAQueueThatNoWorkerReads: the labourer's slots are taken, and the task that holds one for longest says why.
func TestWhyLeadsToAQueueThatNoWorkerReads(t *testing.T) {
	g := healthy(t)
	g.SQS.Create(shopQueue, fakeaws.Queue{})
	g.Submit(sections("nightly", 5))
	g.RunFor(time.Second)
	g.account.queue(shopQueue, "3")
	g.World.Advance(g.World.Now().Add(6 * time.Minute))

	why := g.why("shop")

	require.Equal(t, "cap", why["binding"])
	longest, _, _ := strings.Cut(strings.SplitAfter(why["next"].(string), "drover task ")[1], ")")
	said := g.why(longest)
	require.Contains(t, said["waiting_for"], "3 messages wait in the queue")
	require.Contains(t, said["waiting_for"], "no worker reads them")
	require.Contains(t, g.drover("why", longest).ok(), "no worker reads them")
}

func TestWhyFindsATaskInTheArchive(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, func(context.Context, worker.Task) (any, error) { return nil, worker.Permanent(errors.New("bad")) })
	g.Submit(`{"job_id": "old", "labourer": "shop"}`)
	require.NoError(t, g.Run())
	id := g.drover("--json", "dead").one()["task_id"].(string)
	g.World.Advance(g.World.Now().AddDate(0, 0, 60))
	g.forgetTask(id)
	why := g.why(id)
	require.Equal(t, []any{"task", "dead"}, []any{why["kind"], why["status"]})
	require.Contains(t, why["next"], "submit its job again")
}

func TestWhyFollowsAJobInEachOfItsStates(t *testing.T) {
	g := busy(t)
	g.Submit(`{"job_id": "bad", "labourer": "shop", "period": "sometimes"}`)
	g.Submit(`{"job_id": "later", "labourer": "shop", "not_before": "2026-02-01"}`)
	g.RunFor(time.Second)
	for _, c := range []struct{ job, status, waiting, next string }{
		{"mixed", "scheduled", "1 task waits until 2026-01-01T00:00:", "nothing"},
		{"next", "scheduled", "1 task is granted and waits for a slot: no slot is free: 1 of 1 are taken, 1 task is due; 1 task is running, the longest since ", "wait until a slot is free"},
		{"later", "scheduled", "1 task waits until 2026-02-01T00:00:00Z", "nothing"},
		{"gone", "cancelled", "", "nothing"},
		{"bad", "rejected", "", "mend period ("},
	} {
		why := g.why(c.job)
		require.Equal(t, []any{"job", c.job, c.status}, []any{why["kind"], why["id"], why["status"]})
		require.Contains(t, why["waiting_for"], c.waiting, c.job)
		require.Contains(t, why["next"], c.next, c.job)
		require.Equal(t, c.waiting != "", len(why["chain"].([]any)) == 1, c.job)
	}
	require.NoError(t, g.Apply(strings.Replace(shop, "invocations: 3", "invocations: 0", 1)))
	g.Submit(`{"job_id": "stuck", "labourer": "shop"}`)
	g.RunFor(time.Second)
	why := g.why("stuck")
	require.Equal(t, "1 task is due: the cap is 0", why["waiting_for"])
	require.Contains(t, why["next"], "raise max_simultaneous_invocations")
}

func TestWhyOfAJobWhoseTasksAreBeingCreated(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.DynamoDB.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == "BatchWriteItem" {
			return errors.New("away")
		}
		return nil
	}
	g.Submit(sections("giant", 600))
	g.RunFor(time.Second)
	why := g.why("giant")
	require.Equal(t, "scheduling", why["status"])
	require.Contains(t, why["waiting_for"], "its tasks are being created: 0 of 3 segments exist")
	g.World.Advance(g.World.Now().Add(time.Hour))
	why = g.why("giant")
	require.Contains(t, why["waiting_for"], "no scheduler creates its tasks any more")
	require.Equal(t, "to go on: drover redrive --job giant", why["next"])
}

func TestWhyFollowsARunToItsLabourer(t *testing.T) {
	g := newGround(t)
	g.drover("apply", "-f", flowFile(t, flows)).ok()
	require.NoError(t, g.Worker("crew", time.Hour, well))
	g.drover("pause", "crew", "--by", "Ada").ok()
	run := g.drover("--json", "workflow", "start", "Order intake", "--uid", "u", "--metadata", flowFile(t, `{"country": "FR"}`)).one()["run_id"].(string)
	g.RunFor(5 * time.Second)
	why := g.why(run)
	require.Equal(t, []any{"run", run, "In Progress"}, []any{why["kind"], why["id"], why["status"]})
	require.Contains(t, why["waiting_for"], "validate/pre: first; first: the labourer is paused by Ada")
	require.Equal(t, "to start its tasks: drover resume crew", why["next"])
	require.Equal(t, "paused", record(t, why)["binding"])
	var kinds []any
	for _, l := range why["path"].([]any) {
		kinds = append(kinds, l.(map[string]any)["kind"])
	}
	require.Equal(t, []any{"run", "stage", "plugin", "task", "labourer"}, kinds)

	g.drover("resume", "crew").ok()
	g.RunFor(5 * time.Second)
	require.Contains(t, g.why(run)["waiting_for"], "first: its worker, until ")
	g.drover("workflow", "pause", run).ok()
	require.Equal(t, "to go on: drover workflow resume "+run, g.why(run)["next"])
	g.drover("workflow", "resume", run).ok()
	g.drover("workflow", "cancel", run).ok()
	why = g.why(run)
	require.Equal(t, []any{"Cancelled", ""}, []any{why["status"], why["waiting_for"]})
	require.Contains(t, why["next"], "drover workflow start 'Order intake' --uid u")
}

func TestWhatWasDecidedIsReadFromTheLog(t *testing.T) {
	g := newGround(t)
	g.openShop(4*time.Minute, well)
	g.Submit(sections("nightly", 5))
	g.RunFor(90 * time.Second)
	g.drover("pause", "shop").ok()
	g.RunFor(10 * time.Minute)
	lines := g.drover("--json", "why", "shop", "--since", "2h").lines()
	require.NotEmpty(t, lines)
	require.Equal(t, "nothing_due", lines[0]["binding"], "when it was applied")
	claim, last := lines[1], lines[len(lines)-1]
	require.Equal(t, []any{"cap", 3.0, 0.0, 3.0, 5.0}, []any{claim["binding"], claim["started"], claim["running"], claim["free"], claim["due"]}, "numbers from before starting")
	require.Equal(t, "paused", last["binding"])
	require.Equal(t, []any{"shop"}, distinct(lines, "labourer_id"))

	at := g.drover("--json", "why", "shop", "--at", "2026-01-01T00:01:20Z").one()
	require.Equal(t, []any{"cap", 0.0}, []any{at["binding"], at["free"]}, "the tick's decision a moment before")
	require.Equal(t, []map[string]any{at}, g.drover("--json", "why", "shop", "--at", "2026-01-01 00:01:20").lines())
	require.Contains(t, g.drover("why", "shop", "--at", "2026-01-01T00:01:20Z").ok(), "no slot is free")
	require.Contains(t, g.drover("why", "shop", "--since", "1d").ok(), "BOUND BY")

	g.drover("why", "shop", "--at", "2025-12-31T00:00Z").fails(failed, "nothing was decided")
	g.drover("why", "nobody", "--since", "1h").fails(failed, "nobody")
	g.drover("why", "shop", "--since", "soon").fails(misuse, "--since", "soon")
	g.drover("why", "shop", "--at", "noon").fails(misuse, "--at", "noon")
	g.drover("why", "shop", "--at", "2026-01-01T00:00:00Z", "--since", "1h").fails(misuse, "at", "since")
	g.account.parts["OrchestratorLogs"] = "not yet"
	require.Empty(t, g.drover("--json", "why", "shop", "--since", "1h").lines())
}

func distinct(lines []map[string]any, key string) []any {
	var out []any
	seen := map[string]bool{}
	for _, l := range lines {
		if text := fmt.Sprint(l[key]); !seen[text] {
			seen[text] = true
			out = append(out, l[key])
		}
	}
	return out
}
