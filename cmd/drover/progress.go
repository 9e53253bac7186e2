package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/inspect"
)

// progress shows on standard error how far a job is: at a terminal as a bar that it redraws, else as a line now and then.
type progress struct {
	to    io.Writer
	bar   bool
	now   func() time.Time
	last  string
	shown time.Time
}

// linePause separates two lines, at least, if there is no terminal.
const linePause = 10 * time.Second

func newProgress(to io.Writer, now func() time.Time) *progress {
	return &progress{to: to, bar: terminal(to), now: now}
}

func (p *progress) show(j inspect.Job) {
	text := describe(j)
	switch {
	case text == p.last:
	case p.bar:
		fmt.Fprintf(p.to, "\r\033[K%s %s", bar(j), text)
		p.last = text
	case p.shown.IsZero() || p.now().Sub(p.shown) >= linePause:
		fmt.Fprintln(p.to, text)
		p.last, p.shown = text, p.now()
	}
}

// note prints a line above the bar.
func (p *progress) note(text string) {
	p.end()
	fmt.Fprintln(p.to, text)
	p.last = ""
}

// end clears the bar.
func (p *progress) end() {
	if p.bar && p.last != "" {
		fmt.Fprint(p.to, "\r\033[K")
	}
}

func describe(j inspect.Job) string {
	text := fmt.Sprintf("job %s %s: %d of %d completed", j.JobID, j.State, j.Completed, j.Total)
	if j.Dead > 0 {
		text += fmt.Sprintf(", %d dead", j.Dead)
	}
	if j.Cancelled > 0 {
		text += fmt.Sprintf(", %d cancelled", j.Cancelled)
	}
	return text
}

// bar returns a bar of twenty parts: # for completed and cancelled tasks, x for dead ones.
func bar(j inspect.Job) string {
	const parts = 20
	if j.Total == 0 {
		return "[" + strings.Repeat(" ", parts) + "]"
	}
	good := (j.Completed + j.Cancelled) * parts / j.Total
	bad := j.Dead * parts / j.Total
	if j.Dead > 0 && bad == 0 {
		bad = 1
	}
	good = min(good, parts-bad)
	return "[" + strings.Repeat("#", good) + strings.Repeat("x", bad) + strings.Repeat(" ", parts-good-bad) + "]"
}
