package task

import (
	"errors"
	"fmt"
)

// UnreadableError reports that some of the requested tasks cannot be decoded. It is returned together with the readable ones.
type UnreadableError struct {
	Tasks  []Task // their readable part: keys, status and attempt, without payload or results
	Reason error  // the reasons, joined
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
