package dynamo

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// room is how many bytes a task may take when an attempt at it has ended: those of an item, and some to spare for what is added later, as
// the day on which it leaves.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const room = 400<<10 - 1<<10

// fits is a *task.TooLargeError where a task and its item are over that.
func fits(t task.Task, it item) error {
	n := size(it)
	if n <= room {
		return nil
	}
	return &task.TooLargeError{Payload: len(t.Payload), Result: len(t.Result), Stats: len(t.Stats), Size: n, Limit: room}
}

// size is as many bytes as DynamoDB counts for an item, names included, or a few more: numbers take about half of their digits.
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
