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

// Quiet reads a labourer's leases, strongly consistent, if they are no more than most, none of them in a lane, and nothing in the queue is due. If more
// is there, quiet is false, and the read costs no more than so many leases and one.
func (c Control) Quiet(ctx context.Context, labourer string, now time.Time, most int) (leases []queue.Lease, quiet bool, err error) {
	items, err := query(ctx, c.API, c.span(labourer, leasePrefix, dueUntil(now), true), most+1)
	if err != nil {
		return nil, false, fmt.Errorf("looking whether labourer %s is quiet, %w", labourer, err)
	}
	if len(items) > most {
		return nil, false, nil
	}
	for _, it := range items {
		if name := it.str("item"); name == lanesItem || strings.HasPrefix(name, queuePrefix) {
			return nil, false, nil
		}
		leases = append(leases, leaseOf(it))
	}
	return leases, true, nil
}

// few says how many items a first page of Remains has: even leases of a kilobyte make it one read unit, and no dearer than looking for an entry alone.
const few = 4

// Remains reports whether an entry of a labourer's queue is due. If none is, it reads the leases after that. It reads strongly consistent, backwards, as
// the queue comes after the leases, and makes one request where few leases are stored.
func (c Control) Remains(ctx context.Context, labourer string, now time.Time) (due bool, leases []queue.Lease, err error) {
	in := c.span(labourer, leasePrefix, dueUntil(now), true)
	in.ScanIndexForward, in.Limit = aws.Bool(false), aws.Int32(few)
	var items []item
	for {
		page, err := c.API.Query(ctx, &in)
		if err != nil {
			return false, nil, fmt.Errorf("reading what remains of labourer %s, %w", labourer, err)
		}
		for _, it := range page.Items {
			if strings.HasPrefix(item(it).str("item"), queuePrefix) {
				return true, nil, nil
			}
			items = append(items, it)
		}
		if in.ExclusiveStartKey, in.Limit = page.LastEvaluatedKey, nil; len(in.ExclusiveStartKey) == 0 {
			break
		}
	}
	if items, err = c.spread(ctx, labourer, items); err != nil {
		return false, nil, fmt.Errorf("reading the lanes of labourer %s, %w", labourer, err)
	}
	return false, all(items, leaseOf), nil
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
