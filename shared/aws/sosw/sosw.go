// Package sosw reads the tables of a live sosw, and marks the rows that Drover takes over.
package sosw

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/migration"
)

var (
	_ migration.Source = Source{}
	_ migration.Ended  = Source{}
)

// API has the calls of DynamoDB that a move makes on sosw's tables.
type API interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Source is a sosw's tables of tasks that have not ended.
type Source struct {
	API     API
	Tasks   string // the table's name
	Retries string // "": this sosw has no such table
	Closed  string // "": this sosw has no such table
}

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func (s Source) name(t sosw.Table) string {
	if t == sosw.Retries {
		return s.Retries
	}
	return s.Tasks
}

func keyOf(k sosw.Key) item {
	key := item{"task_id": str(k.TaskID)}
	if k.Table == sosw.Retries {
		key["labourer_id"] = str(k.Labourer)
	}
	return key
}

// Rows reads all rows of both tables, strongly consistent.
func (s Source) Rows(ctx context.Context) iter.Seq2[sosw.Row, error] {
	return func(yield func(sosw.Row, error) bool) {
		for _, t := range []sosw.Table{sosw.Tasks, sosw.Retries} {
			if s.name(t) == "" {
				continue
			}
			for it, err := range Scan(ctx, s.API, s.name(t)) {
				if err != nil {
					yield(sosw.Row{}, err)
					return
				}
				if !yield(sosw.Read(t, attributes(it)), nil) {
					return
				}
			}
		}
	}
}

// Scan reads all items of a table, strongly consistent. It ends at the first error.
func Scan(ctx context.Context, api API, table string) iter.Seq2[map[string]types.AttributeValue, error] {
	return func(yield func(map[string]types.AttributeValue, error) bool) {
		in := dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)}
		for {
			page, err := api.Scan(ctx, &in)
			if err != nil {
				yield(nil, fmt.Errorf("reading sosw's table %s, %w", table, err))
				return
			}
			for _, it := range page.Items {
				if !yield(it, nil) {
					return
				}
			}
			if len(page.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = page.LastEvaluatedKey
		}
	}
}

// attributes returns the attributes of an item in the form of the deciding package.
func attributes(it item) map[string]sosw.Attribute {
	out := make(map[string]sosw.Attribute, len(it))
	for name, v := range it {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = sosw.Attribute{Kind: "S", Text: v.Value}
		case *types.AttributeValueMemberN:
			out[name] = sosw.Attribute{Kind: "N", Text: v.Value}
		case *types.AttributeValueMemberNULL:
			out[name] = sosw.Attribute{Kind: "NULL"}
		default:
			out[name] = sosw.Attribute{Kind: "neither text nor number"}
		}
	}
	return out
}

// mostKeys limits the keys of a BatchGetItem.
const mostKeys = 100

// Load reads these rows, strongly consistent. Rows that do not exist are missing in the answer.
func (s Source) Load(ctx context.Context, keys []sosw.Key) (map[sosw.Key]sosw.Row, error) {
	out := make(map[sosw.Key]sosw.Row, len(keys))
	once := map[sosw.Key]bool{}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k sosw.Key) bool {
		was := once[k]
		once[k] = true
		return was
	})
	for some := range slices.Chunk(keys, mostKeys) {
		asked := map[string]types.KeysAndAttributes{}
		for _, k := range some {
			name := s.name(k.Table)
			asked[name] = types.KeysAndAttributes{ConsistentRead: aws.Bool(true), Keys: append(asked[name].Keys, keyOf(k))}
		}
		for tries := 0; len(asked) > 0; tries++ {
			if tries > 0 {
				if err := pause(ctx, tries); err != nil {
					return nil, err
				}
			}
			page, err := s.API.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: asked})
			if err != nil {
				return nil, fmt.Errorf("reading %d rows of sosw, %w", len(some), err)
			}
			for _, t := range []sosw.Table{sosw.Tasks, sosw.Retries} {
				for _, it := range page.Responses[s.name(t)] {
					r := sosw.Read(t, attributes(it))
					out[r.Key] = r
				}
			}
			asked = page.UnprocessedKeys
		}
	}
	return out, nil
}

// Ended returns those of these tasks that sosw has archived.
func (s Source) Ended(ctx context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, id := range ids {
		if s.Closed == "" {
			break
		}
		found, err := s.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.Closed, Key: item{"task_id": str(id)}, ConsistentRead: aws.Bool(true),
			ProjectionExpression: aws.String("task_id")})
		if err != nil {
			return nil, fmt.Errorf("reading the archived task %s of sosw, %w", id, err)
		}
		out[id] = found.Item != nil
	}
	return out, nil
}

// ClosedTasks reads sosw's table of closed tasks.
func (s Source) ClosedTasks(ctx context.Context) iter.Seq2[migration.Closed, error] {
	return func(yield func(migration.Closed, error) bool) {
		if s.Closed == "" {
			return
		}
		for it, err := range Scan(ctx, s.API, s.Closed) {
			var one migration.Closed
			if err == nil {
				one.Task, one.Problem = sosw.ReadClosed(attributes(it))
			}
			if !yield(one, err) || err != nil {
				return
			}
		}
	}
}

// pause waits between two requests for rows that a table left unread: up to 50 ms × 2^tries, at most 5 s.
func pause(ctx context.Context, tries int) error {
	timer := time.NewTimer(rand.N(min(5*time.Second, 50*time.Millisecond<<min(tries, 10))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Mark takes a row out of the index of its table, if it still has this place and has not completed, and notes the task that it becomes. taken is
// also true if it was marked for this task before.
func (s Source) Mark(ctx context.Context, k sosw.Key, place int64, id task.ID) (taken bool, err error) {
	_, err = s.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(s.name(k.Table)), Key: keyOf(k),
		UpdateExpression:          aws.String("SET #moved = :task, #was = :place REMOVE #place"),
		ConditionExpression:       aws.String("#place = :place AND attribute_not_exists(#moved) AND attribute_not_exists(completed_at)"),
		ExpressionAttributeNames:  map[string]string{"#moved": sosw.MovedTo, "#was": sosw.Was, "#place": k.Table.Place()},
		ExpressionAttributeValues: item{":task": str(id.String()), ":place": number(place)}})
	if err == nil {
		return true, nil
	}
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); !refused {
		return false, fmt.Errorf("marking row %s of sosw, %w", k.TaskID, err)
	}
	out, err := s.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(s.name(k.Table)), Key: keyOf(k), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return false, fmt.Errorf("reading row %s of sosw, %w", k.TaskID, err)
	}
	return attributes(out.Item)[sosw.MovedTo].Text == id.String(), nil
}

// Restore gives a row back this place, if it is marked for this task.
func (s Source) Restore(ctx context.Context, k sosw.Key, place int64, id task.ID) (restored bool, err error) {
	_, err = s.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(s.name(k.Table)), Key: keyOf(k),
		UpdateExpression:          aws.String("SET #place = :place REMOVE #moved, #was"),
		ConditionExpression:       aws.String("#moved = :task"),
		ExpressionAttributeNames:  map[string]string{"#moved": sosw.MovedTo, "#was": sosw.Was, "#place": k.Table.Place()},
		ExpressionAttributeValues: item{":task": str(id.String()), ":place": number(place)}})
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("giving row %s back to sosw, %w", k.TaskID, err)
	}
	return true, nil
}
