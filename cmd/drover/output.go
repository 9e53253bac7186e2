package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// document prints one JSON document on one line. A command that lists prints one line for each entry.
func (s *shell) document(v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// say prints a message for people on standard error.
func (s *shell) say(format string, arguments ...any) {
	fmt.Fprintf(s.err, format+"\n", arguments...)
}

// warn prints warnings on standard error.
func (s *shell) warn(warnings ...string) {
	for _, w := range warnings {
		s.say("warning: %s", w)
	}
}

// table prints rows in aligned columns.
type table struct{ w *tabwriter.Writer }

func newTable(to io.Writer, heads ...string) table {
	t := table{tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)}
	t.row(heads...)
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = plain(c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) end() error { return t.w.Flush() }

// plain returns a text without the characters that would break a column or control a terminal. Ids and errors come from outside.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// short returns a text, cut to a number of letters if it is longer.
func short(text string, most int) string {
	letters := []rune(text)
	if len(letters) <= most {
		return text
	}
	return string(letters[:most-1]) + "…"
}

// moment formats a time in UTC, like every time in a stack.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// terminal reports whether a stream is a terminal. The null device is a character device but no terminal.
func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	is, err := file.Stat()
	if err != nil || is.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(is, null)
}

// attended reports whether a person at a terminal can be asked.
func (s *shell) attended() bool {
	if s.person != nil {
		return s.person()
	}
	return terminal(s.in) && terminal(s.err)
}

// ask asks a question on standard error, and reports whether the answer is yes.
func (s *shell) ask(question string) (bool, error) {
	fmt.Fprint(s.err, question+" [y/N] ")
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// dash returns a text, or a dash for an empty one.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
