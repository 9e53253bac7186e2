package dynamo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// unreadablePrefix begins the keys of items that were set aside because they cannot be decoded: unreadable#<time>#<former key>.
const unreadablePrefix = "unreadable#"

// kinds holds the types that an item's attributes must have.
type kinds []struct {
	name, kind string
	required   bool
}

var (
	entryKinds = kinds{{"tasks", "S", true}, {"attempt", "N", true}, {"max_duration", "N", false}, {"tried", "BOOL", false}, {"misfires", "N", false},
		{"job", "S", false}, {"since", "N", false}}
	leaseKinds = kinds{{"tasks", "S", true}, {"revision", "N", true}, {"hands", "M", true}, {"slots", "N", true}, {"due", "N", true}, {"claimed_at", "N", true},
		{"waiting", "S", false}, {"retries", "S", false}, {"feed_until", "N", false}, {"job", "S", false}, {"max_duration", "N", false}, {"lasts", "N", false}, {"tried", "BOOL", false},
		{"misfires", "N", false}, {"ordered", "BOOL", false}}
)

// ofKinds returns an error that names the first attribute that is missing or has another type. Read as zero, it would lead to writes whose
// conditions never hold.
func (it item) ofKinds(want kinds) error {
	for _, k := range want {
		if !it.has(k.name) && !k.required {
			continue
		}
		if is := kindOf(it[k.name]); is != k.kind {
			return fmt.Errorf("attribute %s is %s; it must be %s", k.name, is, k.kind)
		}
	}
	return nil
}

func kindOf(v types.AttributeValue) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case *types.AttributeValueMemberS:
		return "S"
	case *types.AttributeValueMemberN:
		if _, err := strconv.ParseInt(v.Value, 10, 64); err != nil {
			return "no whole number"
		}
		return "N"
	case *types.AttributeValueMemberNS:
		return "NS"
	case *types.AttributeValueMemberM:
		return "M"
	case *types.AttributeValueMemberBOOL:
		return "BOOL"
	}
	return "of another type"
}

func all[T any](items []item, of func(item) T) []T {
	out := make([]T, 0, len(items))
	for _, it := range items {
		out = append(out, of(it))
	}
	return out
}

func undecoded(it item, reason error) *queue.Unreadable {
	return &queue.Unreadable{Item: it.str("item"), Reason: reason.Error(), Since: it.time("unreadable_since")}
}

func entryOf(it item) queue.Entry {
	e, err := readEntry(it)
	if err != nil {
		return queue.Entry{Labourer: it.owner(), Unreadable: undecoded(it, err)}
	}
	return e
}

func leaseOf(it item) queue.Lease {
	l, err := readLease(it)
	if err != nil {
		l = queue.Lease{Labourer: it.owner(), Tasks: it.inHandAtMost(), MaxDuration: max(it.duration("max_duration"), 0), Unreadable: undecoded(it, err)}
	}
	return l
}

// inHandAtMost returns tasks of a lease that cannot be decoded, as many as may be in hand by what can be read of it, and at least one. Where its
// slots cannot be read, all that wait count; where its hands cannot be read, all of its tasks do.
func (it item) inHandAtMost() segment.Numbers {
	hands, held := it.hands(), segment.Numbers{}
	readable := kindOf(it["hands"]) == "M"
	for name := range hands {
		n, known := handOf(name)
		if readable = readable && known; known {
			held = held.Union(segment.Of(n))
		}
	}
	switch waiting, slots := it.readable("waiting"), int(it.num("slots")); {
	case !readable:
		held = held.Union(it.readable("tasks"))
	case kindOf(it["slots"]) == "N":
		held = held.Union(waiting.First(slots - len(hands)))
	default:
		held = held.Union(waiting)
	}
	if held = held.First(queue.MostSlots); held.Empty() {
		return segment.Of(0)
	}
	return held
}

// readable returns the numbers of tasks that can be read of an attribute.
func (it item) readable(name string) segment.Numbers {
	var out segment.Numbers
	for part := range strings.SplitSeq(it.str(name), ",") {
		if numbers, err := segment.ParseNumbers(part); err == nil {
			out = out.Union(numbers)
		}
	}
	return out
}

// Suspect records when an item that cannot be decoded was first seen. queue.ErrChanged: that is recorded already, or the item is gone.
func (c Control) Suspect(ctx context.Context, labourer, name string, now time.Time) error {
	_, err := updateItem(ctx, c.API, &dynamodb.UpdateItemInput{
		TableName: &c.Table, Key: controlKey(labourer, name), UpdateExpression: aws.String("SET unreadable_since = :now"),
		ConditionExpression:       aws.String("attribute_exists(labourer) AND attribute_not_exists(unreadable_since)"),
		ExpressionAttributeValues: item{":now": millis(now)},
	})
	return changed(err, "noting that "+name+" of labourer "+labourer+" cannot be read")
}

// SetAside moves a lease, an entry or an aside that cannot be decoded to a key under which it holds no slot and blocks nothing. It keeps all
// attributes for people to inspect. It leaves alone an item that is gone or can be decoded. queue.ErrChanged: the item has changed since it
// was read.
func (c Control) SetAside(ctx context.Context, labourer, name string, now time.Time) error {
	out, err := c.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.Table, Key: controlKey(labourer, name), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return fmt.Errorf("reading %s of labourer %s, %w", name, labourer, err)
	}
	it := item(out.Item)
	known := entryKinds
	_, read := readEntry(it)
	if strings.HasPrefix(name, leasePrefix) {
		known = leaseKinds
		_, read = readLease(it)
	}
	if it == nil || read == nil {
		return nil
	}
	aside := maps.Clone(it)
	key := fmt.Sprintf("%s%013d#%s", unreadablePrefix, now.UnixMilli(), name)
	aside["labourer"], aside["item"] = str(labourer), str(strings.ToValidUTF8(key[:min(len(key), 1024)], ""))
	aside["was"], aside["unreadable"], aside["unreadable_since"] = str(name), str(read.Error()), millis(now)
	condition, names, values := intact(it, known)
	_, err = transactWriteItems(ctx, c.API, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Delete: &types.Delete{TableName: &c.Table, Key: controlKey(labourer, name), ConditionExpression: &condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values}},
		{Put: &types.Put{TableName: &c.Table, Item: aside, ConditionExpression: aws.String("attribute_not_exists(labourer)")}}}})
	return changed(err, "setting "+name+" of labourer "+labourer+" aside")
}

// intact returns the condition that an item has not changed since it was read: each attribute has its value, and none of the known ones has
// come.
func intact(it item, known kinds) (condition string, names map[string]string, values item) {
	names, values = map[string]string{}, item{}
	var terms []string
	for i, name := range slices.Sorted(maps.Keys(it)) {
		names[fmt.Sprintf("#%d", i)], values[fmt.Sprintf(":%d", i)] = name, it[name]
		terms = append(terms, fmt.Sprintf("#%d = :%d", i, i))
	}
	for _, k := range known {
		if !it.has(k.name) {
			names["#"+k.name] = k.name
			terms = append(terms, "attribute_not_exists(#"+k.name+")")
		}
	}
	return strings.Join(terms, " AND "), names, values
}

// Unreadable reads a labourer's items that were set aside, the oldest first, up to limit, eventually consistent.
func (c Control) Unreadable(ctx context.Context, labourer string, limit int) ([]queue.Unreadable, error) {
	items, err := c.between(ctx, labourer, unreadablePrefix, unreadablePrefix+"~", limit, false)
	if err != nil {
		return nil, fmt.Errorf("reading what of labourer %s was set aside, %w", labourer, err)
	}
	return all(items, func(it item) queue.Unreadable {
		return queue.Unreadable{Item: it.str("item"), Was: it.str("was"), Reason: it.str("unreadable"), Since: it.time("unreadable_since")}
	}), nil
}
