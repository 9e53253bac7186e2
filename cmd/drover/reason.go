package main

import (
	"errors"

	"github.com/aws/smithy-go"
)

// reason is an error of AWS as people want it: its code and message, without the request that it was the answer to.
func reason(err error) string {
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return refused.ErrorCode() + ": " + refused.ErrorMessage()
	}
	return err.Error()
}
