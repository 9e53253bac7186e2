package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
)

// Grant writes the takings of a grant, and the leases that take more of the labourer's slots, in one transaction, if there was no grant,
// revocation, pause or resume since the state was read, and no entry or lease changed. From then on the labourer is held as hold says: not at
// all, or by the claimer until it departs. A hold is only ever set together with the version, so the version also tells that no other
// execution has come to hold the labourer. Grant does not write g.Filled. queue.ErrChanged: nothing was written.
func (c Control) Grant(ctx context.Context, labourer string, g queue.Grant, hold queue.Hold) error {
	fence, err := c.fence(labourer, g, hold)
	if err != nil {
		return err
	}
	writes := []types.TransactWriteItem{{Update: fence}}
	for _, change := range g.Changed {
		if change.New() {
			writes = append(writes, c.making(change))
		} else {
			writes = append(writes, c.replacing(change.Before, change.After))
		}
	}
	for _, t := range g.Takings {
		writes = append(writes, c.shortening(t.Entry, t.Rest))
	}
	_, err = transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return changed(err, fmt.Sprintf("granting %d leases of labourer %s", len(g.Changed), labourer))
}

// direct returns the writes of direct grants, for the transaction that publishes their tasks.
func (c Control) direct(grants []queue.Direct) ([]types.TransactWriteItem, error) {
	var writes []types.TransactWriteItem
	for _, d := range grants {
		fence, err := c.fence(d.Labourer, d.Grant, d.Hold)
		if err != nil {
			return nil, err
		}
		writes = append(writes, types.TransactWriteItem{Update: fence}, c.making(d.Grant.Changed[0]))
	}
	return writes, nil
}

// making returns the write of a new lease.
func (c Control) making(change queue.Change) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &c.Table, Item: leaseItem(change.Written()), ConditionExpression: aws.String("attribute_not_exists(labourer)"),
	}}
}

// fence returns the write of a labourer's state by a grant.
func (c Control) fence(labourer string, g queue.Grant, hold queue.Hold) (*types.Update, error) {
	condition := "version = :read"
	if g.State.Version == 0 { // both conditions name :read, as DynamoDB refuses values that no expression uses
		condition = "attribute_not_exists(version) OR version = :read"
	}
	was, is := item{}, item{"version": num(g.State.Version + 1)}
	if hold != (queue.Hold{}) {
		maps.Copy(is, item{"claiming_by": str(hold.By), "claiming_until": millis(hold.Until)})
	} else {
		was = item{"claiming_by": nil, "claiming_until": nil}
	}
	if g.Pace != g.State.Pace {
		text, err := json.Marshal(g.Pace)
		if err != nil {
			return nil, fmt.Errorf("encoding the pace of labourer %s, %w", labourer, err)
		}
		is["pace"] = str(string(text))
	}
	d := difference{names: map[string]string{}, values: item{":read": num(g.State.Version)}}
	d.add("", was, is)
	expression := d.expression()
	return &types.Update{TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: &expression, ConditionExpression: &condition,
		ExpressionAttributeNames: d.names, ExpressionAttributeValues: d.values}, nil
}

// Revoke lowers the slots of a lease to those of c.After. It leaves alone what is in hand, and has no condition on the lease's revision, as
// fewer slots are right however the lease has changed. It raises the state's version, so that a grant that was decided on before fails.
// queue.ErrChanged: the lease has no more slots than that, or is gone; nothing was written.
func (c Control) Revoke(ctx context.Context, labourer string, change queue.Change) error {
	_, err := transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{TableName: &c.Table, Key: controlKey(labourer, stateItem), UpdateExpression: aws.String("ADD version :one"),
			ExpressionAttributeValues: item{":one": num(1)}}},
		{Update: &types.Update{TableName: &c.Table, Key: controlKey(labourer, change.After.Item()), UpdateExpression: aws.String("SET slots = :slots ADD revision :one"),
			ConditionExpression: aws.String("slots > :slots"), ExpressionAttributeValues: item{":slots": num(change.After.Slots), ":one": num(1)}}},
	}})
	return changed(err, "revoking slots of "+change.After.Item()+" of labourer "+labourer)
}
