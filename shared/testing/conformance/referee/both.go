package referee

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Both is a DynamoDB that makes each call of the one in memory and of the referee, one after the other, and fails the test when they answer
// differently and [Known] does not have the difference. It returns the answer of memory.
//
// It compares whole answers: items, pages, what a refusal shows, and the capacity of tables and indexes. It does not compare messages of errors,
// on which nothing decides.
type Both struct {
	t       *testing.T
	memory  *fakeaws.DynamoDB
	referee dynamo.API

	mu    sync.Mutex
	calls int
	known map[string]int // how often each known difference was met
}

var _ dynamo.API = (*Both)(nil)

// NewBoth returns a DynamoDB of the two, which must have the same tables and items.
func NewBoth(t *testing.T, inMemory *fakeaws.DynamoDB, referee dynamo.API) *Both {
	return &Both{t: t, memory: inMemory, referee: referee, known: map[string]int{}}
}

// Calls returns how many calls were compared, and how often each known difference was met, by its name.
func (b *Both) Calls() (calls int, known map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls, maps.Clone(b.known)
}

// answer holds the result of a call in a form that can be compared.
type answer map[string]any

func both[I, O any](ctx context.Context, b *Both, operation string, in *I, inMemory, referee func(context.Context, *I, ...func(*dynamodb.Options)) (*O, error)) (*O, error) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	out, err := inMemory(ctx, in)
	theirs, theirErr := referee(ctx, in)
	b.calls++
	ours, others := answerOf(out, err), answerOf(theirs, theirErr)
	if reflect.DeepEqual(ours, others) {
		return out, err
	}
	for _, d := range Known {
		if d.Operation == operation && d.is(in, ours, others) {
			b.known[d.Name]++
			return out, err
		}
	}
	for name := range maps.Clone(ours) { // equal parts need not be shown
		if reflect.DeepEqual(ours[name], others[name]) {
			delete(ours, name)
			delete(others, name)
		}
	}
	b.t.Errorf("%s %s\n memory:  %s %v\n referee: %s %v", operation, shown(plain(reflect.ValueOf(in))), shown(ours), err, shown(others), theirErr)
	return out, err
}

func answerOf(out any, err error) answer {
	if err == nil {
		whole, _ := plain(reflect.ValueOf(out)).(map[string]any)
		return whole
	}
	a := answer{"error": "no error of the service"}
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); ok {
		a["error"] = "ValidationException"
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		a["error"] = api.ErrorCode()
	}
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) && len(refused.Item) > 0 {
		a["item"] = plain(reflect.ValueOf(refused.Item))
	}
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		reasons := make([]any, len(cancelled.CancellationReasons))
		for i, r := range cancelled.CancellationReasons {
			r.Message = nil
			reasons[i] = plain(reflect.ValueOf(r))
		}
		a["reasons"] = reasons
	}
	return a
}

// plain returns a value of the SDK without types, and without what is absent or empty: nil, an empty map or list, a false, a zero. An
// attribute's value stays one whole, in the order of its elements where they have one.
func plain(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch value := v.Interface().(type) {
	case types.AttributeValue:
		return attribute(value)
	case middleware.Metadata:
		return nil
	case []map[string]types.AttributeValue:
		if len(value) == 0 {
			return nil
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return plain(v.Elem())
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if one := plain(v.Field(i)); one != nil {
					out[f.Name] = one
				}
			}
		}
		return present(out)
	case reflect.Map:
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			if one := plain(v.MapIndex(key)); one != nil {
				out[key.String()] = one
			}
		}
		return present(out)
	case reflect.Slice:
		if v.Len() == 0 {
			return nil
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	}
	if v.IsZero() {
		return nil
	}
	return v.Interface()
}

func present(out map[string]any) any {
	if len(out) == 0 {
		return nil
	}
	return out
}

// attribute returns an attribute's value as text, which says its type. Sets are sorted.
func attribute(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return fmt.Sprintf("S %q", v.Value)
	case *types.AttributeValueMemberN:
		return "N " + v.Value
	case *types.AttributeValueMemberB:
		return fmt.Sprintf("B %x", v.Value)
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprintf("BOOL %t", v.Value)
	case *types.AttributeValueMemberSS:
		return fmt.Sprintf("SS %q", slices.Sorted(slices.Values(v.Value)))
	case *types.AttributeValueMemberNS:
		return fmt.Sprintf("NS %q", slices.Sorted(slices.Values(v.Value)))
	case *types.AttributeValueMemberBS:
		all := make([]string, len(v.Value))
		for i, one := range v.Value {
			all[i] = string(one)
		}
		slices.Sort(all)
		return fmt.Sprintf("BS %x", all)
	case *types.AttributeValueMemberL:
		all := make([]string, len(v.Value))
		for i, one := range v.Value {
			all[i] = attribute(one)
		}
		return "L [" + strings.Join(all, ", ") + "]"
	case *types.AttributeValueMemberM:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(v.Value)) {
			all = append(all, fmt.Sprintf("%q: %s", name, attribute(v.Value[name])))
		}
		return "M {" + strings.Join(all, ", ") + "}"
	case *types.AttributeValueMemberNULL:
		return "NULL"
	}
	return fmt.Sprintf("%T", v)
}

// long matches a value of which a failure shows only the beginning.
var long = regexp.MustCompile(`[^ ]{100,}`)

func shown(v any) string {
	const most = 2000
	text := long.ReplaceAllStringFunc(fmt.Sprint(v), func(one string) string { return fmt.Sprintf("%s…(%d)", one[:40], len(one)) })
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// RequireSameItems requires that both have the same items in this table.
func (b *Both) RequireSameItems(table string) {
	b.t.Helper()
	client, is := b.referee.(*dynamodb.Client)
	require.True(b.t, is, "the referee has no Scan")
	var theirs []string
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.t.Context())
		require.NoError(b.t, err)
		for _, it := range page.Items {
			theirs = append(theirs, attribute(&types.AttributeValueMemberM{Value: it}))
		}
	}
	var ours []string
	for _, it := range b.memory.Items(table) {
		ours = append(ours, attribute(&types.AttributeValueMemberM{Value: it}))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	for _, it := range ours {
		if _, there := slices.BinarySearch(theirs, it); !there {
			b.t.Errorf("%s: memory has %s, the referee has not", table, shown(it))
		}
	}
	for _, it := range theirs {
		if _, there := slices.BinarySearch(ours, it); !there {
			if strings.Count(it, ": S ") == 2 && strings.Count(it, ": ") == 2 {
				b.known[removesAlone]++
				continue
			}
			b.t.Errorf("%s: the referee has %s, memory has not", table, shown(it))
		}
	}
}

// charge makes a call report all capacity, unless the caller asks for something else.
func charge(asked *types.ReturnConsumedCapacity) {
	if *asked == "" {
		*asked = types.ReturnConsumedCapacityIndexes
	}
}

// GetItem reads an item from both.
func (b *Both) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "GetItem", &charged, b.memory.GetItem, b.referee.GetItem)
}

// Query queries both.
func (b *Both) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "Query", &charged, b.memory.Query, b.referee.Query)
}

// BatchGetItem reads from both. DynamoDB answers in no particular order, so both answers are sorted by their items.
func (b *Both) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	type reading = func(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	ordered := func(read reading) reading {
		return func(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
			out, err := read(ctx, in)
			if err != nil {
				return nil, err
			}
			for _, items := range out.Responses {
				slices.SortFunc(items, func(a, b map[string]types.AttributeValue) int {
					return strings.Compare(attribute(&types.AttributeValueMemberM{Value: a}), attribute(&types.AttributeValueMemberM{Value: b}))
				})
			}
			slices.SortFunc(out.ConsumedCapacity, byTable)
			return out, nil
		}
	}
	return both(ctx, b, "BatchGetItem", &charged, ordered(b.memory.BatchGetItem), ordered(b.referee.BatchGetItem))
}

func byTable(a, b types.ConsumedCapacity) int {
	return strings.Compare(aws.ToString(a.TableName), aws.ToString(b.TableName))
}

// PutItem stores an item in both.
func (b *Both) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "PutItem", &charged, b.memory.PutItem, b.referee.PutItem)
}

// UpdateItem changes an item in both.
func (b *Both) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "UpdateItem", &charged, b.memory.UpdateItem, b.referee.UpdateItem)
}

// DeleteItem deletes an item from both.
func (b *Both) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "DeleteItem", &charged, b.memory.DeleteItem, b.referee.DeleteItem)
}

// BatchWriteItem writes to both.
func (b *Both) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "BatchWriteItem", &charged, b.memory.BatchWriteItem, b.referee.BatchWriteItem)
}

// TransactWriteItems writes to both.
func (b *Both) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	charged := *in
	charge(&charged.ReturnConsumedCapacity)
	return both(ctx, b, "TransactWriteItems", &charged, b.memory.TransactWriteItems, b.referee.TransactWriteItems)
}
