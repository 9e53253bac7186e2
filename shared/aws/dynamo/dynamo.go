// Package dynamo keeps Drover's tasks, its control data and its jobs in three DynamoDB tables.
//
// It decides nothing: each method makes one request, or a few, whose conditions come from the deciding packages. It returns a failed condition
// as ErrChanged of the package concerned, and wraps every other error with what was being done.
package dynamo

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// API has those calls of DynamoDB that Drover makes. The functions' roles allow no other operations.
type API interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// refused reports whether the condition of a write, or of one in its transaction, did not hold. Nothing was written, and the caller must read
// again.
func refused(err error) bool {
	var condition *types.ConditionalCheckFailedException
	return errors.As(err, &condition) || cancelledFor(err, "ConditionalCheckFailed")
}

// met reports whether a write failed because of other writes to the same items, or of too many writes. It says nothing of the write's
// conditions.
func met(err error) bool {
	var conflict *types.TransactionConflictException
	return errors.As(err, &conflict) ||
		!refused(err) && cancelledFor(err, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded")
}

func cancelledFor(err error, codes ...string) bool {
	var cancelled *types.TransactionCanceledException
	return errors.As(err, &cancelled) && slices.ContainsFunc(cancelled.CancellationReasons, func(r types.CancellationReason) bool {
		return slices.Contains(codes, aws.ToString(r.Code))
	})
}

// writeTries says how often a write that meets others is tried, for up to three seconds in all. The SDK does not retry these by itself.
const writeTries = 6

// write repeats a write until it meets no others, so that its result depends on its conditions alone. A job's record is in the transactions
// of all its segments, and two of them that meet must not pass for two that do the same.
func write[O any](ctx context.Context, api API, call func() (O, error)) (O, error) {
	for tries := 1; ; tries++ {
		out, err := call()
		if !met(err) || tries == writeTries || pause(ctx, api, tries) != nil {
			return out, err
		}
	}
}

func updateItem(ctx context.Context, api API, in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
	return write(ctx, api, func() (*dynamodb.UpdateItemOutput, error) { return api.UpdateItem(ctx, in) })
}

func putItem(ctx context.Context, api API, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	return write(ctx, api, func() (*dynamodb.PutItemOutput, error) { return api.PutItem(ctx, in) })
}

func deleteItem(ctx context.Context, api API, in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
	return write(ctx, api, func() (*dynamodb.DeleteItemOutput, error) { return api.DeleteItem(ctx, in) })
}

func transactWriteItems(ctx context.Context, api API, in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	return write(ctx, api, func() (*dynamodb.TransactWriteItemsOutput, error) { return api.TransactWriteItems(ctx, in) })
}

// Pacer is an API with its own time, which waits itself between two attempts of a request.
type Pacer interface {
	Pause(ctx context.Context, wait time.Duration) error
}

// pause waits between two attempts: full jitter up to 50 ms × 2^tries, at most 5 s.
func pause(ctx context.Context, api API, tries int) error {
	wait := rand.N(min(5*time.Second, 50*time.Millisecond<<min(tries, 10)))
	if pacer, ok := api.(Pacer); ok {
		return pacer.Pause(ctx, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// query reads all pages of a query, up to limit items. limit 0: all.
func query(ctx context.Context, api API, in dynamodb.QueryInput, limit int) ([]item, error) {
	var out []item
	for {
		if limit > 0 {
			in.Limit = aws.Int32(int32(limit - len(out)))
		}
		page, err := api.Query(ctx, &in)
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			out = append(out, it)
		}
		if len(page.LastEvaluatedKey) == 0 || limit > 0 && len(out) >= limit {
			return out, nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}
