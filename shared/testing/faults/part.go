package faults

import (
	"context"
	"math/rand/v2"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
)

// part omits a part of a batch, and reports that in the answer like the service.
func (d *dice) part(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	if t, is := in.Parameters.(*dynamodb.TransactWriteItemsInput); is {
		ctx = middleware.WithStackValue(ctx, writesKey{}, len(t.TransactItems))
	}
	divide := divisionOf(in.Parameters)
	if divide == nil {
		return next.HandleInitialize(ctx, in)
	}
	service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
	r := d.throw(service, operation, "part")
	if d.pick(r, service, operation, Partial) == "" {
		return next.HandleInitialize(ctx, in)
	}
	done, complete := divide(r)
	out, metadata := middleware.InitializeOutput{}, middleware.Metadata{}
	if done != nil {
		var err error
		in.Parameters = done
		if out, metadata, err = next.HandleInitialize(ctx, in); err != nil {
			return out, metadata, err
		}
	}
	out.Result = complete(out.Result)
	return out, metadata, nil
}

// division divides a batch. It returns the request for the part that is sent, or nil for none, and a function that turns the service's answer into the
// caller's. The service's answer is nil if nothing was sent.
type division func(r *rand.Rand) (done any, complete func(answer any) any)

// divisionOf returns the division of a request, or nil for a request that cannot take partial effect.
func divisionOf(request any) division {
	switch in := request.(type) {
	case *dynamodb.BatchWriteItemInput:
		return func(r *rand.Rand) (any, func(any) any) { return divideWrites(*in, r) }
	case *dynamodb.BatchGetItemInput:
		return func(r *rand.Rand) (any, func(any) any) { return divideReads(*in, r) }
	case *dynamodb.QueryInput:
		return func(r *rand.Rand) (any, func(any) any) { return shorten(*in, r) }
	case *sqs.SendMessageBatchInput:
		return func(r *rand.Rand) (any, func(any) any) { return divideMessages(*in, r) }
	case *eventbridge.PutEventsInput:
		return func(r *rand.Rand) (any, func(any) any) { return divideEvents(*in, r) }
	}
	return nil
}

// halve divides a list at random. It omits at least one element, and possibly all.
func halve[T any](all []T, r *rand.Rand) (done, left []T) {
	least := r.IntN(max(len(all), 1))
	for i, one := range all {
		if i == least || r.IntN(2) == 0 {
			left = append(left, one)
		} else {
			done = append(done, one)
		}
	}
	return done, left
}

func divideWrites(in dynamodb.BatchWriteItemInput, r *rand.Rand) (any, func(any) any) {
	left := map[string][]dynamotypes.WriteRequest{}
	doneItems := map[string][]dynamotypes.WriteRequest{}
	for table, requests := range in.RequestItems {
		done, rest := halve(requests, r)
		if left[table] = rest; len(done) > 0 {
			doneItems[table] = done
		}
	}
	complete := func(answer any) any {
		out, is := answer.(*dynamodb.BatchWriteItemOutput)
		if !is {
			out = &dynamodb.BatchWriteItemOutput{}
		}
		for table, also := range out.UnprocessedItems {
			left[table] = append(left[table], also...)
		}
		out.UnprocessedItems = left
		return out
	}
	if in.RequestItems = doneItems; len(doneItems) == 0 {
		return nil, complete
	}
	return &in, complete
}

func divideReads(in dynamodb.BatchGetItemInput, r *rand.Rand) (any, func(any) any) {
	left := map[string]dynamotypes.KeysAndAttributes{}
	doneKeys := map[string]dynamotypes.KeysAndAttributes{}
	for table, keys := range in.RequestItems {
		done, rest := halve(keys.Keys, r)
		keys.Keys = rest
		if left[table] = keys; len(done) > 0 {
			keys.Keys = done
			doneKeys[table] = keys
		}
	}
	complete := func(answer any) any {
		out, is := answer.(*dynamodb.BatchGetItemOutput)
		if !is {
			out = &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]dynamotypes.AttributeValue{}}
		}
		for table, also := range out.UnprocessedKeys {
			also.Keys = append(also.Keys, left[table].Keys...)
			left[table] = also
		}
		out.UnprocessedKeys = left
		return out
	}
	if in.RequestItems = doneKeys; len(doneKeys) == 0 {
		return nil, complete
	}
	return &in, complete
}

// shortest limits a page of a query under a fault, in items.
const shortest = 3

// shorten makes a page of a query short, like the limit of 1 MB: the answer says where to continue.
func shorten(in dynamodb.QueryInput, r *rand.Rand) (any, func(any) any) {
	if limit := int32(1 + r.IntN(shortest)); in.Limit == nil || *in.Limit > limit {
		in.Limit = &limit
	}
	return &in, func(answer any) any { return answer }
}

func divideMessages(in sqs.SendMessageBatchInput, r *rand.Rand) (any, func(any) any) {
	done, left := halve(in.Entries, r)
	complete := func(answer any) any {
		out, is := answer.(*sqs.SendMessageBatchOutput)
		if !is {
			out = &sqs.SendMessageBatchOutput{}
		}
		for _, e := range left {
			out.Failed = append(out.Failed, sqstypes.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError"), Message: aws.String("a fault")})
		}
		return out
	}
	if in.Entries = done; len(done) == 0 {
		return nil, complete
	}
	return &in, complete
}

func divideEvents(in eventbridge.PutEventsInput, r *rand.Rand) (any, func(any) any) {
	places := make([]int, len(in.Entries))
	for i := range places {
		places[i] = i
	}
	done, left := halve(places, r)
	entries := make([]eventtypes.PutEventsRequestEntry, len(done))
	for i, place := range done {
		entries[i] = in.Entries[place]
	}
	all := make([]eventtypes.PutEventsResultEntry, len(in.Entries)) // in the order of the request, failed or not
	complete := func(answer any) any {
		out, is := answer.(*eventbridge.PutEventsOutput)
		if !is {
			out = &eventbridge.PutEventsOutput{}
		}
		for i, place := range done {
			all[place] = out.Entries[i]
		}
		for _, place := range left {
			all[place] = eventtypes.PutEventsResultEntry{ErrorCode: aws.String("InternalFailure"), ErrorMessage: aws.String("a fault")}
		}
		out.Entries = all
		out.FailedEntryCount += int32(len(left))
		return out
	}
	if in.Entries = entries; len(entries) == 0 {
		return nil, complete
	}
	return &in, complete
}
