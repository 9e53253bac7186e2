package faults

import "fmt"

// Fault reports a request that failed on purpose without an answer, as if the connection broke.
type Fault struct {
	Kind               Kind // Before or After
	Service, Operation string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("connection reset by a fault %s %s %s", f.Kind, f.Service, f.Operation)
}

// RetryableError tells the SDK to retry.
func (*Fault) RetryableError() bool { return true }

// final is an error that the SDK must not retry, like the one after its last attempt.
type final struct{ error }

func (f final) Unwrap() error      { return f.error }
func (final) RetryableError() bool { return false }
