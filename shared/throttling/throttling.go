// Package throttling tells errors of AWS that pass from those that stay.
package throttling

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Is tells whether a service said that it was asked for too much.
func Is(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// Passes tells whether the same call may do well later: it was throttled, the connection broke off, the service had a fault. The SDK has
// tried it several times by then.
func Passes(err error) bool {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// ThrottledError is an error that passes, of a function that a state machine calls: the machine tries states again that fail with this name.
type ThrottledError struct{ Err error }

func (e *ThrottledError) Error() string { return e.Err.Error() }
func (e *ThrottledError) Unwrap() error { return e.Err }

// Named is an error by the name by which state machines know what passes; others stay as they are.
func Named(err error) error {
	if err != nil && Passes(err) {
		return &ThrottledError{err}
	}
	return err
}
