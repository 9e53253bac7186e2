package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/inspect"
)

// progress shows on standard error how far a job or a run is: at a terminal as a bar that it redraws, else as a line now and then.
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

func (p *progress) show(bar, text string) {
	switch {
	case text == p.last:
	case p.bar:
		fmt.Fprintf(p.to, "\r\033[K%s %s", bar, text)
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

// bar returns the bar of a job: # for completed and cancelled tasks, x for dead ones.
func bar(j inspect.Job) string { return barOf(j.Completed+j.Cancelled, j.Dead, j.Total) }

// barOf returns a bar of twenty parts: # for what ended well, x for what did not.
func barOf(good, bad, total int) string {
	const parts = 20
	if total == 0 {
		return "[" + strings.Repeat(" ", parts) + "]"
	}
	goods, bads := good*parts/total, bad*parts/total
	if bad > 0 && bads == 0 {
		bads = 1
	}
	goods = min(goods, parts-bads)
	return "[" + strings.Repeat("#", goods) + strings.Repeat("x", bads) + strings.Repeat(" ", parts-goods-bads) + "]"
}
