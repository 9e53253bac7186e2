package task

import "fmt"

// TooLargeError says that a task, with what the end of an attempt left of it, is larger than what is kept of one.
type TooLargeError struct {
	Payload, Result, Stats int // bytes of JSON
	Size, Limit            int // bytes of the whole task as it would be stored, and the most that it may have
}

// Error has all sizes, and nothing of what was measured.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("with a payload of %d bytes, a result of %d and stats of %d the task would take %d bytes, compressed, and may take %d: "+
		"store the result elsewhere, in S3 for instance, and return its key", e.Payload, e.Result, e.Stats, e.Size, e.Limit)
}

// ResultTooLarge is the type of the error of an attempt that completed and whose result, or stats, can not be kept.
const ResultTooLarge = "ResultTooLarge"

// Without is the end of an attempt without its result and stats, as they can not be kept, and why. What had completed has failed for good:
// another attempt would leave as much. What had failed stays the failure that it is, and says so.
func (e End) Without(why string) End {
	e.Result, e.Stats = nil, nil
	if e.Status == Completed {
		e.Status, e.Permanent, e.Error = Failed, true, &Error{Type: ResultTooLarge, Message: why}
		return e
	}
	return e.noting("Failed", "result and stats are not kept: "+why)
}

// ResultUnreadable is the type of the error of an attempt that completed and whose result, or stats, are no JSON.
const ResultUnreadable = "ResultUnreadable"

// Unreadable returns the end of an attempt of whose message a part could not be read, and why. What its worker said of its status counts: doing
// the work again would give the same.
func (e End) Unreadable(why string) End { return e.noting(ResultUnreadable, why) }

// noting returns the end with one more thing said in its error, which is of the type where it had none.
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
