package fakeaws

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/testing/fakeaws/expression"
)

// schema holds the key of a table or an index. Keys of an index need not be unique.
type schema struct {
	hash, rangeKey string // rangeKey is "" where there is none
}

func (s schema) names() []string {
	if s.rangeKey == "" {
		return []string{s.hash}
	}
	return []string{s.hash, s.rangeKey}
}

type index struct {
	schema
	name       string
	everything bool     // all attributes are projected
	with       []string // attributes beside the keys that are projected
}

type table struct {
	schema
	name       string
	kinds      map[string]string // the types of key attributes
	indexes    map[string]index
	view       types.StreamViewType // "" without a stream
	partitions map[string]*partition
	sorted     []string // the hash keys in order; nil when they must be sorted again
	stream     []change // without those that were trimmed
	trimmed    int
}

// partition holds the items with one hash key, in the order of their range keys.
type partition struct{ records []*record }

// record is an item, with its earlier states as long as a read may see them.
type record struct {
	key   Item
	order types.AttributeValue // the range key's value; nil in a table without one
	item  Item                 // nil: deleted
	size  int                  // of the item
	past  []version            // the oldest first
	torn  version              // what reads see for a while, as they miss the last transaction's write
}

// version holds the state of an item until some time.
type version struct {
	item  Item
	until time.Time
}

// change is a record of the stream.
type change struct {
	name     events.DynamoDBOperationType
	key      Item
	old, new Item
	at       time.Time
	by       *events.DynamoDBUserIdentity
}

func newTable(in *dynamodb.CreateTableInput) *table {
	t := &table{name: aws.ToString(in.TableName), kinds: map[string]string{}, indexes: map[string]index{}, partitions: map[string]*partition{}}
	for _, a := range in.AttributeDefinitions {
		t.kinds[aws.ToString(a.AttributeName)] = string(a.AttributeType)
	}
	t.schema = t.schemaOf(in.KeySchema)
	for _, g := range in.GlobalSecondaryIndexes {
		i := index{name: aws.ToString(g.IndexName), schema: t.schemaOf(g.KeySchema)}
		if g.Projection != nil {
			i.everything, i.with = g.Projection.ProjectionType == types.ProjectionTypeAll, g.Projection.NonKeyAttributes
		}
		t.indexes[i.name] = i
	}
	if s := in.StreamSpecification; s != nil && aws.ToBool(s.StreamEnabled) {
		t.view = s.StreamViewType
	}
	return t
}

func (t *table) schemaOf(keys []types.KeySchemaElement) schema {
	var s schema
	for _, k := range keys {
		name := aws.ToString(k.AttributeName)
		if t.kinds[name] == "" {
			panic(fmt.Sprintf("table %s: its key attribute %s is not defined", t.name, name))
		}
		if k.KeyType == types.KeyTypeHash {
			s.hash = name
		} else {
			s.rangeKey = name
		}
	}
	if s.hash == "" {
		panic(fmt.Sprintf("table %s: a key has no hash attribute", t.name))
	}
	return s
}

// Limits of keys in bytes.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	mostHashBytes  = 2048
	mostRangeBytes = 1024
)

// keyOf returns the key of an item, which must have the key's attributes in the right types and sizes.
func (t *table) keyOf(it Item) (Item, error) {
	key := make(Item, 2)
	for i, name := range t.names() {
		v, there := it[name]
		if !there {
			return nil, invalid("One or more parameter values were invalid: Missing the key %s in the item", name)
		}
		if kind := expression.Kind(v); kind != t.kinds[name] {
			return nil, invalid("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", name, t.kinds[name], kind)
		}
		if err := expression.Check(v); err != nil {
			return nil, refusedAs("", err)
		}
		length, most := valueSize(v), []int{mostHashBytes, mostRangeBytes}[i]
		if length == 0 {
			return nil, invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s",
				map[string]string{"S": "string", "B": "binary"}[t.kinds[name]], name)
		}
		if length > most {
			return nil, invalid("One or more parameter values were invalid: Size of %s has exceeded the maximum size limit of %d bytes",
				[]string{"hashkey", "rangekey"}[i], most)
		}
		key[name] = expression.Clone(v)
	}
	return key, nil
}

// exactKey checks a key that a request gives: it has the key's attributes and no others.
func (t *table) exactKey(given Item) (Item, error) {
	if len(given) != len(t.names()) {
		return nil, invalid("The provided key element does not match the schema")
	}
	for _, name := range t.names() {
		if v, there := given[name]; !there || expression.Kind(v) != t.kinds[name] {
			return nil, invalid("The provided key element does not match the schema")
		}
	}
	return t.keyOf(given)
}

// mostItemBytes holds the largest item, names included.
const mostItemBytes = 400 << 10

// checkItem refuses an item that DynamoDB does not store.
func (t *table) checkItem(it Item) error {
	for name, v := range it {
		if name == "" || expression.Check(v) != nil {
			return wrongAttribute(it)
		}
	}
	for _, i := range t.indexes {
		for _, name := range i.names() {
			v, there := it[name]
			if !there {
				continue
			}
			if kind := expression.Kind(v); kind != t.kinds[name] {
				return invalid("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, t.kinds[name], kind, i.name)
			}
			if valueSize(v) == 0 {
				return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. "+
					"The AttributeValue for a key attribute cannot contain an empty string value. IndexName: %s, IndexKey: %s", i.name, name)
			}
		}
	}
	if Size(it) > mostItemBytes {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}

// wrongAttribute returns what is wrong with the first attribute that is.
func wrongAttribute(it Item) error {
	for _, name := range slices.Sorted(maps.Keys(it)) {
		if name == "" {
			return invalid("One or more parameter values were invalid: an attribute has an empty name")
		}
		if err := expression.Check(it[name]); err != nil {
			return refusedAs("", err)
		}
	}
	return nil
}

// hashes returns the hash keys in order, as texts.
func (t *table) hashes() []string {
	if t.sorted == nil {
		t.sorted = slices.Sorted(maps.Keys(t.partitions))
	}
	return t.sorted
}

// text makes a scalar value comparable with ==.
func text(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberB:
		return string(v.Value)
	}
	return ""
}

func (t *table) find(key Item) *record {
	p := t.partitions[text(key[t.hash])]
	if p == nil {
		return nil
	}
	at, found := p.at(key[t.rangeKey])
	if !found {
		return nil
	}
	return p.records[at]
}

func (p *partition) at(rangeKey types.AttributeValue) (int, bool) {
	if rangeKey == nil {
		return 0, len(p.records) > 0
	}
	return sort.Find(len(p.records), func(i int) int {
		order, _ := expression.Compare(rangeKey, p.records[i].order)
		return order
	})
}

// item returns the present item under a key; nil when there is none. The caller must not change it.
func (t *table) item(key Item) Item {
	if r := t.find(key); r != nil {
		return r.item
	}
	return nil
}

// store puts an item, or deletes it if it is nil, and adds to the stream if that changed anything. The caller must not change the item later.
func (d *DynamoDB) store(t *table, key, it Item, by *events.DynamoDBUserIdentity) {
	now := d.now()
	hash := text(key[t.hash])
	p := t.partitions[hash]
	if p == nil {
		p = &partition{}
		t.partitions[hash], t.sorted = p, nil
	}
	at, found := p.at(key[t.rangeKey])
	if !found {
		if it == nil {
			return
		}
		p.records = slices.Insert(p.records, at, &record{key: key, order: key[t.rangeKey]})
	}
	r := p.records[at]
	before := r.item
	if expression.EqualItems(before, it) {
		return
	}
	r.item, r.size, r.torn = it, Size(it), version{}
	if d.Watch != nil {
		d.Watch(t.name, before, it)
	}
	if d.Stale != nil {
		r.past = append(r.past, version{before, now})
		r.past = slices.DeleteFunc(r.past, func(v version) bool { return v.until.Before(now.Add(-MostStale)) })
	} else if it == nil && d.Torn == nil {
		p.records = slices.Delete(p.records, at, at+1)
		if len(p.records) == 0 {
			delete(t.partitions, hash)
			t.sorted = nil
		}
	}
	if t.view == "" {
		return
	}
	c := change{name: events.DynamoDBOperationTypeModify, key: key, at: now, by: by}
	switch {
	case before == nil:
		c.name = events.DynamoDBOperationTypeInsert
	case it == nil:
		c.name = events.DynamoDBOperationTypeRemove
	}
	if t.view == types.StreamViewTypeNewImage || t.view == types.StreamViewTypeNewAndOldImages {
		c.new = it
	}
	if t.view == types.StreamViewTypeOldImage || t.view == types.StreamViewTypeNewAndOldImages {
		c.old = before
	}
	t.stream = append(t.stream, c)
}

// sizeOf returns the size of the item, or of a state of it that seen returned.
func (r *record) sizeOf(seen Item) int {
	if len(r.past) == 0 && r.torn.until.IsZero() {
		return r.size
	}
	return Size(seen)
}

// seen returns the item as a read sees it whose state is this old.
func (r *record) seen(age time.Duration, now time.Time) Item {
	if now.Before(r.torn.until) {
		return r.torn.item
	}
	if age <= 0 {
		return r.item
	}
	then := now.Add(-min(age, MostStale))
	for _, v := range r.past {
		if v.until.After(then) {
			return v.item
		}
	}
	return r.item
}

func (t *table) record(number int) events.DynamoDBEventRecord {
	c := t.stream[number-t.trimmed]
	sequence := fmt.Sprintf("%021d", number+1)
	size := Size(c.key) + Size(c.new) + Size(c.old)
	return events.DynamoDBEventRecord{
		EventID: fmt.Sprintf("%s-%d", t.name, number+1), EventName: string(c.name), EventSource: "aws:dynamodb", EventVersion: "1.1",
		AWSRegion: "us-east-1", EventSourceArn: "arn:aws:dynamodb:us-east-1:000000000000:table/" + t.name + "/stream/2026-01-01T00:00:00.000",
		UserIdentity: c.by,
		Change: events.DynamoDBStreamRecord{ApproximateCreationDateTime: events.SecondsEpochTime{Time: c.at.Truncate(time.Second)},
			Keys: images(c.key), NewImage: images(c.new), OldImage: images(c.old), SequenceNumber: sequence, SizeBytes: int64(size), StreamViewType: string(t.view)},
	}
}

func images(it Item) map[string]events.DynamoDBAttributeValue {
	if it == nil {
		return nil
	}
	out := make(map[string]events.DynamoDBAttributeValue, len(it))
	for name, v := range it {
		out[name] = image(v)
	}
	return out
}

func image(v types.AttributeValue) events.DynamoDBAttributeValue {
	switch v := expression.Clone(v).(type) {
	case *types.AttributeValueMemberS:
		return events.NewStringAttribute(v.Value)
	case *types.AttributeValueMemberN:
		return events.NewNumberAttribute(v.Value)
	case *types.AttributeValueMemberB:
		return events.NewBinaryAttribute(v.Value)
	case *types.AttributeValueMemberSS:
		return events.NewStringSetAttribute(v.Value)
	case *types.AttributeValueMemberNS:
		return events.NewNumberSetAttribute(v.Value)
	case *types.AttributeValueMemberBS:
		return events.NewBinarySetAttribute(v.Value)
	case *types.AttributeValueMemberM:
		return events.NewMapAttribute(images(v.Value))
	case *types.AttributeValueMemberL:
		list := make([]events.DynamoDBAttributeValue, len(v.Value))
		for i, one := range v.Value {
			list[i] = image(one)
		}
		return events.NewListAttribute(list)
	case *types.AttributeValueMemberBOOL:
		return events.NewBooleanAttribute(v.Value)
	}
	return events.NewNullAttribute()
}

func epoch(number string) int64 {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return int64(f)
}
