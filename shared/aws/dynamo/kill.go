package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Deaths ends tasks that get no further attempt. It writes to the tasks and the control table in one transaction.
type Deaths struct {
	Tasks   Tasks
	Control Control
}

// Kill replaces failed tasks by dead ones and takes them out of the lease that holds them, in one transaction of up to 99 tasks and 4 MB.
// Queueing again has the same condition on the lease, so of two settlers that decide differently one succeeds.
// queue.ErrChanged: the lease or one of the tasks has changed since it was read; nothing was done.
func (d Deaths) Kill(ctx context.Context, l queue.Lease, failed, dead []task.Task) error {
	var numbers segment.Numbers
	var writes []types.TransactWriteItem
	for i, before := range failed {
		numbers = numbers.Union(segment.Of(before.ID.N))
		u, err := d.Tasks.saving(before, dead[i])
		if err != nil {
			return err
		}
		writes = append(writes, types.TransactWriteItem{Update: &types.Update{TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression,
			ConditionExpression: u.ConditionExpression, ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues}})
	}
	_, err := transactWriteItems(ctx, d.Tasks.API, &dynamodb.TransactWriteItemsInput{TransactItems: append(writes, d.Control.leaving(l, numbers))})
	return changed(err, fmt.Sprintf("ending tasks %s of segment %s", numbers, l.Segment))
}

// leaving takes tasks out of a lease that has not changed since it was read, and removes the lease with its last task.
func (c Control) leaving(l queue.Lease, numbers segment.Numbers) types.TransactWriteItem {
	condition, values := unchanged(l)
	if l.Held().Minus(numbers).Empty() {
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()), ConditionExpression: &condition, ExpressionAttributeValues: values,
		}}
	}
	values[":numbers"] = numberSet(numbers)
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &c.Table, Key: controlKey(l.Labourer, l.Item()), UpdateExpression: aws.String("ADD released :numbers"),
		ConditionExpression: &condition, ExpressionAttributeValues: values,
	}}
}
