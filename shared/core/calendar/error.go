package calendar

import (
	"fmt"
	"unicode/utf8"
)

// Error reports why a period, a time or a time zone was refused.
type Error struct {
	Field  string // "from" or "to" of a range, or "" for the whole
	Reason string // names the value, and what is wanted
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

func refuse(field, format string, arguments ...any) *Error {
	return &Error{Field: field, Reason: fmt.Sprintf(format, arguments...)}
}

// quote quotes a value for a message. It cuts long values, because they come from outside.
func quote(text string) string {
	const shown = 60
	if len(text) <= shown {
		return fmt.Sprintf("%q", text)
	}
	cut := shown
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", text[:cut], len(text))
}
