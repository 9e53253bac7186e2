package console_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func TestTheDocumentsAreThoseOfTheCommandLine(t *testing.T) {
	g := inhabited(t)
	job := g.get("/api/jobs/nightly").one()
	require.Equal(t, []any{"nightly", "shop", "completed", 12.0, 8.0, 4.0, 0.0}, []any{job["job_id"], job["labourer_id"], job["state"], job["total"], job["completed"], job["dead"], job["open"]})
	require.Contains(t, job, "submitted_at")
	l := g.get("/api/labourers/shop").one()
	require.Equal(t, []any{"shop", true, 2.0, "the labourer is paused"}, []any{l["labourer_id"], l["paused"], l["due"], l["reason"]})

	list := g.get("/api/jobs").one()
	require.Equal(t, false, list["truncated"])
	require.NotContains(t, list, "next")
	require.Len(t, list["items"], 2)
	require.Len(t, g.get("/api/jobs?state=completed&labourer=shop").one()["items"], 1)
	require.Len(t, g.get("/api/labourers").one()["items"], 2)

	first := g.get("/api/labourers?limit=1").one()
	require.Equal(t, []any{"mill", true}, []any{first["next"], first["truncated"]})
	require.Equal(t, "shop", g.get("/api/labourers?limit=1&after=mill").one()["items"].([]any)[0].(map[string]any)["labourer_id"])

	dead := g.get("/api/dead?job=nightly").one()["items"].([]any)
	require.Len(t, dead, 4)
	one := dead[0].(map[string]any)
	require.Equal(t, []any{"nightly", "dead", 2.0}, []any{one["job_id"], one["status"], one["attempt"]})
	task := g.get("/api/tasks/" + one["task_id"].(string))
	require.Contains(t, task.Body.String(), "9007199254740993.10", "numbers keep their digits")
	require.Len(t, task.one()["attempts"], 2)
	require.Len(t, g.get("/api/jobs/nightly/tasks?status=completed&limit=3").one()["items"], 3)
	require.Len(t, g.get("/api/jobs/morning/tasks?status=queued").one()["items"], 2)

	run := flow.RunID("first")
	require.Equal(t, run, g.get("/api/runs?workflow=order+intake&uid=order-1").one()["items"].([]any)[0].(map[string]any)["run_id"])
	require.Equal(t, "Complete", g.get("/api/runs/" + run).one()["state"])
	require.Equal(t, map[string]any{"dead": 4.0}, g.get("/api/dead/count?labourer=shop").one())
	require.Equal(t, false, g.get("/api/doctor").one()["ok"])
	why := g.get("/api/why/shop").one()
	require.Equal(t, []any{"shop", "paused", 2.0, "labourer"}, []any{why["labourer_id"], why["binding"], why["due"], why["kind"]})
	require.Equal(t, "2 tasks are due: the labourer is paused", g.get("/api/why/morning").one()["waiting_for"])
}

func TestTheWindowsOfADocumentMakeTheWholeList(t *testing.T) {
	g := inhabited(t)
	for _, list := range []string{"/api/jobs/nightly/tasks?limit=5", "/api/dead?limit=3", "/api/jobs?limit=1"} {
		var ids []string
		for at := list; ; {
			w := g.get(at).one()
			for _, one := range w["items"].([]any) {
				line := one.(map[string]any)
				if id, is := line["task_id"]; is {
					ids = append(ids, id.(string))
				} else {
					ids = append(ids, line["job_id"].(string))
				}
			}
			if w["truncated"] == false {
				break
			}
			at = list + "&after=" + w["next"].(string)
		}
		want := map[string]int{"/api/jobs/nightly/tasks?limit=5": 12, "/api/dead?limit=3": 4, "/api/jobs?limit=1": 2}[list]
		require.Len(t, ids, want, list)
		slices.Sort(ids)
		require.Len(t, slices.Compact(ids), want, "%s: each once", list)
	}
}

func TestWhatIsUnknownIsNotFound(t *testing.T) {
	g := inhabited(t)
	for _, path := range []string{"/labourers/nope", "/jobs/nope", "/jobs/nope/tasks", "/tasks/nope", "/tasks/abcdefghijklmnop.3", "/runs/nope", "/dead?job=nope",
		"/dead?labourer=nope", "/jobs?labourer=nope", "/runs?workflow=nope", "/nowhere", "/why/nope", "/dead/count?job=nope"} {
		p := g.get("/api" + path).problem(http.StatusNotFound)
		require.Contains(t, p["reason"], "here is no", path)
	}
	for _, path := range []string{"/labourers/nope", "/jobs/nope", "/tasks/nope", "/runs/nope", "/workflows/nope", "/nowhere", "/dead?job=nope"} {
		require.Contains(t, g.get(path).is(http.StatusNotFound), "There is no", path)
	}
	for _, path := range []string{"/api/labourers/nope/pause", "/api/jobs/nope/cancel", "/api/runs/nope/cancel"} {
		g.post(path, "").problem(http.StatusNotFound)
	}
	g.post("/api/replay", `{"tasks": ["abcdefghijklmnop.3"]}`).problem(http.StatusNotFound)
}

func TestABadQueryNamesItsField(t *testing.T) {
	g := inhabited(t)
	for path, field := range map[string]string{
		"/api/jobs?state=open": "state", "/api/jobs?limit=0": "limit", "/api/jobs?limit=x": "limit", "/api/jobs?limit=501": "limit", "/api/jobs?stat=dead": "stat",
		"/api/jobs?state=completed&state=rejected": "state", "/api/jobs/nightly/tasks?status=failed": "status", "/api/dead?jobs=x": "jobs", "/api/runs?state=Open": "state",
		"/api/tasks/x?date=yesterday": "date", "/api/dead/count": "tasks", "/api/labourers/shop?x=1": "x", "/api/jobs?after=nowhere": "after", "/api/jobs?%zz": "query",
	} {
		p := g.get(path).problem(http.StatusBadRequest)
		if field == "after" {
			require.Contains(t, p["reason"], "After", path)
			continue
		}
		require.Equal(t, field, p["field"], path)
	}
	for body, field := range map[string]string{`{}`: "tasks", `{"job": "a", "labourer": "b"}`: "tasks", `{"tasks": ["x"]}`: "tasks", `{"jobs": "a"}`: "body", `[`: "body",
		`{"JOB": "a"}`: "body", `{"job": "a", "Job": "b"}`: "body", `{"job": "a", "job": "b"}`: "body", `{"job": 7}`: "body", `{"job": "a"} x`: "body",
		`{"tasks": ["abcdefghijklmnop.3"], "error": "E"}`: "error"} {
		require.Equal(t, field, g.post("/api/replay", body).problem(http.StatusBadRequest)["field"], body)
	}
}

func TestTroubleWithAWSIsSaid(t *testing.T) {
	g := inhabited(t)
	g.DynamoDB.Before = func(context.Context, fakeaws.Request) error { return errors.New("the table <i>burns</i>") }
	for _, path := range []string{"/api/jobs", "/api/labourers/shop", "/api/tasks/abcdefghijklmnop.3", "/api/dead", "/api/runs"} {
		p := g.get(path).problem(http.StatusBadGateway)
		require.Contains(t, p["reason"], "burns", path)
		require.Equal(t, "Look after it.", p["fix"])
	}
	for _, path := range []string{"/", "/jobs", "/jobs/nightly", "/labourers/shop", "/dead", "/runs", "/workflows", "/search?q=shop"} {
		page := g.get(path).is(http.StatusBadGateway)
		require.Contains(t, page, "the table &lt;i&gt;burns&lt;/i&gt;", path)
		require.Contains(t, page, "Look after it.", path)
	}
	g.post("/api/labourers/shop/pause", "").problem(http.StatusBadGateway)
	require.Contains(t, g.log.String(), "not done")
}

func TestAStackThatCannotBeOpenedIsLookedForAgain(t *testing.T) {
	g := newGround(t)
	g.open = errors.New("no credentials")
	require.Contains(t, g.get("/").is(http.StatusBadGateway), "no credentials")
	g.get("/static/console.css").is(http.StatusOK)
	g.open = nil
	require.Contains(t, g.get("/").is(http.StatusOK), "No labourer is applied.")
}

func TestActionsAreCarriedOutAndLogged(t *testing.T) {
	g := inhabited(t)
	require.Equal(t, map[string]any{"labourer_id": "shop", "paused": false}, g.post("/api/labourers/shop/resume", "").one())
	require.NoError(t, g.Run())
	require.Equal(t, "completed", g.get("/api/jobs/morning").one()["state"])
	g.post("/api/jobs/morning/cancel", "").problem(http.StatusConflict)

	require.Equal(t, map[string]any{"labourer_id": "shop", "paused": true}, g.post("/api/labourers/shop/pause", "{}").one())
	require.True(t, g.get("/api/labourers/shop").one()["paused"].(bool))
	g.Submit(`{"job_id": "late", "labourer": "shop", "sections": ["e","f"], "isolate_sections": true}`)
	g.RunFor(time10)
	require.Equal(t, map[string]any{"job_id": "late"}, g.post("/api/jobs/late/cancel", "").one())
	g.RunFor(time10)
	require.Equal(t, "cancelled", g.get("/api/jobs/late").one()["state"])
	require.Equal(t, 3, strings.Count(g.log.String(), "msg=done"), g.log.String())
}

func TestAReplayIsCountedBeforeAndFollowedAfterwards(t *testing.T) {
	g := inhabited(t)
	require.Equal(t, map[string]any{"dead": 4.0}, g.get("/api/dead/count?job=nightly").one())
	require.Contains(t, g.post("/api/replay", `{"job": "nightly", "expect": 3}`).problem(http.StatusConflict)["reason"], "4 tasks are dead now, and not 3")
	done := g.post("/api/replay", `{"job_id": "nightly", "expect": 4}`).one()
	require.Equal(t, 4.0, done["replayed"])
	require.Contains(t, g.get(done["follow"].(string)).is(http.StatusOK), "0 of 4 live again", "nothing has happened yet")
	g.RunFor(time10)
	require.Contains(t, g.get(done["follow"].(string)).is(http.StatusOK), "4 of 4 live again")
	require.Equal(t, map[string]any{"dead": 0.0}, g.get("/api/dead/count?job=nightly").one())
	require.Equal(t, 0.0, g.post("/api/replay", `{"job": "nightly"}`).one()["replayed"], "none is left")
}

func TestTheDeadOfOneErrorAreReplayedByTheirNames(t *testing.T) {
	g := inhabited(t)
	kind := "error"
	for _, one := range g.get("/api/dead").one()["items"].([]any) {
		attempts := g.get("/api/tasks/" + one.(map[string]any)["task_id"].(string)).one()["attempts"].([]any)
		kind = attempts[0].(map[string]any)["error"].(map[string]any)["type"].(string)
	}
	require.Len(t, g.get("/api/dead?error=" + kind + "&limit=2").one()["items"], 2)
	require.Empty(t, g.get("/api/dead?error=Other").one()["items"])
	require.Equal(t, map[string]any{"dead": 4.0}, g.get("/api/dead/count?job=nightly&error="+kind).one())
	require.Equal(t, map[string]any{"dead": 0.0}, g.get("/api/dead/count?job=nightly&error=Other").one())
	require.Equal(t, 4.0, g.post("/api/replay", `{"job": "nightly", "error": "`+kind+`"}`).one()["replayed"])
	g.RunFor(time10)
	require.Equal(t, map[string]any{"dead": 0.0}, g.get("/api/dead/count?job=nightly").one())
}

func TestARunIsCancelled(t *testing.T) {
	g := inhabited(t)
	require.NoError(t, g.Pause("mill"))
	run := g.StartWorkflow(`{"start_id": "second", "workflow": "order intake", "uid": "order-2", "metadata": {"country": "AT"}}`)
	g.RunFor(time10)
	require.Equal(t, map[string]any{"run_id": run, "state": "Cancelled"}, g.post("/api/runs/"+run+"/cancel", "").one())
}
