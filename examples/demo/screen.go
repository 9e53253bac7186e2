package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/drover-run/drover/examples/local"
)

// screen also shows progress: on a terminal in a line that it redraws, in a file in lines at intervals.
type screen struct {
	*local.Screen

	last   string
	lastAt time.Time
}

func newScreen(out *os.File) *screen { return &screen{Screen: local.NewScreen(out)} }

// between separates two progress lines in a file.
const between = 2 * time.Second

// progress shows how far a job is. In a file it prints only changes. It always shows the last counts.
func (s *screen) progress(c counts, now time.Time, last bool) {
	if s.Terminal {
		s.Redraw(c.bar())
		if last {
			s.Settle()
		}
		return
	}
	line := c.String()
	if line == s.last || now.Sub(s.lastAt) < between && !last {
		return
	}
	s.Say("%s", line)
	s.last, s.lastAt = line, now
}

// counts holds the number of a job's tasks in each state.
type counts struct {
	total, completed, dead int
	running                int // with a worker
	waiting                int // failed, waiting for their retry
}

// queued returns the number of tasks that wait for a free slot.
func (c counts) queued() int { return max(0, c.total-c.completed-c.dead-c.running-c.waiting) }

// barWidth keeps the whole line under 80 characters.
const barWidth = 10

// bar returns a line for a terminal: one sign for the part of the tasks that has ended, another for the part that is running.
func (c counts) bar() string {
	part := func(n int) int { return n * barWidth / max(1, c.total) }
	ended := part(c.completed + c.dead)
	busy := part(c.completed+c.dead+c.running) - ended
	return fmt.Sprintf("[%s%s%s] %s", strings.Repeat("#", ended), strings.Repeat(">", busy), strings.Repeat(".", barWidth-ended-busy), c)
}

func (c counts) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%*d/%d completed", len(fmt.Sprint(c.total)), c.completed, c.total)
	for _, of := range []struct {
		n    int
		what string
	}{{c.running, "running"}, {c.queued(), "queued"}, {c.waiting, "waiting"}, {c.dead, "dead"}} {
		if of.n > 0 {
			fmt.Fprintf(&text, ", %d %s", of.n, of.what)
		}
	}
	return text.String()
}
