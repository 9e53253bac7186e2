package dynamo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drover-run/drover/shared/core/queue"
)

// Look reads all asides and leases, and the first due entries, eventually consistent: enough to know whether there may be something to do.
// It makes one request for a labourer that has fewer items than page. For more it reads on, with pages ten times as large, until it reaches a
// due entry or the end, so that it reads every lease. page 0: as many items as fit a request.
func (c Control) Look(ctx context.Context, labourer string, now time.Time, page int) (queue.Look, error) {
	var out queue.Look
	in := c.span(labourer, withdrawnPrefix, dueUntil(now), false)
	for ; ; page *= 10 {
		if in.Limit = nil; page > 0 {
			in.Limit = aws.Int32(int32(page))
		}
		answer, err := c.API.Query(ctx, &in)
		if err != nil {
			return out, fmt.Errorf("looking at labourer %s, %w", labourer, err)
		}
		for _, it := range answer.Items {
			lookAt(&out, it)
		}
		if in.ExclusiveStartKey = answer.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 || len(out.Due) > 0 {
			return out, nil
		}
	}
}

func lookAt(out *queue.Look, it item) {
	switch name := it.str("item"); {
	case strings.HasPrefix(name, withdrawnPrefix):
		out.Asides = append(out.Asides, asideOf(it))
	case strings.HasPrefix(name, leasePrefix):
		out.Leases = append(out.Leases, leaseOf(it))
	case strings.HasPrefix(name, queuePrefix):
		out.Due = append(out.Due, entryOf(it))
	}
}

func (c Control) between(ctx context.Context, labourer, from, to string, limit int, strong bool) ([]item, error) {
	return query(ctx, c.API, c.span(labourer, from, to, strong), limit)
}

// span returns the query for a labourer's items between two sort keys.
func (c Control) span(labourer, from, to string, strong bool) dynamodb.QueryInput {
	return dynamodb.QueryInput{
		TableName: &c.Table, ConsistentRead: &strong,
		KeyConditionExpression:    aws.String("labourer = :labourer AND #item BETWEEN :from AND :to"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":labourer": str(labourer), ":from": str(from), ":to": str(to)},
	}
}
