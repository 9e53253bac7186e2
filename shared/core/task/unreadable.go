package task

import (
	"errors"
	"fmt"
)

// UnreadableError says that some of the tasks that were asked for cannot be decoded. It comes beside the others, which can.
type UnreadableError struct {
	Tasks  []Task // as far as they can be read: keys, status and attempt are there, payload or results are not
	Reason error  // of each
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%d tasks cannot be read: %v", len(e.Tasks), e.Reason)
}

func (e *UnreadableError) Unwrap() error { return e.Reason }

// Unreadable splits the error of a read: into the tasks that cannot be decoded, and what else went wrong.
func Unreadable(err error) ([]Task, error) {
	if e, is := errors.AsType[*UnreadableError](err); is {
		return e.Tasks, nil
	}
	return nil, err
}
