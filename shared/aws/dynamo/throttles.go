package dynamo

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"github.com/drover-run/drover/shared/aws/settings"
)

// Watched is an API that tells of requests that DynamoDB throttles, also where the SDK repeats them with success. Of reads of several items, it tells
// of those that are throttled as a whole.
type Watched struct {
	API

	Throttled func(requests int)
}

func (w Watched) tell(metadata middleware.Metadata, err error) {
	n := 0
	attempts, _ := retry.GetAttemptResults(metadata)
	for _, one := range attempts.Results {
		if one.Err != nil && throttled(one.Err) {
			n++
		}
	}
	if err != nil && throttled(err) { // then there is no metadata
		n++
		if last := (*retry.MaxAttemptsError)(nil); errors.As(err, &last) {
			n = last.Attempt
		}
	}
	if n > 0 {
		w.Throttled(n)
	}
}

func throttled(err error) bool {
	return settings.Throttled(err) || cancelledFor(err, "ThrottlingError", "ProvisionedThroughputExceeded")
}

// watch tells of a request that was made.
func watch[O any](w Watched, out *O, err error, of func(*O) middleware.Metadata) (*O, error) {
	var metadata middleware.Metadata
	if out != nil {
		metadata = of(out)
	}
	w.tell(metadata, err)
	return out, err
}

// BatchGetItem tells of throttled requests.
func (w Watched) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	out, err := w.API.BatchGetItem(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.BatchGetItemOutput) middleware.Metadata { return out.ResultMetadata })
}

// BatchWriteItem tells of throttled requests, and of those that leave items unprocessed.
func (w Watched) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	out, err := w.API.BatchWriteItem(ctx, in, o...)
	if out != nil && len(out.UnprocessedItems) > 0 {
		w.Throttled(1)
	}
	return watch(w, out, err, func(out *dynamodb.BatchWriteItemOutput) middleware.Metadata { return out.ResultMetadata })
}

// DeleteItem tells of throttled requests.
func (w Watched) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	out, err := w.API.DeleteItem(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.DeleteItemOutput) middleware.Metadata { return out.ResultMetadata })
}

// GetItem tells of throttled requests.
func (w Watched) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	out, err := w.API.GetItem(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.GetItemOutput) middleware.Metadata { return out.ResultMetadata })
}

// PutItem tells of throttled requests.
func (w Watched) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	out, err := w.API.PutItem(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.PutItemOutput) middleware.Metadata { return out.ResultMetadata })
}

// Query tells of throttled requests.
func (w Watched) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out, err := w.API.Query(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.QueryOutput) middleware.Metadata { return out.ResultMetadata })
}

// TransactWriteItems tells of throttled requests.
func (w Watched) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	out, err := w.API.TransactWriteItems(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.TransactWriteItemsOutput) middleware.Metadata { return out.ResultMetadata })
}

// UpdateItem tells of throttled requests.
func (w Watched) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	out, err := w.API.UpdateItem(ctx, in, o...)
	return watch(w, out, err, func(out *dynamodb.UpdateItemOutput) middleware.Metadata { return out.ResultMetadata })
}
