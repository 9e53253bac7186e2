package labourer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration.
type Error struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0 where there is none to name
	Column int    `json:"column,omitempty"` // from 1; 0 where there is none to name
	Path   string `json:"path,omitempty"`   // labourers.some_function.retry.min; "" is the whole file
	Reason string `json:"reason"`           // the value, and what would be right
}

// Error is "file:line:column: path: reason", without the parts that are not there.
func (e Error) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Column > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	case e.Column > 0:
		fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		fmt.Fprintf(&b, "%s: ", e.File)
	case e.Line > 0:
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Errors is all that is wrong, in the order of the lines. Nil is nothing wrong; compare with nil before making an error of it, or use Err.
type Errors []Error

// Error is one line for each.
func (e Errors) Error() string { return strings.Join(e.lines(), "\n") }

func (e Errors) lines() []string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return lines
}

// Err is the errors as one error, nil when there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// inOrder sorts by line and drops what was found more than once, as a default is by all that inherit it.
func (e Errors) inOrder() Errors {
	slices.SortStableFunc(e, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(e)
}
