package dynamo_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/moe"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/service/workflow"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func statuses(t *testing.T) (dynamo.Statuses, *fakeaws.DynamoDB) {
	t.Helper()
	db := fakeaws.NewDynamoDB(func() time.Time { return began }, fakeaws.StackTables("")...)
	return dynamo.Statuses{API: db, Table: fakeaws.StatusTable, Retention: 30 * 24 * time.Hour}, db
}

// starting returns an attempt at the plugin's turn in the parallel stage of validate.
func starting(run, plugin string, at time.Time, attempt int) moe.Attempt {
	return moe.Attempt{Row: moe.Row{UID: "order-1", Workflow: "Order intake", RunID: run, StartedAt: at, Activities: []string{"validate", "ship"}},
		Turn: moe.Turn{Activity: "validate", Stage: flow.Parallel, Plugin: plugin}, TaskID: task.ID{Segment: segment.IDOf(run+plugin, 0), N: 7}, Attempt: attempt}
}

// state writes a plugin's state as the package does, with an update that its row must have the maps for.
func state(t *testing.T, db *fakeaws.DynamoDB, list, plugin, state string) {
	t.Helper()
	_, err := db.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.StatusTable),
		Key:              map[string]types.AttributeValue{"uid": &types.AttributeValueMemberS{Value: "order-1"}, "workflow": &types.AttributeValueMemberS{Value: "Order intake"}},
		UpdateExpression: aws.String("set #activities.#activity.#stage.#type.#pluginName = :status"),
		ExpressionAttributeNames: map[string]string{"#activities": "activities", "#activity": "validate", "#stage": "async", "#type": list,
			"#pluginName": plugin},
		ExpressionAttributeValues: map[string]types.AttributeValue{":status": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
			"state": &types.AttributeValueMemberS{Value: state}}}}})
	require.NoError(t, err)
}

// endsOf returns the ends of which the stream tells.
func endsOf(t *testing.T, db *fakeaws.DynamoDB) (ends []completion.Report) {
	t.Helper()
	for _, r := range db.Stream(fakeaws.StatusTable, 0) {
		some, faults := moe.Ends(dynamo.StatusImage(r.Change.OldImage), dynamo.StatusImage(r.Change.NewImage))
		require.Empty(t, faults)
		ends = append(ends, some...)
	}
	return ends
}

func TestAPluginFindsTheMapsOfItsRecordAndItsEndNamesTheAttempt(t *testing.T) {
	s, db := statuses(t)
	for _, plugin := range []string{"stock", "price"} {
		require.NoError(t, s.Begin(t.Context(), starting("run-1", plugin, began, 1)))
		require.NoError(t, s.Begin(t.Context(), starting("run-1", plugin, began, 1)), "it may be repeated")
	}

	state(t, db, "mandatory", "stock", "In Progress")
	state(t, db, "mandatory", "stock", "Complete")
	state(t, db, "optional", "price", "Complete")
	require.NoError(t, s.Begin(t.Context(), starting("run-1", "price", began, 2)))
	state(t, db, "optional", "price", "Complete")

	stock, price := starting("run-1", "stock", began, 1), starting("run-1", "price", began, 1)
	require.Equal(t, []completion.Report{
		{TaskID: stock.TaskID.String(), Attempt: 1, Kind: completion.Completed},
		{TaskID: price.TaskID.String(), Attempt: 1, Kind: completion.Completed},
		{TaskID: price.TaskID.String(), Attempt: 2, Kind: completion.Completed},
	}, endsOf(t, db))
	row := db.Items(fakeaws.StatusTable)[0]
	require.Contains(t, row, "expires_at")
	require.Contains(t, row["activities"].(*types.AttributeValueMemberM).Value, "ship")
}

func TestARowIsThatOfTheLatestRun(t *testing.T) {
	s, db := statuses(t)
	later := began.Add(time.Minute)
	require.NoError(t, s.Begin(t.Context(), starting("run-1", "stock", began, 1)))
	state(t, db, "mandatory", "stock", "Complete")

	require.NoError(t, s.Begin(t.Context(), starting("run-2", "stock", later, 1)))

	require.ErrorIs(t, s.Begin(t.Context(), starting("run-1", "stock", began, 2)), workflow.ErrOvertaken, "a worker of an earlier run would write in it")
	state(t, db, "mandatory", "stock", "Complete")
	ends := endsOf(t, db)
	require.Len(t, ends, 2)
	require.Equal(t, starting("run-2", "stock", later, 1).TaskID.String(), ends[1].TaskID)
}

func TestARowExpiresWithTheRecordOfItsRun(t *testing.T) {
	s, db := statuses(t)
	expires := func() string {
		return db.Items(fakeaws.StatusTable)[0]["expires_at"].(*types.AttributeValueMemberN).Value
	}
	at := func(of time.Time) string { return strconv.FormatInt(of.Unix(), 10) }
	ended := began.Add(time.Hour)
	require.NoError(t, s.Expire(t.Context(), "order-1", "Order intake", "run-1", ended), "it has none")
	require.Empty(t, db.Items(fakeaws.StatusTable))
	require.NoError(t, s.Begin(t.Context(), starting("run-1", "stock", began, 1)))
	require.Equal(t, at(began.Add(flow.MaxSpan+s.Retention)), expires(), "while the run lasts")

	require.NoError(t, s.Expire(t.Context(), "order-1", "Order intake", "run-1", ended))
	require.Equal(t, at(ended.Add(s.Retention)), expires())

	require.NoError(t, s.Begin(t.Context(), starting("run-2", "stock", ended, 1)))
	require.NoError(t, s.Expire(t.Context(), "order-1", "Order intake", "run-1", ended), "another run's row is left alone")
	require.Equal(t, at(ended.Add(flow.MaxSpan+s.Retention)), expires())
}

func TestPluginsThatBeginTogetherShareTheirRow(t *testing.T) {
	s, db := statuses(t)
	plugins := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var all sync.WaitGroup
	errs := make([]error, len(plugins))
	for i, plugin := range plugins {
		all.Go(func() { errs[i] = s.Begin(t.Context(), starting("run-1", plugin, began, 1)) })
	}
	all.Wait()
	for i, plugin := range plugins {
		require.NoError(t, errs[i])
		state(t, db, "mandatory", plugin, "Complete")
	}
	require.Len(t, endsOf(t, db), len(plugins))
}

func TestWithoutAStatusTableAPluginNeverStarts(t *testing.T) {
	require.ErrorIs(t, dynamo.Statuses{}.Begin(t.Context(), starting("run-1", "stock", began, 1)), workflow.ErrNoStatuses)
}
