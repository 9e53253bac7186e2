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
	was := Error{Type: "Failed"}
	if e.Error != nil {
		was = *e.Error
	}
	if was.Message != "" {
		was.Message += "; "
	}
	e.Error = &Error{Type: was.Type, Message: was.Message + "result and stats are not kept: " + why}
	return e
}
