package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

var update = flag.Bool("update", false, "write the golden files")

// deed holds what a dashboard had done.
type deed struct{ what, to string }

// desk is a user before a dashboard.
type desk struct {
	t     *testing.T
	d     dashboard
	deeds []deed
	ended bool
}

// watching returns a desk at which the dashboard has its first snapshot.
func watching(t *testing.T, shot looked) *desk {
	t.Helper()
	k := &desk{t: t}
	do := func(what, to string) tea.Cmd {
		return func() tea.Msg {
			k.deeds = append(k.deeds, deed{what, to})
			return acted{what + " done: " + to}
		}
	}
	k.d = newDashboard("drover", actions{
		look:   func() tea.Cmd { return nil },
		pause:  func(id string, to bool) tea.Cmd { return do(map[bool]string{true: "pause", false: "resume"}[to], id) },
		cancel: func(id string) tea.Cmd { return do("cancel", id) },
		replay: func(task, job, labourer string) tea.Cmd { return do("replay", task+job+labourer) },
	})
	k.send(tea.WindowSizeMsg{Width: 120, Height: 24})
	k.send(shot)
	return k
}

// send delivers a message, and carries out the command that follows.
func (k *desk) send(message tea.Msg) {
	k.t.Helper()
	model, command := k.d.Update(message)
	k.d = model.(dashboard)
	if command == nil {
		return
	}
	switch next := command().(type) {
	case nil:
	case tea.QuitMsg:
		k.ended = true
	default:
		k.send(next)
	}
}

// press presses keys, by their names.
func (k *desk) press(keys ...string) *desk {
	k.t.Helper()
	special := map[string]rune{"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "backspace": tea.KeyBackspace}
	for _, key := range keys {
		if code, is := special[key]; is {
			k.send(tea.KeyPressMsg{Code: code})
			continue
		}
		if key == "ctrl+c" {
			k.send(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
			continue
		}
		k.send(tea.KeyPressMsg{Code: rune(key[0]), Text: key})
	}
	return k
}

// text returns the screen without its styles.
func (k *desk) text() string {
	k.t.Helper()
	lines := strings.Split(k.d.View().Content, "\n")
	require.Len(k.t, lines, k.d.height, "a frame fills the screen and no more")
	for i, l := range lines {
		require.LessOrEqual(k.t, ansi.StringWidth(l), k.d.width, "line %d: %s", i, l)
		lines[i] = strings.TrimRight(ansi.Strip(l), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (k *desk) golden(name string) {
	k.t.Helper()
	path := filepath.Join("testdata", "watch", name+".txt")
	if *update {
		require.NoError(k.t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(k.t, os.WriteFile(path, []byte(k.text()), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(k.t, err)
	require.Equal(k.t, string(want), k.text())
}

// scene returns a stack in which something of each kind happens.
func scene() looked {
	at := time.Date(2026, 11, 22, 22, 1, 3, 0, time.UTC)
	oldest, value, age, threshold := at.Add(-17*time.Minute), 82.5, int64(40), 50.0
	labourer := func(id string, binding decision.Binding, reason string, change func(*inspect.Labourer)) inspect.Labourer {
		l := inspect.Labourer{Record: decision.Record{Labourer: id, Status: ecology.High, Cap: 10, Desired: 10, Binding: binding, Reason: reason}}
		change(&l)
		return l
	}
	job := func(id, labourer string, state ledger.State, total, completed, dead int) inspect.Job {
		return inspect.Job{JobID: id, Labourer: labourer, State: state, Total: total, Completed: completed, Dead: dead, Open: total - completed - dead, SubmittedAt: at.Add(-time.Hour)}
	}
	died := at.Add(-time.Minute)
	return looked{shot: inspect.Snapshot{At: at, Labourers: []inspect.Labourer{
		labourer("bake", decision.NothingDue, "nothing is due", func(*inspect.Labourer) {}),
		labourer("import_orders", decision.Health, "health is Poor: cpu is 82.5", func(l *inspect.Labourer) {
			l.Status, l.Desired, l.Running, l.Due, l.Waiting, l.Later, l.OldestDue = ecology.Poor, 2, 2, 512, 40, 3, &oldest
			l.Metrics = map[string]ecology.Status{"cpu": ecology.Poor, "lag": ecology.High}
			l.Evidence = &decision.Evidence{Metric: &decision.Metric{Name: "cpu", Status: ecology.Poor, Value: &value, AgeSeconds: &age, Threshold: &threshold, Operator: ecology.AtMost},
				Holders: []decision.Holder{{Task: "2jxtsgokhmkcw7cc.17", Since: at.Add(-9 * time.Minute)}}}
		}),
		labourer("mail", decision.Paused, "the labourer is paused by ann", func(l *inspect.Labourer) { l.Paused, l.Due = true, 4 }),
	}, Jobs: []inspect.Job{
		job("nightly-2026-11-22", "import_orders", ledger.Scheduled, 1000, 485, 3),
		job("letters", "mail", ledger.Scheduled, 4, 0, 0),
		job("bread", "bake", ledger.Completed, 20, 20, 0),
		{JobID: "typo", State: ledger.Rejected, SubmittedAt: at.Add(-2 * time.Hour)},
	}}, dead: []death{
		{inspect.Task{TaskID: "2jxtsgokhmkcw7cc.4", JobID: "nightly-2026-11-22", Labourer: "import_orders", Status: inspect.Dead, Attempt: 3, ClosedAt: &died}, "BadInput: no store \"z\"\x1b[31m\nin the file"},
		{inspect.Task{TaskID: "2jxtsgokhmkcw7cc.9", JobID: "nightly-2026-11-22", Labourer: "import_orders", Status: inspect.Dead, Attempt: 3, ClosedAt: &died}, "Timeout: deadline had passed"},
	}}
}

func TestTheDashboardsFrames(t *testing.T) {
	for name, see := range map[string]func(*desk){
		"lists":               func(*desk) {},
		"narrow":              func(k *desk) { k.send(tea.WindowSizeMsg{Width: 60, Height: 16}) },
		"tiny":                func(k *desk) { k.send(tea.WindowSizeMsg{Width: 20, Height: 4}) },
		"why a labourer":      func(k *desk) { k.press("down", "enter") },
		"about a job":         func(k *desk) { k.press("tab", "enter") },
		"about a death":       func(k *desk) { k.press("3", "enter") },
		"filtered":            func(k *desk) { k.press("/", "m", "a", "i", "l", "enter") },
		"typing a filter":     func(k *desk) { k.press("/", "x", "y", "backspace") },
		"keys":                func(k *desk) { k.press("?") },
		"a question":          func(k *desk) { k.press("down", "down", "p") },
		"an outage":           func(k *desk) { k.send(looked{outage: "dial tcp: connection refused"}) },
		"nothing to see here": func(k *desk) { k.send(looked{shot: inspect.Snapshot{At: scene().shot.At}}) },
		"many labourers": func(k *desk) {
			s := scene()
			for i := range 500 {
				s.shot.Labourers = append(s.shot.Labourers, inspect.Labourer{Record: decision.Record{Labourer: fmt.Sprintf("w-%03d", i), Status: ecology.High, Binding: decision.NothingDue}})
			}
			k.send(s)
			k.press("G", "up")
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := watching(t, scene())
			see(k)
			k.golden(strings.ReplaceAll(name, " ", "-"))
		})
	}
}

func TestTheDashboardAsksBeforeItActs(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		want deed
	}{
		"pause":                {[]string{"down", "down", "p"}, deed{"pause", "mail"}},
		"resume":               {[]string{"G", "r"}, deed{"resume", "mail"}},
		"replay of a labourer": {[]string{"down", "R"}, deed{"replay", "import_orders"}},
		"cancel":               {[]string{"tab", "down", "c"}, deed{"cancel", "letters"}},
		"replay of a job":      {[]string{"2", "R"}, deed{"replay", "nightly-2026-11-22"}},
		"replay of a task":     {[]string{"3", "j", "R"}, deed{"replay", "2jxtsgokhmkcw7cc.9"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := watching(t, scene()).press(c.keys...)
			require.Contains(t, k.text(), "y/n")
			require.Empty(t, k.deeds, "nothing happens before the answer")
			k.press("x", "tab")
			require.Contains(t, k.text(), "y/n", "another key is no answer")
			k.press("n")
			require.Empty(t, k.deeds)
			require.Contains(t, k.text(), "not done")

			k.press(c.keys[len(c.keys)-1], "y")

			require.Equal(t, []deed{c.want}, k.deeds)
			require.Contains(t, k.text(), c.want.what+" done: "+c.want.to)
		})
	}
}

func TestTheDashboardSaysWhatAKeyIsFor(t *testing.T) {
	for key, keys := range map[string][]string{"to pause: a labourer": {"2", "p"}, "to cancel: a job that is under way": {"2", "j", "j", "c"}, "to replay:": {"2", "j", "R"}} {
		k := watching(t, scene()).press(keys...)
		require.Contains(t, k.text(), key)
		require.Nil(t, k.d.asking)
	}
}

func TestTheDashboardKeepsWhatIsSelectedWhileListsChange(t *testing.T) {
	k := watching(t, scene()).press("2", "down")
	more := scene()
	more.shot.Jobs = append([]inspect.Job{{JobID: "new", State: ledger.Scheduling, SubmittedAt: more.shot.At}}, more.shot.Jobs...)
	k.send(more)
	require.Contains(t, k.text(), "▸ letters")
	more.shot.Jobs = more.shot.Jobs[:1]
	k.send(more)
	require.Contains(t, k.text(), "▸ new", "what is selected has gone")
	k.send(looked{outage: "away"})
	require.Contains(t, k.text(), "▸ new", "the last snapshot stays while AWS is away")
	require.Contains(t, k.text(), "AWS does not answer, trying again: away")
	k.send(more)
	require.NotContains(t, k.text(), "does not answer")
}

func TestTheDashboardEnds(t *testing.T) {
	require.True(t, watching(t, scene()).press("q").ended)
	require.True(t, watching(t, scene()).press("/", "ctrl+c").ended)
	k := watching(t, scene())
	k.send(lost{errors.New("access denied")})
	require.True(t, k.ended)
	require.ErrorContains(t, k.d.err, "access denied")
}

// TestTheDashboardSeesAndSteersAStack uses the real readers and commands, through an outage.
func TestTheDashboardSeesAndSteersAStack(t *testing.T) {
	g := busy(t)
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	s := &shell{out: io.Discard, err: io.Discard, now: g.World.Now, environment: func(string) string { return "" }, wait: func(ctx context.Context, span time.Duration) error {
		g.turning = true
		g.RunFor(span)
		g.turning = false
		return ctx.Err()
	}}
	eye := &glance{s: s, st: st}
	acts := eye.actions(t.Context())
	k := watching(t, acts.look()().(looked))
	require.Regexp(t, `mixed +shop +scheduled +\[#{6}x{6} +\] +3 +1 +1 +1`, k.text())
	require.Contains(t, k.text(), "no such section")

	g.away, g.awayUntil = outages["no connection"], g.World.Now().Add(5*time.Second)
	k.send(acts.look()())
	require.Contains(t, k.text(), "AWS does not answer")
	require.Contains(t, k.text(), "mixed")
	for k.d.outage != "" {
		k.send(acts.look()())
	}

	for _, do := range []tea.Cmd{acts.pause("shop", true), acts.cancel("next"), acts.replay("", "mixed", "")} {
		done := do().(acted)
		require.NotContains(t, done.note, "failed")
	}
	for range 5 {
		k.send(acts.look()())
	}
	require.Contains(t, k.text(), "paused: the labourer is paused")
	require.NotContains(t, k.text(), "no such section", "it was replayed")
}

// screen holds what a program writes to its terminal.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestTheDashboardRunsInATerminal starts the program itself, and quits by a key.
func TestTheDashboardRunsInATerminal(t *testing.T) {
	g := busy(t)
	st, err := g.open(t.Context(), "drover")
	require.NoError(t, err)
	keys, typed := io.Pipe()
	var out screen
	s := &shell{in: keys, out: &out, err: io.Discard, now: g.World.Now, environment: func(string) string { return "" },
		wait: func(ctx context.Context, span time.Duration) error { return wait(ctx, span/100) }}
	ended := make(chan error, 1)
	go func() { ended <- s.dashboard(t.Context(), st, tea.WithWindowSize(120, 24)) }()
	require.Eventually(t, func() bool { return strings.Contains(ansi.Strip(out.String()), "mixed") }, 20*time.Second, 10*time.Millisecond)
	_, err = typed.Write([]byte("q"))
	require.NoError(t, err)
	require.NoError(t, <-ended)
}

func TestAFrameWithoutColoursKeepsTheOtherStyles(t *testing.T) {
	k := watching(t, scene())
	require.Contains(t, k.d.View().Content, red)
	words := k.text()
	k.d.colourless = true
	require.NotContains(t, k.d.View().Content, "\x1b[3")
	require.Contains(t, k.d.View().Content, bold)
	require.Equal(t, words, k.text())
}
