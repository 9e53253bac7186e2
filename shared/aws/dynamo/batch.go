package dynamo

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// batchGet reads the items under these keys, which must differ, and calls take with each that exists. It asks again for what the table leaves
// unprocessed until ctx ends. how says which attributes are read, and how consistently.
func batchGet(ctx context.Context, api API, table string, keys []map[string]types.AttributeValue, how types.KeysAndAttributes, take func(item) error) error {
	const most = 100 // keys in a BatchGetItem
	for some := range slices.Chunk(keys, most) {
		how.Keys = some
		for tries := 0; len(how.Keys) > 0; tries++ {
			if tries > 0 {
				if err := pause(ctx, api, tries); err != nil {
					return fmt.Errorf("waiting for %d keys that the table left unprocessed, %w", len(how.Keys), err)
				}
			}
			out, err := api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: how}})
			if err != nil {
				return err
			}
			for _, it := range out.Responses[table] {
				if err := take(it); err != nil {
					return err
				}
			}
			how.Keys = out.UnprocessedKeys[table].Keys
		}
	}
	return nil
}

// Heads returns the job, the status and the time of the end of each of these tasks, strongly consistent. A task that does not exist is missing
// in the answer. It keeps nothing else of the tasks in memory, so it may be called with any number of them.
func (t Tasks) Heads(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error) {
	heads := make(map[task.ID]task.Task, len(ids))
	var keys []map[string]types.AttributeValue
	for _, id := range ids {
		if _, asked := heads[id]; !asked {
			heads[id] = task.Task{}
			keys = append(keys, taskKey(id))
		}
	}
	clear(heads)
	err := batchGet(ctx, t.API, t.Table, keys, types.KeysAndAttributes{ConsistentRead: aws.Bool(true),
		ProjectionExpression:     aws.String("#segment, n, job, #status, closed_at"),
		ExpressionAttributeNames: map[string]string{"#segment": "segment", "#status": "status"}}, func(it item) error {
		one, _ := readTask(it) // the other attributes were not read
		heads[one.ID] = one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the heads of %d tasks, %w", len(ids), err)
	}
	return heads, nil
}
