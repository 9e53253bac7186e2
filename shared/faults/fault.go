package faults

import "fmt"

// Fault is a call that went wrong on purpose and of which nothing more is known, as when a connection breaks off.
type Fault struct {
	Kind               Kind // Before or After
	Service, Operation string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("connection reset by a fault %s %s %s", f.Kind, f.Service, f.Operation)
}

// RetryableError tells the SDK to try again.
func (*Fault) RetryableError() bool { return true }

// final is an error that the SDK is not to try again, as it is after the last of many tries.
type final struct{ error }

func (f final) Unwrap() error      { return f.error }
func (final) RetryableError() bool { return false }
