package fakeaws

import (
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

func (d *DynamoDB) projected(text *string, names map[string]string) (*expression.Projection, error) {
	scope, err := scopeOf(names, nil)
	if err != nil {
		return nil, err
	}
	p, err := d.projection(text, scope)
	if err != nil {
		return nil, err
	}
	return p, refusedAs("", scope.Unused(text != nil))
}

// age returns how old the state is that a read sees.
func (d *DynamoDB) age(t *table, key Item, strong bool) time.Duration {
	if strong || d.Stale == nil {
		return 0
	}
	return d.Stale(t.name, key)
}

func readUnits(size int, strong bool) float64 {
	if strong {
		return units(size, readUnit)
	}
	return units(size, readUnit) / 2
}

// answered returns an item as an answer holds it: with its own attributes and bytes. The other values are shared with the table, which replaces and never
// changes them. The callers must not change them either.
func answered(it Item) Item {
	out := maps.Clone(it)
	for name, v := range it {
		if _, is := v.(*types.AttributeValueMemberB); is {
			out[name] = expression.Clone(v)
		}
	}
	return out
}

// read returns a copy of an item, nil when there is none, and the capacity consumed.
func (d *DynamoDB) read(operation string, t *table, key Item, strong bool) (Item, float64) {
	var it Item
	size := 0
	if r := t.find(key); r != nil {
		seen := r.seen(d.age(t, key, strong), d.now())
		it, size = answered(seen), r.sizeOf(seen)
	}
	cost := readUnits(size, strong)
	d.spend(operation, t.name, "", Cost{ReadUnits: cost})
	return it, cost
}

func (d *DynamoDB) getItem(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := legacy(map[string]bool{"AttributesToGet": in.AttributesToGet != nil}); err != nil {
		return nil, err
	}
	t, err := d.table(in.TableName)
	if err != nil {
		return nil, err
	}
	projection, err := d.projected(in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return nil, err
	}
	key, err := t.exactKey(in.Key)
	if err != nil {
		return nil, err
	}
	d.spend("GetItem", t.name, "", Cost{Calls: 1})
	it, cost := d.read("GetItem", t, key, aws.ToBool(in.ConsistentRead))
	if it != nil && projection != nil {
		it = projection.Of(it)
	}
	return &dynamodb.GetItemOutput{Item: it, ConsumedCapacity: charge{table: cost}.consumed(in.ReturnConsumedCapacity, t.name)}, nil
}

// pageBytes limits a page of a query: "1 MB in size (or less)". The item that does not fit into the page consumes nothing: "All items returned are
// treated as a single read operation, where DynamoDB computes the total size of all items".
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
const pageBytes = 1 << 20

// of returns an item as the index holds it; nil when the index does not have it.
func (i index) of(t *table, it Item) Item {
	if it == nil {
		return nil
	}
	for _, name := range i.names() {
		if _, there := it[name]; !there {
			return nil
		}
	}
	if i.everything {
		return it
	}
	out := Item{}
	for _, name := range slices.Concat(i.names(), t.names(), i.with) {
		if v, there := it[name]; there {
			out[name] = v
		}
	}
	return out
}

func sameAttributes(a, b Item, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !expression.Equal(a[name], b[name]) })
}

func sameItems(a, b Item) bool { return expression.EqualItems(a, b) }

// asked is a query that was checked.
type asked struct {
	table      *table
	index      *index
	key        expression.KeyCondition
	projection *expression.Projection
	strong     bool
}

func (q asked) schema() schema {
	if q.index != nil {
		return q.index.schema
	}
	return q.table.schema
}

func (d *DynamoDB) asked(in *dynamodb.QueryInput) (asked, error) {
	q := asked{strong: aws.ToBool(in.ConsistentRead)}
	if err := legacy(map[string]bool{"KeyConditions": in.KeyConditions != nil, "QueryFilter": in.QueryFilter != nil,
		"AttributesToGet": in.AttributesToGet != nil, "ConditionalOperator": in.ConditionalOperator != ""}); err != nil {
		return q, err
	}
	if in.FilterExpression != nil {
		return q, invalid("FilterExpression is not supported by this DynamoDB, as Drover does not use it")
	}
	var err error
	if q.table, err = d.table(in.TableName); err != nil {
		return q, err
	}
	if in.IndexName != nil {
		i, known := q.table.indexes[*in.IndexName]
		if !known {
			return q, invalid("The table does not have the specified index: %s", *in.IndexName)
		}
		if q.strong {
			return q, invalid("Consistent reads are not supported on global secondary indexes")
		}
		q.index = &i
	}
	scope, err := scopeOf(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return q, err
	}
	if in.KeyConditionExpression == nil {
		return q, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	bound, err := d.condition("KeyConditionExpression", in.KeyConditionExpression, scope)
	if err != nil {
		return q, err
	}
	keys := q.schema()
	if q.key, err = bound.Key(keys.hash, keys.rangeKey); err != nil {
		return q, refusedAs("", err)
	}
	if kind := expression.Kind(q.key.Hash); kind != q.table.kinds[keys.hash] {
		return q, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
	}
	if valueSize(q.key.Hash) == 0 {
		return q, invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", keys.hash)
	}
	if q.projection, err = d.projection(in.ProjectionExpression, scope); err != nil {
		return q, err
	}
	if err := q.selects(in.Select); err != nil {
		return q, err
	}
	if in.Limit != nil && *in.Limit < 1 {
		return q, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit)
	}
	return q, refusedAs("", scope.Unused(true))
}

// selects refuses a Select that does not fit the rest of the query. No Select fits every query.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html#DDB-Query-request-Select
func (q asked) selects(what types.Select) error {
	switch {
	case what == "":
	case !slices.Contains(what.Values(), what):
		return invalid("1 validation error detected: Value '%s' at 'select' failed to satisfy constraint: Member must satisfy enum value set: %v", what, what.Values())
	case what == types.SelectSpecificAttributes && q.projection == nil:
		return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case what != types.SelectSpecificAttributes && q.projection != nil:
		return invalid("Cannot specify the ProjectionExpression when choosing to get %s", what)
	case what == types.SelectAllProjectedAttributes && q.index == nil:
		return invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	case what == types.SelectAllAttributes && q.index != nil && !q.index.everything:
		return invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index %s "+
			"because its projection type is not ALL", q.index.name)
	}
	return nil
}

// line yields the items that a query selects with their sizes, in its order, in the state that it sees: those behind start, if it is not nil.
func (d *DynamoDB) line(q asked, backwards bool, start Item) iter.Seq2[Item, int] {
	if q.index == nil && !backwards && (q.strong || d.Stale == nil) { // no hook is asked about the items, so the others need no look
		return d.span(q, start)
	}
	line := d.wholeLine(q, backwards)
	if start != nil {
		line = slices.DeleteFunc(line, func(it Item) bool {
			order := q.compare(it, start)
			return !backwards && order <= 0 || backwards && order >= 0
		})
	}
	return func(yield func(Item, int) bool) {
		for _, it := range line {
			if !yield(it, Size(it)) {
				return
			}
		}
	}
}

// span yields the present items of a partition that a query selects, in the order of their range keys. It looks at no others.
func (d *DynamoDB) span(q asked, start Item) iter.Seq2[Item, int] {
	return func(yield func(Item, int) bool) {
		p := q.table.partitions[text(expression.Clone(q.key.Hash))]
		if p == nil {
			return
		}
		now, first := d.now(), 0
		var from types.AttributeValue
		if q.key.Range != nil && q.table.rangeKey != "" {
			if from = q.key.Range.From(); from != nil {
				first, _ = p.at(from)
			}
		}
		if start != nil && q.table.rangeKey != "" {
			at, found := p.at(start[q.table.rangeKey])
			if found {
				at++
			}
			first = max(first, at)
		}
		for _, r := range p.records[first:] {
			if q.key.Range != nil && !q.key.Range.Holds(r.key) {
				if order, _ := expression.Compare(r.order, from); from == nil || order > 0 {
					return // it holds for no later one
				}
				continue
			}
			if it := r.seen(0, now); it != nil && !yield(it, r.sizeOf(it)) {
				return
			}
		}
	}
}

// wholeLine returns the items that a query selects, in its order, in the state that it sees.
func (d *DynamoDB) wholeLine(q asked, backwards bool) []Item {
	var out []Item
	now := d.now()
	see := func(r *record) {
		it := r.seen(d.age(q.table, r.key, q.strong), now)
		if q.index != nil {
			if it = q.index.of(q.table, it); it == nil || !expression.Equal(it[q.index.hash], q.key.Hash) {
				return
			}
		}
		if it != nil && (q.key.Range == nil || q.key.Range.Holds(it)) {
			out = append(out, it)
		}
	}
	if q.index == nil {
		if p := q.table.partitions[text(expression.Clone(q.key.Hash))]; p != nil {
			for _, r := range p.records {
				see(r)
			}
		}
	} else {
		for _, hash := range q.table.hashes() {
			for _, r := range q.table.partitions[hash].records {
				see(r)
			}
		}
		slices.SortStableFunc(out, q.compare)
	}
	if backwards {
		slices.Reverse(out)
	}
	return out
}

// compare orders items as the table does, or as the index does: by the index's range key, then by the table's key.
func (q asked) compare(a, b Item) int {
	names := q.table.names()
	if q.index != nil {
		names = append(q.index.names()[1:], names...)
	}
	for _, name := range names {
		if order, _ := expression.Compare(a[name], b[name]); order != 0 {
			return order
		}
	}
	return 0
}

// place returns where a query continues: the keys of the last item that it read.
func (q asked) place(it Item) Item {
	out := Item{}
	for _, name := range slices.Concat(q.schema().names(), q.table.names()) {
		out[name] = expression.Clone(it[name])
	}
	return out
}

func (d *DynamoDB) query(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q, err := d.asked(in)
	if err != nil {
		return nil, err
	}
	backwards := in.ScanIndexForward != nil && !*in.ScanIndexForward
	if start := in.ExclusiveStartKey; start != nil {
		for _, name := range slices.Concat(q.schema().names(), q.table.names()) {
			if expression.Kind(start[name]) != q.table.kinds[name] {
				return nil, invalid("The provided starting key is invalid")
			}
		}
		if !expression.Equal(start[q.schema().hash], q.key.Hash) {
			return nil, invalid("The provided starting key is outside query boundaries based on provided conditions")
		}
	}
	most := math.MaxInt
	if in.Limit != nil {
		most = int(*in.Limit)
	}
	out := &dynamodb.QueryOutput{}
	if in.Select != types.SelectCount {
		out.Items = []map[string]types.AttributeValue{}
	}
	bytes := 0
	var last Item // an item is smaller than a page, so there is one before the end of a page
	for it, size := range d.line(q, backwards, in.ExclusiveStartKey) {
		if bytes+size > pageBytes {
			out.LastEvaluatedKey = q.place(last)
			break
		}
		bytes, last = bytes+size, it
		out.ScannedCount++
		out.Count++
		switch {
		case in.Select == types.SelectCount:
		case q.projection != nil:
			out.Items = append(out.Items, q.projection.Of(it))
		default:
			out.Items = append(out.Items, answered(it))
		}
		if int(out.Count) == most {
			out.LastEvaluatedKey = q.place(it)
			break
		}
	}
	cost := readUnits(bytes, q.strong)
	name, spent := "", charge{table: cost}
	if q.index != nil {
		name = q.index.name
		spent = charge{indexes: map[string]float64{name: cost}}
	}
	d.spend("Query", q.table.name, name, Cost{Calls: 1, ReadUnits: cost})
	out.ConsumedCapacity = spent.consumed(in.ReturnConsumedCapacity, q.table.name)
	return out, nil
}
