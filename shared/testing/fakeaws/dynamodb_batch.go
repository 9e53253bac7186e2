package fakeaws

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

// Limits of batches.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const (
	mostBatchWrites = 25
	mostBatchReads  = 100
	mostBatchBytes  = 16 << 20
)

func (d *DynamoDB) batchWriteItem(in *dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	type one struct {
		write
		request types.WriteRequest
	}
	var all []one
	bytes := 0
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		if len(in.RequestItems[name]) == 0 {
			return nil, invalid("The batch write request list for a table cannot be null or empty")
		}
		for _, r := range in.RequestItems[name] {
			var w write
			var err error
			switch {
			case r.PutRequest != nil && r.DeleteRequest == nil:
				w, err = d.put(parts{table: &name}, r.PutRequest.Item)
				bytes += Size(r.PutRequest.Item)
			case r.DeleteRequest != nil && r.PutRequest == nil:
				w, err = d.remove(parts{table: &name}, r.DeleteRequest.Key)
			default:
				err = invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
			}
			if err != nil {
				return nil, err
			}
			place := w.place()
			if seen[place] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[place] = true
			all = append(all, one{w, r})
		}
	}
	switch {
	case len(all) == 0:
		return nil, invalid("The batch write request list for a table cannot be null or empty")
	case len(all) > mostBatchWrites:
		return nil, invalid("Too many items requested for the BatchWriteItem call")
	case bytes > mostBatchBytes:
		return nil, invalid("The batch write request has exceeded the maximum allowed size")
	}
	out := &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{}}
	for name := range in.RequestItems {
		d.spend("BatchWriteItem", tableName(&name), "", Cost{Calls: 1})
	}
	spent := map[string]charge{}
	for _, w := range all {
		if d.Unprocessed != nil && d.Unprocessed(w.table.name, w.key) {
			out.UnprocessedItems[w.table.name] = append(out.UnprocessedItems[w.table.name], w.request)
			continue
		}
		before, after, _, err := w.outcome()
		if err != nil {
			return nil, err
		}
		spent[w.table.name] = spent[w.table.name].plus(d.writeCost("BatchWriteItem", w.table, before, after, 1, true))
		d.store(w.table, w.key, after, nil)
	}
	out.ConsumedCapacity = consumedByAll(in.ReturnConsumedCapacity, spent)
	return out, nil
}

// place returns a text that identifies an item of a table.
func (w write) place() string {
	return w.table.name + "\x00" + text(w.key[w.table.hash]) + "\x00" + text(w.key[w.table.rangeKey])
}

func consumedByAll(asked types.ReturnConsumedCapacity, spent map[string]charge) []types.ConsumedCapacity {
	var out []types.ConsumedCapacity
	for _, name := range slices.Sorted(maps.Keys(spent)) {
		if c := spent[name].consumed(asked, name); c != nil {
			out = append(out, *c)
		}
	}
	return out
}

func (d *DynamoDB) batchGetItem(in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	type one struct {
		table      *table
		key        Item
		strong     bool
		projection *expression.Projection
	}
	var all []one
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		asked := in.RequestItems[name]
		if err := legacy(map[string]bool{"AttributesToGet": asked.AttributesToGet != nil}); err != nil {
			return nil, err
		}
		t, err := d.table(&name)
		if err != nil {
			return nil, err
		}
		projection, err := d.projected(asked.ProjectionExpression, asked.ExpressionAttributeNames)
		if err != nil {
			return nil, err
		}
		if len(asked.Keys) == 0 {
			return nil, invalid("The list of keys in RequestItems for BatchGetItem is required")
		}
		for _, given := range asked.Keys {
			key, err := t.exactKey(given)
			if err != nil {
				return nil, err
			}
			place := write{table: t, key: key}.place()
			if seen[place] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[place] = true
			all = append(all, one{t, key, aws.ToBool(asked.ConsistentRead), projection})
		}
	}
	switch {
	case len(all) == 0:
		return nil, invalid("1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(all) > mostBatchReads:
		return nil, invalid("Too many items requested for the BatchGetItem call")
	}
	out := &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]types.AttributeValue{}, UnprocessedKeys: map[string]types.KeysAndAttributes{}}
	spent := map[string]charge{}
	bytes := 0
	for _, r := range all {
		name := r.table.name
		if _, begun := spent[name]; !begun {
			d.spend("BatchGetItem", name, "", Cost{Calls: 1})
			spent[name], out.Responses[name] = charge{}, []map[string]types.AttributeValue{}
		}
		if bytes > mostBatchBytes || d.Unprocessed != nil && d.Unprocessed(name, r.key) {
			left := in.RequestItems[name]
			left.Keys = append(slices.Clone(out.UnprocessedKeys[name].Keys), expression.CloneItem(r.key))
			out.UnprocessedKeys[name] = left
			continue
		}
		it, cost := d.read("BatchGetItem", r.table, r.key, r.strong)
		spent[name] = spent[name].plus(charge{table: cost})
		if it == nil {
			continue
		}
		bytes += Size(it)
		if r.projection != nil {
			it = r.projection.Of(it)
		}
		out.Responses[name] = append(out.Responses[name], it)
	}
	// DynamoDB answers in no particular order. Reversed, no caller can come to rely on one.
	for _, items := range out.Responses {
		slices.Reverse(items)
	}
	out.ConsumedCapacity = consumedByAll(in.ReturnConsumedCapacity, spent)
	return out, nil
}
