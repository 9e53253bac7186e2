package migration_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	adapter "github.com/drover-run/drover/shared/aws/sosw"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/migration"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/wiring"
)

// stage is a Drover with the labourer f, and a sosw with tables in another database.
type stage struct {
	*drovertest.Drover
	t       *testing.T
	sosw    *fakeaws.DynamoDB
	service migration.Service
	about   sosw.Selection
}

var start = drovertest.Start

func newStage(t *testing.T) *stage {
	t.Helper()
	d := drovertest.New()
	require.NoError(t, d.Apply(`labourers: {f: {target: {lambda: "arn:aws:lambda:us-east-1:000000000000:function:f"}}}`))
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: kind}
	}
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	db := fakeaws.NewDynamoDB(d.World.Now,
		&dynamodb.CreateTableInput{TableName: aws.String("sosw_tasks"), KeySchema: []types.KeySchemaElement{key("task_id", types.KeyTypeHash)},
			AttributeDefinitions: []types.AttributeDefinition{attribute("task_id")}},
		&dynamodb.CreateTableInput{TableName: aws.String("sosw_closed_tasks"), KeySchema: []types.KeySchemaElement{key("task_id", types.KeyTypeHash)},
			AttributeDefinitions: []types.AttributeDefinition{attribute("task_id")}},
		&dynamodb.CreateTableInput{TableName: aws.String("sosw_retry_tasks"),
			KeySchema:            []types.KeySchemaElement{key("labourer_id", types.KeyTypeHash), key("task_id", types.KeyTypeRange)},
			AttributeDefinitions: []types.AttributeDefinition{attribute("labourer_id"), attribute("task_id")}})
	s := &stage{Drover: d, t: t, sosw: db,
		about: sosw.Selection{Labourers: map[string]sosw.Labourer{"f": {Lease: 20 * time.Minute}}, Strangers: true}}
	s.service = wiring.NewMigration(
		wiring.Environment{Tasks: fakeaws.TasksTable, Control: fakeaws.ControlTable, Jobs: fakeaws.JobsTable, Bus: fakeaws.BusName, Retention: fakeaws.Retention},
		wiring.Clients{DynamoDB: d.DynamoDB, EventBridge: d.EventBridge, Now: d.World.Now},
		adapter.Source{API: db, Tasks: "sosw_tasks", Retries: "sosw_retry_tasks", Closed: "sosw_closed_tasks"})
	return s
}

// row is a row of sosw: numbers are N, texts are S.
type row map[string]any

func (s *stage) put(table string, rows ...row) {
	for _, r := range rows {
		it := fakeaws.Item{}
		for name, v := range r {
			if n, number := v.(int); number {
				it[name] = &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
				continue
			}
			it[name] = &types.AttributeValueMemberS{Value: v.(string)}
		}
		require.NoError(s.t, s.sosw.Put(table, it))
	}
}

// with returns a row of labourer f with these other attributes.
func with(id string, more row) row {
	r := row{"task_id": id, "labourer_id": "f", "created_at": int(start.Add(-time.Hour).Unix()), "payload": fmt.Sprintf(`{"name": %q}`, id)}
	maps.Copy(r, more)
	return r
}

// queued returns rows in a queue, in an order that is not that of their ids.
func queued(from, to int) []row {
	var rows []row
	for n := from; n < to; n++ {
		rows = append(rows, with(fmt.Sprintf("%03d", (n*7)%1000), row{"greenfield": 2000 + 1000*n}))
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// invoked returns the greenfield of a task that sosw invoked so long ago.
func invoked(ago time.Duration) int { return int(start.Add(-ago).Add(sosw.InvocationDelta).Unix()) }

// move makes a whole move: what the command does between its inventories.
func (s *stage) move(ctx context.Context) (sosw.Report, error) {
	first, err := s.service.Inventory(ctx)
	if err != nil {
		return sosw.Report{}, err
	}
	return s.service.Run(ctx, map[string]labourer.Labourer{"f": labourer.New("f")}, s.about, first, func(string, int, int) {})
}

// earlier makes a job of labourer f with so many tasks, which have all completed.
func (s *stage) earlier(tasks int) {
	jobs := dynamo.Jobs{API: s.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: fakeaws.Retention}
	require.NoError(s.t, jobs.Create(context.Background(), ledger.Job{ID: "sosw-f", Labourer: "f", State: ledger.Completed, Generation: 1, SubmittedAt: start, RecordedAt: start,
		FinishedAt: start, Fingerprint: "moved from sosw", Total: tasks, Cursor: 1, Counts: ledger.Counts{Completed: tasks}}))
}

// published returns the tasks that Drover may hand out or has handed out, by sosw's ids, and sosw's ids in the order of the queue.
func (s *stage) published() (map[string]task.Task, []string) {
	ctx := context.Background()
	hooks := s.DynamoDB.Hooks
	s.DynamoDB.Hooks = fakeaws.Hooks{}
	defer func() { s.DynamoDB.Hooks = hooks }()
	control := dynamo.Control{API: s.DynamoDB, Table: fakeaws.ControlTable}
	tasks := dynamo.Tasks{API: s.DynamoDB, Table: fakeaws.TasksTable}
	entries, err := control.Queue(ctx, "f")
	require.NoError(s.t, err)
	out, order := map[string]task.Task{}, []string{}
	add := func(at segment.ID, numbers segment.Numbers) {
		found, err := tasks.Range(ctx, at, numbers)
		require.NoError(s.t, err)
		for _, t := range found {
			require.NotContains(s.t, out, t.Origin.TaskID, "twice in Drover")
			out[t.Origin.TaskID] = t
			order = append(order, t.Origin.TaskID)
		}
	}
	slices.SortFunc(entries, func(a, b queue.Entry) int { return strings.Compare(a.Item(), b.Item()) })
	for _, e := range entries {
		add(e.Segment, e.Tasks)
	}
	leases, err := control.Leases(ctx, "f")
	require.NoError(s.t, err)
	for _, l := range leases {
		add(l.Segment, l.Tasks)
	}
	return out, order
}

// own returns the ids of the rows that sosw can still find.
func (s *stage) own() []string {
	var ids []string
	for table, place := range map[string]string{"sosw_tasks": "greenfield", "sosw_retry_tasks": "desired_launch_time"} {
		for _, it := range s.sosw.Items(table) {
			if _, there := it[place]; there {
				ids = append(ids, it["task_id"].(*types.AttributeValueMemberS).Value)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// neverInBoth checks that no task is sosw's and Drover's.
func (s *stage) neverInBoth() {
	there, _ := s.published()
	for _, id := range s.own() {
		require.NotContains(s.t, there, id, "in sosw and in Drover")
	}
}
