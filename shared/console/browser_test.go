package console_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/console"
	"github.com/drover-run/drover/shared/testing/browser"
)

// seen is an inhabited ground, behind a real address and in a time that passes.
type seen struct {
	*ground

	address string
	streams atomic.Int32 // open streams of events
	time    sync.Mutex   // held while time passes, and while the world is changed
}

func watched(t *testing.T, build func(*testing.T, ...func(*console.Options)) *ground, change ...func(*console.Options)) *seen {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &seen{address: "http://" + listener.Addr().String()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/live":
			s.streams.Add(1)
			defer s.streams.Add(-1)
		case r.Method == http.MethodPost:
			s.time.Lock()
			defer s.time.Unlock()
		}
		if strings.HasPrefix(r.Host, "localhost") {
			r.Host = listener.Addr().String()
		}
		s.console.ServeHTTP(w, r)
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	s.ground = build(t, append(change, func(o *console.Options) { o.Host = listener.Addr().String() })...)
	server.Start()
	t.Cleanup(server.Close)
	return s
}

// pass lets the world's time pass with the real one, until the test ends.
func (s *seen) pass(ctx context.Context) {
	go func() {
		for ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			s.do(func() { s.RunFor(300 * time.Millisecond) })
		}
	}()
}

// do changes the world.
func (s *seen) do(change func()) {
	s.time.Lock()
	defer s.time.Unlock()
	change()
}

func TestInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("not judged: a browser takes a while")
	}
	in := browser.Start(t)
	t.Run("each page can be used in both themes and on a phone", func(t *testing.T) { eachPage(t, in) })
	t.Run("a cap that finds itself is drawn with the reason of each change", func(t *testing.T) { capsOf(t, in) })
	t.Run("everything has a key", func(t *testing.T) { byKeys(t, in) })
	t.Run("actions ask first, say to how many, and are followed", func(t *testing.T) { actionsOf(t, in) })
	t.Run("a page stays fresh, tabs share a stream, and a hidden tab reads nothing", func(t *testing.T) { liveOf(t, in) })
	t.Run("trouble is shown, and goes by itself", func(t *testing.T) { troubleOf(t, in) })
}

func eachPage(t *testing.T, in *browser.Browser) {
	s := watched(t, inhabited)
	require.Equal(t, http.StatusSeeOther, s.get("/doctor?run=1").Code)
	pages := everyPage(t, s.ground)
	pages["/doctor"], pages["/jobs/nope"], pages["/nowhere"] = "it lags", "There is no job", "There is no page"
	empty := watched(t, newGround)
	for _, theme := range []string{"light", "dark"} {
		b := in.Tab(t, s.address)
		b.Theme(theme)
		for _, path := range slices.Sorted(maps.Keys(pages)) {
			if theme == "dark" && strings.Contains(path, "?") {
				continue // the same page as without a query
			}
			b.Visit(path)
			b.Examine(path + " in " + theme)
			b.Picture(theme + path)
		}
		none := in.Tab(t, empty.address)
		none.Theme(theme)
		for _, path := range []string{"/", "/jobs", "/workflows"} {
			none.Visit(path)
			none.Examine("empty " + path + " in " + theme)
		}
		none.Clean()
		b.Visit("/")
		b.Press("?")
		b.Examine("the keys in " + theme)
		b.Picture(theme + "/keys")
		b.Clean()
	}
	b := in.Tab(t, s.address)
	b.Phone()
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		b.Visit(path)
		require.LessOrEqual(t, browser.Value[int](b, `document.documentElement.scrollWidth`), 390, "%s is wider than a phone", path)
		b.Picture("phone" + path)
	}
	b.Clean()
}

func byKeys(t *testing.T, in *browser.Browser) {
	s := watched(t, inhabited)
	b := in.Tab(t, s.address)
	b.Visit("/")
	b.Press("?")
	b.Until(`document.querySelector("#keys").open`)
	b.Press("\x1b")
	b.Until(`!document.querySelector("dialog[open]")`)
	for _, to := range []struct{ key, path string }{{"j", "/jobs"}, {"d", "/dead"}, {"w", "/workflows"}, {"r", "/runs"}, {"c", "/doctor"}, {"o", "/"}} {
		b.Press("g" + to.key) // at once: the second key counts for a second and a half
		b.Until(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, to.path))
	}
	b.Press("j")
	require.Equal(t, "shop", browser.Value[string](b, `document.activeElement.textContent`), "what needs attention comes first")
	b.Press("j")
	require.Equal(t, "mill", browser.Value[string](b, `document.activeElement.textContent`))
	b.Press("k")
	b.Press("\r")
	b.Until(`location.pathname === "/labourers/shop" && document.readyState === "complete"`)
	b.Press("/")
	b.Until(`document.activeElement.id === "q"`)
	b.Script(`document.querySelector("#q").value = ""`) // a driven browser types the key too
	b.Press("nightly")
	b.Press("\r")
	b.Until(`location.pathname === "/jobs/nightly" && document.readyState === "complete"`)
	b.Press("t")
	require.Equal(t, "dark", browser.Value[string](b, `document.documentElement.dataset.theme`))
	b.Visit("/")
	require.Equal(t, "dark", browser.Value[string](b, `document.documentElement.dataset.theme`), "the choice stays")
	b.Press("t")

	b.Visit("/dead?limit=2")
	first := browser.Value[string](b, `document.querySelector("[data-select]").value`)
	b.Press("n")
	b.Until(`location.search.includes("after=") && document.readyState === "complete"`)
	b.Back()
	b.Until(fmt.Sprintf(`location.search === "?limit=2" && document.readyState === "complete" && document.querySelector("[data-select]").value === %q`, first))
	b.Press("j") // the group
	b.Press("j")
	b.Press("x")
	b.Until(`document.querySelector("[data-needs-selection]").textContent === "Replay 1 selected"`)

	b.Press("?")
	b.Until(`document.querySelector("#keys").open`)
	b.Click("#keys-on")
	b.Press("\x1b")
	b.Until(`!document.querySelector("dialog[open]")`)
	b.Press("t")
	require.Equal(t, "light", browser.Value[string](b, `document.documentElement.dataset.theme`), "single keys can be switched off")
	b.Script(`localStorage.clear()`)
	b.Clean()
}

func actionsOf(t *testing.T, in *browser.Browser) {
	s := watched(t, inhabited)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	b := in.Tab(t, s.address)
	confirm := func(title, count string) {
		t.Helper()
		b.Until(`document.querySelector("#ask").open`)
		require.Contains(t, browser.Value[string](b, `document.querySelector("#ask-title").textContent`), title)
		require.Equal(t, count, browser.Value[string](b, `document.querySelector("#ask-count").textContent`))
	}
	b.Visit("/labourers/shop")
	b.Press("p")
	confirm("Resume shop?", "")
	b.Click(`#ask button[value="no"]`)
	b.Until(`!document.querySelector("#ask").dataset.asking`)
	require.True(t, s.get("/api/labourers/shop").one()["paused"].(bool), "nothing happens without a yes")
	b.Press("p")
	confirm("Resume shop?", "")
	b.Click("#ask-yes")
	b.Until(`document.querySelector(".actions button").textContent === "Pause"`)
	b.Click(`.actions button`)
	confirm("Pause shop?", "")
	b.Click("#ask-yes")
	b.Until(`document.querySelector(".actions button").textContent === "Resume"`)

	b.Visit("/jobs/morning")
	b.Press("c")
	confirm("Cancel job morning?", "")
	b.Click("#ask-yes")
	b.Until(`document.querySelector("#said").textContent.includes("done")`)
	s.do(func() { s.RunFor(time10) })
	b.Visit("/jobs/morning")
	b.Shows("cancelled 2")

	b.Visit("/dead?job=nightly")
	b.Click(`[data-select]`)
	b.Press("y")
	confirm("Replay the selected tasks?", "1 task")
	b.Click("#ask-yes")
	b.Until(`location.pathname === "/replays"`)
	b.Shows("1 dead task to revive")
	s.do(func() { s.RunFor(time10) })
	b.Visit("/dead?job=nightly")
	b.Press("A")
	confirm("Replay all dead tasks of job nightly?", "3 tasks")
	b.Click("#ask-yes")
	b.Until(`location.pathname === "/replays"`)
	s.pass(ctx)
	b.Shows("3 of 3 live again")

	s.do(func() { require.NoError(t, s.Pause("mill")) })
	var run string
	s.do(func() {
		run = s.StartWorkflow(`{"start_id": "second", "workflow": "order intake", "uid": "order-2", "metadata": {"country": "AT"}}`)
		s.RunFor(time10)
	})
	b.Visit("/runs/" + run)
	b.Press("p")
	confirm("Pause run "+run+"?", "")
	b.Click("#ask-yes")
	b.Until(`document.querySelector(".title .badge").textContent === "Paused"`)
	require.Equal(t, "Paused", s.get("/api/runs/" + run).one()["state"])
	b.Press("p")
	confirm("Resume run "+run+"?", "")
	b.Click("#ask-yes")
	b.Until(`document.querySelector(".title .badge").textContent === "In Progress"`)
	b.Press("c")
	confirm("Cancel run "+run+"?", "")
	b.Click("#ask-yes")
	b.Until(`document.querySelector(".title .badge").textContent === "Cancelled"`) // its plugins are shown as cancelled before it is
	b.Clean()
	require.Equal(t, "Cancelled", s.get("/api/runs/" + run).one()["state"])
}

func liveOf(t *testing.T, in *browser.Browser) {
	s := watched(t, inhabited)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	b := in.Tab(t, s.address)
	b.Visit("/")
	b.Until(`document.querySelector("#live").dataset.state === "on"`)
	b.Script(`document.querySelector("#q").value = "typed"; document.querySelector("#l-mill a").focus()`)
	s.pass(ctx)
	s.do(func() {
		require.NoError(t, s.Resume("shop"))
		s.Submit(`{"job_id": "surprise", "labourer": "mill", "sections": ["a","b","c"], "isolate_sections": true}`)
	})
	b.Shows("surprise")
	b.Until(`!document.querySelector("#l-shop").innerText.includes("paused")`)
	require.Equal(t, []string{"typed", "mill"}, browser.Value[[]string](b, `[document.querySelector("#q").value, document.activeElement.textContent]`), "what the user does stays")

	var more []*browser.Tab
	for _, path := range []string{"/jobs", "/jobs/surprise", "/labourers/mill", "/runs", "/dead", "/workflows"} {
		another := in.Tab(t, s.address)
		another.Visit(path)
		more = append(more, another)
	}
	more[1].Shows("completed 3")
	require.Equal(t, int32(1), s.streams.Load(), "seven tabs share one stream")

	hide := `Object.defineProperty(document, "hidden", {value: %t, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`
	for _, one := range append(more, b) {
		one.Script(fmt.Sprintf(hide, true))
	}
	require.Eventually(t, func() bool { return s.streams.Load() == 0 }, 5*time.Second, 20*time.Millisecond, "hidden tabs have no stream")
	time.Sleep(300 * time.Millisecond) // what was under way ends
	s.do(func() {
		reads := counted(s.ground)
		time.Sleep(console.Turn + time.Second)
		require.Zero(t, reads.Load(), "hidden tabs read nothing")
	})
	b.Script(fmt.Sprintf(hide, false))
	b.Until(`document.querySelector("#live").dataset.state === "on"`)
	for _, one := range append(more, b) {
		one.Clean()
	}
}

func troubleOf(t *testing.T, in *browser.Browser) {
	s := watched(t, inhabited)
	b := in.Tab(t, s.address)
	s.open = fmt.Errorf("there are no credentials: %s", poison)
	b.Visit("/")
	b.Shows("there are no credentials")
	b.Shows("Look after it.")
	require.Equal(t, http.StatusBadGateway, s.get("/jobs").Code)
	s.open = nil
	b.Until(`document.body.dataset.page === "overview"`)
	b.Shows("the labourer is paused")
	b.Clean()
}
