package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/inspect"
)

// fieldError says which part of a request is wrong.
type fieldError struct{ field, reason string }

func (e *fieldError) Error() string { return e.field + ": " + e.reason }

// query reads the query of a request. Its names are the flags of the command line.
type query struct {
	values url.Values
	err    error
}

// queryOf returns the query of a request that may have these names.
func queryOf(r request, names ...string) *query {
	q := &query{}
	q.values, q.err = url.ParseQuery(r.URL.RawQuery)
	if q.err != nil {
		q.err = &fieldError{"query", "it cannot be read"}
	}
	for name, values := range q.values {
		switch {
		case !slices.Contains(names, name):
			q.wrong(name, "it is unknown; want one of: %s", strings.Join(names, ", "))
		case len(values) > 1:
			q.wrong(name, "it is given twice")
		}
	}
	return q
}

func (q *query) wrong(field, format string, arguments ...any) {
	if q.err == nil {
		q.err = &fieldError{field, fmt.Sprintf(format, arguments...)}
	}
}

func (q *query) text(name string) string { return q.values.Get(name) }

// word returns a value that is one of some words, or "".
func (q *query) word(name string, words ...string) string {
	given := q.text(name)
	if given != "" && !slices.Contains(words, given) {
		q.wrong(name, "%.80q is unknown; want %s", given, strings.Join(words, ", "))
	}
	return given
}

// limit returns how many items a window may have.
func (q *query) limit() int {
	given := q.text("limit")
	if given == "" {
		return inspect.WindowSize
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > inspect.WindowMost {
		q.wrong("limit", "%.80q is no number from 1 to %d", given, inspect.WindowMost)
	}
	return n
}

// day returns a day, or the zero time.
func (q *query) day(name string) time.Time {
	given := q.text(name)
	if given == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, given)
	if err != nil {
		q.wrong(name, "%.80q is no day such as 2026-03-14", given)
	}
	return day
}

// linked returns the address of a page with some values of its query changed: pairs of a name and a value, where "" removes the name.
func linked(u *url.URL, changes ...string) string {
	values := u.Query()
	for i := 0; i+1 < len(changes); i += 2 {
		if values.Del(changes[i]); changes[i+1] != "" {
			values.Set(changes[i], changes[i+1])
		}
	}
	if len(values) == 0 {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + values.Encode()
}
