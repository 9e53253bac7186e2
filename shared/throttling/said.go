package throttling

import (
	"errors"

	"github.com/aws/smithy-go"
)

// Reason returns what AWS says in an error: its code and message, without the call, the status and the request id that the SDK puts before
// them. Of other errors it returns the whole message.
func Reason(err error) string {
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return refused.ErrorCode() + ": " + refused.ErrorMessage()
	}
	return err.Error()
}

// Said is an error of AWS in people's words: what was being done, and the reason.
type Said struct {
	Doing string
	Err   error
}

func (e *Said) Error() string { return e.Doing + ": " + Reason(e.Err) }
func (e *Said) Unwrap() error { return e.Err }
