package dynamo

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/sosw"
)

// Extensions adds tasks to jobs that have records: they are moved from elsewhere, some at a time.
type Extensions struct {
	Tasks   Tasks
	Jobs    Jobs
	Control Control
}

// Extend publishes tasks that are stored beyond the job's total. In one transaction it puts their queue entries, ends those that end at once, and
// raises the total. A completed job begins another generation. ledger.ErrChanged: the job has changed since it was read, or is being cancelled;
// nothing was published.
func (x Extensions) Extend(ctx context.Context, job ledger.Job, p sosw.Publication) error {
	grown := job
	grown.Total += p.Tasks
	change := "SET #total = :grown, #cursor = :cursor"
	values := item{":grown": num(grown.Total), ":cursor": num(grown.Segments()), ":total": num(job.Total), ":state": str(string(job.State)),
		":generation": num(job.Generation)}
	if job.State == ledger.Completed {
		change += ", #state = :scheduled REMOVE finished_at, expires_at ADD generation :one"
		values[":scheduled"], values[":one"] = str(string(ledger.Scheduled)), num(1)
	}
	var whole []types.TransactWriteItem
	if job.Whole { // its segments have more tasks from now on, so they need progress
		change = strings.Replace(change, "REMOVE ", "REMOVE whole, ", 1)
		p := job.WholeProgress()
		it := jobKey(job.ID, segmentPrefix+string(p.Segment))
		it["completed"], it["rolled"] = intSet(p.Completed), rolled(p.Rolled)
		whole = []types.TransactWriteItem{{Put: &types.Put{TableName: &x.Jobs.Table, Item: it}}}
	}
	writes := []types.TransactWriteItem{{Update: &types.Update{TableName: &x.Jobs.Table, Key: jobKey(job.ID, recordItem), UpdateExpression: &change,
		ConditionExpression:       aws.String("#total = :total AND #state = :state AND generation = :generation AND attribute_not_exists(cancelling)"),
		ExpressionAttributeNames:  map[string]string{"#total": "total", "#cursor": "cursor", "#state": "state"},
		ExpressionAttributeValues: values}}}
	writes = append(writes, whole...)
	for _, e := range p.Entries {
		writes = append(writes, putEntry(x.Control.Table, e))
	}
	for _, c := range p.Ended {
		in, err := x.Tasks.saving(c.Before, c.After)
		if err != nil {
			return err
		}
		writes = append(writes, types.TransactWriteItem{Update: &types.Update{TableName: in.TableName, Key: in.Key, UpdateExpression: in.UpdateExpression,
			ConditionExpression: in.ConditionExpression, ExpressionAttributeNames: in.ExpressionAttributeNames, ExpressionAttributeValues: in.ExpressionAttributeValues}})
	}
	_, err := transactWriteItems(ctx, x.Jobs.API, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return jobChanged(err, fmt.Sprintf("adding %d tasks to job %s", p.Tasks, job.ID))
}
