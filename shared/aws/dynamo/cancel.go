package dynamo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

const withdrawnPrefix = "cancel#"

func withdrawnItem(e queue.Entry) string {
	return withdrawnPrefix + strings.TrimPrefix(e.Item(), "queue#")
}

// Withdraw takes tasks out of a queue entry, so that they cannot be claimed any more, and keeps them aside until they are cancelled. It
// returns the withdrawn part. queue.ErrChanged: the entry has changed since it was read.
func (c Control) Withdraw(ctx context.Context, e queue.Entry, numbers segment.Numbers, now time.Time) (queue.Aside, error) {
	aside := e
	aside.Tasks, aside.First = e.Tasks.Intersect(numbers), e.Tasks.Intersect(numbers).Min()
	return c.setWithdrawnAside(ctx, c.shortening(e, e.Tasks.Minus(numbers)), aside, now)
}

// SetWaitingAside replaces a lease and keeps tasks that waited in it aside until they are cancelled. e is the entry that they would return to.
// queue.ErrChanged: the lease has changed since it was read; nothing was written.
func (c Control) SetWaitingAside(ctx context.Context, before, after queue.Lease, e queue.Entry, now time.Time) (queue.Aside, error) {
	return c.setWithdrawnAside(ctx, c.replacing(before, after), e, now)
}

// setWithdrawnAside keeps tasks aside in the transaction that takes them from where they were.
func (c Control) setWithdrawnAside(ctx context.Context, from types.TransactWriteItem, e queue.Entry, now time.Time) (queue.Aside, error) {
	aside := queue.Aside{Entry: e, Since: time.UnixMilli(now.UnixMilli()).UTC()}
	it := entryItem(e)
	it["item"], it["since"] = str(withdrawnItem(e)), millis(aside.Since)
	_, err := transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		from, {Put: &types.Put{TableName: &c.Table, Item: it, ConditionExpression: aws.String("attribute_not_exists(labourer)")}}}})
	return aside, changed(err, fmt.Sprintf("withdrawing tasks %s of segment %s", aside.Tasks, e.Segment))
}

// Withdrawn reads a labourer's tasks that are withdrawn and not yet cancelled, strongly consistent.
func (c Control) Withdrawn(ctx context.Context, labourer string) ([]queue.Aside, error) {
	items, err := c.between(ctx, labourer, withdrawnPrefix, withdrawnPrefix+"~", 0, true)
	if err != nil {
		return nil, fmt.Errorf("reading what is withdrawn from labourer %s, %w", labourer, err)
	}
	return all(items, asideOf), nil
}

func asideOf(it item) queue.Aside {
	return queue.Aside{Entry: entryOf(it), Since: it.time("since")}
}

// Forget removes an aside whose tasks are cancelled. It does nothing if the aside is gone or has changed since it was read.
func (c Control) Forget(ctx context.Context, aside queue.Aside) error {
	_, err := deleteItem(ctx, c.API, &dynamodb.DeleteItemInput{TableName: &c.Table, Key: controlKey(aside.Labourer, withdrawnItem(aside.Entry)),
		ConditionExpression: aws.String("tasks = :tasks"), ExpressionAttributeValues: item{":tasks": str(aside.Tasks.String())}})
	if err != nil && !refused(err) {
		return fmt.Errorf("removing withdrawn tasks of segment %s, %w", aside.Segment, err)
	}
	return nil
}

// Cancel begins the cancellation of a job: from here on none of its segments is published. Tasks that are not published yet are cancelled
// without being created, and counted by the same write. ledger.ErrChanged: the job has changed; read it again.
func (j Jobs) Cancel(ctx context.Context, job ledger.Job) error {
	never := job.Total - min(job.Total, job.Cursor*segment.Size)
	_, err := updateItem(ctx, j.API, &dynamodb.UpdateItemInput{
		TableName: &j.Table, Key: jobKey(job.ID, recordItem),
		UpdateExpression:         aws.String("SET cancelling = :yes ADD cancelled :never"),
		ConditionExpression:      aws.String("attribute_not_exists(cancelling) AND #state IN (:scheduling, :scheduled) AND #cursor = :cursor"),
		ExpressionAttributeNames: map[string]string{"#state": "state", "#cursor": "cursor"},
		ExpressionAttributeValues: item{":yes": yes(), ":never": num(never), ":cursor": num(job.Cursor),
			":scheduling": str(string(ledger.Scheduling)), ":scheduled": str(string(ledger.Scheduled))},
	})
	return jobChanged(err, "cancelling job "+job.ID)
}
