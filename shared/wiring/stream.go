package wiring

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/aws/aws-lambda-go/events"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/core/task"
)

// images yields the tasks of a batch of the stream as they were after each write. The keys of a record that is partly unreadable go to the
// dead-letter queue. The readable parts of its task go on, because its job would otherwise wait for it forever.
func images(ctx context.Context, e events.DynamoDBEvent, graveyard sqs.Graveyard) iter.Seq2[task.Task, error] {
	return func(yield func(task.Task, error) bool) {
		for _, r := range e.Records {
			if r.EventName == string(events.DynamoDBOperationTypeRemove) {
				continue
			}
			one, err := dynamo.StreamImage(r.Change.NewImage)
			if err == nil {
				if !yield(one, nil) {
					return
				}
				continue
			}
			keys, _ := json.Marshal(map[string]any{"keys": r.Change.Keys, "sequence_number": r.Change.SequenceNumber})
			if err := graveyard.Bury(ctx, string(keys), err.Error()); err != nil {
				yield(task.Task{}, err)
				return
			}
			unreadable, _ := task.Unreadable(err)
			for _, one := range unreadable {
				if !yield(one, nil) {
					return
				}
			}
		}
	}
}
