package drovertest_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

var (
	keyCap     = flag.Int("cap", 0, "the cap, and about the tasks a second, of TestALabourersKeysStayBelowTheirLimits; 0: its own ones")
	keySeconds = flag.Int("seconds", 15, "how many seconds' work that test does at the cap of -cap")
	instances  = flag.Int("instances", 1000, "how many instances of the workers Lambda adds every ten seconds in that test")
	steady     = flag.Bool("steady", false, "in that test, jobs of a second's work come as tasks end, for -seconds from when the cap is reached; otherwise all come at once")
)

// These limit the units a second of all items under one partition key.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
const (
	keyWrites = 1000
	keyReads  = 3000
)

// TestALabourersKeysStayBelowTheirLimits: a labourer's state and queue share one partition key of the control table. Its leases lie under that key too, or,
// beyond a cap of a thousand, under those of its lanes. Lambda gives the workers a thousand more instances every ten seconds. Each task runs and is
// completed exactly once, and never more run than the cap allows.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html#scaling-rate
func TestALabourersKeysStayBelowTheirLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, s := range []stream{{limit: 1000, tasks: 15_000}, {limit: 2000, tasks: 20_000}} {
		if *keyCap > 0 {
			s = stream{limit: *keyCap, tasks: *keyCap * *keySeconds}
			if *steady {
				s.tasks, s.lasts = 0, time.Duration(*keySeconds)*time.Second
			}
		}
		t.Run(fmt.Sprintf("a cap of %d", s.limit), func(t *testing.T) { s.staysBelow(t) })
		if *keyCap > 0 {
			return
		}
	}
}

// stream is work for one labourer, whose tasks take half a second to one and a half.
type stream struct {
	limit int           // the cap
	tasks int           // they come at once; 0: jobs of a second's work come as tasks end
	lasts time.Duration // for how long such jobs come, from when the cap is reached
}

// mostOfAJob limits the tasks of a job of these loads: its text has to fit an event.
const mostOfAJob = 100_000

// under says for how many seconds' work a labourer with jobs that come as tasks end has tasks that have not ended.
const under = 12

// streaming is a stream under way.
type streaming struct {
	stream
	*drovertest.Drover
	t *testing.T

	jobs             []string
	submitted        int
	running, most    int
	ended, steadily  int
	full             time.Time // when as many ran as the cap allows; zero: they never did
	ends             map[time.Time]int
	begun, completed map[segment.ID]segment.Numbers
	done             int
	again            []string // tasks that began or were completed more than once
	forgotten        time.Time
	dice             *rand.Rand
}

func (s stream) staysBelow(t *testing.T) {
	t.Helper()
	r := &streaming{stream: s, Drover: drovertest.New(), t: t, ends: map[time.Time]int{}, begun: map[segment.ID]segment.Numbers{},
		completed: map[segment.ID]segment.Numbers{}, dice: rand.New(rand.NewPCG(3, 4)), forgotten: drovertest.Start}
	require.NoError(t, r.Apply(fmt.Sprintf("labourers: {w: {target: {lambda: work}, max_simultaneous_invocations: %d}}\n"+
		"job_schemas: {default: {chunkable_attrs: [[part, {}]]}}\n", s.limit)))
	keys := newKeyMeter(r.Drover)
	clients := r.Clients()
	clients.DynamoDB = keys
	functions := fakeaws.Wire(clients)
	r.Invoke = func(i fakeaws.Invocation) { i.Done(i.Run(context.Background(), functions)) }
	r.employ()
	r.submitMore()
	require.NoError(t, r.Run())

	completed := 0
	for _, id := range r.jobs {
		job, _, err := r.Job(id)
		require.NoError(t, err)
		completed += job.Counts.Completed
	}
	require.Equal(t, r.submitted, completed)
	require.Equal(t, r.submitted, r.done)
	require.Empty(t, r.again)
	require.LessOrEqual(t, r.most, s.limit, "G3")
	fastest := slices.Max(slices.Collect(maps.Values(r.ends)))
	require.Greater(t, fastest, s.limit*9/10, "tasks in a second")
	t.Logf("%d tasks of %d jobs, at most %d at once; at most %d ended in a second", r.done, len(r.jobs), r.most, fastest)
	if s.lasts > 0 {
		require.False(t, r.full.IsZero(), "the cap was never reached")
		t.Logf("the cap was reached after %s; in the %s from then on %d tasks ended, %.0f a second", r.full.Sub(drovertest.Start), s.lasts, r.steadily,
			float64(r.steadily)/s.lasts.Seconds())
		require.Greater(t, float64(r.steadily), 0.9*float64(s.limit)*(s.lasts-time.Second).Seconds()) // the first ones take a second
	}
	require.Contains(t, keys.written, place{fakeaws.ControlTable, "w"})
	if s.limit > 1000 {
		require.Contains(t, keys.written, place{fakeaws.ControlTable, "w#lane#a"})
	}
	keys.requireBelowTheLimits(t)
}

// submitMore submits what comes next: all tasks, or jobs as long as fewer tasks are there than the labourer should have.
func (r *streaming) submitMore() {
	if r.tasks > 0 {
		for r.submitted < r.tasks {
			r.submit(min(mostOfAJob, r.tasks-r.submitted))
		}
		return
	}
	for r.submitted-r.ended < under*r.limit && (r.full.IsZero() || r.World.Now().Before(r.full.Add(r.lasts))) {
		r.submit(min(mostOfAJob, r.limit))
	}
}

func (r *streaming) submit(tasks int) {
	id := fmt.Sprint("j", len(r.jobs))
	r.jobs, r.submitted = append(r.jobs, id), r.submitted+tasks
	r.Submit(map[string]any{"job_id": id, "labourer": "w", "parts": make([]int, tasks), "isolate_parts": true})
}

// employ runs the tasks, and counts them.
func (r *streaming) employ() {
	r.Lambda.Handle("work", r.work)
	r.Lambda.Scale = func(begun time.Duration) bool {
		if r.running >= *instances*(1+int(begun/(10*time.Second))) {
			return false
		}
		r.running++
		r.most = max(r.most, r.running)
		if r.running == r.limit && r.full.IsZero() {
			r.full = r.World.Now()
		}
		return true
	}
	r.DynamoDB.Watch = func(table string, before, after fakeaws.Item) {
		r.Watched(table, before, after)
		if table == fakeaws.TasksTable && textOf(before["status"]) != string(task.Completed) && textOf(after["status"]) == string(task.Completed) {
			r.done++
			r.once(r.completed, textOf(after["segment"]), textOf(after["n"]))
		}
	}
}

// work runs a task as a function.
func (r *streaming) work(text []byte, done func(*fakeaws.Failure)) {
	var one struct {
		TaskID string `json:"task_id"`
		Drover struct{ Attempt int }
	}
	require.NoError(r.t, json.Unmarshal(text, &one))
	at, n, _ := strings.Cut(one.TaskID, ".")
	r.once(r.begun, at, n)
	takes := time.Duration(float64(time.Second) * (0.5 + r.dice.Float64()))
	r.World.At(r.World.Now().Add(takes), fakeaws.Run, "end of "+one.TaskID, func() {
		r.running--
		r.ended++
		r.ends[r.World.Now().Truncate(time.Second)]++
		if !r.full.IsZero() && r.World.Now().Before(r.full.Add(r.lasts)) {
			r.steadily++
		}
		r.Deliver(fakeaws.CompletionsQueue, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed"}`, one.TaskID, one.Drover.Attempt))
		done(nil)
		r.submitMore()
		r.forget()
	})
}

// once notes what became of a task. It must not become of it again.
func (r *streaming) once(known map[segment.ID]segment.Numbers, at, number string) {
	n, err := strconv.Atoi(number)
	require.NoError(r.t, err)
	if known[segment.ID(at)].Contains(n) {
		r.again = append(r.again, at+"."+number)
	}
	known[segment.ID(at)] = known[segment.ID(at)].Union(segment.Of(n))
}

// forget bounds the memory of a long stream, every ten seconds: it drops the past, and deletes the ended tasks early, as their time to live would.
func (r *streaming) forget() {
	if r.World.Now().Sub(r.forgotten) < 10*time.Second {
		return
	}
	r.forgotten = r.World.Now()
	if r.lasts > 0 {
		r.t.Logf("after %s %d tasks have ended", r.forgotten.Sub(drovertest.Start).Round(time.Second), r.ended)
	}
	r.Forget()
	r.DynamoDB.Expire(fakeaws.TasksTable, "expires_at", r.World.Now().Add(fakeaws.Retention+time.Minute))
}

// keyMeter counts the units that are consumed in each second under each partition key of the control table, the jobs and the tasks.
type keyMeter struct {
	dynamo.API
	now func() time.Time

	mu            sync.Mutex
	written, read map[place]*spent
}

// place is a partition of a table.
type place struct{ table, key string }

// spent holds the units of one partition.
type spent struct {
	second time.Time
	now    portion // in that second
	most   portion // in any second
}

// portion holds units, and to which operations and kinds of items they belong.
type portion struct {
	units float64
	parts map[string]float64
}

func newKeyMeter(d *drovertest.Drover) *keyMeter {
	return &keyMeter{API: d.Clients().DynamoDB, now: d.World.Now, written: map[place]*spent{}, read: map[place]*spent{}}
}

func (m *keyMeter) add(to map[place]*spent, at place, what string, units float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, second := to[at], m.now().Truncate(time.Second)
	if s == nil {
		s = &spent{}
		to[at] = s
	}
	if !s.second.Equal(second) {
		s.second, s.now = second, portion{parts: map[string]float64{}}
	}
	s.now.units += units
	s.now.parts[what] += units
	if s.now.units >= s.most.units {
		s.most = s.now // the parts of a second are shared until it is over
	}
}

// requireBelowTheLimits shows the most units in a second of the labourer's own key, and of the busiest lane, job and segment, and requires them to be within the
// limits of a key.
func (m *keyMeter) requireBelowTheLimits(t *testing.T) {
	t.Helper()
	for _, kind := range []struct {
		what   string
		writes bool
		limit  float64
	}{{"write", true, keyWrites}, {"read", false, keyReads}} {
		busiest := map[string]place{}
		all := m.read
		if kind.writes {
			all = m.written
		}
		for at, s := range all {
			name := at.table
			if at.table == fakeaws.ControlTable {
				name += " " + strings.TrimRight(at.key, "abcdefghijklmnop")
			}
			if known, is := busiest[name]; !is || s.most.units > all[known].most.units {
				busiest[name] = at
			}
			assert.Less(t, s.most.units, kind.limit, "%s units in a second of %s", kind.what, at)
		}
		for _, name := range slices.Sorted(maps.Keys(busiest)) {
			most := all[busiest[name]].most
			var parts []string
			for _, what := range slices.Sorted(maps.Keys(most.parts)) {
				parts = append(parts, fmt.Sprintf("%g %s", most.parts[what], what))
			}
			t.Logf("%s: at most %g %s units in a second: %s", busiest[name], most.units, kind.what, strings.Join(parts, ", "))
		}
	}
}

func (p place) String() string { return p.table + "/" + p.key }

// hashes holds the partition keys of the tables that are metered.
var hashes = map[string]string{fakeaws.ControlTable: "labourer", fakeaws.JobsTable: "job_id", fakeaws.TasksTable: "segment"}

// write counts a write of an item. Items have up to 1 KB, so each write is a unit, or two in a transaction.
func (m *keyMeter) write(operation string, table *string, key fakeaws.Item, units float64) {
	name := aws.ToString(table)
	if hash := hashes[name]; hash != "" {
		kind, _, _ := strings.Cut(textOf(key["item"]), "#")
		m.add(m.written, place{name, textOf(key[hash])}, operation+" "+kind, units)
	}
}

// look counts a read of a partition.
func (m *keyMeter) look(operation string, table *string, key types.AttributeValue, units float64) {
	if name := aws.ToString(table); hashes[name] != "" {
		m.add(m.read, place{name, textOf(key)}, operation, units)
	}
}

func textOf(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

func (m *keyMeter) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	m.write("UpdateItem", in.TableName, in.Key, 1)
	return m.API.UpdateItem(ctx, in, o...)
}

func (m *keyMeter) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	m.write("DeleteItem", in.TableName, in.Key, 1)
	return m.API.DeleteItem(ctx, in, o...)
}

func (m *keyMeter) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	m.write("PutItem", in.TableName, in.Item, 1)
	return m.API.PutItem(ctx, in, o...)
}

func (m *keyMeter) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	for table, requests := range in.RequestItems {
		for _, one := range requests {
			if one.PutRequest != nil {
				m.write("BatchWriteItem", &table, one.PutRequest.Item, 1)
			}
		}
	}
	return m.API.BatchWriteItem(ctx, in, o...)
}

func (m *keyMeter) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	for _, i := range in.TransactItems {
		switch {
		case i.Put != nil:
			m.write("transaction", i.Put.TableName, i.Put.Item, 2)
		case i.Update != nil:
			m.write("transaction", i.Update.TableName, i.Update.Key, 2)
		case i.Delete != nil:
			m.write("transaction", i.Delete.TableName, i.Delete.Key, 2)
		case i.ConditionCheck != nil:
			m.write("transaction", i.ConditionCheck.TableName, i.ConditionCheck.Key, 2)
		}
	}
	return m.API.TransactWriteItems(ctx, in, o...)
}

func (m *keyMeter) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.API.GetItem(ctx, in, o...)
	if err == nil {
		m.look("GetItem", in.TableName, in.Key[hashes[aws.ToString(in.TableName)]], aws.ToFloat64(out.ConsumedCapacity.CapacityUnits))
	}
	return out, err
}

// BatchGetItem counts a unit for each item: they have up to 4 KB, and are read strongly.
func (m *keyMeter) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	for table, asked := range in.RequestItems {
		for _, key := range asked.Keys {
			m.look("BatchGetItem", &table, key[hashes[table]], 1)
		}
	}
	return m.API.BatchGetItem(ctx, in, o...)
}

func (m *keyMeter) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	out, err := m.API.Query(ctx, in, o...)
	condition := strings.Fields(aws.ToString(in.KeyConditionExpression)) // such as "labourer = :labourer AND …"
	if err == nil && in.IndexName == nil && strings.TrimPrefix(condition[0], "#") == hashes[aws.ToString(in.TableName)] {
		m.look("Query", in.TableName, in.ExpressionAttributeValues[condition[2]], aws.ToFloat64(out.ConsumedCapacity.CapacityUnits))
	}
	return out, err
}
