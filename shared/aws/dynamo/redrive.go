package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drover-run/drover/shared/core/task"
)

// Redrive has the table's stream tell of a task once more, as it is, by an attribute that means nothing. It costs a write of the whole item.
// task.ErrStale: it is not as it was read, and the stream tells of that by itself.
func (t Tasks) Redrive(ctx context.Context, is task.Task, at time.Time) error {
	it, err := taskItem(is, 0)
	if err != nil {
		return fmt.Errorf("encoding task %s, %w", is.ID, err)
	}
	condition, names, values := asRead(it)
	values[":at"] = millis(at)
	_, err = updateItem(ctx, t.API, &dynamodb.UpdateItemInput{
		TableName: &t.Table, Key: taskKey(is.ID), UpdateExpression: aws.String("SET redriven_at = :at"), ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	})
	if refused(err) {
		return task.ErrStale
	}
	if err != nil {
		return fmt.Errorf("telling of task %s again, %w", is.ID, err)
	}
	return nil
}

// asRead is the condition that a task is as it was read: same number of ended attempts, same status, same life.
func asRead(was item) (condition string, names map[string]string, values item) {
	condition, names, values = "attribute_exists(n)", map[string]string{}, item{}
	for _, name := range []string{"status", "attempt", "life"} {
		names["#"+name] = name
		if value, had := was[name]; had {
			condition += " AND #" + name + " = :was_" + name
			values[":was_"+name] = value
		} else {
			condition += " AND attribute_not_exists(#" + name + ")"
		}
	}
	return condition, names, values
}
