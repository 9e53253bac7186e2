package conformance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// RunDynamoDB tests those calls of DynamoDB that the stores make: what AWS, a local AWS and memory must have in common. The tables are those of
// [fakeaws.StackTables] with this prefix. Tests named in wrong are left out, for a backend that is known to differ from AWS there.
func RunDynamoDB(t *testing.T, before string, open func(*testing.T) dynamo.API, wrong ...string) {
	for name, test := range map[string]func(*testing.T, database){
		"an item is read as it was put":                                     itemAsPut,
		"numbers are kept by their value":                                   itemNumbers,
		"a condition that does not hold changes nothing and shows the item": conditionRefused,
		"conditions hold or not as their operators say":                     conditionOperators,
		"conditions on what is not there":                                   conditionMissing,
		"wrong expressions are refused":                                     expressionsRefused,
		"reserved words need a placeholder":                                 reservedWords,
		"an update sets removes adds and deletes":                           updates,
		"an update creates an item unless it only removes":                  updateCreates,
		"an update returns what it is asked for":                            updateReturns,
		"keys cannot be changed":                                            updateKey,
		"a set without elements is refused and one that becomes empty goes": emptySets,
		"an item of four hundred kilobytes is too large":                    itemLarge,
		"a transaction is all or nothing and gives its reasons in order":    transactionCancelled,
		"a transaction writes each item once":                               transactionTwice,
		"a transaction may take a hundred items":                            transactionMany,
		"a transaction under one token is done once":                        transactionToken,
		"a batch takes twenty-five different items":                         batchLimits,
		"a batch reads a hundred different keys":                            batchReads,
		"a query reads a part of a partition in order":                      queryParts,
		"a query comes in pages by number and by size":                      queryPages,
		"a query by an index has what is projected":                         queryIndex,
		"a query's wrong conditions are refused":                            queryRefused,
		"a query by an empty key is refused":                                queryEmptyKey,
		"a query counts or reads what it selects":                           querySelects,
		"a selection that does not go with its query is refused":            selectRefused,
		"a response tells the capacity of the table and of its index":       capacityTold,
		"a transaction tells which kind of capacity it took":                capacityOfTransactions,
		"a projection reads some attributes of an item":                     projections,
		"all of many concurrent increments count":                           countRace,
	} {
		if slices.Contains(wrong, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, database{open(t), before, unique("partition")})
		})
	}
}

// database is a DynamoDB with the partition of one test.
type database struct {
	dynamo.API
	before, partition string
}

type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n int) types.AttributeValue  { return digits(strconv.Itoa(n)) }
func digits(s string) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: s}
}

func numbers(n ...int) types.AttributeValue {
	out := make([]string, len(n))
	for i, one := range n {
		out[i] = strconv.Itoa(one)
	}
	return &types.AttributeValueMemberNS{Value: out}
}

func values(of types.AttributeValue) []string {
	set, ok := of.(*types.AttributeValueMemberNS)
	if !ok {
		return nil
	}
	return slices.Sorted(slices.Values(set.Value))
}

func (d database) control() *string { return aws.String(d.before + fakeaws.ControlTable) }
func (d database) jobs() *string    { return aws.String(d.before + fakeaws.JobsTable) }

func (d database) key(item string) attributes {
	return attributes{"labourer": text(d.partition), "item": text(item)}
}

func (d database) item(name string, with attributes) attributes {
	it := d.key(name)
	maps.Copy(it, with)
	return it
}

func (d database) put(t *testing.T, name string, with attributes) attributes {
	t.Helper()
	it := d.item(name, with)
	_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.control(), Item: it})
	require.NoError(t, err)
	return it
}

func (d database) get(t *testing.T, name string) attributes {
	t.Helper()
	out, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: d.control(), Key: d.key(name), ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	return out.Item
}

// update returns an update of an item of the control table.
func (d database) update(name, expression, condition string, given attributes) *dynamodb.UpdateItemInput {
	in := &dynamodb.UpdateItemInput{TableName: d.control(), Key: d.key(name)}
	if expression != "" {
		in.UpdateExpression = &expression
	}
	if condition != "" {
		in.ConditionExpression = &condition
	}
	if len(given) > 0 {
		in.ExpressionAttributeValues = given
	}
	return in
}

func (d database) change(t *testing.T, name, expression string, given attributes) attributes {
	t.Helper()
	_, err := d.UpdateItem(t.Context(), d.update(name, expression, "", given))
	require.NoError(t, err)
	return d.get(t, name)
}

func invalid(t *testing.T, err error, about ...any) {
	t.Helper()
	var refused smithy.APIError
	require.ErrorAs(t, err, &refused, about...)
	require.Equal(t, "ValidationException", refused.ErrorCode(), about...)
}

// conditional returns the item that a refused condition shows.
func conditional(t *testing.T, err error, about ...any) attributes {
	t.Helper()
	var refused *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &refused, about...)
	return refused.Item
}

// ---- items

func itemAsPut(t *testing.T, d database) {
	with := attributes{"s": text("größe"), "empty": text(""), "n": number(-7), "b": &types.AttributeValueMemberB{Value: []byte{0, 1, 255}},
		"yes": &types.AttributeValueMemberBOOL{Value: true}, "nothing": &types.AttributeValueMemberNULL{Value: true},
		"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{number(1), text("two")}},
		"map":  &types.AttributeValueMemberM{Value: attributes{"a": number(1), "b": &types.AttributeValueMemberM{Value: attributes{}}}}}
	it := d.put(t, "item", with)

	require.Equal(t, it, d.get(t, "item"))
	require.Nil(t, d.get(t, "other"))
}

func itemNumbers(t *testing.T, d database) {
	d.put(t, "item", attributes{"n": digits("2.5")})
	require.Equal(t, digits("0.1"), d.change(t, "item", "ADD n :less", attributes{":less": digits("-2.4")})["n"])
}

// ---- conditions

func conditionRefused(t *testing.T, d database) {
	it := d.put(t, "item", attributes{"version": number(1)})
	in := d.update("item", "SET version = :two", "version = :two", attributes{":two": number(2)})
	in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld

	_, err := d.UpdateItem(t.Context(), in)
	require.Equal(t, it, conditional(t, err))
	_, err = d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.control(), Item: d.key("item"), ConditionExpression: aws.String("attribute_not_exists(labourer)")})
	require.Empty(t, conditional(t, err))
	_, err = d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: d.control(), Key: d.key("item"), ConditionExpression: aws.String("attribute_not_exists(version)")})
	conditional(t, err)

	require.Equal(t, it, d.get(t, "item"))
}

func conditionOperators(t *testing.T, d database) {
	d.put(t, "item", attributes{"n": number(10), "s": text("abc"), "set": numbers(1, 2), "yes": &types.AttributeValueMemberBOOL{Value: true},
		"hands": &types.AttributeValueMemberM{Value: attributes{"x": text("abc")}}})
	given := attributes{":two": number(2), ":nine": number(9), ":ten": digits("10.0"), ":eleven": number(11), ":a": text("a"), ":abc": text("abc"), ":b": text("b"),
		":set": numbers(2, 1), ":yes": &types.AttributeValueMemberBOOL{Value: true}}
	for condition, holds := range map[string]bool{
		"n = :ten": true, "n = :nine": false, "n <= :eleven": true, "n <= :ten": true, "n <= :nine": false,
		"s = :abc": true, "s <= :b": true, "s <= :a": false, "n <= :abc": false, "s = :ten": false,
		"n BETWEEN :nine AND :ten": true, "n BETWEEN :two AND :nine": false, "n IN (:two, :ten)": true, "n IN (:two, :nine)": false,
		"begins_with(s, :a)": true, "begins_with(s, :b)": false, "size(s) <= :two": false, "size(#set) = :two": true, "#set = :set": true, "yes = :yes": true,
		"attribute_exists(#set)": true, "attribute_not_exists(#set)": false,
		"n > :nine": true, "n > :ten": false, "s > :a": true, "n > :abc": false,
		"hands.x = :abc": true, "hands.x = :a": false, "hands.y = :abc": false, "s.x = :abc": false, "attribute_exists(hands.x)": true,
		"n = :nine OR n = :ten AND s = :abc": true, "(n = :ten OR n = :nine) AND s = :a": false, "n = :ten and s between :a and :b": true,
	} {
		in := d.update("item", "REMOVE gone", condition, attributes{})
		for name, v := range given {
			if slices.Contains(strings.FieldsFunc(condition, func(r rune) bool { return strings.ContainsRune(" (),", r) }), name) {
				if in.ExpressionAttributeValues == nil {
					in.ExpressionAttributeValues = attributes{}
				}
				in.ExpressionAttributeValues[name] = v
			}
		}
		if strings.Contains(condition, "#set") {
			in.ExpressionAttributeNames = map[string]string{"#set": "set"}
		}
		_, err := d.UpdateItem(t.Context(), in)
		if holds {
			require.NoError(t, err, condition)
		} else {
			conditional(t, err, condition)
		}
	}
}

func conditionMissing(t *testing.T, d database) {
	d.put(t, "item", nil)
	for condition, holds := range map[string]bool{
		"attribute_not_exists(a)": true, "attribute_exists(a)": false, "a = :v": false, "a <= :v": false, "a > :v": false, "a.b = :v": false,
		"size(a) = :v": false, "a IN (:v)": false, "attribute_not_exists(a) OR a <= :v": true,
	} {
		for _, name := range []string{"item", "nowhere"} {
			in := d.update(name, "REMOVE gone", condition, nil)
			if strings.Contains(condition, ":v") {
				in.ExpressionAttributeValues = attributes{":v": number(1)}
			}
			_, err := d.UpdateItem(t.Context(), in)
			if holds {
				require.NoError(t, err, condition)
			} else {
				conditional(t, err, condition)
			}
		}
	}
}

func expressionsRefused(t *testing.T, d database) {
	d.put(t, "item", attributes{"a": number(1), "s": text("x")})
	one := attributes{":one": number(1)}
	for _, c := range []struct {
		update, condition string
		given             attributes
		names             map[string]string
	}{
		{update: "SET a = :one"},
		{update: "SET a = :one", given: attributes{":one": number(1), ":two": number(2)}},
		{update: "SET #a = :one", given: one},
		{update: "SET a = :one", given: one, names: map[string]string{"#a": "a"}},
		{update: "a = :one", given: one},
		{update: "SET b = nothing"},
		{update: "SET b.c = :one", given: one},
		{update: "ADD s :one", given: one},
		{update: "ADD a :x", given: attributes{":x": text("x")}},
		{update: "DELETE a :one", given: one},
		{update: "SET a = :one", condition: "a = ", given: one},
		{update: "SET a = :one", condition: "a == :one", given: one},
		{update: "SET a = :one", condition: "exists(a)", given: one},
		{update: "SET a = :one", condition: "begins_with(a, :one)", given: one},
		{update: "SET a = :one", condition: "a BETWEEN :one AND", given: one},
		{update: "SET a = :one", condition: "((a = :one))", given: one},
		{update: "SET a = :one", condition: "a = :one)", given: one},
	} {
		in := d.update("item", c.update, c.condition, c.given)
		in.ExpressionAttributeNames = c.names
		t.Run(strings.TrimSpace(c.update+" "+c.condition), func(t *testing.T) {
			_, err := d.UpdateItem(t.Context(), in)
			invalid(t, err)
		})
	}
	require.Equal(t, d.item("item", attributes{"a": number(1), "s": text("x")}), d.get(t, "item"))
}

func reservedWords(t *testing.T, d database) {
	for _, word := range []string{"status", "State", "owner", "name", "segment", "cursor", "month", "ttl", "item", "total", "result", "hash", "data", "time"} {
		_, err := d.UpdateItem(t.Context(), d.update("item", "SET "+word+" = :v", "", attributes{":v": number(1)}))
		invalid(t, err, word)

		in := d.update("item", "SET #w = :v", "", attributes{":v": number(1)})
		in.ExpressionAttributeNames = map[string]string{"#w": word}
		if word != "item" {
			_, err = d.UpdateItem(t.Context(), in)
			require.NoError(t, err, word)
		}
	}
}

// ---- updates

func updates(t *testing.T, d database) {
	d.put(t, "item", attributes{"a": number(1), "b": number(2), "set": numbers(1, 2, 3), "map": &types.AttributeValueMemberM{Value: attributes{"x": number(1), "z": number(1)}}})
	in := d.update("item", "SET a = :nine, #map.y = :nine, c = :nine REMOVE b, gone, #map.z, #map.gone ADD n :nine, fresh :some DELETE #set :some", "",
		attributes{":nine": number(9), ":some": numbers(2, 3)})
	in.ExpressionAttributeNames = map[string]string{"#map": "map", "#set": "set"}

	_, err := d.UpdateItem(t.Context(), in)

	require.NoError(t, err)
	it := d.get(t, "item")
	require.Equal(t, number(9), it["a"])
	require.NotContains(t, it, "b")
	require.Equal(t, number(9), it["c"])
	require.Equal(t, number(9), it["n"])
	require.Equal(t, []string{"1"}, values(it["set"]))
	require.Equal(t, []string{"2", "3"}, values(it["fresh"]))
	require.Equal(t, &types.AttributeValueMemberM{Value: attributes{"x": number(1), "y": number(9)}}, it["map"])

	it = d.change(t, "item", "ADD n :minus, fresh :more", attributes{":minus": number(-10), ":more": numbers(3, 4)})
	require.Equal(t, number(-1), it["n"])
	require.Equal(t, []string{"2", "3", "4"}, values(it["fresh"]))
}

func updateCreates(t *testing.T, d database) {
	require.Equal(t, d.item("set", attributes{"a": number(1)}), d.change(t, "set", "SET a = :one", attributes{":one": number(1)}))
	require.Equal(t, d.item("add", attributes{"a": numbers(1)}), d.change(t, "add", "ADD a :one", attributes{":one": numbers(1)}))
	_, err := d.UpdateItem(t.Context(), d.update("nowhere", "SET a = :one", "attribute_exists(labourer)", attributes{":one": number(1)}))
	conditional(t, err)
	require.Nil(t, d.get(t, "nowhere"))
}

func updateReturns(t *testing.T, d database) {
	before := d.put(t, "item", attributes{"a": number(1), "b": number(2)})
	after := d.item("item", attributes{"a": number(5), "b": number(2)})
	for asked, want := range map[types.ReturnValue]attributes{
		types.ReturnValueNone: nil, types.ReturnValueAllOld: before, types.ReturnValueAllNew: after,
		types.ReturnValueUpdatedOld: {"a": number(1)}, types.ReturnValueUpdatedNew: {"a": number(5)},
	} {
		d.put(t, "item", attributes{"a": number(1), "b": number(2)})
		in := d.update("item", "SET a = :five", "", attributes{":five": number(5)})
		in.ReturnValues = asked
		out, err := d.UpdateItem(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, want, out.Attributes, "%s", asked)
	}
	out, err := d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: d.control(), Key: d.key("item"), ReturnValues: types.ReturnValueAllOld})
	require.NoError(t, err)
	require.Equal(t, after, out.Attributes)
	out, err = d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: d.control(), Key: d.key("item"), ReturnValues: types.ReturnValueAllOld})
	require.NoError(t, err, "what is not there is deleted just as well")
	require.Nil(t, out.Attributes)
}

func updateKey(t *testing.T, d database) {
	_, err := d.UpdateItem(t.Context(), d.update("item", "SET labourer = :x", "", attributes{":x": text("x")}))
	invalid(t, err)
	for _, key := range []attributes{
		{"labourer": text("x")},
		{"labourer": text("x"), "item": number(1)},
		{"labourer": text("x"), "item": text("x"), "more": text("x")},
		{"labourer": text(""), "item": text("x")},
	} {
		_, err = d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: d.control(), Key: key})
		invalid(t, err, key)
	}
	_, err = d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.control(), Item: attributes{"labourer": text("x")}})
	invalid(t, err)
}

func emptySets(t *testing.T, d database) {
	_, err := d.UpdateItem(t.Context(), d.update("item", "ADD a :none", "", attributes{":none": numbers()}))
	invalid(t, err)
	_, err = d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.control(), Item: d.item("item", attributes{"a": numbers()})})
	invalid(t, err)

	d.put(t, "item", attributes{"a": numbers(1, 2)})
	require.Equal(t, d.key("item"), d.change(t, "item", "DELETE a :both", attributes{":both": numbers(1, 2, 3)}))
	require.Equal(t, d.key("item"), d.change(t, "item", "DELETE a :both", attributes{":both": numbers(1)}))
}

func itemLarge(t *testing.T, d database) {
	_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.control(), Item: d.item("item", attributes{"a": text(strings.Repeat("x", 400<<10))})})
	invalid(t, err)
	d.put(t, "item", attributes{"a": text(strings.Repeat("x", 399<<10))})
	_, err = d.UpdateItem(t.Context(), d.update("item", "SET b = :b", "", attributes{":b": text(strings.Repeat("x", 2<<10))}))
	invalid(t, err)
	require.NotContains(t, d.get(t, "item"), "b")
}

// ---- transactions

func (d database) putting(name string, with attributes, condition string) types.TransactWriteItem {
	p := &types.Put{TableName: d.control(), Item: d.item(name, with)}
	if condition != "" {
		p.ConditionExpression = &condition
	}
	return types.TransactWriteItem{Put: p}
}

func (d database) transact(t *testing.T, writes ...types.TransactWriteItem) error {
	t.Helper()
	_, err := d.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return err
}

func transactionCancelled(t *testing.T, d database) {
	there := d.put(t, "there", attributes{"a": number(1)})
	const fresh = "attribute_not_exists(labourer)"
	refused := d.putting("there", nil, fresh)
	refused.Put.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld

	err := d.transact(t, d.putting("new", nil, fresh), refused, types.TransactWriteItem{Delete: &types.Delete{TableName: d.control(), Key: d.key("gone"),
		ConditionExpression: aws.String("attribute_exists(labourer)")}}, d.putting("other", nil, ""))

	var cancelled *types.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	var codes []string
	for _, r := range cancelled.CancellationReasons {
		codes = append(codes, aws.ToString(r.Code))
	}
	require.Equal(t, []string{"None", "ConditionalCheckFailed", "ConditionalCheckFailed", "None"}, codes)
	require.Equal(t, there, cancelled.CancellationReasons[1].Item)
	require.Nil(t, d.get(t, "new"))
	require.Nil(t, d.get(t, "other"))

	require.NoError(t, d.transact(t, d.putting("new", nil, fresh), types.TransactWriteItem{Delete: &types.Delete{TableName: d.control(), Key: d.key("there")}},
		types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: d.control(), Key: d.key("gone"), ConditionExpression: aws.String(fresh)}},
		types.TransactWriteItem{Update: &types.Update{TableName: d.control(), Key: d.key("other"), UpdateExpression: aws.String("ADD n :one"),
			ExpressionAttributeValues: attributes{":one": number(1)}}}))
	require.NotNil(t, d.get(t, "new"))
	require.Nil(t, d.get(t, "there"))
	require.Nil(t, d.get(t, "gone"))
	require.Equal(t, number(1), d.get(t, "other")["n"])
}

func transactionTwice(t *testing.T, d database) {
	invalid(t, d.transact(t, d.putting("a", nil, ""), d.putting("a", attributes{"n": number(1)}, "")))
	require.Nil(t, d.get(t, "a"))
	require.Error(t, d.transact(t))
}

func transactionMany(t *testing.T, d database) {
	var writes []types.TransactWriteItem
	for i := range 100 {
		writes = append(writes, d.putting(fmt.Sprintf("item-%03d", i), nil, ""))
	}
	require.NoError(t, d.transact(t, writes...))
	require.Error(t, d.transact(t, append(writes, d.putting("one more", nil, ""))...))
	require.Nil(t, d.get(t, "one more"))
}

func transactionToken(t *testing.T, d database) {
	token := unique("t")
	in := func(by int) *dynamodb.TransactWriteItemsInput {
		return &dynamodb.TransactWriteItemsInput{ClientRequestToken: &token, TransactItems: []types.TransactWriteItem{{Update: &types.Update{
			TableName: d.control(), Key: d.key("item"), UpdateExpression: aws.String("ADD n :by"), ExpressionAttributeValues: attributes{":by": number(by)}}}}}
	}
	for range 2 {
		_, err := d.TransactWriteItems(t.Context(), in(1))
		require.NoError(t, err)
	}
	require.Equal(t, number(1), d.get(t, "item")["n"])
	_, err := d.TransactWriteItems(t.Context(), in(2))
	var mismatch *types.IdempotentParameterMismatchException
	require.ErrorAs(t, err, &mismatch)
}

// ---- batches

func batchLimits(t *testing.T, d database) {
	write := func(count int, more ...types.WriteRequest) error {
		var requests []types.WriteRequest
		for i := range count {
			requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: d.key(fmt.Sprintf("item-%d", i))}})
		}
		_, err := d.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*d.control(): append(requests, more...)}})
		return err
	}
	require.NoError(t, write(25))
	require.NotNil(t, d.get(t, "item-24"))
	invalid(t, write(26))
	invalid(t, write(2, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: d.key("item-1")}}), "the same item twice")
	require.NoError(t, write(0, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: d.key("item-1")}}))
	require.Nil(t, d.get(t, "item-1"))
	require.Error(t, write(0))
}

func batchReads(t *testing.T, d database) {
	d.put(t, "item-1", attributes{"n": number(1)})
	read := func(names ...string) (int, error) {
		var keys []map[string]types.AttributeValue
		for _, name := range names {
			keys = append(keys, d.key(name))
		}
		out, err := d.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*d.control(): {Keys: keys, ConsistentRead: aws.Bool(true)}}})
		if err != nil {
			return 0, err
		}
		return len(out.Responses[*d.control()]), nil
	}
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("item-%d", i))
	}
	found, err := read(names...)
	require.NoError(t, err)
	require.Equal(t, 1, found)
	_, err = read(append(names, "one more")...)
	invalid(t, err)
	_, err = read("item-1", "item-1")
	invalid(t, err)
	_, err = read()
	require.Error(t, err)
}

// ---- queries

func (d database) query(condition string, given attributes) *dynamodb.QueryInput {
	given[":p"] = text(d.partition)
	in := &dynamodb.QueryInput{TableName: d.control(), ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("labourer = :p" + condition), ExpressionAttributeValues: given}
	if strings.Contains(condition, "#item") {
		in.ExpressionAttributeNames = map[string]string{"#item": "item"}
	}
	return in
}

// name returns the range key of an item of the control table.
func name(of attributes) string {
	if s, ok := of["item"].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func (d database) names(t *testing.T, in *dynamodb.QueryInput) []string {
	t.Helper()
	out, err := d.Query(t.Context(), in)
	require.NoError(t, err)
	names := []string{}
	for _, it := range out.Items {
		names = append(names, name(it))
	}
	return names
}

func queryParts(t *testing.T, d database) {
	for _, name := range []string{"b#2", "a#1", "b#10", "c", "b#1", "B"} {
		d.put(t, name, nil)
	}
	for condition, want := range map[string][]string{
		"":                                {"B", "a#1", "b#1", "b#10", "b#2", "c"},
		" AND begins_with(#item, :x)":     {"b#1", "b#10", "b#2"},
		" AND #item = :y":                 {"b#2"},
		" AND #item <= :x":                {"B", "a#1"},
		" AND #item BETWEEN :x AND :y":    {"b#1", "b#10", "b#2"},
		" and #item between :x and :y":    {"b#1", "b#10", "b#2"},
		" AND begins_with(#item, :never)": {},
	} {
		given := attributes{}
		for name, v := range map[string]string{":x": "b", ":y": "b#2", ":never": "zzz"} {
			if strings.Contains(condition+" ", name+" ") || strings.Contains(condition, name+")") {
				given[name] = text(v)
			}
		}
		require.Equal(t, want, d.names(t, d.query(condition, given)), condition)
	}
	in := d.query("", attributes{})
	in.ScanIndexForward, in.Limit = aws.Bool(false), aws.Int32(2)
	require.Equal(t, []string{"c", "b#2"}, d.names(t, in))
}

func queryPages(t *testing.T, d database) {
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("item-%d", i))
		d.put(t, want[i], attributes{"a": text(strings.Repeat("x", 200<<10))})
	}
	for _, limit := range []int32{0, 1, 3, 7} {
		for _, backwards := range []bool{false, true} {
			in := d.query("", attributes{})
			if in.ScanIndexForward = aws.Bool(!backwards); limit > 0 {
				in.Limit = &limit
			}
			var got []string
			pages := 0
			for {
				out, err := d.Query(t.Context(), in)
				require.NoError(t, err)
				pages++
				require.LessOrEqual(t, len(out.Items), 5, "a page is 1 MB or less")
				for _, it := range out.Items {
					got = append(got, name(it))
				}
				if len(out.LastEvaluatedKey) == 0 {
					break
				}
				in.ExclusiveStartKey = out.LastEvaluatedKey
			}
			if backwards {
				slices.Reverse(got)
			}
			require.Equal(t, want, got, "limit %d, backwards %t", limit, backwards)
			require.Greater(t, pages, 1, "1.4 MB are no single page")
		}
	}
}

func queryIndex(t *testing.T, d database) {
	month := d.partition
	for i, at := range []int{30, 10, 20} {
		_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.jobs(), Item: attributes{"job_id": text(fmt.Sprintf("%s-%d", d.partition, i)), "item": text("job"),
			"month": text(month), "submitted_at": number(at), "labourer": text("l"), "total": number(5)}})
		require.NoError(t, err)
	}
	_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.jobs(), Item: attributes{"job_id": text(d.partition), "item": text("text"), "month": text(month)}})
	require.NoError(t, err, "an item without the index' range key is not in it")
	in := &dynamodb.QueryInput{TableName: d.jobs(), IndexName: aws.String("by_month"), ScanIndexForward: aws.Bool(false), KeyConditionExpression: aws.String("#m = :m"),
		ExpressionAttributeNames: map[string]string{"#m": "month"}, ExpressionAttributeValues: attributes{":m": text(month)}}
	var items []map[string]types.AttributeValue
	shortly(t, func() bool {
		out, err := d.Query(t.Context(), in)
		require.NoError(t, err)
		items = out.Items
		return len(items) == 3
	}, "three items in the index")
	require.Equal(t, attributes{"job_id": text(d.partition + "-0"), "item": text("job"), "month": text(month), "submitted_at": number(30), "labourer": text("l")}, items[0])
	require.Equal(t, number(10), items[2]["submitted_at"])

	in.Limit = aws.Int32(2)
	out, err := d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.LastEvaluatedKey, 4, "the index' keys and the table's")
	in.ExclusiveStartKey = out.LastEvaluatedKey
	out, err = d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.Items, 1)

	in.ExclusiveStartKey, in.ConsistentRead = nil, aws.Bool(true)
	_, err = d.Query(t.Context(), in)
	invalid(t, err)
}

func queryRefused(t *testing.T, d database) {
	in := d.query("", attributes{})
	in.KeyConditionExpression, in.ExpressionAttributeNames = aws.String("#item = :p"), map[string]string{"#item": "item"}
	_, err := d.Query(t.Context(), in)
	invalid(t, err, "without the hash key")
	in = d.query(" AND #item BETWEEN :high AND :low", attributes{":high": text("b"), ":low": text("a")})
	_, err = d.Query(t.Context(), in)
	invalid(t, err, "bounds the wrong way round")
}

func queryEmptyKey(t *testing.T, d database) {
	in := d.query("", attributes{})
	in.KeyConditionExpression, in.ExpressionAttributeNames = aws.String("labourer = :none"), nil
	in.ExpressionAttributeValues = attributes{":none": text("")}

	_, err := d.Query(t.Context(), in)

	invalid(t, err)
}

func querySelects(t *testing.T, d database) {
	d.put(t, "a", attributes{"n": number(1)})
	d.put(t, "b", attributes{"n": number(2)})

	in := d.query("", attributes{})
	in.Select = types.SelectCount
	out, err := d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []int32{2, 2}, []int32{out.Count, out.ScannedCount})
	require.Empty(t, out.Items)
	in.Select = types.SelectAllAttributes
	out, err = d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.Items, 2)

	in.Select, in.ProjectionExpression = types.SelectSpecificAttributes, aws.String("n")
	out, err = d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, attributes{"n": number(1)}, out.Items[0])
}

func selectRefused(t *testing.T, d database) {
	in := d.query("", attributes{})
	for _, wrong := range []types.Select{"EVERYTHING", types.SelectSpecificAttributes, types.SelectAllProjectedAttributes} {
		in.Select = wrong
		_, err := d.Query(t.Context(), in)
		invalid(t, err, wrong)
	}
	in.ProjectionExpression = aws.String("n")
	for _, wrong := range []types.Select{types.SelectCount, types.SelectAllAttributes} {
		in.Select = wrong
		_, err := d.Query(t.Context(), in)
		invalid(t, err, wrong)
	}
	byMonth := &dynamodb.QueryInput{TableName: d.jobs(), IndexName: aws.String("by_month"), KeyConditionExpression: aws.String("#m = :m"),
		ExpressionAttributeNames: map[string]string{"#m": "month"}, ExpressionAttributeValues: attributes{":m": text(d.partition)},
		Select: types.SelectAllAttributes}
	_, err := d.Query(t.Context(), byMonth)
	invalid(t, err, "the index has not all attributes")
	byMonth.Select = types.SelectAllProjectedAttributes
	_, err = d.Query(t.Context(), byMonth)
	require.NoError(t, err)
}

// ---- capacity

func capacityTold(t *testing.T, d database) {
	job := attributes{"job_id": text(d.partition), "item": text("job"), "month": text(d.partition), "submitted_at": number(1),
		"labourer": text("l"), "note": text(strings.Repeat("x", 2<<10))}
	put, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: d.jobs(), Item: job, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes})
	require.NoError(t, err)
	require.Equal(t, 4., aws.ToFloat64(put.ConsumedCapacity.CapacityUnits), "three of the table and one of the index")
	require.Equal(t, 3., aws.ToFloat64(put.ConsumedCapacity.Table.CapacityUnits))
	require.Equal(t, 1., aws.ToFloat64(put.ConsumedCapacity.GlobalSecondaryIndexes["by_month"].CapacityUnits))

	in := &dynamodb.QueryInput{TableName: d.jobs(), IndexName: aws.String("by_month"), KeyConditionExpression: aws.String("#m = :m"),
		ExpressionAttributeNames: map[string]string{"#m": "month"}, ExpressionAttributeValues: attributes{":m": text(d.partition)},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal}
	out, err := d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, *d.jobs(), aws.ToString(out.ConsumedCapacity.TableName))
	require.Equal(t, 0.5, aws.ToFloat64(out.ConsumedCapacity.CapacityUnits))
	require.Nil(t, out.ConsumedCapacity.Table, "parts were not asked for")
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityNone
	out, err = d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Nil(t, out.ConsumedCapacity)
}

func capacityOfTransactions(t *testing.T, d database) {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{d.putting("a", nil, ""), d.putting("b", nil, "")},
		ClientRequestToken: aws.String(unique("t")), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal}
	out, err := d.TransactWriteItems(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.ConsumedCapacity, 1)
	require.Equal(t, 4., aws.ToFloat64(out.ConsumedCapacity[0].WriteCapacityUnits))
	require.Nil(t, out.ConsumedCapacity[0].ReadCapacityUnits)

	again, err := d.TransactWriteItems(t.Context(), in)

	require.NoError(t, err)
	require.Equal(t, 4., aws.ToFloat64(again.ConsumedCapacity[0].ReadCapacityUnits), "the same again only reads")
	require.Nil(t, again.ConsumedCapacity[0].WriteCapacityUnits)
}

func projections(t *testing.T, d database) {
	d.put(t, "item", attributes{"a": number(1), "b": number(2), "set": numbers(1, 2, 3), "map": &types.AttributeValueMemberM{Value: attributes{"x": number(1)}}})

	out, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: d.control(), Key: d.key("item"), ProjectionExpression: aws.String("#m, a, nothing"),
		ExpressionAttributeNames: map[string]string{"#m": "map"}})

	require.NoError(t, err)
	require.Equal(t, attributes{"a": number(1), "map": &types.AttributeValueMemberM{Value: attributes{"x": number(1)}}}, out.Item)
}

func countRace(t *testing.T, d database) {
	racers := make([]func() error, 16)
	for i := range racers {
		racers[i] = func() error {
			_, err := d.UpdateItem(t.Context(), d.update("item", "ADD n :one, who :me", "", attributes{":one": number(1), ":me": numbers(i)}))
			return err
		}
	}
	require.Equal(t, 16, race(t, errors.New("none may fail"), racers...))
	it := d.get(t, "item")
	require.Equal(t, number(16), it["n"])
	require.Len(t, values(it["who"]), 16)
}
