package task

import (
	"errors"
	"fmt"
)

// UnreadableError says that some of the requested tasks cannot be decoded. It is returned beside the others, which can be.
type UnreadableError struct {
	Tasks  []Task // as far as they can be read: with keys, status and attempt, without payload or results
	Reason error  // the reason for each
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%d of the tasks cannot be read: %v", len(e.Tasks), e.Reason)
}

func (e *UnreadableError) Unwrap() error { return e.Reason }

// Unreadable splits the error of a read into the tasks that cannot be decoded and any other error.
func Unreadable(err error) ([]Task, error) {
	if e, is := errors.AsType[*UnreadableError](err); is {
		return e.Tasks, nil
	}
	return nil, err
}
