package local

import (
	"fmt"
	"os"
	"time"
)

// Screen shows what a program does: on a terminal, where it can redraw a line, or in a file.
type Screen struct {
	Terminal bool

	out   *os.File
	drawn bool // the cursor is in a line that will be redrawn
}

// NewScreen returns a screen that prints to a file, such as standard output.
func NewScreen(out *os.File) *Screen {
	info, err := out.Stat()
	return &Screen{out: out, Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

// Say prints lines.
func (s *Screen) Say(format string, arguments ...any) {
	s.Settle()
	fmt.Fprintf(s.out, format+"\n", arguments...)
}

// Step prints what begins, runs it, and prints how long it took.
func (s *Screen) Step(what string, do func() error) error {
	s.Settle()
	fmt.Fprintf(s.out, "%-66s", what+" ...")
	started := time.Now()
	err := do()
	if err != nil {
		fmt.Fprintln(s.out)
		return err
	}
	fmt.Fprintf(s.out, " %7s\n", Seconds(time.Since(started)))
	return nil
}

// Redraw prints a line in place of the last line that it printed. Only a terminal can show that.
func (s *Screen) Redraw(line string) {
	fmt.Fprintf(s.out, "\r\x1b[K%s", line)
	s.drawn = true
}

// Settle ends the redrawn line, so that the next output goes below it.
func (s *Screen) Settle() {
	if s.drawn {
		fmt.Fprintln(s.out)
		s.drawn = false
	}
}

// Seconds writes a duration for people, as 1.5 s.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
