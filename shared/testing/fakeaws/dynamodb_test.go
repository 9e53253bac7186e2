package fakeaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// database is a DynamoDB with its own time.
type database struct {
	*fakeaws.DynamoDB
	now time.Time
}

func newDatabase() *database {
	d := &database{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	d.DynamoDB = fakeaws.NewDynamoDB(func() time.Time { return d.now })
	return d
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

func taskKey(n int) fakeaws.Item { return fakeaws.Item{"segment": text("s"), "n": number(n)} }

// task returns an item of the tasks table of about this many bytes.
func task(n, size int) fakeaws.Item {
	it := taskKey(n)
	it["payload"] = text(strings.Repeat("x", max(0, size-fakeaws.Size(it)-len("payload"))))
	return it
}

func (d *database) putTask(t *testing.T, it fakeaws.Item) {
	t.Helper()
	_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(fakeaws.TasksTable), Item: it})
	require.NoError(t, err)
}

func (d *database) update(t *testing.T, n int, expression string, values fakeaws.Item) error {
	t.Helper()
	_, err := d.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(n), UpdateExpression: &expression, ExpressionAttributeValues: values})
	return err
}

func (d *database) task(t *testing.T, n int, strong bool) fakeaws.Item {
	t.Helper()
	out, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(n), ConsistentRead: &strong})
	require.NoError(t, err)
	return out.Item
}

func TestTheTablesAreThoseOfTheStacksTemplate(t *testing.T) {
	source, err := os.ReadFile("../../../infra/template.yaml")
	require.NoError(t, err)
	var template struct {
		Resources map[string]struct {
			Type       string          `yaml:"Type"`
			Properties tableProperties `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	require.NoError(t, yaml.Unmarshal(source, &template))
	var want, got []tableProperties
	for _, r := range template.Resources {
		if r.Type == "AWS::DynamoDB::Table" {
			want = append(want, r.Properties)
		}
	}

	for _, table := range fakeaws.StackTables("") {
		definition, err := json.Marshal(table)
		require.NoError(t, err)
		var p tableProperties
		require.NoError(t, yaml.Unmarshal(definition, &p))
		got = append(got, p)
	}

	require.ElementsMatch(t, want, got)
}

// tableProperties holds what memory reads of a table's definition.
type tableProperties struct {
	AttributeDefinitions []struct {
		AttributeName string `yaml:"AttributeName"`
		AttributeType string `yaml:"AttributeType"`
	} `yaml:"AttributeDefinitions"`
	KeySchema           []keySchema `yaml:"KeySchema"`
	StreamSpecification struct {
		StreamViewType string `yaml:"StreamViewType"`
	} `yaml:"StreamSpecification"`
	GlobalSecondaryIndexes []struct {
		IndexName  string      `yaml:"IndexName"`
		KeySchema  []keySchema `yaml:"KeySchema"`
		Projection struct {
			ProjectionType   string   `yaml:"ProjectionType"`
			NonKeyAttributes []string `yaml:"NonKeyAttributes"`
		} `yaml:"Projection"`
	} `yaml:"GlobalSecondaryIndexes"`
}

type keySchema struct {
	AttributeName string `yaml:"AttributeName"`
	KeyType       string `yaml:"KeyType"`
}

func TestARequestFailsBeforeOrAfterItHasHappenedAsTheHooksSay(t *testing.T) {
	d := newDatabase()
	throttled := &types.ProvisionedThroughputExceededException{}
	var asked []string
	d.Before = func(_ context.Context, r fakeaws.Request) error {
		asked = append(asked, r.Service+"."+r.Operation)
		return throttled
	}
	require.ErrorIs(t, d.update(t, 1, "SET a = :one", fakeaws.Item{":one": number(1)}), throttled)
	require.Empty(t, d.Items(fakeaws.TasksTable))
	require.Equal(t, []string{"DynamoDB.UpdateItem"}, asked)

	d.Before = nil
	lost := errors.New("the answer is lost")
	d.After = func(context.Context, fakeaws.Request) error { return lost }
	err := d.update(t, 1, "SET a = :one", fakeaws.Item{":one": number(1)})
	require.ErrorIs(t, err, lost)
	var operation *smithy.OperationError
	require.ErrorAs(t, err, &operation, "as the SDK wraps errors")
	require.Len(t, d.Items(fakeaws.TasksTable), 1, "it happened")

	d.After = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.GetItem(ended, &dynamodb.GetItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(1)})
	require.ErrorIs(t, err, context.Canceled)
}

func TestAnEventuallyConsistentReadSeesThePastAndAStrongOneNever(t *testing.T) {
	d := newDatabase()
	age := time.Duration(0)
	d.Stale = func(string, fakeaws.Item) time.Duration { return age }
	d.putTask(t, task(1, 100))
	d.now = d.now.Add(time.Second)
	require.NoError(t, d.update(t, 1, "SET a = :one", fakeaws.Item{":one": number(1)}))
	d.now = d.now.Add(time.Second)
	require.NoError(t, d.update(t, 1, "SET a = :one", fakeaws.Item{":one": number(2)}))
	_, err := d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(1)})
	require.NoError(t, err)

	require.Nil(t, d.task(t, 1, false))
	for _, c := range []struct {
		age  time.Duration
		want types.AttributeValue
	}{{time.Millisecond, number(1)}, {time.Second, number(1)}, {1500 * time.Millisecond, nil}} {
		age = c.age
		it := d.task(t, 1, false)
		require.NotNil(t, it, "%s", age)
		require.Equal(t, c.want, it["a"], "%s ago", age)
		require.Nil(t, d.task(t, 1, true))
	}
	age = time.Hour
	require.Nil(t, d.task(t, 1, false), "before it was put; no read is older than MostStale")
	age = fakeaws.MostStale
	d.now = d.now.Add(fakeaws.MostStale)
	require.Nil(t, d.task(t, 1, false), "after a while everybody sees the present")
}

func TestTheStreamTellsOfEachChangeInOrder(t *testing.T) {
	d := newDatabase()
	d.putTask(t, task(1, 100))
	d.putTask(t, task(1, 100))
	require.NoError(t, d.update(t, 1, "SET a = :one", fakeaws.Item{":one": number(1)}))
	require.NoError(t, d.update(t, 1, "SET a = :one", fakeaws.Item{":one": number(1)}))
	require.NoError(t, d.update(t, 1, "SET expires_at = :at", fakeaws.Item{":at": number(int(d.now.Unix()))}))
	require.Zero(t, d.Expire(fakeaws.TasksTable, "expires_at", d.now), "not before its time")
	require.Equal(t, 1, d.Expire(fakeaws.TasksTable, "expires_at", d.now.Add(time.Second)))

	records := d.Stream(fakeaws.TasksTable, 0)

	var names []string
	for i, r := range records {
		names = append(names, r.EventName)
		require.Equal(t, "1", r.Change.Keys["n"].Number())
		require.Equal(t, "NEW_IMAGE", r.Change.StreamViewType)
		if i > 0 {
			require.Greater(t, r.Change.SequenceNumber, records[i-1].Change.SequenceNumber)
		}
	}
	require.Equal(t, []string{"INSERT", "MODIFY", "MODIFY", "REMOVE"}, names, "a write that changes nothing is not told")
	require.Equal(t, "1", records[1].Change.NewImage["a"].Number())
	require.NotContains(t, records[1].Change.NewImage, "expires_at", "an image is of its moment")
	require.Empty(t, records[3].Change.NewImage)
	require.Equal(t, &events.DynamoDBUserIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}, records[3].UserIdentity)
	require.Nil(t, records[2].UserIdentity)
	require.Len(t, d.Stream(fakeaws.TasksTable, 3), 1)
	require.Empty(t, d.Stream(fakeaws.TasksTable, 4))
	require.Empty(t, d.Stream(fakeaws.ControlTable, 0))
}

func TestPartsOfABatchAreLeftWhenTheHookSaysSo(t *testing.T) {
	d := newDatabase()
	d.Unprocessed = func(_ string, key fakeaws.Item) bool { return key["n"].(*types.AttributeValueMemberN).Value == "1" }
	var requests []types.WriteRequest
	for n := range 3 {
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: task(n, 100)}})
	}

	wrote, err := d.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{fakeaws.TasksTable: requests}})
	require.NoError(t, err)
	require.Equal(t, map[string][]types.WriteRequest{fakeaws.TasksTable: requests[1:2]}, wrote.UnprocessedItems)
	require.Len(t, d.Items(fakeaws.TasksTable), 2)

	read, err := d.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		fakeaws.TasksTable: {Keys: []map[string]types.AttributeValue{taskKey(0), taskKey(1), taskKey(2)}, ConsistentRead: aws.Bool(true)}}})
	require.NoError(t, err)
	require.Len(t, read.Responses[fakeaws.TasksTable], 2)
	require.Equal(t, []map[string]types.AttributeValue{taskKey(1)}, read.UnprocessedKeys[fakeaws.TasksTable].Keys)
	require.True(t, *read.UnprocessedKeys[fakeaws.TasksTable].ConsistentRead)
}

func TestWhatRequestsCost(t *testing.T) {
	const kb = 1 << 10
	d := newDatabase()
	cost := func(operation string, do func() error) fakeaws.Cost {
		t.Helper()
		d.ResetUsage()
		_ = do()
		return d.Usage()[fakeaws.Use{Operation: operation, Table: fakeaws.TasksTable}]
	}
	put := func(size int) func() error {
		return func() error { d.putTask(t, task(1, size)); return nil }
	}
	get := func(strong bool) func() error { return func() error { d.task(t, 1, strong); return nil } }
	remove := func() error {
		_, err := d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(1)})
		return err
	}

	require.Equal(t, fakeaws.Cost{Calls: 1, ReadUnits: 1}, cost("GetItem", get(true)), "nothing there")
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 1}, cost("PutItem", put(kb)))
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 2}, cost("PutItem", put(kb+1)))
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 2}, cost("PutItem", put(100)), "the larger of before and after")
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 10}, cost("PutItem", put(10*kb)))
	require.Equal(t, fakeaws.Cost{Calls: 1, ReadUnits: 3}, cost("GetItem", get(true)))
	require.Equal(t, fakeaws.Cost{Calls: 1, ReadUnits: 1.5}, cost("GetItem", get(false)))
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 10}, cost("UpdateItem", func() error {
		_, err := d.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(1), UpdateExpression: aws.String("REMOVE a"),
			ConditionExpression: aws.String("attribute_exists(a)")})
		return err
	}), "a condition that does not hold costs what the item there costs")
	require.Equal(t, fakeaws.Cost{}, cost("UpdateItem", func() error { return d.update(t, 1, "SET segment = a", nil) }), "what is wrong in itself costs nothing")
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 10}, cost("DeleteItem", remove))
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 1}, cost("DeleteItem", remove), "nothing there")

	two := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String(fakeaws.TasksTable), Item: task(1, 100), ConditionExpression: aws.String("attribute_not_exists(n)")}},
		{Put: &types.Put{TableName: aws.String(fakeaws.TasksTable), Item: task(2, kb+1)}}}}
	transact := func() error { _, err := d.TransactWriteItems(t.Context(), two); return err }
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 6}, cost("TransactWriteItems", transact), "twice")
	require.Equal(t, fakeaws.Cost{Calls: 1, WriteUnits: 6}, cost("TransactWriteItems", transact), "cancelled: charged as well")

	query := func(strong bool) func() error {
		return func() error {
			_, err := d.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(fakeaws.TasksTable), ConsistentRead: &strong, KeyConditionExpression: aws.String("#s = :s"),
				ExpressionAttributeNames: map[string]string{"#s": "segment"}, ExpressionAttributeValues: fakeaws.Item{":s": text("s")}})
			return err
		}
	}
	for n := range 50 {
		d.putTask(t, task(n, 200))
	}
	require.Equal(t, fakeaws.Cost{Calls: 1, ReadUnits: 3}, cost("Query", query(true)), "the sum of the items' sizes, not each by itself")
	require.Equal(t, fakeaws.Cost{Calls: 1, ReadUnits: 1.5}, cost("Query", query(false)))
}

func TestAnIndexCostsWhatChangesInIt(t *testing.T) {
	d := newDatabase()
	put := func(with fakeaws.Item) float64 {
		it := fakeaws.Item{"job_id": text("j"), "item": text("job")}
		maps.Copy(it, with)
		d.ResetUsage()
		_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(fakeaws.JobsTable), Item: it})
		require.NoError(t, err)
		return d.Usage()[fakeaws.Use{Operation: "PutItem", Table: fakeaws.JobsTable, Index: "by_month"}].WriteUnits
	}

	require.Zero(t, put(nil))
	require.Equal(t, 1.0, put(fakeaws.Item{"month": text("2026-11"), "submitted_at": number(1)}))
	require.Zero(t, put(fakeaws.Item{"month": text("2026-11"), "submitted_at": number(1), "total": number(5)}), "nothing projected changed")
	require.Equal(t, 1.0, put(fakeaws.Item{"month": text("2026-11"), "submitted_at": number(1), "labourer": text("l")}))
	require.Equal(t, 2.0, put(fakeaws.Item{"month": text("2026-12"), "submitted_at": number(1), "labourer": text("l")}), "one goes, one comes")
	require.Equal(t, 1.0, put(nil))
}

func TestItemsAreAsLargeAsDynamoDBCounts(t *testing.T) {
	digits := func(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
	for size, it := range map[int]fakeaws.Item{
		0:  nil,
		4:  {"a": text("xyz")},
		2:  {"a": &types.AttributeValueMemberBOOL{}},
		3:  {"a": digits("7")},
		8:  {"a": digits("-1234567890")},
		9:  {"a": digits("1795348800000"), "b": digits("1")},
		5:  {"ä": &types.AttributeValueMemberB{Value: []byte{1, 2, 3}}},
		13: {"a": &types.AttributeValueMemberM{Value: fakeaws.Item{"b": digits("1"), "c": text("xyz")}}},
		6:  {"a": &types.AttributeValueMemberNS{Value: []string{"1", "200", "0"}}},
	} {
		require.Equal(t, size, fakeaws.Size(it), "%v", it)
	}
}

func TestWhatALocalAWSLetsPassIsRefusedHere(t *testing.T) {
	d := newDatabase()
	for name, do := range map[string]func() error{
		"a parameter of old": func() error {
			_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(fakeaws.TasksTable), Item: taskKey(1), Expected: map[string]types.ExpectedAttributeValue{"a": {}}})
			return err
		},
		"overlapping paths":            func() error { return d.update(t, 1, "SET a = :n, a = :n", fakeaws.Item{":n": number(1)}) },
		"a function's name":            func() error { return d.update(t, 1, "SET size = :n", fakeaws.Item{":n": number(1)}) },
		"a sum of a text and a number": func() error { return d.update(t, 1, "ADD payload :n", fakeaws.Item{":n": number(1)}) },
		"a part of an update":          func() error { return d.update(t, 1, "SET a = :n,", fakeaws.Item{":n": number(1)}) },
		"an index' key of another type": func() error {
			_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(fakeaws.JobsTable), Item: fakeaws.Item{"job_id": text("j"), "item": text("i"), "month": number(11)}})
			return err
		},
		"a key condition that is none": func() error {
			_, err := d.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(fakeaws.TasksTable), KeyConditionExpression: aws.String("#s = :s AND attribute_exists(n)"),
				ExpressionAttributeNames: map[string]string{"#s": "segment"}, ExpressionAttributeValues: fakeaws.Item{":s": text("s")}})
			return err
		},
		"a key condition on another attribute": func() error {
			_, err := d.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(fakeaws.TasksTable), KeyConditionExpression: aws.String("#s = :s AND labourer = :s"),
				ExpressionAttributeNames: map[string]string{"#s": "segment"}, ExpressionAttributeValues: fakeaws.Item{":s": text("s")}})
			return err
		},
		"a filter": func() error {
			_, err := d.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(fakeaws.TasksTable), KeyConditionExpression: aws.String("#s = :s"), FilterExpression: aws.String("labourer = :s"),
				ExpressionAttributeNames: map[string]string{"#s": "segment"}, ExpressionAttributeValues: fakeaws.Item{":s": text("s")}})
			return err
		},
	} {
		d.putTask(t, task(1, 100))
		err := do()
		var refused smithy.APIError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, "ValidationException", refused.ErrorCode(), name)
		require.Equal(t, []fakeaws.Item{task(1, 100)}, d.Items(fakeaws.TasksTable), name)
	}
	_, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("nowhere"), Key: taskKey(1)})
	var missing *types.ResourceNotFoundException
	require.ErrorAs(t, err, &missing)
}

func TestAnUpdateThatOnlyRemovesCreatesNoItem(t *testing.T) {
	d := newDatabase()
	require.NoError(t, d.update(t, 1, "REMOVE a", nil))
	require.NoError(t, d.update(t, 1, "DELETE a :s", fakeaws.Item{":s": &types.AttributeValueMemberNS{Value: []string{"1"}}}))
	require.Empty(t, d.Items(fakeaws.TasksTable))
	require.Empty(t, d.Stream(fakeaws.TasksTable, 0))

	_, err := d.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(1)})
	require.NoError(t, err)
	require.Equal(t, []fakeaws.Item{taskKey(1)}, d.Items(fakeaws.TasksTable), "an update of nothing does")
}

func TestATokenIsForgottenAfterTenMinutes(t *testing.T) {
	d := newDatabase()
	in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token"), TransactItems: []types.TransactWriteItem{{Update: &types.Update{TableName: aws.String(fakeaws.TasksTable),
		Key: taskKey(1), UpdateExpression: aws.String("ADD a :one"), ExpressionAttributeValues: fakeaws.Item{":one": number(1)}}}}}
	for _, want := range []int{1, 1, 2} {
		_, err := d.TransactWriteItems(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, number(want), d.task(t, 1, true)["a"])
		d.now = d.now.Add(5 * time.Minute)
	}
}

func TestTheTableKeepsCopiesOfItems(t *testing.T) {
	d := newDatabase()
	payload := &types.AttributeValueMemberB{Value: []byte("abc")}
	it := taskKey(1)
	it["payload"] = payload
	d.putTask(t, it)
	payload.Value[0] = 'X'
	it["more"] = text("x")

	read := d.task(t, 1, true)
	require.Equal(t, []byte("abc"), read["payload"].(*types.AttributeValueMemberB).Value)
	require.NotContains(t, read, "more")
	read["payload"].(*types.AttributeValueMemberB).Value[0] = 'Y'
	require.Equal(t, []byte("abc"), d.task(t, 1, true)["payload"].(*types.AttributeValueMemberB).Value)
}

func TestAnItemThatNoAdapterWritesCanBePut(t *testing.T) {
	d := newDatabase()
	require.NoError(t, d.Put(fakeaws.TasksTable, fakeaws.Item{"segment": text("s"), "n": number(1), "status": number(7)}))
	require.Len(t, d.Stream(fakeaws.TasksTable, 0), 1)
	require.Empty(t, d.Usage())
	require.Error(t, d.Put(fakeaws.TasksTable, fakeaws.Item{"segment": text("s")}))
	require.Error(t, d.Put("nowhere", taskKey(1)))
}

func TestAPageEndsAfterAsManyItemsAsAskedFor(t *testing.T) {
	d := newDatabase()
	for n := range 5 {
		d.putTask(t, task(n, 2000))
	}
	d.ResetUsage()
	in := &dynamodb.QueryInput{TableName: aws.String(fakeaws.TasksTable), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#s = :s"), Limit: aws.Int32(4),
		ExpressionAttributeNames: map[string]string{"#s": "segment"}, ExpressionAttributeValues: fakeaws.Item{":s": text("s")}}

	out, err := d.Query(t.Context(), in)

	require.NoError(t, err)
	require.Equal(t, []int32{4, 4}, []int32{out.Count, out.ScannedCount})
	require.Equal(t, taskKey(3), out.LastEvaluatedKey)
	require.InDelta(t, 2, d.Usage()[fakeaws.Use{Operation: "Query", Table: fakeaws.TasksTable}].ReadUnits, 0)

	in.ExclusiveStartKey, in.Select, in.ReturnConsumedCapacity = out.LastEvaluatedKey, types.SelectCount, types.ReturnConsumedCapacityTotal
	out, err = d.Query(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, int32(1), out.Count)
	require.Empty(t, out.Items)
	require.InDelta(t, 1, *out.ConsumedCapacity.CapacityUnits, 0)
	in.ExclusiveStartKey = map[string]types.AttributeValue{"segment": text("another"), "n": number(1)}
	_, err = d.Query(t.Context(), in)
	require.ErrorContains(t, err, "outside query boundaries")
}

// TestATransactionTakesFourMegabytesOfItems, those that it changes as they are stored among them, however little it writes of each.
func TestATransactionTakesFourMegabytesOfItems(t *testing.T) {
	for items, taken := range map[int]bool{10: true, 11: false} {
		d := newDatabase()
		var writes []types.TransactWriteItem
		for n := range items {
			d.putTask(t, task(n, 400_000))
			writes = append(writes, types.TransactWriteItem{Update: &types.Update{TableName: aws.String(fakeaws.TasksTable), Key: taskKey(n),
				UpdateExpression: aws.String("SET closed = :one"), ExpressionAttributeValues: fakeaws.Item{":one": number(1)}}})
		}

		_, err := d.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: writes})

		if taken {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "cannot exceed 4 MB")
		}
	}
}

// TestAQueryFindsTheSameHoweverItReads: a strong read goes straight to the items that it selects, and one that a hook may show an older state looks at all.
func TestAQueryFindsTheSameHoweverItReads(t *testing.T) {
	d := newDatabase()
	d.Stale = func(string, fakeaws.Item) time.Duration { return 0 }
	for _, name := range []string{"a#1", "a#2", "b", "b#1", "b#2", "b#3", "c"} {
		require.NoError(t, d.Put(fakeaws.ControlTable, fakeaws.Item{"labourer": text("w"), "item": text(name)}))
	}
	for condition, want := range map[string]string{
		"": "a#1 a#2 b b#1 b#2 b#3 c", "#i = :a": "b#1", "#i > :a": "b#2 b#3 c", "#i <= :a": "a#1 a#2 b b#1", "#i BETWEEN :a AND :b": "b#1 b#2 b#3", "begins_with(#i, :p)": "b#1 b#2 b#3",
		"#i = :none": "", "#i > :last": "", "begins_with(#i, :none)": "",
	} {
		for _, page := range []int32{1, 2, 10} {
			for _, strong := range []bool{true, false} {
				in := &dynamodb.QueryInput{TableName: aws.String(fakeaws.ControlTable), ConsistentRead: &strong, Limit: &page, KeyConditionExpression: aws.String("labourer = :w"),
					ExpressionAttributeValues: fakeaws.Item{":w": text("w")}}
				if condition != "" {
					in.KeyConditionExpression = aws.String("labourer = :w AND " + condition)
					in.ExpressionAttributeNames = map[string]string{"#i": "item"}
				}
				for name, value := range map[string]string{":a": "b#1", ":b": "b#3", ":p": "b#", ":none": "bb", ":last": "c"} {
					if strings.Contains(condition, name) {
						in.ExpressionAttributeValues[name] = text(value)
					}
				}
				var found []string
				for {
					out, err := d.Query(t.Context(), in)
					require.NoError(t, err)
					for _, it := range out.Items {
						found = append(found, it["item"].(*types.AttributeValueMemberS).Value)
					}
					if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
						break
					}
				}
				require.Equal(t, want, strings.Join(found, " "), "%s, pages of %d, strong: %t", condition, page, strong)
			}
		}
	}
}

func TestATrimmedStreamKeepsItsNumbers(t *testing.T) {
	d := newDatabase()
	for n := range 3 {
		d.putTask(t, task(n, 50))
	}
	all := d.Stream(fakeaws.TasksTable, 0)

	d.Trim(fakeaws.TasksTable, 2)

	require.Equal(t, all[2:], d.Stream(fakeaws.TasksTable, 0))
	require.Equal(t, all[2:], d.Stream(fakeaws.TasksTable, 2))
	require.Empty(t, d.Stream(fakeaws.TasksTable, 3))
	d.putTask(t, task(3, 50))
	require.Len(t, d.Stream(fakeaws.TasksTable, 3), 1)
}
