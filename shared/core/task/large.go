package task

import "fmt"

// TooLargeError reports that a task, with the result and stats of an attempt, is too large to be stored.
type TooLargeError struct {
	Payload, Result, Stats int // bytes of JSON
	Size, Limit            int // bytes of the whole task as stored, and their limit
}

// Error returns a message with all sizes, but none of the contents.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("with a payload of %d bytes, a result of %d and stats of %d the task would take %d bytes compressed; want at most %d: "+
		"store the result elsewhere, in S3 for instance, and return its key", e.Payload, e.Result, e.Stats, e.Size, e.Limit)
}

// ResultTooLarge marks an attempt that completed, but whose result or stats are too large to store.
const ResultTooLarge = "ResultTooLarge"

// Without returns the end of an attempt without its result and stats, with the reason. A completed attempt becomes a permanent failure, because a retry
// would produce as much. A failed attempt stays the same failure, with the reason added to its message.
func (e End) Without(why string) End {
	e.Result, e.Stats = nil, nil
	if e.Status == Completed {
		e.Status, e.Permanent, e.Error = Failed, true, &Error{Type: ResultTooLarge, Message: why}
		return e
	}
	return e.noting("Failed", "result and stats are not kept: "+why)
}

// ResultUnreadable marks an attempt that completed, but whose result or stats are not JSON.
const ResultUnreadable = "ResultUnreadable"

// Unreadable returns the end of an attempt whose message was readable only in part, with the reason. The worker's status counts, because a retry would
// produce the same message.
func (e End) Unreadable(why string) End { return e.noting(ResultUnreadable, why) }

// noting returns the end with the text what added to its error message. kind becomes the error's type if it has none.
func (e End) noting(kind, what string) End {
	noted := Error{Type: kind}
	if e.Error != nil {
		noted = *e.Error
	}
	if noted.Message != "" {
		noted.Message += "; "
	}
	noted.Message += what
	e.Error = &noted
	return e
}
