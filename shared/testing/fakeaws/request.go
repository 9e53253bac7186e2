package fakeaws

import (
	"context"

	"github.com/aws/smithy-go"
)

// Request is one call of a service.
type Request struct {
	Service   string // as the SDK names it: "DynamoDB", "S3"
	Operation string // as the SDK names it: "UpdateItem"
	Input     any    // the SDK's input, such as *dynamodb.UpdateItemInput; hooks must not change it
}

// Hooks are called around each request of a service. Set them before the first request. A hook may call the service itself.
type Hooks struct {
	// Before may refuse a request: the request then fails with this error, and nothing has happened.
	Before func(context.Context, Request) error
	// After may fail a request that the service has carried out or refused: the caller gets this error and cannot tell which.
	After func(context.Context, Request) error
}

// serve carries out a request between its hooks. It wraps errors as the SDK does.
func serve[O any](ctx context.Context, h *Hooks, r Request, do func() (*O, error)) (*O, error) {
	wrap := func(err error) (*O, error) {
		return nil, &smithy.OperationError{ServiceID: r.Service, OperationName: r.Operation, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return wrap(&smithy.CanceledError{Err: err})
	}
	if h.Before != nil {
		if err := h.Before(ctx, r); err != nil {
			return wrap(err)
		}
	}
	out, err := do()
	if h.After != nil {
		if err := h.After(ctx, r); err != nil {
			return wrap(err)
		}
	}
	if err != nil {
		return wrap(err)
	}
	return out, nil
}
