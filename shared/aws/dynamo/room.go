package dynamo

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// room says how many bytes a task may have after an attempt: those of an item, less some to spare for attributes that come later, such as the
// day of its deletion.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const room = 400<<10 - 1<<10

// fits returns a *task.TooLargeError for a task whose item is larger than room.
func fits(t task.Task, it item) error {
	n := size(it)
	if n <= room {
		return nil
	}
	return &task.TooLargeError{Payload: len(t.Payload), Result: len(t.Result), Stats: len(t.Stats), Size: n, Limit: room}
}

// size returns an item's size as DynamoDB counts it, names included, or a few bytes more: DynamoDB stores two digits in a byte.
func size(it item) int {
	n := 0
	for name, v := range it {
		n += len(name) + 1
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		}
	}
	return n
}
