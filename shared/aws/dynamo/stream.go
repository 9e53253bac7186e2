package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// StreamImage reads a task from an image in a record of the tasks table's stream. *task.UnreadableError: the image names a task, and what is
// not needed to enter its end cannot be decoded.
func StreamImage(image map[string]events.DynamoDBAttributeValue) (task.Task, error) {
	it := item{}
	for name, v := range image {
		switch v.DataType() {
		case events.DataTypeString:
			it[name] = str(v.String())
		case events.DataTypeNumber:
			it[name] = &types.AttributeValueMemberN{Value: v.Number()}
		case events.DataTypeBoolean:
			it[name] = &types.AttributeValueMemberBOOL{Value: v.Boolean()}
		case events.DataTypeBinary:
			it[name] = &types.AttributeValueMemberB{Value: v.Binary()}
		}
	}
	t, err := readTask(it)
	if !t.ID.Segment.Valid() || t.JobID == "" || t.Labourer == "" {
		return t, errors.Join(err, fmt.Errorf("the image of task %s lacks its segment, its job or its labourer", t.ID))
	}
	if err != nil {
		err = &task.UnreadableError{Tasks: []task.Task{t}, Reason: err}
	}
	return t, err
}
