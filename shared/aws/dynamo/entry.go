package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

// Due reads the first entries that are due at this time, in the order in which they are handed out, strongly consistent. limit 0: all.
func (c Control) Due(ctx context.Context, labourer string, now time.Time, limit int) ([]queue.Entry, error) {
	return c.entries(ctx, labourer, "queue#", dueUntil(now), limit)
}

// Queue reads all entries of a labourer, due or not, strongly consistent.
func (c Control) Queue(ctx context.Context, labourer string) ([]queue.Entry, error) {
	return c.entries(ctx, labourer, "queue#", "queue#~", 0)
}

// dueUntil returns a sort key behind every entry that is due now, as '~' sorts behind '#'.
func dueUntil(now time.Time) string { return fmt.Sprintf("queue#%013d~", now.UnixMilli()) }

func (c Control) entries(ctx context.Context, labourer, from, to string, limit int) ([]queue.Entry, error) {
	items, err := c.between(ctx, labourer, from, to, limit, true)
	if err != nil {
		return nil, fmt.Errorf("reading the queue of labourer %s, %w", labourer, err)
	}
	return all(items, entryOf), nil
}

func putEntry(table string, e queue.Entry) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &table, Item: entryItem(e), ConditionExpression: aws.String("attribute_not_exists(labourer)"),
	}}
}

// shortening leaves only the rest of its tasks in an entry that has not changed since it was read, and removes the entry if there are none.
func (c Control) shortening(e queue.Entry, rest segment.Numbers) types.TransactWriteItem {
	key, condition, values := controlKey(e.Labourer, e.Item()), aws.String("tasks = :tasks"), item{":tasks": str(e.Tasks.String())}
	if rest.Empty() {
		return types.TransactWriteItem{Delete: &types.Delete{TableName: &c.Table, Key: key, ConditionExpression: condition, ExpressionAttributeValues: values}}
	}
	values[":rest"] = str(rest.String())
	return types.TransactWriteItem{Update: &types.Update{TableName: &c.Table, Key: key, UpdateExpression: aws.String("SET tasks = :rest"),
		ConditionExpression: condition, ExpressionAttributeValues: values}}
}

func entryItem(e queue.Entry) item {
	it := controlKey(e.Labourer, e.Item())
	it["tasks"], it["attempt"] = str(e.Tasks.String()), num(e.Attempt)
	putNeeds(it, e.Job, e.MaxDuration, e.Tried, e.Misfires)
	return it
}

// putNeeds adds to an entry or a lease what its tasks need, if it is set.
func putNeeds(it item, job string, maxDuration time.Duration, tried bool, misfires int) {
	if job != "" {
		it["job"] = str(job)
	}
	if maxDuration > 0 {
		it["max_duration"] = num(maxDuration.Milliseconds())
	}
	if tried {
		it["tried"] = yes()
	}
	if misfires > 0 {
		it["misfires"] = num(misfires)
	}
}

func readEntry(it item) (queue.Entry, error) {
	e := queue.Entry{Labourer: it.str("labourer"), Job: it.str("job"), Attempt: int(it.num("attempt")), MaxDuration: it.duration("max_duration"),
		Tried: it.bool("tried"), Misfires: int(it.num("misfires"))}
	if err := it.ofKinds(entryKinds); err != nil {
		return e, err
	}
	tasks, err := it.ranges("tasks")
	if err != nil {
		return e, wrapAttribute("tasks", err)
	}
	parts := strings.Split(it.str("item"), "#")
	if len(parts) != 4 {
		return e, fmt.Errorf("its key has %d parts; it must have 4", len(parts))
	}
	due, err1 := strconv.ParseInt(parts[1], 10, 64)
	first, err2 := strconv.Atoi(parts[3])
	if err := errors.Join(err1, err2); err != nil {
		return e, fmt.Errorf("its key, %w", err)
	}
	e.Due, e.Segment, e.First, e.Tasks = time.UnixMilli(due).UTC(), segment.ID(parts[2]), first, tasks
	return e, nil
}
