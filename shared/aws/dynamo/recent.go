package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/drover-run/drover/shared/core/ledger"
)

// Recent lists the ids of the last jobs submitted in a month (UTC), the newest first, up to limit, and where it is not zero only those behind after.
// It is eventually consistent.
func (j Jobs) Recent(ctx context.Context, month time.Time, after ledger.Mark, limit int) ([]string, error) {
	in := dynamodb.QueryInput{
		TableName: &j.Table, IndexName: aws.String(monthIndex), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("#month = :month"),
		ExpressionAttributeNames:  map[string]string{"#month": "month"},
		ExpressionAttributeValues: item{":month": str(month.UTC().Format("2006-01"))},
	}
	if after != (ledger.Mark{}) {
		key := jobKey(after.JobID, recordItem)
		key["month"], key["submitted_at"] = str(month.UTC().Format("2006-01")), millis(after.SubmittedAt)
		in.ExclusiveStartKey = key
	}
	items, err := query(ctx, j.API, in, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the last jobs of %s, %w", month.UTC().Format("2006-01"), err)
	}
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.str("job_id")
	}
	return ids, nil
}
