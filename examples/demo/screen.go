package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// screen shows what the demo does: on a terminal, where it redraws a line during a step, or in a file, which gets a line at intervals.
type screen struct {
	out      *os.File
	terminal bool
	drawn    bool // the cursor is in a line that will be redrawn
	last     string
	lastAt   time.Time
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	return &screen{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

// say prints lines.
func (s *screen) say(format string, arguments ...any) {
	s.settle()
	fmt.Fprintf(s.out, format+"\n", arguments...)
}

// step prints what begins, runs it, and prints how long it took.
func (s *screen) step(what string, do func() error) error {
	s.settle()
	fmt.Fprintf(s.out, "%-66s", what+" ...")
	started := time.Now()
	err := do()
	if err != nil {
		fmt.Fprintln(s.out)
		return err
	}
	fmt.Fprintf(s.out, " %7s\n", seconds(time.Since(started)))
	return nil
}

// between separates two progress lines in a file.
const between = 2 * time.Second

// progress shows how far a job is. In a file it prints only changes. It always shows the last counts.
func (s *screen) progress(c counts, now time.Time, last bool) {
	if s.terminal {
		fmt.Fprintf(s.out, "\r\x1b[K%s", c.bar())
		s.drawn = true
		if last {
			s.settle()
		}
		return
	}
	line := c.String()
	if line == s.last || now.Sub(s.lastAt) < between && !last {
		return
	}
	fmt.Fprintln(s.out, line)
	s.last, s.lastAt = line, now
}

// settle ends the redrawn line, so that the next output goes below it.
func (s *screen) settle() {
	if s.drawn {
		fmt.Fprintln(s.out)
		s.drawn = false
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

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
