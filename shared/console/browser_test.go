package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/console"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// without skips a test that lacks a part of its surroundings, which localstack/browser installs. In CI it fails.
func without(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and tests in CI need it; to install it: localstack/browser", what)
	}
	t.Skipf("not judged: %s is missing; to install it: localstack/browser", what)
}

// chromium is the browser of all tests. It ends with the test that started it, so the tests that need it are parts of one.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		without(t, "a Chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("lang", "en-GB"), chromedp.WSURLReadTimeout(time.Minute))
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	require.NoError(t, chromedp.Do(ctx), "the browser starts")
	return ctx
}

// axe returns the program that examines a page for people who cannot see, or cannot use a mouse.
func axe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", ".local", "browser", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		without(t, "axe-core")
	}
	return string(text)
}

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

// tab is a tab of the browser. It notes what should not happen.
type tab struct {
	t       *testing.T
	ctx     context.Context
	at      string
	mu      sync.Mutex
	wrong   []string
	foreign []string
}

func (s *seen) tab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, at: s.address}
	require.NoError(t, chromedp.Listen(ctx, func(e any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			b.wrong = append(b.wrong, fmt.Sprintf("exception: %+v", e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError {
				b.wrong = append(b.wrong, fmt.Sprintf("console: %v", e.Args))
			}
		case *page.EventJavascriptDialogOpening:
			b.wrong = append(b.wrong, "dialog: "+e.Message)
			go func() { _, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) }()
		case *log.EventEntryAdded:
			if strings.Contains(e.Entry.Text, "Content Security Policy") {
				b.wrong = append(b.wrong, e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, s.address+"/") {
				b.foreign = append(b.foreign, e.Request.URL)
			}
		}
	}))
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	return b
}

// call carries out a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], parameters P) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, command, parameters)
	require.NoError(b.t, err)
}

// run carries out actions, within a while.
func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	require.NoError(b.t, chromedp.Do(ctx, actions...))
}

// patience limits how long a step of a test may take.
const patience = 25 * time.Second

func (b *tab) visit(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.at+path), chromedp.WaitReady("#main"))
}

// press presses keys.
func (b *tab) press(keys string) { b.t.Helper(); b.run(chromedp.KeyEvent(keys)) }

// value returns the value of an expression on the page.
func value[T any](b *tab, expression string) (v T) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err)
	return v
}

// script runs a script on the page.
func (b *tab) script(text string) {
	b.t.Helper()
	b.run(chromedp.Evaluate[chromedp.Void](text))
}

// until waits until an expression on the page is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) { // also across pages, where an expression may fail
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && is {
			return
		}
		if time.Since(begun) > patience {
			shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 2000)`))
			require.Fail(b.t, "this did not come true: "+expression, "%v; the page shows: %s", err, shown)
		}
	}
}

// shows waits until the page shows a text.
func (b *tab) shows(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.body.innerText.replace(/\s+/g, " ").includes(%q)`, text))
}

// clean requires that nothing went wrong on the pages of the tab.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.wrong)
	require.Empty(b.t, b.foreign, "requests to other hosts")
}

func TestInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("not judged: a browser takes a while")
	}
	examine, browser := axe(t), chromium(t)
	t.Run("each page can be used in both themes and on a phone", func(t *testing.T) { eachPage(t, browser, examine) })
	t.Run("everything has a key", func(t *testing.T) { byKeys(t, browser) })
	t.Run("actions ask first, say to how many, and are followed", func(t *testing.T) { actionsOf(t, browser) })
	t.Run("a page stays fresh, tabs share a stream, and a hidden tab reads nothing", func(t *testing.T) { liveOf(t, browser) })
	t.Run("trouble is shown, and goes by itself", func(t *testing.T) { troubleOf(t, browser) })
}

// violation is what axe finds.
type violation struct {
	ID, Impact string
	Nodes      []struct {
		HTML           string
		FailureSummary string
	}
}

// screenshots names a folder for pictures of all pages; "": none are made.
var screenshots = os.Getenv("DROVER_TEST_SCREENSHOTS")

func eachPage(t *testing.T, browser context.Context, examine string) {
	s := watched(t, inhabited)
	require.Equal(t, http.StatusSeeOther, s.get("/doctor?run=1").Code)
	pages := everyPage(t, s.ground)
	pages["/doctor"], pages["/jobs/nope"], pages["/nowhere"] = "it lags", "There is no job", "There is no page"
	empty := watched(t, newGround)
	for _, theme := range []string{"light", "dark"} {
		b := s.tab(t, browser)
		b.run(chromedp.EmulateViewport(1280, 800))
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		look := func(path string) {
			violations := value[[]violation](b, examine+`; axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
				.then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Nodes: v.nodes.map(n => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`)
			for _, v := range violations {
				require.NotContains(t, []string{"serious", "critical"}, v.Impact, "%s in %s: %s %+v", path, theme, v.ID, v.Nodes)
			}
		}
		for _, path := range slices.Sorted(maps.Keys(pages)) {
			if theme == "dark" && strings.Contains(path, "?") {
				continue // the same page as without a query
			}
			b.visit(path)
			look(path)
			picture(b, theme, path)
		}
		b.at = empty.address
		for _, path := range []string{"/", "/jobs", "/workflows"} {
			b.visit(path)
			look("empty " + path)
		}
		b.at = s.address
		b.visit("/")
		b.press("?")
		look("the keys")
		picture(b, theme, "/keys")
		b.mu.Lock()
		b.foreign = slices.DeleteFunc(b.foreign, func(to string) bool { return strings.HasPrefix(to, empty.address) })
		b.mu.Unlock()
		b.clean()
	}
	b := s.tab(t, browser)
	b.run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		b.visit(path)
		require.LessOrEqual(t, value[int](b, `document.documentElement.scrollWidth`), 390, "%s is wider than a phone", path)
		picture(b, "phone", path)
	}
	b.clean()
}

// picture keeps a picture of a page.
func picture(b *tab, theme, path string) {
	if screenshots == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	name := strings.NewReplacer("/", "_", "?", "_", "&", "_", "%20", "_").Replace(path)
	require.NoError(b.t, os.WriteFile(filepath.Join(screenshots, theme+name+".png"), png, 0o600))
}

func byKeys(t *testing.T, browser context.Context) {
	s := watched(t, inhabited)
	b := s.tab(t, browser)
	b.visit("/")
	b.press("?")
	b.until(`document.querySelector("#keys").open`)
	b.run(chromedp.KeyEvent("\x1b"))
	b.until(`!document.querySelector("dialog[open]")`)
	for _, to := range []struct{ key, path string }{{"j", "/jobs"}, {"d", "/dead"}, {"w", "/workflows"}, {"r", "/runs"}, {"c", "/doctor"}, {"o", "/"}} {
		b.press("g")
		b.press(to.key)
		b.until(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, to.path))
	}
	b.press("j")
	require.Equal(t, "shop", value[string](b, `document.activeElement.textContent`), "what needs attention comes first")
	b.press("j")
	require.Equal(t, "mill", value[string](b, `document.activeElement.textContent`))
	b.press("k")
	b.press("\r")
	b.until(`location.pathname === "/labourers/shop" && document.readyState === "complete"`)
	b.press("/")
	b.until(`document.activeElement.id === "q"`)
	b.script(`document.querySelector("#q").value = ""`) // a driven browser types the key too
	b.run(chromedp.KeyEvent("nightly"), chromedp.KeyEvent("\r"))
	b.until(`location.pathname === "/jobs/nightly" && document.readyState === "complete"`)
	b.press("t")
	require.Equal(t, "dark", value[string](b, `document.documentElement.dataset.theme`))
	b.visit("/")
	require.Equal(t, "dark", value[string](b, `document.documentElement.dataset.theme`), "the choice stays")
	b.press("t")

	b.visit("/dead?limit=2")
	first := value[string](b, `document.querySelector("[data-select]").value`)
	b.press("n")
	b.until(`location.search.includes("after=")`)
	b.run(chromedp.NavigateBack())
	b.until(fmt.Sprintf(`document.querySelector("[data-select]").value === %q`, first))
	b.press("j") // the group
	b.press("j")
	b.press("x")
	b.until(`document.querySelector("[data-needs-selection]").textContent === "Replay 1 selected"`)

	b.press("?")
	b.run(chromedp.Click("#keys-on"), chromedp.KeyEvent("\x1b"))
	b.until(`!document.querySelector("dialog[open]")`)
	b.press("t")
	require.Equal(t, "light", value[string](b, `document.documentElement.dataset.theme`), "single keys can be switched off")
	b.script(`localStorage.clear()`)
	b.clean()
}

func actionsOf(t *testing.T, browser context.Context) {
	s := watched(t, inhabited)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	b := s.tab(t, browser)
	confirm := func(title, count string) {
		t.Helper()
		b.until(`document.querySelector("#ask").open`)
		require.Contains(t, value[string](b, `document.querySelector("#ask-title").textContent`), title)
		require.Equal(t, count, value[string](b, `document.querySelector("#ask-count").textContent`))
	}
	b.visit("/labourers/shop")
	b.press("p")
	confirm("Resume shop?", "")
	b.run(chromedp.Click(`#ask button[value="no"]`))
	b.until(`!document.querySelector("#ask").open`)
	require.True(t, s.get("/api/labourers/shop").one()["paused"].(bool), "nothing happens without a yes")
	b.press("p")
	confirm("Resume shop?", "")
	b.run(chromedp.Click("#ask-yes"))
	b.until(`document.querySelector(".actions button").textContent === "Pause"`)
	b.run(chromedp.Click(`.actions button`))
	confirm("Pause shop?", "")
	b.run(chromedp.Click("#ask-yes"))
	b.until(`document.querySelector(".actions button").textContent === "Resume"`)

	b.visit("/jobs/morning")
	b.press("c")
	confirm("Cancel job morning?", "")
	b.run(chromedp.Click("#ask-yes"))
	b.until(`document.querySelector("#said").textContent.includes("done")`)
	s.do(func() { s.RunFor(time10) })
	b.visit("/jobs/morning")
	b.shows("cancelled 2")

	b.visit("/dead?job=nightly")
	b.run(chromedp.Click(`[data-select]`))
	b.press("y")
	confirm("Replay the selected tasks?", "1 task")
	b.run(chromedp.Click("#ask-yes"))
	b.until(`location.pathname === "/replays"`)
	b.shows("1 dead task to revive")
	s.do(func() { s.RunFor(time10) })
	b.visit("/dead?job=nightly")
	b.press("A")
	confirm("Replay all dead tasks of job nightly?", "3 tasks")
	b.run(chromedp.Click("#ask-yes"))
	b.until(`location.pathname === "/replays"`)
	s.pass(ctx)
	b.shows("3 of 3 live again")

	s.do(func() { require.NoError(t, s.Pause("mill")) })
	var run string
	s.do(func() {
		run = s.StartWorkflow(`{"start_id": "second", "workflow": "order intake", "uid": "order-2", "metadata": {"country": "AT"}}`)
		s.RunFor(time10)
	})
	b.visit("/runs/" + run)
	b.press("c")
	confirm("Cancel run "+run+"?", "")
	b.run(chromedp.Click("#ask-yes"))
	b.shows("Cancelled")
	b.clean()
	require.Equal(t, flow.Cancelled, value[flow.State](b, `document.querySelector(".title .badge").textContent`))
}

func liveOf(t *testing.T, browser context.Context) {
	s := watched(t, inhabited)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	b := s.tab(t, browser)
	b.visit("/")
	b.until(`document.querySelector("#live").dataset.state === "on"`)
	b.script(`document.querySelector("#q").value = "typed"; document.querySelector("#l-mill a").focus()`)
	s.pass(ctx)
	s.do(func() {
		require.NoError(t, s.Resume("shop"))
		s.Submit(`{"job_id": "surprise", "labourer": "mill", "sections": ["a","b","c"], "isolate_sections": true}`)
	})
	b.shows("surprise")
	b.until(`!document.querySelector("#l-shop").innerText.includes("paused")`)
	require.Equal(t, []string{"typed", "mill"}, value[[]string](b, `[document.querySelector("#q").value, document.activeElement.textContent]`), "what the user does stays")

	var more []*tab
	for _, path := range []string{"/jobs", "/jobs/surprise", "/labourers/mill", "/runs", "/dead", "/workflows"} {
		another := s.tab(t, browser)
		another.visit(path)
		more = append(more, another)
	}
	more[1].shows("completed 3")
	require.Equal(t, int32(1), s.streams.Load(), "seven tabs share one stream")

	hide := `Object.defineProperty(document, "hidden", {value: %t, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`
	for _, one := range append(more, b) {
		one.script(fmt.Sprintf(hide, true))
	}
	require.Eventually(t, func() bool { return s.streams.Load() == 0 }, 5*time.Second, 20*time.Millisecond, "hidden tabs have no stream")
	time.Sleep(300 * time.Millisecond) // what was under way ends
	s.do(func() {
		reads := counted(s.ground)
		time.Sleep(console.Turn + time.Second)
		require.Zero(t, reads.Load(), "hidden tabs read nothing")
	})
	b.script(fmt.Sprintf(hide, false))
	b.until(`document.querySelector("#live").dataset.state === "on"`)
	for _, one := range append(more, b) {
		one.clean()
	}
}

func troubleOf(t *testing.T, browser context.Context) {
	s := watched(t, inhabited)
	b := s.tab(t, browser)
	s.open = fmt.Errorf("there are no credentials: %s", poison)
	b.visit("/")
	b.shows("there are no credentials")
	b.shows("Look after it.")
	require.Equal(t, http.StatusBadGateway, s.get("/jobs").Code)
	s.open = nil
	b.until(`document.body.dataset.page === "overview"`)
	b.shows("the labourer is paused")
	b.clean()
	var out map[string]any
	require.NoError(t, json.Unmarshal(s.get("/api/labourers/shop").Body.Bytes(), &out))
}
