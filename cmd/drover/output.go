package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// document prints one JSON document, on one line: the form of documents and of the lines of lists.
func (s *shell) document(v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// say tells people how it goes, where no output is expected.
func (s *shell) say(format string, arguments ...any) {
	fmt.Fprintf(s.err, format+"\n", arguments...)
}

// warn tells people what they should know although it stopped nothing.
func (s *shell) warn(warnings ...string) {
	for _, w := range warnings {
		s.say("warning: %s", w)
	}
}

// table is rows for people, in columns.
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

// plain is a text without what would break a column or steer a terminal: ids and errors come from outside.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// short is a text cut where it would be too long for a column.
func short(text string, most int) string {
	letters := []rune(text)
	if len(letters) <= most {
		return text
	}
	return string(letters[:most-1]) + "…"
}

// moment returns a time for people with its zone: UTC, as everything in a stack.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// terminal tells whether a stream is one at which a person sits. The null device is a character device, too, and nobody sits there.
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

// dash is a text, or a dash where there is none.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// many returns a number of things in words: "1 task", "3 tasks".
func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func are(n int, thing string) string {
	if n == 1 {
		return many(n, thing) + " is"
	}
	return many(n, thing) + " are"
}

func were(n int, thing string) string {
	if n == 1 {
		return many(n, thing) + " was"
	}
	return many(n, thing) + " were"
}
