package dynamo

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
)

// The leases of a labourer with lanes lie under several partition keys, as one takes a thousand writes a second. Its state and its queue stay under
// its own key, where lanesItem says how many lanes there are. A reader of all leases finds that item before the leases, and reads the lanes then.
const (
	laneMark  = "#lane#"
	lanesItem = leasePrefix + "!lanes"
)

// lanePartition returns the partition key of a labourer's lane, or the labourer's own without a lane.
func lanePartition(labourer, lane string) string {
	if lane == "" {
		return labourer
	}
	return labourer + laneMark + lane
}

// owner returns the labourer to which an item of the control table belongs.
func (it item) owner() string {
	labourer, _, _ := strings.Cut(it.str("labourer"), laneMark)
	return labourer
}

// widen stores how many lanes the labourer of a new job has. They never become fewer, as leases may be in each.
func (j Jobs) widen(ctx context.Context, job ledger.Job) error {
	_, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Control, Key: item{"labourer": str(job.Labourer), "item": str(lanesItem)}, UpdateExpression: aws.String("SET lanes = :lanes"),
		ConditionExpression:       aws.String("attribute_not_exists(lanes) OR lanes <= :fewer"),
		ExpressionAttributeValues: item{":lanes": num(job.Lanes), ":fewer": num(job.Lanes - 1)},
	})
	if refused(err) {
		return nil
	}
	return err
}

// spread adds the leases in the lanes, strongly consistent, to what was read under a labourer's own key, without the item that counts the lanes.
func (c Control) spread(ctx context.Context, labourer string, items []item) ([]item, error) {
	at := slices.IndexFunc(items, func(it item) bool { return it.str("item") == lanesItem }) // the first, but for a damaged key
	if at < 0 {
		return items, nil
	}
	more, err := c.inLanes(ctx, labourer, int(items[at].num("lanes")), true)
	return append(slices.Delete(items, at, at+1), more...), err
}

// inLanes reads the leases in the first n lanes of a labourer.
func (c Control) inLanes(ctx context.Context, labourer string, n int, strong bool) ([]item, error) {
	lanes := segment.LanesOf(n)
	if n <= 0 {
		return nil, nil
	}
	found := make([][]item, len(lanes))
	g, ctx := errgroup.WithContext(ctx)
	for i, lane := range lanes {
		g.Go(func() (err error) {
			found[i], err = query(ctx, c.API, c.beginning(lanePartition(labourer, lane), leasePrefix, strong), 0)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(found...), err
}

// beginning returns the query for the items of a partition whose sort keys begin with a prefix.
func (c Control) beginning(partition, prefix string, strong bool) dynamodb.QueryInput {
	return dynamodb.QueryInput{
		TableName: &c.Table, ConsistentRead: &strong,
		KeyConditionExpression:    aws.String("labourer = :labourer AND begins_with(#item, :prefix)"),
		ExpressionAttributeNames:  map[string]string{"#item": "item"},
		ExpressionAttributeValues: item{":labourer": str(partition), ":prefix": str(prefix)},
	}
}
