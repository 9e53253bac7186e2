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
	in := c.span(labourer, withdrawnPrefix, dueUntil(now), false)
	out, lanes, err := c.look(ctx, in, page, func(int) int { page *= 10; return page }, 1)
	if err == nil {
		err = c.addLanes(ctx, labourer, lanes, false, &out)
	}
	if err != nil {
		return out, fmt.Errorf("looking at labourer %s, %w", labourer, err)
	}
	return out, nil
}

// spare says for how many leases a first page of Work has room beside the entries.
const spare = 10

// Work reads a labourer's leases and then its first due entries, as many as limit, strongly consistent. It makes one request where few leases
// are stored. Next pages are as large as what was read before: entries beyond the limit cost at most as much as the leases. With lanes it reads the
// entries once more after them.
func (c Control) Work(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Lease, []queue.Entry, error) {
	in := c.span(labourer, leasePrefix, dueUntil(now), true)
	out, lanes, err := c.look(ctx, in, limit+spare, func(read int) int { return max(read, limit) }, limit)
	if err == nil && lanes > 0 {
		if err = c.addLanes(ctx, labourer, lanes, true, &out); err == nil {
			out.Due, err = c.Due(ctx, labourer, now, limit)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the leases and the queue of labourer %s, %w", labourer, err)
	}
	return out.Leases, out.Due[:min(len(out.Due), limit)], nil
}

// look reads a span of a labourer's items until it has some due entries or reaches the end. The first page has at most page items, or as many as
// fit if that is 0; next returns the size of each next page, given how many items were read. It returns the number of the labourer's lanes as well.
func (c Control) look(ctx context.Context, in dynamodb.QueryInput, page int, next func(read int) int, due int) (out queue.Look, lanes int, err error) {
	for read := 0; ; page = next(read) {
		if in.Limit = nil; page > 0 {
			in.Limit = aws.Int32(int32(page))
		}
		answer, err := c.API.Query(ctx, &in)
		if err != nil {
			return out, lanes, err
		}
		for _, it := range answer.Items {
			if it := item(it); it.str("item") == lanesItem {
				lanes = int(it.num("lanes"))
				continue
			}
			lookAt(&out, it)
		}
		read += len(answer.Items)
		if in.ExclusiveStartKey = answer.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 || len(out.Due) >= due {
			return out, lanes, nil
		}
	}
}

// addLanes adds the leases in a labourer's lanes.
func (c Control) addLanes(ctx context.Context, labourer string, lanes int, strong bool, out *queue.Look) error {
	items, err := c.inLanes(ctx, labourer, lanes, strong)
	out.Leases = append(out.Leases, all(items, leaseOf)...)
	return err
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
