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

// Replays brings the dead back: it writes to all three tables at once.
type Replays struct {
	API                  API
	Tasks, Control, Jobs string
	Retention            time.Duration // how long a replay is remembered
}

// Begin is when a replay began: now, unless it is known already.
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

// Revive begins the next life of dead tasks of one job and segment, queues them, and takes them out of the job's totals, in one
// transaction of up to 97 tasks. ledger.ErrChanged: one of them, or the job, is not as it was read; nothing was done.
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
	// The progress is needed until the job has ended again; rolling it dates its end anew.
	// What is taken back from the totals depends on what was replayed before: two replays of different tasks must not count on the same sums.
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
	record := &types.Update{TableName: &r.Jobs, Key: jobKey(job.ID, recordItem),
		UpdateExpression: aws.String("SET #state = :scheduled ADD dead :fewer"), ConditionExpression: aws.String("#state = :scheduled AND attribute_not_exists(cancelling)"),
		ExpressionAttributeNames:  map[string]string{"#state": "state"},
		ExpressionAttributeValues: item{":scheduled": str(string(ledger.Scheduled)), ":fewer": num(after.Rolled.Dead - p.Rolled.Dead)}}
	switch job.State {
	case ledger.Scheduling: // it stays so: its creation goes on
		record.ExpressionAttributeValues[":scheduled"] = str(string(ledger.Scheduling))
	case ledger.Completed:
		record.UpdateExpression = aws.String("SET #state = :scheduled REMOVE finished_at, expires_at ADD generation :one, dead :fewer")
		record.ConditionExpression = aws.String("#state = :completed AND generation = :generation")
		record.ExpressionAttributeValues[":completed"] = str(string(ledger.Completed))
		record.ExpressionAttributeValues[":generation"] = num(job.Generation)
		record.ExpressionAttributeValues[":one"] = num(1)
	}
	writes = append(writes, types.TransactWriteItem{Update: progress}, types.TransactWriteItem{Update: record}, putEntry(r.Control, entry))
	_, err := transactWriteItems(ctx, r.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return jobChanged(err, fmt.Sprintf("reviving %d tasks of job %s", len(dead), job.ID))
}

// without returns what of all is not among some.
func without(all, some []int) []int {
	return slices.DeleteFunc(slices.Clone(all), func(n int) bool { return slices.Contains(some, n) })
}
