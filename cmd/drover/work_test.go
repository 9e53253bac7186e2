package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

func TestSubmitPrintsTheIdOfTheJob(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	job := file(t, "job.json", `{"job_id": "nightly", "labourer": "shop"}`)
	require.Equal(t, "{\"job_id\":\"nightly\"}\n", g.drover("--json", "submit", job).ok())
	require.Equal(t, "nightly\n", g.drover("submit", job).ok())
	id := strings.TrimSpace(g.drover("submit", "-", "<", `{"labourer": "shop"}`).ok())
	require.NoError(t, g.Run())
	for _, one := range []string{"nightly", id} {
		require.Equal(t, "completed", g.drover("--json", "job", one).one()["state"])
	}
}

func TestSubmitTakesAJobInEachOfItsForms(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	for i, form := range []string{`{"job_id": "j%d", "labourer": "shop"}`, ` {"job": {"job_id": "j%d", "labourer": "shop"}} `, `{"job": "{\"job_id\": \"j%d\", \"labourer\": \"shop\"}"}`,
		`"{\"job_id\": \"j%d\", \"labourer\": \"shop\"}"`} {
		line := g.drover("--json", "submit", "--wait", "-", "<", fmt.Sprintf(form, i)).one()
		require.Equal(t, []any{fmt.Sprintf("j%d", i), "completed", 1.0}, []any{line["job_id"], line["state"], line["completed"]})
	}
}

func TestSubmitRefusesABadJobBeforeItIsSent(t *testing.T) {
	g := newGround(t)
	g.drover("submit", "-", "<", `{"labourer": "shop", "period": "sometimes"}`).fails(misuse, "period", "sometimes")
	g.drover("submit", "-", "<", `{"labourer": `).fails(misuse, "job")
	require.Empty(t, g.Facts(""))
}

func TestSubmitWaitFollowsTheJobToItsEnd(t *testing.T) {
	g := newGround(t)
	g.openShop(20*time.Second, well)
	said := g.drover("--json", "submit", "--wait", "-", "<", `{"job_id": "nightly", "labourer": "shop", "sections": [1,2,3,4,5,6,7], "isolate_sections": true}`)
	line := said.one()
	require.Equal(t, []any{"nightly", "completed", 7.0, 7.0, 0.0}, []any{line["job_id"], line["state"], line["total"], line["completed"], line["open"]})
	require.Contains(t, said.err, "job nightly scheduled: 3 of 7 completed", "it reports progress")
}

func TestSubmitWaitFailsWhenATaskDies(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, func(context.Context, worker.Task) (any, error) {
		return nil, worker.Permanent(errors.New("no such day"))
	})
	said := g.drover("--json", "submit", "--wait", "-", "<", `{"job_id": "dies", "labourer": "shop"}`)
	require.Equal(t, failed, said.code)
	require.Equal(t, 1.0, said.lines()[0]["dead"])
	require.Contains(t, said.err, "job dies: 1 of 1 task died")
}

func TestSubmitWaitSaysWhyAJobWasRejectedAlsoTheSecondTime(t *testing.T) {
	g := newGround(t)
	const job = `{"job_id": "early", "labourer": "shop"}`
	for range 2 {
		said := g.drover("--json", "submit", "--wait", "-", "<", job)
		require.Equal(t, failed, said.code)
		require.Contains(t, said.err, `labourer: there is no labourer "shop"`)
		require.Equal(t, "rejected", said.lines()[0]["state"])
	}
	g.openShop(time.Second, well)
	require.Equal(t, "completed", g.drover("--json", "submit", "--wait", "-", "<", job).one()["state"], "the record of the earlier rejection is not mistaken for the answer to this submission")
}

func TestSubmitWaitDoesNotFollowAnotherJobUnderItsId(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.drover("submit", "--wait", "-", "<", `{"job_id": "nightly", "labourer": "shop", "n": 1}`).ok()
	g.drover("submit", "--wait", "-", "<", `{"job_id": "nightly", "labourer": "shop", "n": 2}`).fails(failed, "job_id", "nightly", "another job")
	g.drover("submit", "--wait", "-", "<", `{"n": 1, "job_id": "nightly", "lambda_name": "shop"}`).ok()
}

func TestSubmitWaitLeavesTheJobAloneWhenItIsInterrupted(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.interrupt = true
	g.drover("submit", "--wait", "-", "<", `{"job_id": "long", "labourer": "shop"}`).fails(unknown, "interrupted; job long continues")
	g.interrupt = false
	g.RunFor(2 * time.Second)
	require.Equal(t, "scheduled", g.drover("--json", "job", "long").one()["state"])
}

func TestSubmitWaitSaysSoWhenNoSchedulerReadsTheJob(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	waited := 0
	g.World.Course = func(fakeaws.Kind, string) []time.Duration { // nothing arrives for a minute
		if waited++; waited == 1 {
			return []time.Duration{time.Minute}
		}
		return []time.Duration{0}
	}
	said := g.drover("submit", "--wait", "-", "<", `{"job_id": "slow", "labourer": "shop"}`)
	said.ok()
	require.Contains(t, said.err, "job slow is not known yet; to find out why: drover doctor")
}

// busy returns a shop with a task in every status: job "mixed" has one completed, one dead and one that waits for its second attempt, job "next"
// one running and one queued, and job "gone" is cancelled.
func busy(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	g.openShop(time.Second, func(_ context.Context, task worker.Task) (any, error) {
		var payload struct{ Sections []string }
		if err := task.Decode(&payload); err != nil || len(payload.Sections) == 0 {
			return nil, err
		}
		switch payload.Sections[0] {
		case "dies":
			return nil, worker.Permanent(errors.New("no such section"))
		case "again":
			return nil, errors.New("busy")
		}
		return map[string]bool{"ok": true}, nil
	})
	require.NoError(t, g.Pause("shop"))
	g.Submit(`{"job_id": "gone", "labourer": "shop", "not_before": "2026-02-01"}`)
	g.RunFor(time.Second)
	g.drover("cancel", "gone").ok()
	g.RunFor(5 * time.Second)
	require.NoError(t, g.Resume("shop"))
	g.Submit(`{"job_id": "mixed", "labourer": "shop", "sections": ["fine", "dies", "again"], "isolate_sections": true}`)
	g.RunFor(8 * time.Second)
	require.NoError(t, g.Apply(strings.Replace(shop, "invocations: 3", "invocations: 1", 1)))
	require.NoError(t, g.Worker("shop", time.Hour, well))
	g.Submit(`{"job_id": "next", "labourer": "shop", "sections": ["runs", "queued"], "isolate_sections": true}`)
	g.RunFor(time.Second)
	return g
}

func TestTasksAreListedInEveryStatus(t *testing.T) {
	g := busy(t)
	statuses := func(arguments ...string) []string {
		var out []string
		for _, line := range g.drover(append([]string{"--json", "tasks"}, arguments...)...).lines() {
			out = append(out, fmt.Sprintf("%s %s %v", line["job_id"], line["status"], line["attempt"]))
		}
		return out
	}
	all := []string{"next running 1", "next queued 0", "mixed completed 1", "mixed dead 1", "mixed waiting 1", "gone cancelled 0"}
	require.Equal(t, all, statuses(), "the newest job first")
	require.Equal(t, all, statuses("--labourer", "shop"))
	require.Equal(t, all[2:5], statuses("--job", "mixed"))
	require.Equal(t, all[:2], statuses("--limit", "2"))
	for _, one := range all {
		job, status := strings.Fields(one)[0], strings.Fields(one)[1]
		require.Equal(t, []string{one}, statuses("--status", status), status)
		require.Equal(t, []string{one}, statuses("--status", status, "--job", job))
		require.Equal(t, []string{one}, statuses("--status", status, "--labourer", "shop"))
		for _, other := range []string{"gone", "mixed", "next"} {
			if other != job {
				require.Empty(t, statuses("--status", status, "--job", other))
			}
		}
	}
}

func TestAFinishedJobsTasksAreFoundByItsProgress(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, func(_ context.Context, task worker.Task) (any, error) {
		if strings.Contains(string(task.Payload), "bad") {
			return nil, worker.Permanent(errors.New("bad"))
		}
		return map[string]bool{}, nil
	})
	g.Submit(`{"job_id": "a", "labourer": "shop", "sections": ["x", "bad", "y"], "isolate_sections": true}`)
	g.Submit(`{"job_id": "b", "labourer": "shop", "sections": ["z"], "isolate_sections": true}`) // shares the segment
	require.NoError(t, g.Run())
	require.Len(t, g.drover("--json", "tasks", "--job", "a").lines(), 3)
	require.Len(t, g.drover("--json", "tasks", "--job", "b").lines(), 1)
	require.Len(t, g.drover("--json", "tasks", "--status", "completed").lines(), 3)
	require.Len(t, g.drover("--json", "dead").lines(), 1)
	require.Len(t, g.drover("--json", "dead", "--job", "a").lines(), 1)
	require.Empty(t, g.drover("--json", "dead", "--job", "b").lines())
	require.Contains(t, g.drover("dead").ok(), "bad")
	require.Contains(t, g.drover("dead", "--job", "b").ok(), "No task is dead.")
}

func TestAListForPeopleIsCutAndSaysSo(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.Submit(`{"job_id": "many", "labourer": "shop", "isolate_days": true, "period": "last_60_days"}`)
	g.RunFor(time.Second)
	require.Equal(t, readable+2, strings.Count(g.drover("tasks").ok(), "\n"))
	require.Contains(t, g.drover("tasks").ok(), "--limit 0")
	require.Equal(t, 61, strings.Count(g.drover("tasks", "--limit", "0").ok(), "\n"))
	require.Len(t, g.drover("--json", "tasks").lines(), 60)
}

func TestATaskShowsWhereItIsAndWhyItWaits(t *testing.T) {
	g := busy(t)
	detail := func(job, status string) map[string]any {
		id := g.drover("--json", "tasks", "--job", job, "--status", status).lines()[0]["task_id"].(string)
		require.Contains(t, g.drover("task", id).ok(), status)
		return g.drover("--json", "task", id).one()
	}
	completed := detail("mixed", "completed")
	require.Equal(t, map[string]any{"ok": true}, completed["result"])
	require.Equal(t, map[string]any{"sections": []any{"fine"}, "isolate_sections": true}, completed["payload"])
	require.NotContains(t, completed, "waiting_for")
	attempt := completed["attempts"].([]any)[0].(map[string]any)
	require.Equal(t, []any{1.0, "completed"}, []any{attempt["attempt"], attempt["status"]})

	dead := detail("mixed", "dead")["attempts"].([]any)[0].(map[string]any)
	require.Contains(t, dead["error"].(map[string]any)["message"], "no such section")
	require.Contains(t, detail("mixed", "waiting")["waiting_for"], "its time, 2026-01-01T00:00:")
	require.Contains(t, detail("next", "running")["waiting_for"], "its worker, until ")
	require.Equal(t, "granted, waits for a slot of its lease: 1 in hand of 1 slot, the longest since 2026-01-01T00:00:15Z", detail("next", "queued")["waiting_for"])
	g.drover("pause", "shop").ok()
	require.Equal(t, "granted, waits for a slot of its lease: 1 in hand of 1 slot, the longest since 2026-01-01T00:00:15Z; the labourer is paused by arn:aws:iam::000000000000:user/ada since 2026-01-01T00:00:15Z",
		detail("next", "queued")["waiting_for"])
	g.RunFor(2 * time.Second) // the pause has woken the orchestrator
	require.Equal(t, "the labourer is paused by arn:aws:iam::000000000000:user/ada since 2026-01-01T00:00:15Z", detail("next", "queued")["waiting_for"])
	require.Equal(t, []any{}, detail("gone", "cancelled")["attempts"])
}

// forgetTask deletes a task's item.
func (g *ground) forgetTask(id string) {
	g.t.Helper()
	segment, n, _ := strings.Cut(id, ".")
	g.forget(fakeaws.TasksTable, map[string]types.AttributeValue{"segment": &types.AttributeValueMemberS{Value: segment}, "n": &types.AttributeValueMemberN{Value: n}})
}

func TestATaskThatLeftTheTableIsFoundInTheArchive(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.Submit(`{"job_id": "old", "labourer": "shop", "n": 1}`)
	require.NoError(t, g.Run())
	before := g.drover("--json", "tasks", "--job", "old").lines()[0]
	id := before["task_id"].(string)
	inTable := g.drover("--json", "task", id).one()
	g.forgetTask(id)

	inTable["archived"] = true
	require.Equal(t, inTable, g.drover("--json", "task", id).one())
	g.World.Advance(g.World.Now().AddDate(0, 0, 60))
	require.Equal(t, inTable, g.drover("--json", "task", id).one(), "two months later")
	g.drover("task", id, "--date", "2026-01-02").fails(failed, id, "2026-01-02")
	g.drover("task", id, "--labourer", "other").fails(failed, id)
	g.World.Advance(g.World.Now().AddDate(0, 0, 60))
	g.drover("task", id).fails(failed, id, "--date")
	require.Contains(t, g.drover("task", id, "--date", "2026-01-01").ok(), "only in the archive")
}

func TestJobsAreListedTheNewestFirst(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(shop+`
  empty: {chunkable_attrs: []}
`))
	for i := range 4 {
		g.Submit(fmt.Sprintf(`{"job_id": "j%d", "labourer": "shop"}`, i))
		g.RunFor(time.Second)
		g.World.Advance(g.World.Now().AddDate(0, 0, 20)) // into the next months
	}
	g.Submit(`{"job_id": "bad", "labourer": "nobody"}`)
	g.RunFor(time.Second)
	ids := func(arguments ...string) (out []string) {
		for _, line := range g.drover(append([]string{"--json", "jobs"}, arguments...)...).lines() {
			out = append(out, line["job_id"].(string))
		}
		return out
	}
	require.Equal(t, []string{"bad", "j3", "j2", "j1", "j0"}, ids())
	require.Equal(t, []string{"j3", "j2", "j1", "j0"}, ids("--labourer", "shop"))
	require.Equal(t, []string{"bad"}, ids("--state", "rejected"))
	require.Equal(t, []string{"bad", "j3"}, ids("--limit", "2"))
	require.Contains(t, g.drover("jobs", "--limit", "2").ok(), "--limit 0")
	require.NotContains(t, g.drover("jobs").ok(), "No job matches.")
	require.Contains(t, g.drover("jobs", "--state", "cancelled").ok(), "No job matches.")
	require.Empty(t, g.drover("--json", "jobs", "--state", "cancelled").ok())
	require.Contains(t, g.drover("job", "bad").ok(), `labourer: there is no labourer "nobody"`)
}

func TestALabourersLineIsCountedFromItsLeasesAndQueue(t *testing.T) {
	g := busy(t)
	line := g.drover("--json", "labourer", "shop").one()
	want := map[string]any{"labourer_id": "shop", "paused": false, "status": 4.0, "metrics": map[string]any{}, "cap": 1.0, "desired": 1.0, "running": 1.0,
		"slots": 1.0, "granted": 1.0, "free": 0.0, "waiting": 1.0, "due": 1.0, "later": 1.0, "binding": "cap", "reason": "no slot is free: 1 of 1 are taken, 1 task is due",
		"started": 0.0, "at": "2026-01-01T00:00:15Z", "oldest_due": "2026-01-01T00:00:15Z", "evidence": map[string]any{"holders": []any{map[string]any{
			"task_id": g.drover("--json", "tasks", "--status", "running").one()["task_id"], "job_id": "next", "attempt": 1.0, "since": "2026-01-01T00:00:15Z"}}}}
	require.Equal(t, want, line)
	require.Equal(t, []map[string]any{want}, g.drover("--json", "labourers").lines())
	require.Contains(t, g.drover("labourer", "shop").ok(), "1 due, 1 later")
	require.Contains(t, g.drover("labourer", "shop").ok(), "next      wait until a slot is free (the longest: drover task ")
	require.Contains(t, g.drover("labourer", "shop").ok(), "1 running in 1 slot, 1 waiting for a slot")
	require.Contains(t, g.drover("labourers").ok(), "no slot is free")
	require.Contains(t, newGround(t).drover("labourers").ok(), "No labourer is applied")
}

// TestAJobsCompletionsCountWhileItsLeasesGoOn: nothing is entered in the job's progress yet.
func TestAJobsCompletionsCountWhileItsLeasesGoOn(t *testing.T) {
	g := newGround(t)
	g.openShop(10*time.Second, well)
	g.Submit(sections("nightly", 300))
	g.RunFor(25 * time.Second)
	line := g.drover("--json", "job", "nightly").one()
	require.Equal(t, []any{6.0, 294.0}, []any{line["completed"], line["open"]})
	require.Equal(t, []map[string]any{line}, g.drover("--json", "jobs").lines())
	require.Len(t, g.drover("--json", "tasks", "--job", "nightly", "--status", "completed").lines(), 6)
	record, _, err := g.Job("nightly")
	require.NoError(t, err)
	require.Zero(t, record.Counts)
}

func TestHealthIsAskedForHereOnlyWhenTheKeptAnswerIsOld(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(`
labourers:
  shop:
    target: {sqs: "https://sqs/1/shop"}
    max_simultaneous_invocations: 8
    health_metrics: {cpu: {details: {MetricName: CPU, Namespace: Mine}, feelings: {2: 80, 4: 25}}}
`))
	g.CloudWatch.Put("Mine", "CPU", nil, g.World.Now(), 60)
	line := g.drover("--json", "labourer", "shop").one()
	require.Equal(t, []any{2.0, map[string]any{"cpu": 2.0}, 4.0}, []any{line["status"], line["metrics"], line["desired"]})
	require.Contains(t, g.drover("labourer", "shop").ok(), "60 <= 80")
}

func TestPausingAndResuming(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	require.Equal(t, "{\"labourer_id\":\"shop\",\"paused\":true}\n", g.drover("--json", "pause", "shop").ok())
	g.Submit(`{"job_id": "waits", "labourer": "shop"}`)
	g.RunFor(10 * time.Minute)
	require.Equal(t, 1.0, g.drover("--json", "labourer", "shop").one()["due"])
	require.Equal(t, "{\"labourer_id\":\"shop\",\"paused\":false}\n", g.drover("--json", "resume", "shop").ok())
	g.RunFor(5 * time.Second) // less than a tick: resume wakes the orchestrator
	require.Equal(t, "completed", g.drover("--json", "job", "waits").one()["state"])
}

func TestAJobIsCancelled(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.Submit(`{"job_id": "long", "labourer": "shop", "sections": [1,2,3,4,5], "isolate_sections": true}`)
	g.RunFor(time.Second)
	require.Equal(t, "{\"job_id\":\"long\"}\n", g.drover("--json", "cancel", "long").ok())
	g.RunFor(5 * time.Second)
	line := g.drover("--json", "job", "long").one()
	require.Equal(t, []any{"scheduled", true, 2.0, 3.0}, []any{line["state"], line["cancelling"], line["cancelled"], line["open"]})
	g.drover("cancel", "long", "--force").ok()
	g.RunFor(5 * time.Second)
	line = g.drover("--json", "job", "long").one()
	require.Equal(t, []any{"cancelled", 5.0, 0.0}, []any{line["state"], line["cancelled"], line["open"]})
	g.drover("cancel", "long").ok()

	g.drover("submit", "-", "<", `{"job_id": "none", "labourer": "shop", "period": "last_0_days"}`)
	g.Submit(`{"job_id": "bad", "labourer": "nobody"}`)
	g.RunFor(time.Second)
	g.drover("cancel", "bad").fails(failed, "bad", "already rejected")
}

func TestReplayingGivesDeadTasksANewLife(t *testing.T) {
	for name, how := range map[string]func(id string) []string{
		"by name":     func(id string) []string { return []string{id, id} },
		"by job":      func(string) []string { return []string{"--job", "j"} },
		"by labourer": func(string) []string { return []string{"--labourer", "shop"} },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			g.openShop(time.Second, func(context.Context, worker.Task) (any, error) { return nil, worker.Permanent(errors.New("not yet")) })
			g.Submit(`{"job_id": "j", "labourer": "shop"}`)
			require.NoError(t, g.Run())
			require.NoError(t, g.Worker("shop", time.Minute, well))
			id := g.drover("--json", "dead").lines()[0]["task_id"].(string)

			require.Equal(t, "{\"replayed\":1}\n", g.drover(append([]string{"--json", "replay"}, how(id)...)...).ok())
			require.Equal(t, "scheduled", g.drover("--json", "job", "j").one()["state"], "the job is scheduled when the command ends")
			require.Empty(t, g.drover("--json", "dead").lines())
			require.NoError(t, g.Run())
			line := g.drover("--json", "job", "j").one()
			require.Equal(t, []any{"completed", 1.0, 0.0, 2.0}, []any{line["state"], line["completed"], line["dead"], line["generation"]})
			task := g.drover("--json", "task", id).one()
			require.Equal(t, []any{2.0, 1.0, 1.0}, []any{task["attempt"], task["life"], task["replay_of"]})
			require.Contains(t, g.drover("task", id).ok(), "replayed")

			require.Equal(t, "{\"replayed\":0}\n", g.drover("--json", "replay", "--job", "j").ok())
			g.drover("replay", id).fails(failed, id, "is not dead")
		})
	}
}

func TestTheDeadOfACancelledJobStayDead(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, func(context.Context, worker.Task) (any, error) { return nil, worker.Permanent(errors.New("no")) })
	g.Submit(`{"job_id": "j", "labourer": "shop", "sections": [1,2,3,4,5,6,7,8,9], "isolate_sections": true}`)
	g.RunFor(1500 * time.Millisecond)
	g.drover("cancel", "j").ok()
	require.NoError(t, g.Run())
	require.Equal(t, "cancelled", g.drover("--json", "job", "j").one()["state"])
	dead := g.drover("--json", "dead").lines()
	require.NotEmpty(t, dead)
	require.Equal(t, "{\"replayed\":0}\n", g.drover("--json", "replay", "--labourer", "shop").ok())
	g.drover("replay", dead[0]["task_id"].(string)).fails(failed, "job j", "cancelled")
}

func TestWatchPrintsASnapshotEachSecondUntilItIsInterrupted(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Minute, well)
	g.Submit(`{"job_id": "early", "labourer": "shop", "not_before": "2026-01-02"}`)
	g.RunFor(time.Second)
	for i := range 2 * inspect.LastJobs {
		g.Submit(fmt.Sprintf(`{"job_id": "j%02d", "labourer": "shop"}`, i))
		g.RunFor(time.Second)
	}
	looks := 0
	g.before = func() { looks++ }
	g.interrupt = true
	said := g.drover("--json", "watch")
	said.ok()
	require.Equal(t, 1, looks)
	shot := said.lines()[0]
	require.Equal(t, "shop", shot["labourers"].([]any)[0].(map[string]any)["labourer_id"])
	jobs := shot["jobs"].([]any)
	require.Equal(t, "j19", jobs[0].(map[string]any)["job_id"])
	require.Equal(t, "early", jobs[len(jobs)-1].(map[string]any)["job_id"], "an open job is shown however old it is")
	require.Contains(t, g.drover("watch").ok(), "j19")
}

func TestSubmitSaysHowToSeeWhetherTheJobIsAccepted(t *testing.T) {
	g := newGround(t)
	said := g.drover("submit", "-", "<", `{"job_id": "j", "labourer": "nobody"}`)
	require.Equal(t, "j\n", said.ok())
	require.Contains(t, said.err, "To see whether the scheduler accepts it: drover job j")
	require.Empty(t, g.drover("--json", "submit", "-", "<", `{"job_id": "j", "labourer": "nobody"}`).err)
}

func TestSubmitCheckRefusesAtOnceWhatTheSchedulerWouldReject(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	g.stack.Parameters["MaxTasksPerJob"] = "2"
	for job, words := range map[string][]string{
		`{"labourer": "shp"}`:                                                               {"labourer", "shp", "did you mean"},
		`{"labourer": "shop", "job_schema_name": "other"}`:                                  {"job_schema_name", "other"},
		`{"labourer": "shop", "sections": [1, 2, 3], "isolate_sections": true}`:             {"3"},
		`{"labourer": "shop", "sections": {"a": 1}, "isolate_sections": true, "period": 3}`: {"period"},
	} {
		g.drover("submit", "--check", "-", "<", job).fails(misuse, words...)
	}
	g.RunFor(time.Minute)
	require.Empty(t, g.drover("--json", "jobs").lines(), "nothing was put on the bus")
	g.drover("submit", "--check", "--wait", "-", "<", `{"labourer": "shop", "sections": [1, 2], "isolate_sections": true}`).ok()
}

func TestSubmitWarnsOfAQualifierThatIsNotWired(t *testing.T) {
	g := newGround(t)
	g.functions.add("arn:aws:lambda:us-east-1:000000000000:function:resize:live", 30)
	g.functions.add("arn:aws:lambda:us-east-1:000000000000:function:resize:7", 30)
	g.drover("apply", "--wire", "-f", file(t, "resize.yaml", strings.ReplaceAll(resizer, ":live", ":7"))).ok()
	said := g.drover("submit", "-", "<", `{"lambda_name": "arn:aws:lambda:us-east-1:000000000000:function:resize:live"}`)
	said.ok()
	require.Contains(t, said.err, "the job asks for arn:aws:lambda:us-east-1:000000000000:function:resize:live, which apply --wire has not wired")
	require.NotContains(t, g.drover("submit", "-", "<", `{"lambda_name": "arn:aws:lambda:us-east-1:000000000000:function:resize:7"}`).err, "wired")
}

func TestATaskWithAnExpiredAttemptPointsToTheDeadLetterQueueOfCompletions(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Second, well)
	require.NoError(t, g.Pause("shop"))
	g.Submit(map[string]any{"job_id": "nightly", "labourer": "shop"})
	g.RunFor(time.Minute)
	tasks, err := g.Tasks("nightly")
	require.NoError(t, err)
	one := tasks[0]
	g.stack.Outputs["CompletionsDeadLetterQueueUrl"] = "https://sqs/1/CompletionsDeadLetterQueueUrl"
	g.account.queue(g.stack.Outputs["CompletionsDeadLetterQueueUrl"], "2")
	require.NotContains(t, g.drover("task", one.ID.String()).err, "dead letter queue", "nothing has expired")
	closed, err := one.Close(task.End{Attempt: 1, Status: task.Expired, At: g.World.Now(), Error: &task.Error{Type: "Expired"}})
	require.NoError(t, err)
	require.NoError(t, dynamo.Tasks{API: g.DynamoDB, Table: fakeaws.TasksTable, Retention: time.Hour}.Save(t.Context(), one, closed))

	for _, arguments := range [][]string{{"task", one.ID.String()}, {"--json", "task", one.ID.String()}} {
		said := g.drover(arguments...)

		require.Zero(t, said.code)
		require.Contains(t, said.err, "The dead letter queue of completions holds 2 messages")
		require.Contains(t, said.err, "receive-message")
		require.Contains(t, said.err, g.stack.Outputs["CompletionsDeadLetterQueueUrl"])
	}
	g.account.queue(g.stack.Outputs["CompletionsDeadLetterQueueUrl"], "0")
	require.NotContains(t, g.drover("task", one.ID.String()).err, "dead letter queue")
}
