package pattern

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong with a pattern.
type Error struct {
	Path   string `json:"path"`   // customer.country[1].prefix; "" for the whole pattern
	Reason string `json:"reason"` // the value, and what is accepted
}

// Error returns "path: reason".
func (e Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Errors is everything that is wrong with a pattern, in the order written. Nil means that nothing is wrong. Compare with nil before using it as
// an error, or use Err.
type Errors []Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the errors as one error, nil when there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Under returns the errors with the place of the pattern in front of each path: plugins.check.filter.country[1].prefix.
func (e Errors) Under(place string) Errors {
	out := make(Errors, len(e))
	for i, one := range e {
		out[i] = Error{Path: Under(place, one.Path), Reason: one.Reason}
	}
	return out
}

// Under returns a path of this package as the path within a larger document, in which the pattern or the metadata is at the place.
func Under(place, path string) string {
	if path == "" || place == "" || path[0] == '[' {
		return place + path
	}
	return place + "." + path
}

// join returns the path of a member. A name that could be misread as several is quoted: customer["a.b"].
func join(path, name string) string {
	if !plain(name) {
		return path + "[" + strconv.Quote(shorten(name)) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func plain(name string) bool {
	return name != "" && len(name) <= shown && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`.[]"`, r)
	})
}

// shown bounds the bytes of a name or a value in a message.
const shown = 80

// shorten cuts a text so that messages stay readable, whatever the pattern or the metadata contains.
func shorten(text string) string {
	if len(text) <= shown {
		return text
	}
	cut := shown
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:cut], len(text))
}
