package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error reports one fault of a configuration.
type Error struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0 if unknown
	Column int    `json:"column,omitempty"` // from 1; 0 if unknown
	Path   string `json:"path,omitempty"`   // labourers.some_function.retry.min; "" for the whole file
	Reason string `json:"reason"`           // the value, and what is wanted
}

// Error returns "file:line:column: path: reason", without absent parts.
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

// Errors holds all faults, in the order of the lines. Nil means that there are none. Err returns it as an error.
type Errors []Error

// Error returns one line for each error.
func (e Errors) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines returns one line for each error.
func (e Errors) Lines() []string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return lines
}

// Err returns the errors as one error, or nil if there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// InOrder sorts by line and drops repetitions: an error in a default occurs for every labourer that inherits it.
func (e Errors) InOrder() Errors {
	slices.SortStableFunc(e, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(e)
}
