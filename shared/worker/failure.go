package worker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

const (
	// maxMessageBytes limits the message of a failure, including the stack of a panic. The message is stored with the task, whose
	// item costs a DynamoDB write unit for each KB, and shown in terminals. The whole message belongs in the worker's log.
	maxMessageBytes = 2048
	maxTypeBytes    = 128
)

// Permanent marks an error that a retry would not fix: the task dies at once. Permanent(nil) returns nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryAfter asks Drover to wait d before the next attempt, for instance because an API says so. Drover keeps the wait within the bounds of the
// labourer's retry policy. A negative d means 0. RetryAfter(nil, d) returns nil. Permanent overrules it.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &delayedError{err, max(d, 0)}
}

// Errorf is like fmt.Errorf, with a name for the kind of error. The kind is the type of the failure, which people see and a labourer's
// `not_retryable` list can name. If errors of several kinds wrap each other, the outermost kind counts.
func Errorf(kind, format string, args ...any) error {
	return &kindError{kind, fmt.Errorf(format, args...)}
}

type (
	permanentError struct{ error }
	delayedError   struct {
		error
		delay time.Duration
	}
	kindError struct {
		kind string
		error
	}
)

func (e *permanentError) Unwrap() error { return e.error }
func (e *delayedError) Unwrap() error   { return e.error }
func (e *kindError) Unwrap() error      { return e.error }

// panicked wraps a recovered panic.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string {
	return fmt.Sprintf("%v\n\n%s", p.value, p.stack)
}

// failure holds the `error` of a completion message.
type failure struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func describe(err error) *failure {
	return &failure{Type: clip(kindOf(err), maxTypeBytes), Message: clip(err.Error(), maxMessageBytes)}
}

func isPermanent(err error) bool {
	var permanent *permanentError
	return errors.As(err, &permanent)
}

// delayOf returns the delay that the worker asked for, or false if it asked for none.
func delayOf(err error) (time.Duration, bool) {
	var delayed *delayedError
	if !errors.As(err, &delayed) {
		return 0, false
	}
	return delayed.delay, true
}

// kindOf returns the most specific name of an error. It is never empty.
func kindOf(err error) string {
	var named *kindError
	if errors.As(err, &named) && named.kind != "" {
		return named.kind
	}
	if _, ok := errors.AsType[*panicked](err); ok {
		return "Panic"
	}
	// aws-sdk-go-v2 returns an OperationError for every failure; its code says what happened.
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) && coded.ErrorCode() != "" {
		return coded.ErrorCode()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "Timeout"
	}
	if name := typeName(err); name != "" {
		return name
	}
	return "Error"
}

// typeName returns the name of the first type in the chain that does not only wrap a text, or "" if there is none.
func typeName(err error) string {
	if err == nil {
		return ""
	}
	if name := tellingName(reflect.TypeOf(err)); name != "" {
		return name
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		return typeName(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, wrapped := range wrapper.Unwrap() {
			if name := typeName(wrapped); name != "" {
				return name
			}
		}
	}
	return ""
}

var ownPackage = reflect.TypeFor[Task]().PkgPath()

func tellingName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case "errors", "fmt", ownPackage:
		if t != reflect.TypeFor[BadEvent]() && t != reflect.TypeFor[CompletionError]() {
			return ""
		}
	}
	if t.Name() == "Error" { // as in url.Error and exec.Error, which need the package's name
		return t.String()
	}
	return t.Name()
}

// clip cuts a text that is longer than limit bytes, between two characters, and adds a note. It replaces invalid UTF-8.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	note := fmt.Sprintf("… (%d bytes in all)", len(text))
	return strings.ToValidUTF8(text[:max(limit-len(note), 0)], "") + note
}
