package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	flow "github.com/drover-run/drover/shared/core/workflow"
)

const time10 = 10 * time.Second

// everyPage returns the address of each page of an inhabited ground, with a text that it has to show.
func everyPage(t *testing.T, g *ground) map[string]string {
	t.Helper()
	dead := g.get("/api/dead?limit=1").one()["items"].([]any)[0].(map[string]any)["task_id"].(string)
	done := g.get("/api/jobs/nightly/tasks?status=completed&limit=1").one()["items"].([]any)[0].(map[string]any)["task_id"].(string)
	run := flow.RunID("first")
	return map[string]string{
		"/": "the labourer is paused", "/?match=il&order=due": "in the order of due", "/jobs": "nightly", "/jobs?state=completed": "the newest first", "/jobs?labourer=mill": "No job matches.",
		"/jobs/nightly": "Failures by error", "/jobs/nightly?status=completed": "This is the end of the list.", "/jobs/nightly?status=dead&limit=2": "The list goes on.",
		"/jobs/morning": "drover resume shop", "/tasks/" + dead: "Timeline", "/tasks/" + done: "12345678901234567890123", "/dead": "By error, in this window", "/dead?job=nightly": "Replay all that match",
		"/labourers/shop": "drover resume shop", "/labourers/mill": "No task is running.", "/workflows": "validate → ship", "/workflows/order%20intake": "Which plugins run",
		"/runs": run, "/runs?state=Complete": run, "/runs/" + run: "Skipped", "/search": "Type the id", "/search?q=sho": "shop", "/search?q=nothing-at-all": "Nothing has this id.",
		"/doctor": "only when you ask",
	}
}

func TestEachPageShowsWhatItIsAbout(t *testing.T) {
	g := inhabited(t)
	for path, shows := range everyPage(t, g) {
		a := g.get(path)
		page := a.is(http.StatusOK)
		require.Equal(t, "text/html; charset=utf-8", a.Header().Get("Content-Type"))
		require.Contains(t, page, shows, path)
	}
}

var (
	tags   = regexp.MustCompile(`<[^>]*>`)
	values = regexp.MustCompile(`="[^"]*"`)
	// inline matches what the Content-Security-Policy refuses within a page, in tags without the values of their attributes.
	inline = regexp.MustCompile(`(?i)^<style|\sstyle\b|\son[a-z]+\b|^<script>`)
)

func TestNothingOfAPayloadIsMarkup(t *testing.T) {
	g := inhabited(t)
	for path := range everyPage(t, g) {
		page := g.get(path).is(http.StatusOK)
		require.NotContains(t, page, "<img", path)
		require.NotContains(t, page, "</script><b>", path)
		require.NotContains(t, page, "\u202e", "%s: a letter that turns the direction of a text is shown by its number", path)
		require.NotContains(t, page, "\u2028", path)
		require.NotContains(t, page, "javascript:", path)
		for _, tag := range tags.FindAllString(page, -1) {
			require.NotRegexp(t, inline, values.ReplaceAllString(tag, ""), path)
		}
		require.NotContains(t, page, "ZgotmplZ", path)
	}
}

func TestWhatALabourerDidIsDrawnFromCloudWatch(t *testing.T) {
	g := inhabited(t)
	for back := 20; back > 0; back-- {
		at := g.World.Now().Add(-time.Duration(back) * time.Minute)
		for name, value := range map[string]float64{"Running": float64(back % 4), "Cap": 4, "Due": float64(back)} {
			g.CloudWatch.Put("Drover", name, map[string]string{"Stack": "drover", "Labourer": "shop"}, at, value)
		}
		g.CloudWatch.Put("AWS/RDS", "CPUUtilization", map[string]string{"DBInstanceIdentifier": "shop"}, at, 30+float64(back))
	}
	page := g.get("/labourers/shop").is(http.StatusOK)
	for _, shows := range []string{"Running and cap, last: running 1, cap 4", "Due, last: due 1", "Health: ShopCPU, last: ShopCPU 31, High at 25, Good at 50"} {
		require.Contains(t, page, shows)
	}
	require.Regexp(t, `in the last (19|20) min`, g.get("/").is(http.StatusOK), "the overview knows what was before the console began")
}

func TestASearchLeadsToThePageOfAnyId(t *testing.T) {
	g := inhabited(t)
	dead := g.get("/api/dead?limit=1").one()["items"].([]any)[0].(map[string]any)["task_id"].(string)
	for id, page := range map[string]string{"shop": "/labourers/shop", " nightly ": "/jobs/nightly", dead: "/tasks/" + dead, flow.RunID("first"): "/runs/" + flow.RunID("first"),
		"order intake": "/workflows/order%20intake"} {
		a := g.get("/search?q=" + strings.ReplaceAll(id, " ", "+"))
		require.Equal(t, []any{http.StatusSeeOther, page}, []any{a.Code, a.Header().Get("Location")}, id)
	}
}

func TestAnEmptyStackIsExplained(t *testing.T) {
	g := newGround(t)
	for path, shows := range map[string]string{"/": "No labourer is applied.", "/jobs": "No job matches.", "/dead": "No task is dead.", "/workflows": "No workflow is applied.", "/runs": "No run matches."} {
		require.Contains(t, g.get(path).is(http.StatusOK), shows, path)
	}
}

func TestTheDoctorRunsWhenAskedAndIsRemembered(t *testing.T) {
	g := newGround(t)
	require.Contains(t, g.get("/").is(http.StatusOK), "The doctor was not asked yet.")
	require.Equal(t, http.StatusSeeOther, g.get("/doctor?run=1").Code)
	require.Contains(t, g.get("/doctor").is(http.StatusOK), "1 of 2 checks failed.")
	require.Contains(t, g.get("/").is(http.StatusOK), "it lags &lt;b&gt;far&lt;/b&gt;")
}

// TestTheDoctorMayTakeLongerThanAPage: it makes requests for each labourer.
func TestTheDoctorMayTakeLongerThanAPage(t *testing.T) {
	for _, path := range []string{"/doctor?run=1", "/api/doctor"} {
		g := newGround(t)

		g.get(path)

		require.Greater(t, g.allowed, time.Minute, path)
	}
}
