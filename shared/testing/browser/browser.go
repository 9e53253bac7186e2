// Package browser drives a real browser in tests: it visits pages, presses keys, and notes what should not happen on a page.
//
// It needs a Chromium, and for [Tab.Examine] axe-core. The script localstack/browser installs both. Where one is missing a test is skipped; with CI=true
// it fails.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
)

// patience limits how long a step of a test may take. On a small machine the browser shares two cores with everything else, and the console's doctor may
// take two minutes.
const patience = 150 * time.Second

// without skips a test that lacks a part of its surroundings. In CI it fails.
func without(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and tests in CI need it; to install it: localstack/browser", what)
	}
	t.Skipf("not judged: %s is missing; to install it: localstack/browser", what)
}

// Browser is a running Chromium. It ends with the test that started it.
type Browser struct{ ctx context.Context }

// Start starts a browser.
func Start(t *testing.T) *Browser {
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
	return &Browser{ctx}
}

// Tab is a tab of the browser, on the pages of one site.
type Tab struct {
	Site string // "http://127.0.0.1:4500"

	t   *testing.T
	ctx context.Context
	axe string

	mu      sync.Mutex
	wrong   []string
	foreign []string
}

// Tab opens a tab.
func (b *Browser) Tab(t *testing.T, site string) *Tab {
	t.Helper()
	ctx, end := chromedp.NewContext(b.ctx)
	t.Cleanup(end)
	tab := &Tab{Site: site, t: t, ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, tab.hear))
	call(tab, network.Enable, network.EnableParams{})
	call(tab, log.Enable, cdp.Empty{})
	tab.run(chromedp.EmulateViewport(1280, 800))
	return tab
}

// hear notes an event of the browser that should not happen.
func (b *Tab) hear(e any) {
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
		go func() { _, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) }()
	case *log.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.wrong = append(b.wrong, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.Site+"/") {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	}
}

// Clean requires that nothing went wrong on the pages of the tab: no exception, no dialog, no request to another site, and nothing that the
// Content-Security-Policy refused.
func (b *Tab) Clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.wrong)
	require.Empty(b.t, b.foreign, "requests to other sites")
}

// call carries out a command of the browser's protocol.
func call[P, R any](b *Tab, command cdp.Command[P, R], parameters P) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, command, parameters)
	require.NoError(b.t, err)
}

func (b *Tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	require.NoError(b.t, chromedp.Do(ctx, actions...))
}

// Visit opens a page of the site.
func (b *Tab) Visit(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.Site+path), chromedp.WaitReady("#main"))
}

// Back goes back to the page before, and does not wait for it. Chromium may take that page from its cache of whole pages, where nothing is loaded, so a
// wait for the end of loading may never end.
func (b *Tab) Back() { b.t.Helper(); b.Script(`history.back()`) }

// Press presses keys.
func (b *Tab) Press(keys string) { b.t.Helper(); b.run(chromedp.KeyEvent(keys)) }

// Click clicks on the first element that a selector finds, once it can be seen and nothing covers it. The page itself looks for it: what the driver knows of
// the elements of a page may be old, after a step back.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	middle := fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		if (!e) return [];
		e.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		return r.width && e.contains(document.elementFromPoint(x, y)) ? [x, y] : [];
	})()`, selector)
	b.Until(middle + `.length === 2`)
	at := Value[[]float64](b, middle)
	require.Len(b.t, at, 2, "%s has gone", selector)
	b.run(chromedp.MouseClickXY(at[0], at[1]))
}

// Script runs a script on the page.
func (b *Tab) Script(text string) { b.t.Helper(); b.run(chromedp.Evaluate[chromedp.Void](text)) }

// Value returns the value of an expression on the page.
func Value[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err)
	return v
}

// Until waits until an expression is true, also across pages.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) { // an expression may fail while a page is loaded
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && is {
			return
		}
		if time.Since(begun) > patience {
			shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 3000)`))
			require.Fail(b.t, "this did not come true: "+expression, "%v; the page shows: %s", err, shown)
		}
	}
}

// Shows waits until the page shows a text.
func (b *Tab) Shows(text string) {
	b.t.Helper()
	b.Until(fmt.Sprintf(`document.body.innerText.replace(/\s+/g, " ").includes(%q)`, text))
}

// Theme makes the browser prefer a theme: light or dark.
func (b *Tab) Theme(theme string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
}

// Phone gives the tab the size of a phone: 390 pixels wide.
func (b *Tab) Phone() {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
}

// Examine requires that axe finds nothing serious on the page, by the rules of WCAG 2.2 AA and its own good practice.
func (b *Tab) Examine(what string) {
	b.t.Helper()
	if b.axe == "" {
		b.axe = axe(b.t)
	}
	type violation struct {
		ID, Impact string
		Nodes      []struct{ HTML, FailureSummary string }
	}
	for _, v := range Value[[]violation](b, `window.axe || (() => {`+b.axe+`})(); 
		axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
		.then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Nodes: v.nodes.map(n => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`) {
		require.NotContains(b.t, []string{"serious", "critical"}, v.Impact, "%s: %s %+v", what, v.ID, v.Nodes)
	}
}

// axe returns the program that examines a page for people without sight, or without a mouse.
func axe(t *testing.T) string {
	t.Helper()
	for _, top := range []string{"..", "../..", "../../.."} {
		if text, err := os.ReadFile(filepath.Join(top, ".local", "browser", "node_modules", "axe-core", "axe.min.js")); err == nil {
			return string(text)
		}
	}
	without(t, "axe-core")
	return ""
}

// Picture keeps a picture of the page in the folder that DROVER_TEST_SCREENSHOTS names; without it none is made.
func (b *Tab) Picture(name string) {
	b.t.Helper()
	folder := os.Getenv("DROVER_TEST_SCREENSHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	name = strings.Trim(strings.NewReplacer("/", "_", "?", "_", "&", "_", "%20", "_").Replace(name), "_")
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600)) //nolint:gosec // the developer names the folder
}
