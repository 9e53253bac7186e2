package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/trace"
)

// Tasks stands for the tasks table, with the key (segment, n) and one item for each task.
type Tasks struct {
	API       API
	Table     string
	Retention time.Duration // how long a task is kept after its end
}

// batchSize says how many items BatchWriteItem takes.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
const batchSize = 25

// writers says how many batches of a segment are written at the same time: all of them, as a segment has eleven if its payloads lie in its tasks' items.
const writers = 11

// Create writes new tasks. It overwrites, so it is only for tasks whose queue entry has not been published. It retries what the table leaves
// unprocessed until ctx ends. It writes bundles before the tasks that refer to them: the table may carry out a write late that was given up, and another
// creation may have cut the tasks into other bundles by then.
func (t Tasks) Create(ctx context.Context, tasks []task.Task) error {
	bundles, each, err := t.created(tasks)
	if err != nil {
		return err
	}
	if err := t.put(ctx, bundles); err != nil {
		return err
	}
	return t.put(ctx, slices.Concat(each...))
}

// put writes items without conditions, several batches at once.
func (t Tasks) put(ctx context.Context, items []item) error {
	requests := make([]types.WriteRequest, 0, len(items))
	for _, one := range items {
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: one}})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for batch := range slices.Chunk(requests, batchSize) {
		g.Go(func() error { return writeBatch(ctx, t.API, t.Table, batch) })
	}
	return g.Wait()
}

// Add writes new tasks. It leaves a task that exists as it is: that was written before, perhaps with another payload, and may have been handed out since.
// A bundle is written before the tasks that refer to it. One that exists is left as it is too: it has the same content, and may be dated anew.
func (t Tasks) Add(ctx context.Context, tasks []task.Task) error {
	bundles, each, err := t.created(tasks)
	if err != nil {
		return err
	}
	g, writing := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for _, b := range bundles {
		g.Go(func() error {
			if err := t.add(writing, []item{b}); err != nil && !refused(err) {
				return fmt.Errorf("adding payloads of tasks of segment %s, %w", b.str("segment"), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	g, writing = errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i, items := range each {
		g.Go(func() error {
			if err := t.add(writing, items); err != nil && !refused(err) {
				return fmt.Errorf("adding task %s, %w", tasks[i].ID, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// add writes items, of which the last does not exist, all or none.
func (t Tasks) add(ctx context.Context, items []item) error {
	absent := aws.String("attribute_not_exists(n)")
	last := len(items) - 1
	if last == 0 {
		_, err := putItem(ctx, t.API, &dynamodb.PutItemInput{TableName: &t.Table, Item: items[0], ConditionExpression: absent})
		return err
	}
	writes := make([]types.TransactWriteItem, len(items))
	for i, it := range items {
		writes[i].Put = &types.Put{TableName: &t.Table, Item: it}
	}
	writes[last].Put.ConditionExpression = absent
	_, err := transactWriteItems(ctx, t.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return err
}

// writeBatch carries out writes without conditions, and retries what the table leaves unprocessed until ctx ends.
func writeBatch(ctx context.Context, api API, table string, requests []types.WriteRequest) error {
	for tries := 0; ; tries++ {
		out, err := api.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: requests}})
		if err != nil {
			return fmt.Errorf("writing %d items, %w", len(requests), err)
		}
		if requests = out.UnprocessedItems[table]; len(requests) == 0 {
			return nil
		}
		if err := pause(ctx, api, tries); err != nil {
			return fmt.Errorf("writing %d items that the table left unprocessed, %w", len(requests), err)
		}
	}
}

// Load reads tasks by id, strongly consistent, without payloads that lie apart. Tasks that do not exist are missing in the answer.
// *task.UnreadableError: some cannot be decoded; the answer has the others.
func (t Tasks) Load(ctx context.Context, ids []task.ID) (map[task.ID]task.Task, error) {
	out := make(map[task.ID]task.Task, len(ids))
	asked := make(map[task.ID]bool, len(ids))
	var keys []map[string]types.AttributeValue
	for _, id := range ids {
		if !asked[id] {
			asked[id] = true
			keys = append(keys, taskKey(id))
		}
	}
	var bad unreadable
	err := batchGet(ctx, t.API, t.Table, keys, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}, func(it item) error {
		if one, wrong := readTask(it); !bad.add(one, wrong) {
			out[one.ID] = one
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d tasks, %w", len(keys), err)
	}
	return out, bad.err()
}

// unreadable collects tasks that cannot be decoded.
type unreadable []struct {
	task task.Task
	err  error
}

// add reports whether a task cannot be decoded, and keeps it if so.
func (u *unreadable) add(one task.Task, err error) bool {
	if err != nil {
		*u = append(*u, struct {
			task task.Task
			err  error
		}{one, err})
	}
	return err != nil
}

func (u unreadable) err() error {
	if len(u) == 0 {
		return nil
	}
	e := &task.UnreadableError{}
	for _, one := range u {
		e.Tasks, e.Reason = append(e.Tasks, one.task), errors.Join(e.Reason, one.err)
	}
	return e
}

// Chunks reads the tasks of a segment whose numbers are in the set, strongly consistent, in the order of their numbers. At most
// [task.ChunkBytes] of payloads, results and stats, as much of what lies apart, and a page of 1 MB, are in memory at once. It ends at the first
// error. A *task.UnreadableError, for tasks that cannot be decoded, comes after all the others.
func (t Tasks) Chunks(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return task.Chunks(func(yield func(task.Task, error) bool) {
		var bad unreadable
		for page, err := range t.pages(ctx, s, numbers) {
			if err != nil {
				yield(task.Task{}, err)
				return
			}
			heads := make([]task.Task, len(page))
			for i, it := range page {
				heads[i] = task.Task{ID: task.ID{Segment: s, N: int(it.num("n"))}, Parts: int(it.num("parts")), Bundle: it.str("bundle")}
			}
			for some := range together(heads) {
				apart, err := t.apart(ctx, some)
				if err != nil {
					yield(task.Task{}, err)
					return
				}
				for _, it := range page[:len(some)] {
					one, wrong := readTask(it)
					if wrong == nil {
						wrong = fill(&one, apart)
					}
					if !bad.add(one, wrong) && !yield(one, nil) {
						return
					}
				}
				page = page[len(some):]
			}
		}
		if err := bad.err(); err != nil {
			yield(task.Task{}, err)
		}
	})
}

// Range reads what Chunks reads, all at once, so without payloads that lie apart. *task.UnreadableError: some tasks cannot be decoded; the others
// are returned.
func (t Tasks) Range(ctx context.Context, s segment.ID, numbers segment.Numbers) ([]task.Task, error) {
	var out []task.Task
	var bad unreadable
	for page, err := range t.pages(ctx, s, numbers) {
		if err != nil {
			return nil, err
		}
		for _, it := range page {
			if one, wrong := readTask(it); !bad.add(one, wrong) {
				out = append(out, one)
			}
		}
	}
	return out, bad.err()
}

// pages reads the items of those tasks of a segment whose numbers are in the set, a page at a time. It ends at an error.
func (t Tasks) pages(ctx context.Context, s segment.ID, numbers segment.Numbers) iter.Seq2[[]item, error] {
	return func(yield func([]item, error) bool) {
		if numbers.Empty() {
			return
		}
		in := t.reading(s, numbers)
		for {
			page, err := t.API.Query(ctx, &in)
			if err != nil {
				yield(nil, fmt.Errorf("reading tasks %s of segment %s, %w", numbers, s, err))
				return
			}
			var some []item
			for _, it := range page.Items {
				if numbers.Contains(int(item(it).num("n"))) {
					some = append(some, it)
				}
			}
			if !yield(some, nil) || len(page.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = page.LastEvaluatedKey
		}
	}
}

// Save writes the end of an attempt, or another change of a task, if the task is still as in before: the same number of ended attempts, status
// and life. task.ErrStale: it is not. *task.TooLargeError: the attempt left more than there is room for; nothing was written.
func (t Tasks) Save(ctx context.Context, before, after task.Task) error {
	in, err := t.saving(before, after)
	if err != nil {
		return err
	}
	_, err = updateItem(ctx, t.API, in)
	if refused(err) {
		return task.ErrStale
	}
	if err != nil {
		return fmt.Errorf("closing task %s as %s, %w", after.ID, after.Status, err)
	}
	return nil
}

func (t Tasks) saving(before, after task.Task) (*dynamodb.UpdateItemInput, error) {
	was, err := taskItem(before, 0)
	if err != nil {
		return nil, fmt.Errorf("encoding task %s, %w", before.ID, err)
	}
	is, err := taskItem(after, t.Retention)
	if err == nil && after.Attempt > before.Attempt { // no other change adds data
		err = fits(after, is)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding task %s, %w", after.ID, err)
	}
	condition, names, values := asRead(was)
	set, removed := closing(was, is)
	var sets, removes string
	for _, name := range closingAttributes {
		if value, is := set[name]; is {
			names["#"+name], values[":"+name] = name, value
			sets += ", #" + name + " = :" + name
		}
	}
	for _, name := range removed {
		names["#"+name] = name
		removes += ", #" + name
	}
	expression := ""
	if sets != "" {
		expression = "SET " + sets[2:]
	}
	if removes != "" {
		expression += " REMOVE " + removes[2:]
	}
	return &dynamodb.UpdateItemInput{
		TableName: &t.Table, Key: taskKey(after.ID), UpdateExpression: &expression, ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}, nil
}

// closingAttributes are the attributes that change after a task's creation.
var closingAttributes = []string{"status", "attempt", "closed_at", "attempts", "result", "stats", "permanent", "retry_after", "life", "life_attempt", "expires_at"}

// closing returns the attributes that a change of a task sets, and those that it removes.
func closing(was, is item) (set item, removed []string) {
	set = item{}
	for _, name := range closingAttributes {
		if value, keep := is[name]; keep {
			set[name] = value
		} else if was.has(name) || name == "expires_at" { // was does not tell when the task expires
			removed = append(removed, name)
		}
	}
	return set, removed
}

func taskKey(id task.ID) item {
	return item{"segment": str(string(id.Segment)), "n": num(id.N)}
}

// taskItem returns a task's stored form. retention > 0 sets when DynamoDB may delete a task that has ended.
func taskItem(t task.Task, retention time.Duration) (item, error) {
	it := taskKey(t.ID)
	maps.Copy(it, item{"labourer": str(t.Labourer), "job": str(t.JobID), "created_at": millis(t.CreatedAt)})
	if t.Parts == 0 {
		it["payload"] = &types.AttributeValueMemberB{Value: pack(t.Payload)}
	} else if !t.PayloadUntil.IsZero() {
		it["payload_until"] = num(t.PayloadUntil.Unix())
	}
	for name, n := range map[string]int64{
		"max_attempts": int64(t.MaxAttempts), "max_duration": t.MaxDuration.Milliseconds(), "attempt": int64(t.Attempt),
		"retry_after": t.RetryAfter.Milliseconds(), "life": int64(t.Life), "parts": int64(t.Parts), "life_attempt": int64(t.LifeAttempt),
	} {
		if n != 0 {
			it[name] = num(n)
		}
	}
	for name, s := range map[string]string{
		"qualifier": t.Qualifier, "bundle": t.Bundle, "status": string(t.Status), "turn": t.Turn, "traceparent": traceOf(t).Parent(), "tracestate": traceOf(t).State,
	} {
		if s != "" {
			it[name] = str(s)
		}
	}
	for name, text := range map[string]json.RawMessage{"result": t.Result, "stats": t.Stats} {
		if len(text) > 0 {
			it[name] = &types.AttributeValueMemberB{Value: pack(text)}
		}
	}
	for name, set := range map[string]bool{"permanent": t.Permanent, "shared": t.Shared} {
		if set {
			it[name] = yes()
		}
	}
	if !t.ClosedAt.IsZero() {
		it["closed_at"] = millis(t.ClosedAt)
		if t.Status.Terminal() && retention > 0 {
			it["expires_at"] = num(t.ClosedAt.Add(retention).Unix())
		}
	}
	if t.Origin != nil {
		origin, err := packed(t.Origin)
		if err != nil {
			return nil, err
		}
		it["origin"] = origin
	}
	if len(t.Attempts) > 0 {
		attempts, err := packed(t.Attempts)
		if err != nil {
			return nil, err
		}
		it["attempts"] = attempts
	}
	return it, nil
}

// traceOf returns the trace context that is stored with a task. That of a turn is stored in its run's record.
func traceOf(t task.Task) trace.Context {
	if t.Turn != "" {
		return trace.Context{}
	}
	return t.Trace
}

// readTask decodes an item. Beside an error it returns the part of the task that it could read.
func readTask(it item) (task.Task, error) {
	t := task.Task{
		ID:       task.ID{Segment: segment.ID(it.str("segment")), N: int(it.num("n"))},
		Labourer: it.str("labourer"), JobID: it.str("job"), CreatedAt: it.time("created_at"), Shared: it.bool("shared"),
		MaxAttempts: int(it.num("max_attempts")), MaxDuration: it.duration("max_duration"), Qualifier: it.str("qualifier"), Turn: it.str("turn"), Bundle: it.str("bundle"),
		Status: task.Status(it.str("status")), Attempt: int(it.num("attempt")), ClosedAt: it.time("closed_at"),
		Permanent: it.bool("permanent"), RetryAfter: it.duration("retry_after"),
		Trace: trace.Parse(it.str("traceparent"), it.str("tracestate")),
		Life:  int(it.num("life")), Parts: int(it.num("parts")), LifeAttempt: int(it.num("life_attempt")),
	}
	if it.has("payload_until") {
		t.PayloadUntil = time.Unix(it.num("payload_until"), 0).UTC()
	}
	var problems []error
	for name, into := range map[string]*json.RawMessage{"payload": &t.Payload, "result": &t.Result, "stats": &t.Stats} {
		text, err := unpack(it.bytes(name))
		problems = append(problems, wrapAttribute(name, err))
		*into = text
	}
	if err := it.json("attempts", &t.Attempts); err != nil {
		t.Attempts, problems = nil, append(problems, err)
	}
	if err := it.json("origin", &t.Origin); err != nil {
		t.Origin, problems = nil, append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return t, fmt.Errorf("reading task %s, %w", t.ID, err)
	}
	return t, nil
}
