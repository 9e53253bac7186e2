package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/queue"
)

// Control stands for the control table, with the key (labourer, item). A labourer's state, leases and queue entries share a partition. In the
// table's order leases come before the queue, and the queue is sorted by due time.
type Control struct {
	API   API
	Table string
}

const (
	stateItem   = "state"
	leasePrefix = "lease#"
	queuePrefix = "queue#"
)

// controlKey returns the key of an item of a labourer. A lease whose segment is in a lane has that lane's partition key.
func controlKey(labourer, name string) item {
	if at, is := queue.LeasedSegment(name); is {
		labourer = lanePartition(labourer, at.Lane())
	}
	return item{"labourer": str(labourer), "item": str(name)}
}

// State reads a labourer's state, strongly consistent. It is zero for a labourer whose tasks were never claimed.
func (c Control) State(ctx context.Context, labourer string) (queue.State, error) {
	out, err := c.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.Table, Key: controlKey(labourer, stateItem), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return queue.State{}, fmt.Errorf("reading the state of labourer %s, %w", labourer, err)
	}
	return readState(out.Item)
}

// States reads the states of labourers, which must differ, strongly consistent.
func (c Control) States(ctx context.Context, labourers []string) (map[string]queue.State, error) {
	out := make(map[string]queue.State, len(labourers))
	if len(labourers) == 1 {
		state, err := c.State(ctx, labourers[0])
		out[labourers[0]] = state
		return out, err
	}
	keys := make([]map[string]types.AttributeValue, len(labourers))
	for i, labourer := range labourers {
		keys[i], out[labourer] = controlKey(labourer, stateItem), queue.State{}
	}
	err := batchGet(ctx, c.API, c.Table, keys, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}, func(it item) (err error) {
		out[it.str("labourer")], err = readState(it)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the states of %d labourers, %w", len(labourers), err)
	}
	return out, nil
}

// Approach sets the hold on a labourer before a grant, so that other executions yield to it instead of writing transactions that would fail.
// queue.ErrChanged: another execution holds the labourer.
func (c Control) Approach(ctx context.Context, labourer string, now time.Time, hold queue.Hold) error {
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, stateItem),
		UpdateExpression:          aws.String("SET claiming_until = :until, claiming_by = :by"),
		ConditionExpression:       aws.String("attribute_not_exists(claiming_until) OR claiming_until <= :now OR claiming_by = :by"),
		ExpressionAttributeValues: item{":until": millis(hold.Until), ":by": str(hold.By), ":now": millis(now)},
	})
	return changed(err, "approaching the grants of labourer "+labourer)
}

// Depart ends an execution's hold, if it has one.
func (c Control) Depart(ctx context.Context, labourer, execution string) error {
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: aws.String("REMOVE claiming_until, claiming_by"),
		ConditionExpression: aws.String("claiming_by = :by"), ExpressionAttributeValues: item{":by": str(execution)},
	})
	if err != nil && !refused(err) {
		return fmt.Errorf("ending the hold on labourer %s, %w", labourer, err)
	}
	return nil
}

// SetPaused pauses a labourer without a record of the person, or resumes it. It raises the version, so that a claim that was decided before fails. The
// pace is forgotten: the tasks that wait in leases return to the queue, which would look as if they had ended.
func (c Control) SetPaused(ctx context.Context, labourer string, paused bool) error {
	return c.setPaused(ctx, labourer, paused, aws.String("SET paused = :paused REMOVE pace, pause ADD version :one"), item{})
}

// Pause pauses a labourer as SetPaused does, and records the person and the time.
func (c Control) Pause(ctx context.Context, labourer string, by queue.Pause) error {
	text, err := json.Marshal(by)
	if err != nil {
		return err
	}
	return c.setPaused(ctx, labourer, true, aws.String("SET paused = :paused, pause = :pause REMOVE pace ADD version :one"), item{":pause": str(string(text))})
}

func (c Control) setPaused(ctx context.Context, labourer string, paused bool, update *string, values item) error {
	values[":paused"], values[":one"] = &types.AttributeValueMemberBOOL{Value: paused}, num(1)
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: update, ExpressionAttributeValues: values,
	})
	if err != nil {
		return fmt.Errorf("setting paused of labourer %s to %t, %w", labourer, paused, err)
	}
	return nil
}

// SetTrouble records why the target could not be reached; nil removes the record.
func (c Control) SetTrouble(ctx context.Context, labourer string, trouble *queue.Trouble) error {
	in := &dynamodb.UpdateItemInput{TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: aws.String("REMOVE trouble")}
	if trouble != nil {
		text, err := json.Marshal(trouble)
		if err != nil {
			return err
		}
		in.UpdateExpression, in.ExpressionAttributeValues = aws.String("SET trouble = :trouble"), item{":trouble": str(string(text))}
	}
	if _, err := updateItem(ctx, c.API, in); err != nil {
		return fmt.Errorf("noting the trouble of labourer %s, %w", labourer, err)
	}
	return nil
}

// changed turns a failed condition into queue.ErrChanged, and adds what was being done to any other error.
func changed(err error, doing string) error {
	if refused(err) {
		return queue.ErrChanged
	}
	if err != nil {
		return fmt.Errorf("%s, %w", doing, err)
	}
	return nil
}

func readState(it item) (queue.State, error) {
	s := queue.State{Version: int(it.num("version")), Paused: it.bool("paused"), Hold: queue.Hold{By: it.str("claiming_by"), Until: it.time("claiming_until")},
		Pin: readPin(it.str("pin"))}
	// None of these must stop the labourer: two are notes, and the other is observed anew.
	if text := it.str("pause"); text != "" && s.Paused {
		if err := exact.Decode([]byte(text), &s.Pause); err != nil {
			s.Pause = queue.Pause{}
		}
	}
	if text := it.str("trouble"); text != "" {
		if err := exact.Decode([]byte(text), &s.Trouble); err != nil {
			s.Trouble = &queue.Trouble{Error: fmt.Sprintf("what is stored of the trouble cannot be read: %v", err)}
		}
	}
	if text := it.str("pace"); text != "" {
		if err := exact.Decode([]byte(text), &s.Pace); err != nil {
			s.Pace = queue.Pace{}
		}
	}
	return s, nil
}
