package faults

import "fmt"

// Fault is a call that went wrong on purpose and of which nothing more is known, as when a connection breaks off.
type Fault struct {
	Kind               Kind // Before or After
	Service, Operation string
	Through            bool
}

func (f *Fault) Error() string {
	return fmt.Sprintf("connection reset by a fault %s %s %s", f.Kind, f.Service, f.Operation)
}

// RetryableError tells the SDK whether to try again.
func (f *Fault) RetryableError() bool { return !f.Through }

// final is a service's own error that the SDK does not try again, as after the last of many tries.
type final struct{ error }

func (f final) Unwrap() error      { return f.error }
func (final) RetryableError() bool { return false }
