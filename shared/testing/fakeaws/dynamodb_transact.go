package fakeaws

import (
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Limits of transactions, and how long a request's token identifies it.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const (
	mostTransactWrites = 100
	mostTransactBytes  = 4 << 20
	tokenTerm          = 10 * time.Minute
)

// done is a transaction that went through under a token.
type done struct {
	items []types.TransactWriteItem
	at    time.Time
}

func (d *DynamoDB) transact(in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(in.TransactItems) == 0:
		return nil, invalid("1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(in.TransactItems) > mostTransactWrites:
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to %d", mostTransactWrites)
	}
	token := aws.ToString(in.ClientRequestToken)
	if before, known := d.tokens[token]; known && token != "" && d.now().Sub(before.at) < tokenTerm {
		if !reflect.DeepEqual(before.items, in.TransactItems) {
			return nil, &types.IdempotentParameterMismatchException{Message: aws.String("Request with the same token but different parameters")}
		}
		return d.again(in)
	}
	writes, err := d.writes(in.TransactItems)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, w := range writes {
		place := w.place()
		if seen[place] {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[place] = true
	}

	bytes := 0 // of the items as they are stored, the larger of before and after
	befores, afters := make([]Item, len(writes)), make([]Item, len(writes))
	reasons := make([]types.CancellationReason, len(writes))
	cancelled := false
	for i, w := range writes {
		before, after, holds, err := w.outcome()
		befores[i], afters[i], reasons[i] = before, after, types.CancellationReason{Code: aws.String("None")}
		switch {
		case err != nil:
			reasons[i] = types.CancellationReason{Code: aws.String("ValidationError"), Message: aws.String(err.Error())}
			cancelled = true
		case !holds:
			reasons[i] = types.CancellationReason{Code: aws.String("ConditionalCheckFailed"), Message: aws.String("The conditional request failed")}
			if w.shows == types.ReturnValuesOnConditionCheckFailureAllOld {
				reasons[i].Item = answered(before)
			}
			cancelled = true
		}
	}
	for i := range writes {
		bytes += max(Size(befores[i]), Size(afters[i]))
	}
	if bytes > mostTransactBytes {
		return nil, invalid("Transaction request cannot exceed 4 MB: the items of this one have %d bytes in all", bytes)
	}
	spent := map[string]charge{}
	for i, w := range writes {
		if _, begun := spent[w.table.name]; !begun {
			d.spend("TransactWriteItems", w.table.name, "", Cost{Calls: 1})
		}
		// A transaction writes twice, to prepare and to commit. A cancelled one is charged as well.
		spent[w.table.name] = spent[w.table.name].plus(d.writeCost("TransactWriteItems", w.table, befores[i], afters[i], 2, !cancelled))
	}
	if cancelled {
		codes := make([]string, len(reasons))
		for i, r := range reasons {
			codes[i] = aws.ToString(r.Code)
		}
		return nil, &types.TransactionCanceledException{CancellationReasons: reasons,
			Message: aws.String("Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]")}
	}
	for i, w := range writes {
		if w.put != nil || w.update != nil || w.remove {
			d.store(w.table, w.key, afters[i], nil)
			d.tear(w.table, w.key, befores[i])
		}
	}
	if token != "" {
		d.tokens[token] = done{in.TransactItems, d.now()}
	}
	all := consumedByAll(in.ReturnConsumedCapacity, spent)
	split(all, func(c *types.Capacity) { c.WriteCapacityUnits = c.CapacityUnits })
	return &dynamodb.TransactWriteItemsOutput{ConsumedCapacity: all}, nil
}

// split sets the kind of the units, which only responses to transactions tell.
func split(all []types.ConsumedCapacity, kind func(*types.Capacity)) {
	for i := range all {
		c := &all[i]
		sum := types.Capacity{CapacityUnits: c.CapacityUnits}
		kind(&sum)
		c.ReadCapacityUnits, c.WriteCapacityUnits = sum.ReadCapacityUnits, sum.WriteCapacityUnits
		if c.Table != nil {
			kind(c.Table)
		}
		for name, index := range c.GlobalSecondaryIndexes {
			kind(&index)
			c.GlobalSecondaryIndexes[name] = index
		}
	}
}

// tear hides a transaction's write of an item from reads for a while.
func (d *DynamoDB) tear(t *table, key, before Item) {
	if d.Torn == nil {
		return
	}
	if r := t.find(key); r != nil {
		r.torn = version{before, d.now().Add(d.Torn(t.name, key))}
	}
}

// again answers a transaction that went through before under the same token. It is charged as a read.
func (d *DynamoDB) again(in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	writes, err := d.writes(in.TransactItems)
	if err != nil {
		return nil, err
	}
	spent := map[string]charge{}
	for _, w := range writes {
		if _, begun := spent[w.table.name]; !begun {
			d.spend("TransactWriteItems", w.table.name, "", Cost{Calls: 1})
		}
		cost := 2 * units(Size(w.table.item(w.key)), readUnit)
		spent[w.table.name] = spent[w.table.name].plus(charge{table: cost})
		d.spend("TransactWriteItems", w.table.name, "", Cost{ReadUnits: cost})
	}
	all := consumedByAll(in.ReturnConsumedCapacity, spent)
	split(all, func(c *types.Capacity) { c.ReadCapacityUnits = c.CapacityUnits })
	return &dynamodb.TransactWriteItemsOutput{ConsumedCapacity: all}, nil
}

func missing(parameter string, number int) error {
	return invalid("1 validation error detected: Value null at '"+parameter+"' failed to satisfy constraint: Member must not be null", number)
}

func (d *DynamoDB) writes(items []types.TransactWriteItem) ([]write, error) {
	out := make([]write, len(items))
	for i, it := range items {
		given := 0
		var err error
		if p := it.Put; p != nil {
			given++
			out[i], err = d.put(parts{table: p.TableName, condition: p.ConditionExpression, names: p.ExpressionAttributeNames,
				values: p.ExpressionAttributeValues, shows: p.ReturnValuesOnConditionCheckFailure}, p.Item)
		}
		if u := it.Update; u != nil && err == nil {
			given++
			if u.UpdateExpression == nil {
				return nil, missing("transactItems.%d.member.update.updateExpression", i+1)
			}
			out[i], err = d.change(parts{table: u.TableName, condition: u.ConditionExpression, update: u.UpdateExpression, names: u.ExpressionAttributeNames,
				values: u.ExpressionAttributeValues, shows: u.ReturnValuesOnConditionCheckFailure}, u.Key)
		}
		if r := it.Delete; r != nil && err == nil {
			given++
			out[i], err = d.remove(parts{table: r.TableName, condition: r.ConditionExpression, names: r.ExpressionAttributeNames,
				values: r.ExpressionAttributeValues, shows: r.ReturnValuesOnConditionCheckFailure}, r.Key)
		}
		if c := it.ConditionCheck; c != nil && err == nil {
			given++
			if c.ConditionExpression == nil {
				return nil, missing("transactItems.%d.member.conditionCheck.conditionExpression", i+1)
			}
			out[i], err = d.check(parts{table: c.TableName, condition: c.ConditionExpression, names: c.ExpressionAttributeNames,
				values: c.ExpressionAttributeValues, shows: c.ReturnValuesOnConditionCheckFailure}, c.Key)
		}
		if err != nil {
			return nil, err
		}
		if given != 1 {
			return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
	}
	return out, nil
}
