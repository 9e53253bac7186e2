//go:build referees

package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/conformance/referee"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// refereed counts the worlds to replay.
const refereed = 50

// The DynamoDB calls of a world, faults and repetitions included, get the same answers from dynoxide, call by call, and result in the same
// tables.
func TestRefereeEveryCallOfAWorldHasTheSameAnswerOnDynoxide(t *testing.T) {
	client := referee.Start(t)
	all, known := 0, map[string]int{}
	for s := *from; s < *from+refereed; s++ {
		var asked []any
		report := inBubble(t, newPlan(s), Options{Asked: func(r fakeaws.Request) { asked = append(asked, r.Input) }})
		require.Nil(t, report.Violation, "seed %d", s)
		t.Run("world", func(t *testing.T) {
			tables := fakeaws.StackTables("")
			referee.Create(t, client, tables)
			db := referee.NewBoth(t, fakeaws.NewDynamoDB(time.Now, tables...), client)
			for _, in := range asked {
				if transaction, is := in.(*dynamodb.TransactWriteItemsInput); is {
					in = ofWorld(s, transaction)
				}
				repeat(t, db, in)
			}
			for _, table := range tables {
				db.RequireSameItems(*table.TableName)
			}
			calls, met := db.Calls()
			all += calls
			for name, times := range met {
				known[name] += times
			}
		})
	}
	t.Logf("%d calls of %d worlds compared; known differences met: %v", all, refereed, known)
	require.Greater(t, all, 100*refereed, "the comparison compared little")
}

// ofWorld gives a transaction a token that no other world uses. Dynoxide remembers a token for ten minutes, and all worlds are replayed within
// that time.
func ofWorld(seed uint64, in *dynamodb.TransactWriteItemsInput) *dynamodb.TransactWriteItemsInput {
	own := *in
	own.ClientRequestToken = aws.String(fmt.Sprintf("%d-%s", seed, aws.ToString(in.ClientRequestToken)))
	return &own
}

// repeat makes a call again. db compares the answers and the errors.
func repeat(t *testing.T, db *referee.Both, in any) {
	t.Helper()
	ctx := context.Background()
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		_, _ = db.GetItem(ctx, in)
	case *dynamodb.QueryInput:
		_, _ = db.Query(ctx, in)
	case *dynamodb.BatchGetItemInput:
		_, _ = db.BatchGetItem(ctx, in)
	case *dynamodb.PutItemInput:
		_, _ = db.PutItem(ctx, in)
	case *dynamodb.UpdateItemInput:
		_, _ = db.UpdateItem(ctx, in)
	case *dynamodb.DeleteItemInput:
		_, _ = db.DeleteItem(ctx, in)
	case *dynamodb.BatchWriteItemInput:
		_, _ = db.BatchWriteItem(ctx, in)
	case *dynamodb.TransactWriteItemsInput:
		_, _ = db.TransactWriteItems(ctx, in)
	default:
		require.Failf(t, "this call is not compared", "%T", in)
	}
}
