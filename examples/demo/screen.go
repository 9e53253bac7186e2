package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// screen is where the demo shows what it does: a terminal, on which one line is drawn again and again while something is going on, or a
// file, which gets a line from time to time.
type screen struct {
	out      *os.File
	terminal bool
	drawn    bool // the cursor stands in a line that is to be drawn again
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

// step prints what is begun, and how long it took when it is done.
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

// between separates two lines in a file.
const between = 2 * time.Second

// progress draws how far a job is; in a file it says so when it has changed. The last one is always shown.
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

// settle leaves the line that was drawn last as it is.
func (s *screen) settle() {
	if s.drawn {
		fmt.Fprintln(s.out)
		s.drawn = false
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// counts is where the tasks of a job are.
type counts struct {
	total, completed, dead int
	running                int // with a worker
	waiting                int // failed, until they are tried again
}

// queued returns the number of tasks that wait for a free slot.
func (c counts) queued() int { return max(0, c.total-c.completed-c.dead-c.running-c.waiting) }

// barWidth keeps the whole line under 80 characters.
const barWidth = 10

// bar is a line for a terminal: a sign for each part of the tasks that has ended, another for what is with a worker.
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
