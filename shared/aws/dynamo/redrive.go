package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// Redrive writes an attribute without meaning, so that the table's stream reports the task once more. It marks a completed task as one whose
// completion is entered from the stream, as no lease is left that would enter it. It costs a write of the whole item. task.ErrStale: the task
// has changed since it was read, and the stream reports that anyway.
func (t Tasks) Redrive(ctx context.Context, is task.Task, at time.Time) error {
	it, err := taskItem(is, 0)
	if err != nil {
		return fmt.Errorf("encoding task %s, %w", is.ID, err)
	}
	condition, names, values := asRead(it)
	values[":at"] = millis(at)
	change := "SET redriven_at = :at"
	if is.Status == task.Completed {
		change += ", #shared = :shared"
		names["#shared"], values[":shared"] = "shared", &types.AttributeValueMemberBOOL{Value: true}
	}
	_, err = updateItem(ctx, t.API, &dynamodb.UpdateItemInput{
		TableName: &t.Table, Key: taskKey(is.ID), UpdateExpression: &change, ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	})
	if refused(err) {
		return task.ErrStale
	}
	if err != nil {
		return fmt.Errorf("redriving task %s, %w", is.ID, err)
	}
	return nil
}

// asRead returns the condition that a task is as it was read: the same number of ended attempts, status and life.
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
