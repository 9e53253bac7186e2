package job

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/drover-run/drover/shared/core/calendar"
)

// Error reports why a job was refused. A refused job stores nothing. Every error of this package is an *Error.
type Error struct {
	Field  string // path of the wrong attribute: job_id, sections.a, sections[1]
	Reason string // names the value, and what is wanted
}

func (e *Error) Error() string {
	return e.Field + ": " + e.Reason
}

func refuse(field, format string, arguments ...any) *Error {
	return &Error{Field: field, Reason: fmt.Sprintf(format, arguments...)}
}

// calendarError turns an error of package calendar into an error about the attribute, or about the part of it that the calendar names.
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

// shorten cuts a text so that messages stay readable, whatever the job contains.
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
