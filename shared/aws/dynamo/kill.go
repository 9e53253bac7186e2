package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// Deaths ends tasks that get no further attempt. It writes to the tasks and the control table in one transaction.
type Deaths struct {
	Tasks   Tasks
	Control Control
}

// Kill replaces failed tasks by dead ones and the lease that holds them, in one transaction of up to 99 tasks and 4 MB. Queueing again has the
// same condition on the lease, so of two settlers that decide differently one succeeds.
// queue.ErrChanged: the lease or one of the tasks has changed since it was read; nothing was done.
func (d Deaths) Kill(ctx context.Context, before, after queue.Lease, failed, dead []task.Task) error {
	var writes []types.TransactWriteItem
	for i, one := range failed {
		u, err := d.Tasks.saving(one, dead[i])
		if err != nil {
			return err
		}
		writes = append(writes, types.TransactWriteItem{Update: &types.Update{TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression,
			ConditionExpression: u.ConditionExpression, ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues}})
	}
	_, err := transactWriteItems(ctx, d.Tasks.API, &dynamodb.TransactWriteItemsInput{TransactItems: append(writes, d.Control.replacing(before, after))})
	return changed(err, fmt.Sprintf("ending %d tasks of segment %s", len(failed), before.Segment))
}
