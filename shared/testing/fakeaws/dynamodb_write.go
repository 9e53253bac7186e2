package fakeaws

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

// write holds the part of a request that concerns one item, with every check done that needs no look at the item.
type write struct {
	table     *table
	key       Item
	condition *expression.Bound
	put       Item                    // the new item of a put
	update    *expression.BoundUpdate // for an update
	remove    bool                    // for a deletion
	shows     types.ReturnValuesOnConditionCheckFailure
}

// parts holds what the requests that write one item have in common.
type parts struct {
	table     *string
	condition *string
	update    *string
	names     map[string]string
	values    Item
	shows     types.ReturnValuesOnConditionCheckFailure
}

func (d *DynamoDB) prepare(p parts) (write, *expression.Scope, error) {
	w := write{shows: p.shows}
	var err error
	if w.table, err = d.table(p.table); err != nil {
		return w, nil, err
	}
	scope, err := scopeOf(p.names, p.values)
	if err != nil {
		return w, nil, err
	}
	if w.condition, err = d.condition("ConditionExpression", p.condition, scope); err != nil {
		return w, nil, err
	}
	return w, scope, nil
}

func (p parts) unused(s *expression.Scope) error {
	return refusedAs("", s.Unused(p.condition != nil || p.update != nil))
}

func (d *DynamoDB) put(p parts, it Item) (write, error) {
	w, scope, err := d.prepare(p)
	if err != nil {
		return w, err
	}
	if err := p.unused(scope); err != nil {
		return w, err
	}
	if w.key, err = w.table.keyOf(it); err != nil {
		return w, err
	}
	w.put = expression.CloneItem(it)
	return w, w.table.checkItem(it)
}

func (d *DynamoDB) change(p parts, key Item) (write, error) {
	w, scope, err := d.prepare(p)
	if err != nil {
		return w, err
	}
	if w.update, err = d.update(p.update, scope); err != nil {
		return w, err
	}
	if err := p.unused(scope); err != nil {
		return w, err
	}
	if w.key, err = w.table.exactKey(key); err != nil {
		return w, err
	}
	w.update.Attributes(func(name string) {
		if slices.Contains(w.table.names(), name) {
			err = invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", name)
		}
	})
	return w, err
}

func (d *DynamoDB) remove(p parts, key Item) (write, error) {
	w, err := d.check(p, key)
	w.remove = true
	return w, err
}

// check prepares a deletion or a condition check; remove says which of the two.
func (d *DynamoDB) check(p parts, key Item) (write, error) {
	w, scope, err := d.prepare(p)
	if err != nil {
		return w, err
	}
	if err := p.unused(scope); err != nil {
		return w, err
	}
	w.key, err = w.table.exactKey(key)
	return w, err
}

// outcome returns the item before and after a write, and whether its condition holds. It changes nothing.
func (w write) outcome() (before, after Item, holds bool, err error) {
	before = w.table.item(w.key)
	if w.condition != nil && !w.condition.Holds(before) {
		return before, w.put, false, nil
	}
	switch {
	case w.put != nil:
		after = w.put
	case w.remove:
		after = nil
	case w.update != nil:
		after, err = w.updated(before)
	default:
		after = before
	}
	return before, after, true, err
}

func (w write) updated(before Item) (Item, error) {
	if before == nil && !w.update.Creates() && !w.update.Empty() {
		return nil, nil
	}
	after, err := w.update.Apply(before)
	if err != nil {
		return nil, refusedAs("", err)
	}
	maps.Copy(after, w.key)
	return after, w.table.checkItem(after)
}

// run carries out a single write. It returns the item before and after, and the capacity that it consumed.
func (d *DynamoDB) run(operation string, w write) (before, after Item, spent charge, err error) {
	before, after, holds, err := w.outcome()
	if err != nil {
		return nil, nil, charge{}, err
	}
	d.spend(operation, w.table.name, "", Cost{Calls: 1})
	spent = d.writeCost(operation, w.table, before, after, 1, holds)
	if !holds {
		refused := &types.ConditionalCheckFailedException{Message: aws.String("The conditional request failed")}
		if w.shows == types.ReturnValuesOnConditionCheckFailureAllOld {
			refused.Item = answered(before)
		}
		return nil, nil, charge{}, refused
	}
	d.store(w.table, w.key, after, nil)
	return before, after, spent, nil
}

// replacing holds what PutItem and DeleteItem have in common: both replace a whole item and can return the old one.
type replacing struct {
	parts
	operation string
	expected  map[string]types.ExpectedAttributeValue
	operator  types.ConditionalOperator
	returns   types.ReturnValue
	capacity  types.ReturnConsumedCapacity
}

// replace carries out the write that prepare makes, and returns the old item where the request asks for it.
func (d *DynamoDB) replace(r replacing, prepare func(parts, Item) (write, error), it Item) (Item, *types.ConsumedCapacity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := legacy(map[string]bool{"Expected": r.expected != nil, "ConditionalOperator": r.operator != ""}); err != nil {
		return nil, nil, err
	}
	if !slices.Contains([]types.ReturnValue{"", types.ReturnValueNone, types.ReturnValueAllOld}, r.returns) {
		return nil, nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	w, err := prepare(r.parts, it)
	if err != nil {
		return nil, nil, err
	}
	before, _, spent, err := d.run(r.operation, w)
	if err != nil {
		return nil, nil, err
	}
	if r.returns != types.ReturnValueAllOld {
		before = nil
	}
	return answered(before), spent.consumed(r.capacity, w.table.name), nil
}

func (d *DynamoDB) putItem(in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
	old, consumed, err := d.replace(replacing{operation: "PutItem", expected: in.Expected, operator: in.ConditionalOperator, returns: in.ReturnValues,
		capacity: in.ReturnConsumedCapacity, parts: parts{table: in.TableName, condition: in.ConditionExpression, names: in.ExpressionAttributeNames,
			values: in.ExpressionAttributeValues, shows: in.ReturnValuesOnConditionCheckFailure}}, d.put, in.Item)
	if err != nil {
		return nil, err
	}
	return &dynamodb.PutItemOutput{Attributes: old, ConsumedCapacity: consumed}, nil
}

func (d *DynamoDB) deleteItem(in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
	old, consumed, err := d.replace(replacing{operation: "DeleteItem", expected: in.Expected, operator: in.ConditionalOperator, returns: in.ReturnValues,
		capacity: in.ReturnConsumedCapacity, parts: parts{table: in.TableName, condition: in.ConditionExpression, names: in.ExpressionAttributeNames,
			values: in.ExpressionAttributeValues, shows: in.ReturnValuesOnConditionCheckFailure}}, d.remove, in.Key)
	if err != nil {
		return nil, err
	}
	return &dynamodb.DeleteItemOutput{Attributes: old, ConsumedCapacity: consumed}, nil
}

func (d *DynamoDB) updateItem(in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := map[string]bool{"Expected": in.Expected != nil, "ConditionalOperator": in.ConditionalOperator != "", "AttributeUpdates": in.AttributeUpdates != nil}
	if err := legacy(old); err != nil {
		return nil, err
	}
	w, err := d.change(parts{table: in.TableName, condition: in.ConditionExpression, update: in.UpdateExpression, names: in.ExpressionAttributeNames,
		values: in.ExpressionAttributeValues, shows: in.ReturnValuesOnConditionCheckFailure}, in.Key)
	if err != nil {
		return nil, err
	}
	before, after, spent, err := d.run("UpdateItem", w)
	if err != nil {
		return nil, err
	}
	out := &dynamodb.UpdateItemOutput{
		ConsumedCapacity: spent.consumed(in.ReturnConsumedCapacity, w.table.name)}
	switch in.ReturnValues {
	case types.ReturnValueAllOld:
		out.Attributes = answered(before)
	case types.ReturnValueAllNew:
		out.Attributes = answered(after)
	case types.ReturnValueUpdatedOld:
		out.Attributes = touched(w.update, before)
	case types.ReturnValueUpdatedNew:
		out.Attributes = touched(w.update, after)
	}
	return out, nil
}

// touched returns the attributes that an update names, whole.
func touched(u *expression.BoundUpdate, it Item) Item {
	out := Item{}
	u.Attributes(func(name string) {
		if v, there := it[name]; there {
			out[name] = expression.Clone(v)
		}
	})
	return out
}
