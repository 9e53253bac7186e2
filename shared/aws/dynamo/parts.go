package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
)

// partBytes holds the largest packed payload, in bytes, that is stored in its task's item, which leaves room for ends of attempts and a result. A
// larger payload, which hardly compresses, is stored in parts of this size: items under a partition key of their own, written before the task
// is published and never changed. The task's item has their number, and each write of it costs no more than that of a small task.
const partBytes = 256 << 10

// partsOutlive says how long the parts of a payload are kept after their task. A replay does not touch them, so a replayed task has this long to
// end again.
const partsOutlive = 366 * 24 * time.Hour

func partition(id task.ID) types.AttributeValue {
	return str(string(id.Segment) + "#" + strconv.Itoa(id.N))
}

func partKey(id task.ID, k int) item { return item{"segment": partition(id), "n": num(k)} }

// partsOf returns the parts of a task's payload; none for a payload that fits the task's item.
func partsOf(t task.Task) []item {
	if len(t.Payload) <= partBytes {
		return nil
	}
	stored := pack(t.Payload)
	if len(stored) <= partBytes {
		return nil
	}
	var parts []item
	for len(stored) > 0 {
		n := min(len(stored), partBytes)
		part := partKey(t.ID, len(parts))
		part["payload"] = &types.AttributeValueMemberB{Value: stored[:n]}
		parts, stored = append(parts, part), stored[n:]
	}
	return parts
}

// Payload reads the payload of a task that is stored in parts. task.ErrNoPayload: some of them are missing.
func (t Tasks) Payload(ctx context.Context, of task.Task) ([]byte, error) {
	parts, err := query(ctx, t.API, dynamodb.QueryInput{TableName: &t.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("#segment = :of"), ExpressionAttributeNames: map[string]string{"#segment": "segment"},
		ExpressionAttributeValues: item{":of": partition(of.ID)}}, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the payload of task %s, %w", of.ID, err)
	}
	if len(parts) != of.Parts {
		return nil, fmt.Errorf("task %s: %w: there are %d of %d", of.ID, task.ErrNoPayload, len(parts), of.Parts)
	}
	var stored []byte
	for _, part := range parts {
		stored = append(stored, part.bytes("payload")...)
	}
	return unpack(stored)
}

// Ended sets when DynamoDB may delete the parts of a task that has ended. Setting it again changes nothing.
func (t Tasks) Ended(ctx context.Context, of task.Task) error {
	expires := of.ClosedAt.Add(t.Retention + partsOutlive).Unix()
	for k := range of.Parts {
		_, err := updateItem(ctx, t.API, &dynamodb.UpdateItemInput{TableName: &t.Table, Key: partKey(of.ID, k), UpdateExpression: aws.String("SET expires_at = :at"),
			ConditionExpression: aws.String("attribute_exists(n)"), ExpressionAttributeValues: item{":at": num(expires)}})
		if err != nil && !refused(err) {
			return fmt.Errorf("dating the payload of task %s, %w", of.ID, err)
		}
	}
	return nil
}

// whole reads a task, with a payload that is stored in parts.
func (t Tasks) whole(ctx context.Context, it item) (one task.Task, bad, err error) {
	one, bad = readTask(it)
	if bad != nil || one.Parts == 0 {
		return one, bad, nil
	}
	one.Payload, err = t.Payload(ctx, one)
	if errors.Is(err, task.ErrNoPayload) {
		return one, err, nil
	}
	return one, nil, err
}
