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
	"unicode/utf8"

	"github.com/charmbracelet/x/term"
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

// gap separates two columns.
const gap = 2

// table prints rows in aligned columns.
type table struct {
	to    io.Writer
	width int // of the terminal that rows have to fit; 0: they may be of any length
	rows  [][]string
}

// newTable returns a table that prints each cell in full.
func newTable(to io.Writer, heads ...string) *table { return &table{to, 0, [][]string{heads}} }

// list returns a table of one line for each thing. At a terminal, long cells are cut, so that no line takes two.
func (s *shell) list(heads ...string) *table { return &table{s.out, s.columns(), [][]string{heads}} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// end prints the table.
func (t *table) end() error {
	w := tabwriter.NewWriter(t.to, 0, 0, gap, ' ', 0)
	widths := fitting(t.rows, t.width)
	for _, cells := range t.rows {
		for i, c := range cells {
			if cells[i] = plain(c); t.width > 0 {
				cells[i] = short(cells[i], widths[i])
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// narrowest limits how far a column is cut.
const narrowest = 4

// fitting returns the widths of columns for rows that have to fit a width. It takes from the widest columns first, from the first one last, as its
// cells name the things, and never from numbers: a cut number is another one.
func fitting(rows [][]string, width int) []int {
	var widths, least []int
	for _, cells := range rows {
		for i, c := range cells {
			if i == len(widths) {
				widths, least = append(widths, 0), append(least, narrowest)
			}
			n := utf8.RuneCountInString(plain(c))
			widths[i] = max(widths[i], n)
			if c != "" && strings.Trim(c, "0123456789.") == "" {
				least[i] = max(least[i], n)
			}
		}
	}
	over := gap*(len(widths)-1) - width
	for _, w := range widths {
		over += w
	}
	for ; over > 0 && width > 0; over-- {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest <= 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break // it wraps
		}
		widths[widest]--
	}
	return widths
}

// columns returns the width of the terminal on which the command prints; 0: it is none.
func (s *shell) columns() int {
	if s.width == nil {
		return 0
	}
	return s.width()
}

// widthOf returns the width of a terminal, and 0 for other streams.
func widthOf(stream *os.File) int {
	if !terminal(stream) {
		return 0
	}
	width, _, err := term.GetSize(stream.Fd())
	if err != nil {
		return 0
	}
	return width
}

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

// moment formats a time for people: in the zone of the machine, or with --utc in UTC, like every time in a document.
func (s *shell) moment(t *time.Time) string { return momentIn(t, s.local()) }

// local returns the zone of the times that people read.
func (s *shell) local() *time.Location {
	if s.utc || s.zone == nil {
		return time.UTC
	}
	return s.zone
}

// momentIn formats a time with its zone.
func momentIn(t *time.Time, zone *time.Location) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.In(zone).Format("2006-01-02 15:04:05Z07:00")
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
