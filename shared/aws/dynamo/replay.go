package dynamo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// Replays revives dead tasks. It writes to all three tables in one transaction.
type Replays struct {
	API                  API
	Tasks, Control, Jobs string
	Retention            time.Duration // how long a replay is remembered
}

// Begin returns when a replay began: now, unless it is known already.
func (r Replays) Begin(ctx context.Context, id string, now time.Time) (time.Time, error) {
	key := jobKey("#replay/"+id, "replay")
	it := jobKey("#replay/"+id, "replay")
	it["began_at"], it["expires_at"] = millis(now), num(now.Add(r.Retention).Unix())
	_, err := putItem(ctx, r.API, &dynamodb.PutItemInput{TableName: &r.Jobs, Item: it, ConditionExpression: aws.String("attribute_not_exists(job_id)")})
	if err == nil {
		return time.UnixMilli(now.UnixMilli()).UTC(), nil
	}
	if !refused(err) {
		return time.Time{}, fmt.Errorf("beginning replay %s, %w", id, err)
	}
	out, err := r.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Jobs, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading replay %s, %w", id, err)
	}
	return item(out.Item).time("began_at"), nil
}

// Revive begins the next life of dead tasks of one job and segment, queues them, and takes them out of the job's totals, in one transaction of
// up to 97 tasks. ledger.ErrChanged: one of them, or the job, has changed since it was read; nothing was done.
func (r Replays) Revive(ctx context.Context, job ledger.Job, p ledger.Progress, dead []task.Task, entry queue.Entry) error {
	var writes []types.TransactWriteItem
	lives := make([]int, len(dead))
	for i, before := range dead {
		after, err := before.Revive()
		if err != nil {
			return ledger.ErrChanged
		}
		u, err := Tasks{API: r.API, Table: r.Tasks, Retention: r.Retention}.saving(before, after)
		if err != nil {
			return err
		}
		lives[i] = ledger.Life(before.ID.N, before.Life)
		writes = append(writes, types.TransactWriteItem{Update: &types.Update{TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression,
			ConditionExpression: u.ConditionExpression, ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues}})
	}
	// The progress is needed until the job ends again; rolling it dates its end anew. How much leaves the totals depends on earlier replays: two
	// replays of different tasks must not start from the same sums.
	after := p.Revived(lives)
	update := "SET rolled = :is, replayed = :replayed REMOVE expires_at"
	values := item{":is": rolled(after.Rolled), ":replayed": intSet(after.Replayed)}
	if gone := without(p.Dead, after.Dead); len(gone) > 0 {
		update += " DELETE dead :gone"
		values[":gone"] = intSet(gone)
	}
	condition := asSummed(p, values)
	progress := &types.Update{TableName: &r.Jobs, Key: jobKey(job.ID, segmentPrefix+string(p.Segment)),
		UpdateExpression: &update, ConditionExpression: &condition, ExpressionAttributeValues: values}
	record := r.continuing(job, p.Rolled.Dead-after.Rolled.Dead)
	if job.State == ledger.Completed {
		record = r.reopening(job, p.Rolled.Dead-after.Rolled.Dead)
	}
	writes = append(writes, types.TransactWriteItem{Update: progress}, types.TransactWriteItem{Update: record}, putEntry(r.Control, entry))
	_, err := transactWriteItems(ctx, r.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return jobChanged(err, fmt.Sprintf("reviving %d tasks of job %s", len(dead), job.ID))
}

// continuing takes dead tasks out of the totals of a job that has not ended. Its state stays: if its tasks are still being created, their
// creation goes on.
func (r Replays) continuing(job ledger.Job, fewer int) *types.Update {
	state := ledger.Scheduled
	if job.State == ledger.Scheduling {
		state = ledger.Scheduling
	}
	return &types.Update{TableName: &r.Jobs, Key: jobKey(job.ID, recordItem),
		UpdateExpression:          aws.String("SET #state = :state ADD dead :fewer"),
		ConditionExpression:       aws.String("#state = :state AND attribute_not_exists(cancelling)"),
		ExpressionAttributeNames:  map[string]string{"#state": "state"},
		ExpressionAttributeValues: item{":state": str(string(state)), ":fewer": num(-fewer)}}
}

// reopening begins another generation of a completed job and takes dead tasks out of its totals.
func (r Replays) reopening(job ledger.Job, fewer int) *types.Update {
	return &types.Update{TableName: &r.Jobs, Key: jobKey(job.ID, recordItem),
		UpdateExpression:         aws.String("SET #state = :scheduled REMOVE finished_at, expires_at ADD generation :one, dead :fewer"),
		ConditionExpression:      aws.String("#state = :completed AND generation = :generation"),
		ExpressionAttributeNames: map[string]string{"#state": "state"},
		ExpressionAttributeValues: item{":scheduled": str(string(ledger.Scheduled)), ":completed": str(string(ledger.Completed)), ":generation": num(job.Generation),
			":one": num(1), ":fewer": num(-fewer)}}
}

// without returns the elements of all that are not in some.
func without(all, some []int) []int {
	return slices.DeleteFunc(slices.Clone(all), func(n int) bool { return slices.Contains(some, n) })
}
