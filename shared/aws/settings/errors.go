// This file distinguishes temporary from permanent AWS errors.

package settings

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Throttled reports whether a service throttled a request.
func Throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// Passes reports whether the same request may succeed later: it was throttled, the connection broke, or the service failed. The SDK has already retried
// such a request several times.
func Passes(err error) bool {
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// ThrottledError is a temporary error of a function that a state machine calls. The machine's Retry names this type.
type ThrottledError struct{ Err error }

func (e *ThrottledError) Error() string { return e.Err.Error() }
func (e *ThrottledError) Unwrap() error { return e.Err }

// Named wraps a temporary error in a *ThrottledError, which state machines retry. It returns other errors unchanged.
func Named(err error) error {
	if err != nil && Passes(err) {
		return &ThrottledError{err}
	}
	return err
}
