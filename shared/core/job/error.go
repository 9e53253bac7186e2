package job

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/drover-run/drover/shared/core/calendar"
)

// Error is a job that was refused before anything was stored. Every error of this package is an *Error.
type Error struct {
	Field  string // the attribute at fault, as a path where it lies deeper: sections.a, sections[1]
	Reason string // names the value and what would be right
}

func (e *Error) Error() string {
	return e.Field + ": " + e.Reason
}

func refuse(field, format string, arguments ...any) *Error {
	return &Error{Field: field, Reason: fmt.Sprintf(format, arguments...)}
}

// calendarError puts what the calendar says about a part of an attribute under the attribute's name.
func calendarError(field string, err error) *Error {
	var wrong *calendar.Error
	if !errors.As(err, &wrong) {
		return refuse(field, "%v", err)
	}
	if wrong.Field != "" {
		field += "." + wrong.Field
	}
	return refuse(field, "%s", wrong.Reason)
}

// shorten keeps messages readable, whatever the job holds.
func shorten(text string) string {
	const shown = 80
	if len(text) <= shown {
		return text
	}
	cut := shown
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:cut], len(text))
}
