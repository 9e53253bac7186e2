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
	// maxMessageBytes bounds the message of a failure, a panic's stack included. The message is stored with the task, whose
	// item costs a DynamoDB write unit for each KB, and shown in terminals; the whole of it belongs in the worker's log.
	maxMessageBytes = 2048
	maxTypeBytes    = 128
)

// Permanent marks an error that another attempt cannot help: the task goes to the dead at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryAfter asks that the next attempt start d from now, for instance because an API said so. Drover keeps it within the
// bounds of the labourer's retry policy. A negative d means 0; RetryAfter(nil, d) is nil; Permanent overrules it.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &delayedError{err, max(d, 0)}
}

// Errorf is fmt.Errorf with a name for the kind of error, which people see as the type of the failure and a labourer's
// `not_retryable` list can name. Where errors of several kinds wrap each other, the outermost kind counts.
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

// delayOf returns the delay that the worker asked for; false if it asked for none.
func delayOf(err error) (time.Duration, bool) {
	var delayed *delayedError
	if !errors.As(err, &delayed) {
		return 0, false
	}
	return delayed.delay, true
}

// kindOf finds the most telling name of an error; never empty.
func kindOf(err error) string {
	var named *kindError
	if errors.As(err, &named) && named.kind != "" {
		return named.kind
	}
	if _, ok := errors.AsType[*panicked](err); ok {
		return "Panic"
	}
	// What aws-sdk-go-v2 returns: the type would be OperationError for all of AWS, the code says what happened.
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

// typeName returns the name of the first type in the chain that is not just a wrapper of text; "" if there is none.
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
	if t.Name() == "Error" { // url.Error, exec.Error: only the package makes it a name
		return t.String()
	}
	return t.Name()
}

// clip cuts text that is longer than limit bytes, at a whole character, and says so. What is not UTF-8 is replaced.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	note := fmt.Sprintf("… (%d bytes in all)", len(text))
	return strings.ToValidUTF8(text[:max(limit-len(note), 0)], "") + note
}
