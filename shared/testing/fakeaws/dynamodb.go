package fakeaws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

// Item holds an item's attributes, or its key, by name.
type Item = expression.Item

// DynamoDB holds tables in memory and answers or refuses requests as DynamoDB does: conditions, transactions and their reasons, limits,
// pages, both kinds of reads, streams, and capacity. It is safe for concurrent use; each request is one step.
//
// It does what DynamoDB may do at any time where a hook says so: fail, throttle, leave parts of a batch unprocessed, answer an eventually
// consistent read with an older state. It refuses legacy parameters (Expected, AttributeUpdates, …) and expressions that Drover does not use.
type DynamoDB struct {
	Hooks
	// Unprocessed leaves this part of a batch undone or unread, so that it comes back in UnprocessedItems or UnprocessedKeys.
	Unprocessed func(table string, key Item) bool
	// Stale returns the age of the state that an eventually consistent read, or a read of an index, sees of an item: from zero, the present,
	// to MostStale. It is called for each item. nil: always the present.
	Stale func(table string, key Item) time.Duration
	// Torn returns for how long after a transaction's success reads outside of transactions miss its write of this item. DynamoDB isolates
	// transactions from each single read and not from several, so a reader may see one write of a transaction and not yet another. A test that
	// sets it must make the transaction's caller wait until the longest of these times is over, as DynamoDB answers only then. Another write of
	// the item makes it visible. It is called for each item of a transaction. nil: all writes are visible at once.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-isolation
	Torn func(table string, key Item) time.Duration
	// Watch is called for every change of an item as part of the request that makes it; nil stands for no item. It must not call this DynamoDB
	// nor change its arguments.
	Watch func(table string, before, after Item)

	now func() time.Time

	mu     sync.Mutex
	tables map[string]*table
	tokens map[string]done
	usage  map[Use]Cost
	parsed parsed
}

// MostStale limits how old a state an eventually consistent read can see here. DynamoDB says "usually within a second" and promises nothing.
const MostStale = 10 * time.Second

// NewDynamoDB returns a DynamoDB with these tables, or with those of the stack if none are given, all empty. Of a definition it reads keys,
// indexes and stream, and ignores the rest. It panics on a definition that makes no table.
func NewDynamoDB(now func() time.Time, tables ...*dynamodb.CreateTableInput) *DynamoDB {
	if len(tables) == 0 {
		tables = StackTables("")
	}
	d := &DynamoDB{now: now, tables: map[string]*table{}, tokens: map[string]done{}, usage: map[Use]Cost{}, parsed: newParsed()}
	for _, definition := range tables {
		t := newTable(definition)
		d.tables[t.name] = t
	}
	return d
}

var (
	_ dynamo.API   = (*DynamoDB)(nil)
	_ dynamo.Pacer = (*DynamoDB)(nil)
)

// Pause returns at once, as no time passes here by itself. The adapters call it between two attempts of a request.
func (d *DynamoDB) Pause(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (d *DynamoDB) serve(operation string, in any) Request {
	return Request{Service: dynamodb.ServiceID, Operation: operation, Input: in}
}

// GetItem reads an item.
func (d *DynamoDB) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("GetItem", in), func() (*dynamodb.GetItemOutput, error) { return d.getItem(in) })
}

// Query reads a page of items with one hash key.
func (d *DynamoDB) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("Query", in), func() (*dynamodb.QueryOutput, error) { return d.query(in) })
}

// BatchGetItem reads up to 100 items.
func (d *DynamoDB) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("BatchGetItem", in), func() (*dynamodb.BatchGetItemOutput, error) { return d.batchGetItem(in) })
}

// PutItem stores an item.
func (d *DynamoDB) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("PutItem", in), func() (*dynamodb.PutItemOutput, error) { return d.putItem(in) })
}

// UpdateItem changes an item.
func (d *DynamoDB) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("UpdateItem", in), func() (*dynamodb.UpdateItemOutput, error) { return d.updateItem(in) })
}

// DeleteItem deletes an item.
func (d *DynamoDB) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("DeleteItem", in), func() (*dynamodb.DeleteItemOutput, error) { return d.deleteItem(in) })
}

// BatchWriteItem stores and deletes up to 25 items.
func (d *DynamoDB) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("BatchWriteItem", in), func() (*dynamodb.BatchWriteItemOutput, error) { return d.batchWriteItem(in) })
}

// TransactWriteItems carries out up to 100 writes, all or none.
func (d *DynamoDB) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return serve(ctx, &d.Hooks, d.serve("TransactWriteItems", in), func() (*dynamodb.TransactWriteItemsOutput, error) { return d.transact(in) })
}

// Items returns a copy of all items of a table in the order of their keys. It consumes no capacity and calls no hook.
func (d *DynamoDB) Items(table string) []Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Item
	if t := d.tables[table]; t != nil {
		for _, hash := range t.hashes() {
			for _, r := range t.partitions[hash].records {
				if r.item != nil {
					out = append(out, expression.CloneItem(r.item))
				}
			}
		}
	}
	return out
}

// Put stores an item unconditionally, for tests that need one that no adapter would write. It consumes no capacity, calls no hook, and
// appears in the table's stream.
func (d *DynamoDB) Put(table string, it Item) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.table(&table)
	if err != nil {
		return err
	}
	key, err := t.keyOf(it)
	if err != nil {
		return err
	}
	if err := t.checkItem(it); err != nil {
		return err
	}
	d.store(t, key, expression.CloneItem(it), nil)
	return nil
}

// Expire deletes the items of a table whose attribute is a time before now, in seconds since 1970, as DynamoDB's time to live does within
// days. It returns their number. The stream reports them as deletions by DynamoDB itself.
func (d *DynamoDB) Expire(table, attribute string, now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[table]
	if t == nil {
		return 0
	}
	gone := 0
	for _, hash := range t.hashes() {
		for _, r := range slices.Clone(t.partitions[hash].records) {
			ends, isNumber := r.item[attribute].(*types.AttributeValueMemberN)
			if !isNumber {
				continue
			}
			at := time.Unix(epoch(ends.Value), 0)
			// DynamoDB ignores times that lie more than five years back.
			if at.Before(now) && at.After(now.AddDate(-5, 0, 0)) {
				d.store(t, r.key, nil, &events.DynamoDBUserIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"})
				gone++
			}
		}
	}
	return gone
}

// Stream returns the records of a table's stream from a number on, 0 the first, as a function receives them. Each write that changed
// something has one, in order; its images are those of the table's definition. Records that were trimmed are missing.
func (d *DynamoDB) Stream(table string, number int) []events.DynamoDBEventRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[table]
	if t == nil || number >= t.trimmed+len(t.stream) {
		return nil
	}
	number = max(number, t.trimmed)
	out := make([]events.DynamoDBEventRecord, 0, t.trimmed+len(t.stream)-number)
	for ; number < t.trimmed+len(t.stream); number++ {
		out = append(out, t.record(number))
	}
	return out
}

// Trim removes the records of a table's stream before a number.
func (d *DynamoDB) Trim(table string, number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tables[table]; t != nil && number > t.trimmed {
		number = min(number, t.trimmed+len(t.stream))
		t.stream, t.trimmed = slices.Clone(t.stream[number-t.trimmed:]), number
	}
}

func (d *DynamoDB) table(name *string) (*table, error) {
	if t := d.tables[tableName(name)]; t != nil {
		return t, nil
	}
	return nil, &types.ResourceNotFoundException{Message: aws.String("Requested resource not found")}
}

// tableName returns a table's name, also where it is given as an ARN.
func tableName(name *string) string {
	text := aws.ToString(name)
	if _, after, found := strings.Cut(text, ":table/"); found {
		return after
	}
	return text
}

// invalid returns the error with which DynamoDB refuses a malformed request.
func invalid(format string, args ...any) error {
	return &smithy.GenericAPIError{Code: "ValidationException", Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}
}

// refusedAs names the request's expression that is refused.
func refusedAs(what string, err error) error {
	var refused *expression.Error
	if !errors.As(err, &refused) {
		return err
	}
	if what == "" {
		return invalid("%s", refused.Reason)
	}
	return invalid("Invalid %s: %s", what, refused.Reason)
}

// legacy refuses parameters that expressions have replaced.
func legacy(used map[string]bool) error {
	for name, is := range used {
		if is {
			return invalid("%s is a legacy parameter, which this DynamoDB does not support", name)
		}
	}
	return nil
}

// parsed caches expressions: the adapters use a few dozen.
type parsed struct {
	conditions  map[string]*expression.Condition
	updates     map[string]*expression.Update
	projections map[string]*expression.Projection
}

func newParsed() parsed {
	return parsed{map[string]*expression.Condition{}, map[string]*expression.Update{}, map[string]*expression.Projection{}}
}

// mostParsed limits the cache, for each kind of expression.
const mostParsed = 1000

func remembered[T any](known map[string]T, text string, parse func(string) (T, error)) (T, error) {
	if one, ok := known[text]; ok {
		return one, nil
	}
	one, err := parse(text)
	if err == nil && len(known) < mostParsed {
		known[text] = one
	}
	return one, err
}

// condition returns a request's condition, nil when it has none.
func (d *DynamoDB) condition(what string, text *string, scope *expression.Scope) (*expression.Bound, error) {
	if text == nil {
		return nil, nil
	}
	c, err := remembered(d.parsed.conditions, *text, expression.ParseCondition)
	if err != nil {
		return nil, refusedAs(what, err)
	}
	bound, err := c.Bind(scope)
	return bound, refusedAs(what, err)
}

func (d *DynamoDB) update(text *string, scope *expression.Scope) (*expression.BoundUpdate, error) {
	if text == nil {
		return &expression.BoundUpdate{}, nil
	}
	u, err := remembered(d.parsed.updates, *text, expression.ParseUpdate)
	if err != nil {
		return nil, refusedAs("UpdateExpression", err)
	}
	bound, err := u.Bind(scope)
	return bound, refusedAs("UpdateExpression", err)
}

func (d *DynamoDB) projection(text *string, scope *expression.Scope) (*expression.Projection, error) {
	if text == nil {
		return nil, nil
	}
	p, err := remembered(d.parsed.projections, *text, expression.ParseProjection)
	if err != nil {
		return nil, refusedAs("ProjectionExpression", err)
	}
	bound, err := p.Bind(scope)
	return bound, refusedAs("ProjectionExpression", err)
}

func scopeOf(names map[string]string, values Item) (*expression.Scope, error) {
	s, err := expression.NewScope(names, values)
	return s, refusedAs("", err)
}
