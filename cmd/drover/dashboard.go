package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/drover-run/drover/shared/inspect"
)

// dashboard holds the terminal UI of drover watch: what it has been told, and what the user looks at. It decides what to show, and what the keys mean; the
// commands that it returns do the rest.
type dashboard struct {
	stack         string
	zone          *time.Location // of the times
	colourless    bool
	width, height int

	shot   inspect.Snapshot
	dead   []death
	outage string // what keeps AWS from answering; "" if nothing does
	err    error  // why it ended

	pane      pane
	selected  map[pane]string // the selected row's id, by pane
	detail    bool            // it shows all about the selected row
	help      bool
	filter    string
	filtering bool      // keys go to the filter
	asking    *question // keys answer it
	note      string    // the outcome of the last action

	acts actions
}

// actions are what a dashboard can have done. Each returns a command that carries it out.
type actions struct {
	look   func() tea.Cmd                           // takes the next snapshot, at its time
	pause  func(labourer string, to bool) tea.Cmd   // pauses or resumes
	cancel func(job string) tea.Cmd                 // cancels a job
	replay func(task, job, labourer string) tea.Cmd // replays one of these
}

// death is a dead task, and why it died.
type death struct {
	Task inspect.Task
	Why  string
}

// The messages of commands.
type (
	looked struct {
		shot   inspect.Snapshot
		dead   []death
		outage string // AWS did not answer: the rest is empty
	}
	acted struct{ note string } // the outcome of an action, in words
	lost  struct{ err error }   // nothing can be seen any more
)

// question is an action that the user has to confirm.
type question struct {
	text string
	do   tea.Cmd
}

// pane is a list of the dashboard.
type pane int

const (
	labourersPane pane = iota
	jobsPane
	deathsPane
	panes
)

func newDashboard(stack string, acts actions) dashboard {
	return dashboard{stack: stack, zone: time.UTC, width: 80, height: 24, selected: map[pane]string{}, acts: acts}
}

// Init takes the first snapshot.
func (d dashboard) Init() tea.Cmd { return d.acts.look() }

// Update takes a message.
func (d dashboard) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tea.WindowSizeMsg:
		d.width, d.height = m.Width, m.Height
	case looked:
		if d.outage = m.outage; m.outage == "" {
			d.shot, d.dead = m.shot, m.dead
		}
		return d, d.acts.look()
	case acted:
		d.note = m.note
	case lost:
		d.err = m.err
		return d, tea.Quit
	case tea.PasteMsg:
		if d.filtering {
			d.filter += plain(m.Content)
		}
	case tea.KeyPressMsg:
		return d.pressed(m.String())
	}
	return d, nil
}

// pressed says what a key means.
func (d dashboard) pressed(key string) (tea.Model, tea.Cmd) {
	if key == "ctrl+c" {
		return d, tea.Quit
	}
	switch {
	case d.asking != nil:
		return d.answered(key)
	case d.filtering:
		return d.typed(key), nil
	case d.help:
		d.help = false
		return d, nil
	}
	d.note = ""
	rows := d.rows(d.pane)
	switch key {
	case "q":
		return d, tea.Quit
	case "?":
		d.help = true
	case "tab", "right", "l":
		d.pane, d.detail = (d.pane+1)%panes, false
	case "shift+tab", "left", "h":
		d.pane, d.detail = (d.pane+panes-1)%panes, false
	case "1", "2", "3":
		d.pane, d.detail = pane(key[0]-'1'), false
	case "down", "j":
		d.move(rows, 1)
	case "up", "k":
		d.move(rows, -1)
	case "pgdown", "ctrl+d":
		d.move(rows, 10)
	case "pgup", "ctrl+u":
		d.move(rows, -10)
	case "home", "g":
		d.move(rows, -len(rows))
	case "end", "G":
		d.move(rows, len(rows))
	case "enter":
		d.detail = len(rows) > 0
	case "esc":
		if !d.detail {
			d.filter = ""
		}
		d.detail = false
	case "/":
		d.filtering = true
	default:
		d.ask(key)
	}
	return d, nil
}

// move selects another row.
func (d *dashboard) move(rows []row, by int) {
	if len(rows) > 0 {
		d.selected[d.pane] = rows[min(max(d.place(d.pane, rows)+by, 0), len(rows)-1)].id
	}
}

// place returns the index of the selected row. If that has gone, it is the first.
func (d dashboard) place(p pane, rows []row) int {
	return max(slices.IndexFunc(rows, func(r row) bool { return r.id == d.selected[p] }), 0)
}

func (d dashboard) typed(key string) dashboard {
	switch key {
	case "enter":
		d.filtering = false
	case "esc":
		d.filtering, d.filter = false, ""
	case "backspace":
		letters := []rune(d.filter)
		d.filter = string(letters[:max(len(letters)-1, 0)])
	case "space":
		d.filter += " "
	default:
		if len([]rune(key)) == 1 {
			d.filter += key
		}
	}
	return d
}

func (d dashboard) answered(key string) (tea.Model, tea.Cmd) {
	asked := d.asking
	switch key {
	case "y", "Y":
		d.asking, d.note = nil, "…"
		return d, asked.do
	case "n", "N", "esc", "q":
		d.asking, d.note = nil, "not done"
	}
	return d, nil
}

// ask asks whether to do what a key stands for in the selected row. A key that stands for nothing there says so.
func (d *dashboard) ask(key string) {
	rows := d.rows(d.pane)
	if len(rows) == 0 {
		return
	}
	id := rows[d.place(d.pane, rows)].id
	none := map[string]string{"p": "to pause: a labourer", "r": "to resume: a labourer", "c": "to cancel: a job that is under way",
		"R": "to replay: a labourer, a job or a task with deaths"}
	switch {
	case key == "p" && d.pane == labourersPane:
		d.asking = &question{fmt.Sprintf("Pause labourer %s? %s due and would wait until it is resumed.", id, areTasks(d.labourer(id).Due)), d.acts.pause(id, true)}
	case key == "r" && d.pane == labourersPane:
		d.asking = &question{fmt.Sprintf("Resume labourer %s? %s due.", id, areTasks(d.labourer(id).Due)), d.acts.pause(id, false)}
	case key == "c" && d.pane == jobsPane && !d.job(id).Finished():
		d.asking = &question{fmt.Sprintf("Cancel job %s? %s open; running ones run to their end.", id, areTasks(d.job(id).Open)), d.acts.cancel(id)}
	case key == "R" && d.pane == jobsPane && d.job(id).Dead > 0:
		d.asking = &question{fmt.Sprintf("Replay the dead of job %s? %s dead.", id, areTasks(d.job(id).Dead)), d.acts.replay("", id, "")}
	case key == "R" && d.pane == labourersPane:
		d.asking = &question{fmt.Sprintf("Replay all dead tasks of labourer %s, of every job that is kept?", id), d.acts.replay("", "", id)}
	case key == "R" && d.pane == deathsPane:
		d.asking = &question{fmt.Sprintf("Replay task %s?", id), d.acts.replay(id, "", "")}
	case none[key] != "":
		d.note = none[key]
	}
}

func areTasks(n int) string {
	return inspect.Count(n, "task") + " " + inspect.Plural(n, "is", "are")
}

func (d dashboard) labourer(id string) inspect.Labourer {
	for _, l := range d.shot.Labourers {
		if l.Labourer == id {
			return l
		}
	}
	return inspect.Labourer{}
}

func (d dashboard) job(id string) inspect.Job {
	for _, j := range d.shot.Jobs {
		if j.JobID == id {
			return j
		}
	}
	return inspect.Job{}
}

// matches reports whether a row is shown: the filter is in one of its cells, whatever the case.
func (d dashboard) matches(cells ...string) bool {
	return d.filter == "" || strings.Contains(strings.ToLower(strings.Join(cells, " ")), strings.ToLower(d.filter))
}

// glance looks at the stack, for a dashboard.
type glance struct {
	s     *shell
	st    *stack
	watch *inspect.Watcher
	next  time.Time
	dead  []death
	seen  map[string]int // deaths of the jobs of the last snapshot, when the dead were read
}

// shownDead limits how many deaths are read.
const shownDead = 20

// look waits until the next snapshot is due, and takes it.
func (g *glance) look(ctx context.Context) tea.Msg {
	if g.next.IsZero() {
		g.next = g.s.now()
	}
	if g.s.wait(ctx, g.next.Sub(g.s.now())) != nil {
		return nil
	}
	shot, err := g.take(ctx)
	if g.next = g.next.Add(watchTick); g.next.Before(g.s.now()) {
		g.next = g.s.now()
	}
	switch k := kindOf(err); {
	case err == nil:
		return looked{shot: shot, dead: g.dead}
	case ctx.Err() != nil:
		return nil
	case k == session:
		g.next = g.s.now().Add(outagePause)
		return looked{outage: signIn(err, g.s.environment("AWS_PROFILE"))}
	case k == passing || signedOut(err):
		g.next = g.s.now().Add(outagePause)
		return looked{outage: reason(err)}
	}
	return lost{err}
}

// take takes a snapshot. It reads the dead only if more tasks have died, or fewer are dead, than when it read them.
func (g *glance) take(ctx context.Context) (shot inspect.Snapshot, err error) {
	if g.watch == nil {
		if g.watch, err = g.s.reader(g.st).Watch(ctx); err != nil {
			return shot, err
		}
	}
	if shot, err = g.watch.Snapshot(ctx); err != nil {
		return shot, err
	}
	counts := map[string]int{}
	changed := false
	for _, j := range shot.Jobs {
		counts[j.JobID] = j.Dead
		changed = changed || g.seen[j.JobID] != j.Dead
	}
	if !changed {
		return shot, nil
	}
	var dead []death
	for _, j := range shot.Jobs {
		if j.Dead == 0 || len(dead) >= shownDead {
			continue
		}
		err := g.s.reader(g.st).EachTask(ctx, inspect.Selection{Job: j.JobID, Status: inspect.Dead}, func(one inspect.Sighting) (bool, error) {
			why := "no error was reported"
			if e := one.Task.LastError(); e != nil {
				why = e.Type + ": " + e.Message
			}
			dead = append(dead, death{one.Line(), why})
			return len(dead) < shownDead, nil
		})
		if err != nil {
			return shot, err
		}
	}
	g.dead, g.seen = dead, counts
	return shot, nil
}

// actions returns what a dashboard of this stack can have done.
func (g *glance) actions(ctx context.Context) actions {
	act := func(did string, do func() error) tea.Cmd {
		return func() tea.Msg {
			if err := do(); err != nil {
				return acted{"failed: " + reason(err)}
			}
			return acted{did}
		}
	}
	return actions{
		look: func() tea.Cmd { return func() tea.Msg { return g.look(ctx) } },
		pause: func(id string, to bool) tea.Cmd {
			did := map[bool]string{true: "paused labourer ", false: "resumed labourer "}[to] + id
			return act(did, func() error { return g.st.setPaused(ctx, id, to, "", g.s.now()) })
		},
		cancel: func(id string) tea.Cmd {
			return act("job "+id+" is being cancelled", func() error { return g.st.cancel(ctx, id, false) })
		},
		replay: func(task, job, labourer string) tea.Cmd {
			var tasks []string
			if task != "" {
				tasks = []string{task}
			}
			return act("the replay is sent; its tasks start within seconds", func() error { return g.st.replay(ctx, tasks, job, labourer) })
		},
	}
}

// dashboard runs the terminal UI until the user ends it.
func (s *shell) dashboard(ctx context.Context, st *stack, options ...tea.ProgramOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := &glance{s: s, st: st}
	options = append(options, tea.WithContext(ctx), tea.WithInput(s.in), tea.WithOutput(s.out))
	board := newDashboard(st.Name, g.actions(ctx))
	board.zone, board.colourless = s.local(), s.environment("NO_COLOR") != "" // https://no-color.org
	last, err := tea.NewProgram(board, options...).Run()
	if d, is := last.(dashboard); is && d.err != nil {
		return d.err
	}
	if ctx.Err() != nil { // an interrupt is a normal end
		return nil
	}
	return err
}
