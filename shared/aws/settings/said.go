package settings

import (
	"errors"

	"github.com/aws/smithy-go"
)

// Reason returns the code and message of an AWS error, without the operation, status and request id that the SDK adds. For any other error it returns
// the whole message.
func Reason(err error) string {
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return refused.ErrorCode() + ": " + refused.ErrorMessage()
	}
	return err.Error()
}

// Said is an AWS error with a message for people: the operation, and the reason.
type Said struct {
	Doing string
	Err   error
}

func (e *Said) Error() string { return e.Doing + ": " + Reason(e.Err) }
func (e *Said) Unwrap() error { return e.Err }
