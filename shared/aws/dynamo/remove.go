package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Remove deletes those tasks of a segment that exist under these numbers. It has no condition, so it is only for tasks whose queue entry was
// never published and never will be. It costs a write unit for each KB that it finds, and a query where it finds nothing. It leaves a bundle that
// may hold the payloads of other tasks, too.
func (t Tasks) Remove(ctx context.Context, s segment.ID, numbers segment.Numbers) error {
	if numbers.Empty() {
		return nil
	}
	items, err := query(ctx, t.API, dynamodb.QueryInput{
		TableName: &t.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#segment = :segment AND n BETWEEN :first AND :last"),
		ProjectionExpression:      aws.String("#segment, n, parts, bundle"),
		ExpressionAttributeNames:  map[string]string{"#segment": "segment"},
		ExpressionAttributeValues: item{":segment": str(string(s)), ":first": num(numbers.Min()), ":last": num(numbers.Max())},
	}, 0)
	if err != nil {
		return fmt.Errorf("looking for tasks %s of segment %s, %w", numbers, s, err)
	}
	var keys []item
	known := map[place]bool{}
	for _, it := range items {
		one := task.Task{ID: task.ID{Segment: s, N: int(it.num("n"))}, Parts: int(it.num("parts")), Bundle: it.str("bundle")}
		if !numbers.Contains(one.ID.N) {
			continue
		}
		keys = append(keys, taskKey(one.ID))
		places, _ := lies(one)
		b, shared := bundleOf(one)
		for _, p := range places {
			if shared && (known[p] || !segment.Range(b.first, b.last).Minus(numbers).Empty()) {
				continue
			}
			known[p] = shared
			keys = append(keys, p.key())
		}
	}
	requests := make([]types.WriteRequest, len(keys))
	for i, key := range keys {
		requests[i].DeleteRequest = &types.DeleteRequest{Key: key}
	}
	for first := 0; first < len(requests); first += batchSize {
		if err := writeBatch(ctx, t.API, t.Table, requests[first:min(first+batchSize, len(requests))]); err != nil {
			return fmt.Errorf("removing tasks %s of segment %s, %w", numbers, s, err)
		}
	}
	return nil
}
