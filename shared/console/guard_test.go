package console_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/console"
)

func TestOnlyTheConsolesOwnPagesAreAnswered(t *testing.T) {
	g := newGround(t)
	for name, headers := range map[string][]string{
		"another host":                 {"Host", "evil.example:4500"},
		"another port":                 {"Host", "127.0.0.1:4501"},
		"another address":              {"Host", "[::1]:4500"},
		"another origin":               {"Origin", "http://evil.example"},
		"an origin on another port":    {"Origin", "http://127.0.0.1:9"},
		"an origin that hides":         {"Origin", "null"},
		"a secure origin":              {"Origin", "https://" + host},
		"a page of another site":       {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
		"a frame in another site":      {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
		"a page at another port of it": {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"},
	} {
		for _, path := range []string{"/", "/api/jobs", "/api/live", "/static/console.js", "/nowhere"} {
			require.Equal(t, http.StatusForbidden, g.ask(http.MethodGet, path, "", headers...).Code, "%s at %s", name, path)
		}
		g.ask(http.MethodGet, "/api/jobs", "", headers...).problem(http.StatusForbidden)
	}
	for _, headers := range [][]string{{}, {"Host", "localhost:4500", "Origin", "http://localhost:4500"}, {"Origin", "http://" + host, "Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}} {
		g.ask(http.MethodGet, "/jobs", "", headers...).is(http.StatusOK)
	}
}

func TestEachResponseForbidsOtherHosts(t *testing.T) {
	g := newGround(t)
	for _, path := range []string{"/", "/api/jobs", "/static/console.css", "/nowhere", "/jobs/nope"} {
		h := g.get(path).Header()
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'self'", path)
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe", path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "no-store", h.Get("Cache-Control"), path)
	}
}

// mutating are all actions.
var mutating = []string{"/api/labourers/shop/pause", "/api/labourers/shop/resume", "/api/jobs/nightly/cancel", "/api/replay?job=nightly",
	"/api/runs/r/cancel", "/api/runs/r/pause", "/api/runs/r/resume"}

func TestAnActionNeedsTheTokenOfThePage(t *testing.T) {
	g := inhabited(t)
	for _, path := range mutating {
		for _, token := range []string{"", "guessed"} {
			p := g.ask(http.MethodPost, path, "", "X-Drover-Token", token).problem(http.StatusForbidden)
			require.Contains(t, p["reason"], "X-Drover-Token", path)
		}
		a := g.get(path)
		a.problem(http.StatusMethodNotAllowed)
		require.Equal(t, "POST", a.Header().Get("Allow"))
	}
	require.Empty(t, g.log.String(), "nothing was done, and nothing logged")
}

func TestAReadOnlyConsoleRefusesEachActionAndShowsNone(t *testing.T) {
	g := inhabited(t, func(o *console.Options) { o.ReadOnly = true })
	g.token = "any"
	for _, path := range mutating {
		require.Contains(t, g.post(path, "").problem(http.StatusForbidden)["reason"], "--read-only", path)
	}
	for _, path := range []string{"/", "/jobs/nightly", "/labourers/shop", "/dead?job=nightly"} {
		page := g.get(path).is(http.StatusOK)
		require.NotContains(t, page, "data-action", path)
		require.Contains(t, page, `name="drover-token" content=""`, path)
	}
	require.True(t, g.get("/api/labourers/shop").one()["paused"].(bool))
}

func TestAMethodThatAPageDoesNotHaveIsRefused(t *testing.T) {
	g := newGround(t)
	for _, path := range []string{"/", "/jobs", "/api/jobs", "/api/labourers/shop", "/api/live", "/static/console.js"} {
		a := g.ask(http.MethodPost, path, "{}")
		require.Equal(t, http.StatusMethodNotAllowed, a.Code, path)
		require.Contains(t, a.Header().Get("Allow"), "GET", path)
	}
}
