package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

// row is a line of a list.
type row struct {
	id    string
	cells []string // the last takes what is left of the width
	style string
}

// The styles of a terminal, as it is told of them. What they say is also said in words: a terminal without colours shows all.
const (
	bold    = "\x1b[1m"
	faint   = "\x1b[2m"
	inverse = "\x1b[7m"
	red     = "\x1b[31m"
	yellow  = "\x1b[33m"
	unstyle = "\x1b[m"
)

// colours removes the colours from a line, and leaves the other styles.
var colours = strings.NewReplacer(red, "", yellow, "")

// View draws the dashboard.
func (d dashboard) View() tea.View {
	v := tea.NewView(strings.Join(d.frame(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "drover watch " + d.stack
	return v
}

// frame returns the lines of the screen, each within its width.
func (d dashboard) frame() []string {
	room := max(d.height-2, 1) // between the title and the last line
	var body []string
	switch {
	case d.help:
		body = d.keys()
	case d.shot.At.IsZero():
		body = []string{"", "Reading the stack …"}
	case d.detail:
		body = d.about()
	default:
		body = d.lists(room)
	}
	lines := append([]string{d.title()}, body[:min(len(body), room)]...)
	for len(lines) < d.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, d.footer())
	for i, l := range lines {
		if d.colourless {
			l = colours.Replace(l)
		}
		lines[i] = ansi.Truncate(l, d.width, "…")
	}
	return lines
}

func (d dashboard) title() string {
	text := bold + "drover" + unstyle + "  stack " + plain(d.stack)
	if !d.shot.At.IsZero() {
		text += "  " + momentIn(&d.shot.At, d.zone)
	}
	if d.filter != "" || d.filtering {
		text += "  filter: " + plain(d.filter)
	}
	if d.outage != "" {
		text += "  " + red + "AWS does not answer, trying again" + unstyle + ": " + plain(d.outage)
	}
	return text
}

func (d dashboard) footer() string {
	switch {
	case d.asking != nil:
		return inverse + " " + plain(d.asking.text) + " y/n " + unstyle
	case d.filtering:
		return "/" + plain(d.filter) + "▏ enter keeps the filter, esc ends it"
	case d.note != "":
		return plain(d.note)
	}
	keys := map[pane]string{labourersPane: "p pause  r resume  R replay", jobsPane: "c cancel  R replay", deathsPane: "R replay"}[d.pane]
	return faint + "tab list  ↑↓ select  enter why  / filter  " + keys + "  ? keys  q quit" + unstyle
}

func (d dashboard) keys() []string {
	return strings.Split(`
  tab, 1 2 3      the next list; labourers, jobs, deaths
  ↑ ↓ j k         select;  page up, page down, g, G: further
  enter, esc      all about what is selected, and why it does what it does; back
  /               show only lines with a text;  esc ends that
  p, r            pause, resume a labourer
  c               cancel a job
  R               replay the dead of a labourer or a job, or a dead task
  q, ctrl+c       quit

  Each action asks first.  Any key closes this.`, "\n")
}

// heads are the titles of the lists' columns.
var heads = map[pane][]string{
	labourersPane: {"LABOURER", "HEALTH", "CAP", "DESIRED", "RUNNING", "FREE", "DUE", "LATER", "NOW"},
	jobsPane:      {"JOB", "LABOURER", "STATE", "", "TASKS", "DONE", "DEAD", "OPEN", "SUBMITTED"},
	deathsPane:    {"DEAD TASK", "LABOURER", "ATTEMPTS", "DIED", "JOB", "WHY"},
}

// narrow holds the width, in cells, below which a list leaves out the columns that its last one can do without.
const narrow = 100

var spared = map[pane][]int{labourersPane: {2, 3, 5, 7}, jobsPane: {1, 8}, deathsPane: {1, 2, 3}}

// fitting returns the cells of a row that are shown at the dashboard's width.
func (d dashboard) fitting(p pane, cells []string) []string {
	if d.width >= narrow {
		return cells
	}
	var out []string
	for i, c := range cells {
		if !slices.Contains(spared[p], i) {
			out = append(out, c)
		}
	}
	return out
}

// nothing says what an empty list means.
var nothing = map[pane]string{labourersPane: "no labourer is applied", jobsPane: "no job was submitted", deathsPane: "none of these jobs' tasks is dead"}

// rows returns the rows of a list that the filter shows.
func (d dashboard) rows(p pane) []row {
	var out []row
	add := func(id, style string, cells ...string) {
		if d.matches(cells...) {
			out = append(out, row{id, cells, style})
		}
	}
	switch p {
	case labourersPane:
		for _, l := range d.shot.Labourers {
			add(l.Labourer, styleOf(l), l.Labourer, l.Status.String(), number(l.Cap), strconv.Itoa(l.Desired), strconv.Itoa(l.Running), strconv.Itoa(l.Free),
				strconv.Itoa(l.Due), strconv.Itoa(l.Later), string(l.Binding)+": "+l.Reason)
		}
	case jobsPane:
		for _, j := range d.shot.Jobs {
			style := ""
			if j.Dead > 0 || j.State == ledger.Rejected {
				style = red
			}
			add(j.JobID, style, j.JobID, dash(j.Labourer), string(j.State), bar(j), strconv.Itoa(j.Total), strconv.Itoa(j.Completed), strconv.Itoa(j.Dead),
				strconv.Itoa(j.Open), momentIn(&j.SubmittedAt, d.zone))
		}
	case deathsPane:
		for _, one := range d.dead {
			add(one.Task.TaskID, "", one.Task.TaskID, one.Task.Labourer, strconv.Itoa(one.Task.Attempt), momentIn(one.Task.ClosedAt, d.zone), one.Task.JobID, one.Why)
		}
	}
	return out
}

func styleOf(l inspect.Labourer) string {
	switch {
	case l.Trouble != nil || l.Status == ecology.Bad:
		return red
	case l.Paused || l.Status < ecology.High:
		return yellow
	}
	return ""
}

// lists returns the three lists. Each has a share of the room: what one does not need, the others get.
func (d dashboard) lists(room int) []string {
	all := make([][]row, panes)
	for p := range panes {
		all[p] = d.rows(p)
	}
	const around = 2 // the titles of a list, and the empty line behind it
	shares := shared(room-int(panes)*around, []int{len(all[0]), len(all[1]), len(all[2])})
	var out []string
	for p := range panes {
		out = append(append(out, d.list(p, all[p], shares[p])...), "")
	}
	return out
}

// shared divides a room among lists that need so much: the same for each, and what one does not need for the others.
func shared(room int, needs []int) []int {
	got := make([]int, len(needs))
	for room > 0 {
		before := room
		for i, need := range needs {
			if room > 0 && got[i] < max(need, 1) {
				got[i]++
				room--
			}
		}
		if room == before {
			break
		}
	}
	return got
}

// list returns the lines of a list: its titles, and as many rows as there is room for, the selected one among them.
func (d dashboard) list(p pane, rows []row, room int) []string {
	at := d.place(p, rows)
	first := min(max(at-room/2, 0), max(len(rows)-room, 0))
	shown := rows[first:min(first+room, len(rows))]
	titles := d.fitting(p, heads[p])
	widths := make([]int, len(titles))
	for i, head := range titles {
		widths[i] = ansi.StringWidth(head)
		for _, r := range shown {
			widths[i] = max(widths[i], min(ansi.StringWidth(plain(d.fitting(p, r.cells)[i])), 40))
		}
	}
	title := aligned(titles, widths)
	if hidden := len(rows) - len(shown); hidden > 0 {
		title += fmt.Sprintf("  (%d to %d of %d)", first+1, first+len(shown), len(rows))
	}
	if p == d.pane {
		title = bold + title + unstyle
	} else {
		title = faint + title + unstyle
	}
	out := []string{"  " + title}
	if len(rows) == 0 && room > 0 {
		text := nothing[p]
		if d.filter != "" {
			text = "nothing matches the filter"
		}
		return append(out, faint+"  "+text+unstyle)
	}
	for i, r := range shown {
		text := aligned(d.fitting(p, r.cells), widths)
		switch {
		case p == d.pane && first+i == at:
			out = append(out, "▸ "+inverse+text+unstyle)
		default:
			out = append(out, "  "+r.style+text+unstyle)
		}
	}
	return out
}

// aligned returns cells in columns. The last one is as long as it is.
func aligned(cells []string, widths []int) string {
	var b strings.Builder
	for i, c := range cells {
		c = plain(c)
		if i == len(cells)-1 {
			b.WriteString(c)
			break
		}
		c = ansi.Truncate(c, widths[i], "…")
		b.WriteString(c + strings.Repeat(" ", widths[i]-ansi.StringWidth(c)+2))
	}
	return strings.TrimRight(b.String(), " ")
}

// about returns all about the selected row.
func (d dashboard) about() []string {
	rows := d.rows(d.pane)
	if len(rows) == 0 {
		return []string{"", "  It is gone."}
	}
	id := rows[d.place(d.pane, rows)].id
	lines := []string{""}
	add := func(name, text string) {
		if text != "" {
			for i, part := range strings.Split(ansi.Wrap(plain(text), max(d.width-18, 20), ""), "\n") {
				if i > 0 {
					name = ""
				}
				lines = append(lines, fmt.Sprintf("  %-14s %s", name, part))
			}
		}
	}
	switch d.pane {
	case labourersPane:
		lines = append(lines, d.aboutLabourer(d.labourer(id))...)
	case jobsPane:
		j := d.job(id)
		add("job", j.JobID)
		add("labourer", j.Labourer)
		add("state", string(j.State))
		add("progress", bar(j)+" "+describe(j))
		add("submitted", momentIn(&j.SubmittedAt, d.zone))
		if j.FinishedAt != nil {
			add("finished", momentIn(j.FinishedAt, d.zone))
		}
		if j.Error != nil {
			add("error", j.Error.Field+": "+j.Error.Reason)
		}
		if l := d.labourer(j.Labourer); j.Open > 0 && l.Labourer != "" {
			lines = append(append(lines, ""), d.aboutLabourer(l)...)
		}
	case deathsPane:
		for _, one := range d.dead {
			if one.Task.TaskID == id {
				add("task", id)
				add("job", one.Task.JobID)
				add("labourer", one.Task.Labourer)
				add("attempts", strconv.Itoa(one.Task.Attempt))
				add("died", momentIn(one.Task.ClosedAt, d.zone))
				add("why", one.Why)
				add("more", "drover task "+id)
			}
		}
	}
	return lines
}

// aboutLabourer returns the record of the decision about a labourer as drover why prints it, and what its line has beside it.
func (d dashboard) aboutLabourer(l inspect.Labourer) []string {
	var text bytes.Buffer
	_ = (&shell{out: &text, zone: d.zone}).printRecord(l.Record) // a buffer takes all
	t := newTable(&text, "ALSO", "")
	for _, name := range slices.Sorted(maps.Keys(l.Metrics)) {
		t.row("metric", name+": "+l.Metrics[name].String())
	}
	t.row("leases", fmt.Sprintf("%d of the due tasks wait in leases; %s granted", l.Waiting, inspect.Count(l.Granted, "slot")))
	t.row("later", inspect.Count(l.Later, "task"))
	if l.Trouble != nil {
		t.row("target", l.Trouble.Error+"; tried again at "+momentIn(&l.Trouble.Until, d.zone))
	}
	if e := l.Evidence; e != nil && e.Pause != nil && !e.Pause.At.IsZero() {
		t.row("paused", "at "+momentIn(&e.Pause.At, d.zone)+" by "+dash(e.Pause.By))
	}
	_ = t.end()
	var out []string
	for line := range strings.Lines(text.String()) {
		for i, part := range strings.Split(ansi.Wrap(strings.TrimRight(line, " \n"), max(d.width-4, 20), ""), "\n") {
			out = append(out, strings.Repeat("  ", 1+min(i, 1))+part)
		}
	}
	return out
}
