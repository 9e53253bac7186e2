package dynamo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// transactions limits how many transactions of a segment are written at the same time.
const transactions = 4

// Rewrite changes tasks of a segment under the condition of Save, many in one request. change returns a task as it is to be, or false to leave it
// as it is. It sees the task without its payload, and without what cannot be decoded of it; both stay in the item as they are.
//
// Rewrite returns the tasks that have changed since it read them. It did not write these.
//
// It writes whole items, up to 90 in one transaction, which costs twice the write units. If one of them has changed, which is rare, it writes the
// others one by one.
func (t Tasks) Rewrite(ctx context.Context, s segment.ID, numbers segment.Numbers, change func(task.Task) (task.Task, bool)) (stale segment.Numbers, err error) {
	if numbers.Empty() {
		return stale, nil
	}
	in := t.reading(s, numbers)
	for {
		page, err := t.API.Query(ctx, &in)
		if err != nil {
			return stale, fmt.Errorf("reading tasks %s of segment %s, %w", numbers, s, err)
		}
		var puts []types.Put
		for _, it := range page.Items {
			if !numbers.Contains(int(item(it).num("n"))) {
				continue
			}
			put, changed, err := t.rewritten(it, change)
			if err != nil {
				return stale, err
			}
			if changed {
				puts = append(puts, put)
			}
		}
		changed, err := t.putAll(ctx, puts)
		stale = stale.Union(changed)
		if err != nil {
			return stale, fmt.Errorf("changing tasks %s of segment %s, %w", numbers, s, err)
		}
		if len(page.LastEvaluatedKey) == 0 {
			return stale, nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

// rewritten returns the write of a changed task.
func (t Tasks) rewritten(it item, change func(task.Task) (task.Task, bool)) (put types.Put, changed bool, err error) {
	head := maps.Clone(it)
	delete(head, "payload")
	before, _ := readTask(head)
	after, changed := change(before)
	if !changed {
		return put, false, nil
	}
	was, err := taskItem(before, 0)
	if err != nil {
		return put, false, fmt.Errorf("encoding task %s, %w", before.ID, err)
	}
	is, err := taskItem(after, t.Retention)
	if err != nil {
		return put, false, fmt.Errorf("encoding task %s, %w", after.ID, err)
	}
	set, remove := closing(was, is)
	whole := maps.Clone(it)
	maps.Copy(whole, set)
	for _, name := range remove {
		delete(whole, name)
	}
	condition, names, values := asRead(was)
	if len(values) == 0 {
		values = nil // DynamoDB refuses an empty map
	}
	return types.Put{TableName: &t.Table, Item: whole, ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values}, true, nil
}

// putAll writes the items of a page, and returns the numbers of those whose conditions did not hold. A page has 1 MB, and a transaction takes 4.
func (t Tasks) putAll(ctx context.Context, puts []types.Put) (stale segment.Numbers, err error) {
	var refusals []*segment.Numbers
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(transactions)
	for some := range slices.Chunk(puts, task.MostTogether) {
		numbers := &segment.Numbers{}
		refusals = append(refusals, numbers)
		g.Go(func() (err error) {
			*numbers, err = t.putTogether(ctx, some)
			return err
		})
	}
	err = g.Wait()
	for _, numbers := range refusals {
		stale = stale.Union(*numbers)
	}
	return stale, err
}

// putTogether writes items in one transaction if all their conditions hold, and otherwise one by one.
func (t Tasks) putTogether(ctx context.Context, puts []types.Put) (stale segment.Numbers, err error) {
	if len(puts) > 1 {
		writes := make([]types.TransactWriteItem, len(puts))
		for i := range puts {
			writes[i].Put = &puts[i]
		}
		if _, err := transactWriteItems(ctx, t.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes}); !refused(err) {
			return stale, err
		}
	}
	for _, put := range puts {
		_, err := putItem(ctx, t.API, &dynamodb.PutItemInput{TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeNames: put.ExpressionAttributeNames, ExpressionAttributeValues: put.ExpressionAttributeValues})
		if refused(err) {
			stale = stale.Union(segment.Of(int(item(put.Item).num("n"))))
		} else if err != nil {
			return stale, err
		}
	}
	return stale, nil
}

// reading returns the query of the tasks of a segment from the first to the last of these numbers, strongly consistent.
func (t Tasks) reading(s segment.ID, numbers segment.Numbers) dynamodb.QueryInput {
	return dynamodb.QueryInput{
		TableName: &t.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#segment = :segment AND n BETWEEN :first AND :last"),
		ExpressionAttributeNames:  map[string]string{"#segment": "segment"},
		ExpressionAttributeValues: item{":segment": str(string(s)), ":first": num(numbers.Min()), ":last": num(numbers.Max())},
	}
}
