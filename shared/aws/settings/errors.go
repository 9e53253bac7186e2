// This file tells AWS errors that may pass from those that stay.

package settings

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Throttled reports whether a service throttled a request.
func Throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// Passes reports whether the same request may succeed later: it was throttled, the connection broke, or the service failed. The SDK has
// tried it several times by then.
func Passes(err error) bool {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// ThrottledError is an error that may pass, of a function that a state machine calls: the machine's Retry names this type.
type ThrottledError struct{ Err error }

func (e *ThrottledError) Error() string { return e.Err.Error() }
func (e *ThrottledError) Unwrap() error { return e.Err }

// Named wraps an error that may pass in a *ThrottledError, which state machines retry, and returns others unchanged.
func Named(err error) error {
	if err != nil && Passes(err) {
		return &ThrottledError{err}
	}
	return err
}
