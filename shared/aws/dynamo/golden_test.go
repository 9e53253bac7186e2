package dynamo_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ecology"
	jobs "github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

var update = flag.Bool("update", false, "write testdata/items anew, from what the adapters store now")

// shape is an item in the form of the golden files: DynamoDB's own JSON, beside it what compressed bytes unpack to.
type shape struct {
	Size  int                       `json:"size"` // in bytes as DynamoDB counts, at the time of writing
	Table string                    `json:"table"`
	Item  map[string]map[string]any `json:"item"`
}

func told(t *testing.T, v types.AttributeValue) map[string]any {
	t.Helper()
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberNS:
		return map[string]any{"NS": v.Value}
	case *types.AttributeValueMemberB:
		out := map[string]any{"B": base64.StdEncoding.EncodeToString(v.Value), "text": string(v.Value)}
		if !json.Valid(v.Value) {
			reader, err := zstd.NewReader(nil)
			require.NoError(t, err)
			defer reader.Close()
			text, err := reader.DecodeAll(v.Value, nil)
			require.NoError(t, err, "bytes are JSON or zstd")
			out["text"] = strings.ToValidUTF8(string(text), "\ufffd") // a bundle has bytes between its texts
		}
		return out
	case *types.AttributeValueMemberM:
		out := map[string]any{}
		for name, one := range v.Value {
			out[name] = told(t, one)
		}
		return map[string]any{"M": out}
	}
	require.Failf(t, "an attribute of a type that Drover does not store", "%T", v)
	return nil
}

func untold(t *testing.T, v map[string]any) types.AttributeValue {
	t.Helper()
	for kind, value := range v {
		switch kind {
		case "S":
			return &types.AttributeValueMemberS{Value: value.(string)}
		case "N":
			return &types.AttributeValueMemberN{Value: value.(string)}
		case "BOOL":
			return &types.AttributeValueMemberBOOL{Value: value.(bool)}
		case "B":
			raw, err := base64.StdEncoding.DecodeString(value.(string))
			require.NoError(t, err)
			return &types.AttributeValueMemberB{Value: raw}
		case "NS":
			var numbers []string
			for _, n := range value.([]any) {
				numbers = append(numbers, n.(string))
			}
			return &types.AttributeValueMemberNS{Value: numbers}
		case "M":
			out := fakeaws.Item{}
			for name, one := range value.(map[string]any) {
				out[name] = untold(t, one.(map[string]any))
			}
			return &types.AttributeValueMemberM{Value: out}
		}
	}
	return nil
}

// stored returns everything in the tables as shapes.
func (s stores) stored(t *testing.T) []shape {
	t.Helper()
	var out []shape
	for _, table := range []string{fakeaws.TasksTable, fakeaws.ControlTable, fakeaws.JobsTable} {
		for _, it := range s.db.Items(table) {
			one := shape{Table: table, Size: fakeaws.Size(it), Item: map[string]map[string]any{}}
			for name, v := range it {
				one.Item[name] = told(t, v)
			}
			out = append(out, one)
		}
	}
	return out
}

// meaning leaves out of shapes what may change while the meaning stays: compressed bytes, and the size that follows from them.
func meaning(t *testing.T, shapes []shape) string {
	t.Helper()
	var out []shape
	for _, s := range shapes {
		s.Size, s.Item = 0, maps.Clone(s.Item)
		for name, v := range s.Item {
			if v["text"] != nil {
				v = maps.Clone(v)
				delete(v, "B")
				s.Item[name] = v
			}
		}
		out = append(out, s)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	require.NoError(t, err)
	return string(text)
}

// golden compares the stored items with the file of this name, and returns a database with the file's items: what an older version may have
// stored.
func golden(t *testing.T, name string, s stores) stores {
	t.Helper()
	path := filepath.Join("testdata", "items", strings.ReplaceAll(name, " ", "-")+".json")
	shapes := s.stored(t)
	if *update {
		text, err := json.MarshalIndent(shapes, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./shared/aws/dynamo -update writes it")
	var want []shape
	require.NoError(t, json.Unmarshal(text, &want))
	require.Equal(t, meaning(t, want), meaning(t, shapes), "%s: the stored form has changed; what is stored in people's tables has not", path)
	again := inMemory()
	for _, w := range want {
		it := fakeaws.Item{}
		for attribute, v := range w.Item {
			it[attribute] = untold(t, v)
		}
		require.NoError(t, again.db.Put(w.Table, it))
		require.Equal(t, w.Size, fakeaws.Size(it))
	}
	return again
}

func oneTask() task.Task {
	return task.Task{ID: task.ID{Segment: segment.IDOf("nightly", 0), N: 7}, Labourer: "some_function", JobID: "nightly-2026-11-22", CreatedAt: noon,
		Payload: json.RawMessage(`{"section":"a","stores":["x","y"],"date":"2026-11-22","job_schema_name":"default","isolate_stores":true}`)}
}

func closed(t *testing.T, of task.Task, status task.Status) task.Task {
	t.Helper()
	e := task.End{Attempt: of.Attempt + 1, Status: status, DispatchedAt: noon.Add(time.Second), At: noon.Add(time.Minute)}
	if status == task.Completed {
		e.Result, e.Stats = json.RawMessage(`{"rows":10}`), json.RawMessage(`{"seconds":1.25,"rows":10}`)
	} else {
		e.Error, e.RetryAfter = &task.Error{Type: "Timeout", Message: "the database did not answer within 30 seconds"}, 90*time.Second
	}
	after, err := of.Close(e)
	require.NoError(t, err)
	return after
}

func must(t *testing.T) func(after task.Task, err error) task.Task {
	return func(after task.Task, err error) task.Task {
		t.Helper()
		require.NoError(t, err)
		return after
	}
}

func TestGoldenTaskWhosePayloadLiesApart(t *testing.T) {
	s := inMemory()
	one := oneTask()
	one.Payload = fmt.Appendf(nil, `{"text":%q}`, base64.StdEncoding.EncodeToString(noise(2400)))
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))

	again := golden(t, "task with a payload apart", s)

	require.Equal(t, one.Payload, whole(t, again, one.ID.Segment)[0].Payload)
	require.LessOrEqual(t, fakeaws.Size(again.db.Items(fakeaws.TasksTable)[0]), 1024, "one write unit")
}

func TestGoldenTasksThatShareABundle(t *testing.T) {
	s := inMemory()
	tasks := unlike(2, 1300)
	require.NoError(t, s.tasks.Create(t.Context(), tasks))

	again := golden(t, "tasks that share a bundle", s)

	for i, one := range whole(t, again, tasks[0].ID.Segment) {
		require.Equal(t, tasks[i].Payload, one.Payload)
	}
	require.Len(t, again.apart(), 1)
}

func TestGoldenTasks(t *testing.T) {
	fresh := oneTask()
	full := oneTask()
	full.MaxAttempts, full.MaxDuration, full.Qualifier = 5, 90*time.Second, "live"
	full.Payload = json.RawMessage(`{"text":"` + strings.Repeat("what compresses well, ", 40) + `"}`)
	failed := closed(t, fresh, task.Failed)
	shared := fresh
	shared.Shared = true
	permanent := failed
	permanent.Permanent, permanent.RetryAfter = true, 0
	dead := must(t)(failed.Kill(noon.Add(2 * time.Minute)))
	replayed := must(t)(dead.Revive())
	for name, steps := range map[string][]task.Task{
		"task new":                          {fresh},
		"task with settings":                {full},
		"task completed":                    {fresh, closed(t, fresh, task.Completed)},
		"task of a shared segment":          {shared, closed(t, shared, task.Completed)},
		"task failed":                       {fresh, failed},
		"task not retryable":                {fresh, permanent},
		"task expired":                      {fresh, closed(t, fresh, task.Expired)},
		"task dead":                         {fresh, failed, dead},
		"task cancelled":                    {fresh, must(t)(fresh.Cancel(noon))},
		"task replayed":                     {fresh, failed, dead, replayed},
		"task completed in its second life": {fresh, failed, dead, replayed, closed(t, replayed, task.Completed)},
	} {
		t.Run(name, func(t *testing.T) {
			s := inMemory()
			require.NoError(t, s.tasks.Create(t.Context(), steps[:1]))
			for i := range len(steps) - 1 {
				require.NoError(t, s.tasks.Save(t.Context(), steps[i], steps[i+1]))
			}

			again := golden(t, name, s)

			last := steps[len(steps)-1]
			read, err := again.tasks.Load(t.Context(), []task.ID{last.ID})
			require.NoError(t, err)
			require.Equal(t, map[task.ID]task.Task{last.ID: last}, read)
			require.LessOrEqual(t, fakeaws.Size(again.db.Items(fakeaws.TasksTable)[0]), 1024, "one write unit")
			records := again.db.Stream(fakeaws.TasksTable, 0)
			image, err := dynamo.StreamImage(records[len(records)-1].Change.NewImage)
			require.NoError(t, err)
			require.Equal(t, last, image, "the stream tells the same")
		})
	}
}

func TestGoldenTaskWithManyAttempts(t *testing.T) {
	s := inMemory()
	one := oneTask()
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	for range 10 {
		after := closed(t, one, task.Failed)
		require.NoError(t, s.tasks.Save(t.Context(), one, after))
		one = after
	}

	again := golden(t, "task failed ten times", s)

	require.LessOrEqual(t, fakeaws.Size(again.db.Items(fakeaws.TasksTable)[0]), 1024, "one write unit")
}

func entry(n ...int) queue.Entry {
	numbers := segment.Of(n...)
	return queue.Entry{Labourer: "some_function", Due: noon, Segment: segment.IDOf("nightly", 0), First: numbers.Min(), Tasks: numbers, Attempt: 1}
}

// queued returns a database with an entry.
func queued(t *testing.T, e queue.Entry) stores {
	t.Helper()
	s := inMemory()
	j := ledger.Job{ID: "nightly", Labourer: e.Labourer, State: ledger.Scheduling, Fingerprint: "f", Text: []byte("{}"), SubmittedAt: noon, Total: e.Tasks.Len(), Owner: "me", Generation: 1}
	require.NoError(t, s.jobs.Create(t.Context(), j))
	require.NoError(t, s.jobs.Publish(t.Context(), []ledger.Job{j}, e))
	return s.only(t, fakeaws.ControlTable)
}

// only returns a database with the items of one table.
func (s stores) only(t *testing.T, table string) stores {
	t.Helper()
	out := inMemory()
	for _, it := range s.db.Items(table) {
		require.NoError(t, out.db.Put(table, it))
	}
	return out
}

func TestGoldenEntries(t *testing.T) {
	plain, full := entry(0, 1, 2, 3, 7, 100, 255), entry(3)
	full.Attempt, full.MaxDuration, full.Job, full.Tried, full.Misfires = 12, 90*time.Second, "nightly", true, 2
	for name, e := range map[string]queue.Entry{"entry": plain, "entry with settings": full} {
		t.Run(name, func(t *testing.T) {
			again := golden(t, name, queued(t, e))
			read, err := again.control.Queue(t.Context(), e.Labourer)
			require.NoError(t, err)
			require.Equal(t, []queue.Entry{e}, read)
		})
	}
	t.Run("entry withdrawn", func(t *testing.T) {
		s := queued(t, plain)
		aside, err := s.control.Withdraw(t.Context(), plain, segment.Range(2, 255), noon.Add(time.Second))
		require.NoError(t, err)
		again := golden(t, "entry withdrawn", s)
		read, err := again.control.Withdrawn(t.Context(), plain.Labourer)
		require.NoError(t, err)
		require.Equal(t, []queue.Aside{aside}, read)
	})
}

func TestGoldenLeases(t *testing.T) {
	first, by := segment.Of(2, 3), queue.Mark("message")
	more := segment.Of(2, 3).Union(segment.Range(100, 118)) // one task more than a grant takes
	save := func(s stores, l, after queue.Lease) (queue.Lease, error) {
		return queue.Change{Before: l, After: after}.Written(), s.control.Save(t.Context(), l, after)
	}
	for name, then := range map[string]func(s stores, l queue.Lease) error{
		"lease granted": func(stores, queue.Lease) error { return nil },
		"lease dispatched": func(s stores, l queue.Lease) error {
			_, err := save(s, l, l.Marked(first, queue.Dispatched, noon.Add(1500*time.Millisecond)))
			return err
		},
		"lease fed": func(s stores, l queue.Lease) error {
			fed, numbers := l.Ended(segment.Of(3)).Feed(queue.MostSlots, by, noon.Add(time.Hour))
			require.Equal(t, segment.Of(100), numbers)
			_, err := save(s, l, fed)
			return err
		},
		"lease that lost a task": func(s stores, l queue.Lease) error {
			return s.control.Requeue(t.Context(), l, l.Without(segment.Of(3)), l.Next(segment.Of(3), noon.Add(time.Hour)))
		},
		"lease revoked": func(s stores, l queue.Lease) error {
			return s.control.Revoke(t.Context(), l.Labourer, queue.Revoke([]queue.Lease{l}, 0)[0])
		},
		"lease heard of": func(s stores, l queue.Lease) error {
			return s.control.Hear(t.Context(), l, 2, noon.Add(time.Minute))
		},
		"lease whose target was asked": func(s stores, l queue.Lease) error {
			l, err := save(s, l, l.Marked(first, queue.Dispatched, noon.Add(-time.Second)))
			if err == nil {
				err = s.control.Hear(t.Context(), l, 2, noon.Add(time.Second))
			}
			if err == nil {
				l.Hands[2] = queue.Hand{Since: l.Hands[2].Since, By: queue.Dispatched, Heard: noon.Add(time.Second)}
				_, err = save(s, l, l.Asked(segment.Of(2), segment.Of(3), noon.Add(time.Minute)))
			}
			return err
		},
		"lease of a tried entry": func(s stores, l queue.Lease) error {
			e := l.Returned(l.Tasks)
			e.Misfires = 2
			e.Tasks = more
			if err := s.control.Requeue(t.Context(), l, l.Without(l.Tasks), e); err != nil {
				return err
			}
			s.grant(t, []queue.Entry{e}, queue.Room{Free: 1, Slots: 1, Starts: 1})
			return nil
		},
		"lease of an ordered target": func(s stores, l queue.Lease) error {
			e := l.Next(l.Tasks, noon)
			e.Tasks = more
			if err := s.control.Requeue(t.Context(), l, l.Without(l.Tasks), e); err != nil {
				return err
			}
			s.grant(t, []queue.Entry{e}, queue.Room{Free: 1, Slots: 1, Starts: 1, Ordered: true})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := entry(2, 3, 100, 101, 102)
			e.MaxDuration, e.Job = 90*time.Second, "nightly"
			s := queued(t, e)
			require.NoError(t, then(s, s.grant(t, []queue.Entry{e}, queue.Room{Free: 2, Slots: 2, Starts: 2, FeedUntil: noon.Add(90 * time.Second)})))
			want, err := s.control.Leases(t.Context(), e.Labourer)
			require.NoError(t, err)
			require.Len(t, want, 1)

			again := golden(t, name, s)

			read, err := again.control.Leases(t.Context(), e.Labourer)
			require.NoError(t, err)
			require.Equal(t, want, read)
			require.Nil(t, read[0].Unreadable)
		})
	}
}

// TestALeaseOfAWholeSegmentIsOneWriteUnitHoweverItIsFed works a segment off over a day, forty tasks at a time, in a random order.
func TestALeaseOfAWholeSegmentIsOneWriteUnitHoweverItIsFed(t *testing.T) {
	e := entry(slices.Collect(segment.Range(0, 255).All())...)
	e.Job, e.MaxDuration = "nightly-report-of-all-stores-2026-11-22", 15*time.Minute
	s := queued(t, e)
	state := queue.State{Pace: queue.Pace{Rate: 1000}}
	g := queue.Plan(state, nil, []queue.Entry{e}, queue.Room{Free: queue.MostSlots, Slots: queue.MostSlots, Starts: queue.MostSlots, FeedUntil: noon.Add(time.Minute)}, noon)
	require.NoError(t, s.control.Grant(t.Context(), e.Labourer, g, queue.Hold{}))
	l := g.Changed[0].Written()
	require.Equal(t, e.Tasks, l.Tasks)
	random, most := rand.New(rand.NewPCG(1, 2)), 0
	for step := 0; !l.Empty(); step++ {
		for _, it := range s.db.Items(fakeaws.ControlTable) {
			most = max(most, fakeaws.Size(it))
		}
		running := slices.Collect(l.InHand().All())
		after, _ := l.Ended(segment.Of(running[random.IntN(len(running))])).Feed(queue.MostSlots, queue.Mark(fmt.Sprint(step)), noon.Add(24*time.Hour+time.Duration(step)*time.Second))
		require.NoError(t, s.control.Save(t.Context(), l, after))
		l = queue.Change{Before: l, After: after}.Written()
	}
	require.Empty(t, s.db.Items(fakeaws.ControlTable)[1:], "only the state is left")
	t.Logf("the largest item has %d bytes", most)
	require.LessOrEqual(t, most, 1024)
}

func TestGoldenState(t *testing.T) {
	s := inMemory()
	trouble := &queue.Trouble{Error: "no such function", At: noon, Until: noon.Add(30 * time.Second)}
	require.NoError(t, s.control.SetPaused(t.Context(), "some_function", true))
	require.NoError(t, s.control.SetTrouble(t.Context(), "some_function", trouble))
	read, err := s.control.State(t.Context(), "some_function")
	require.NoError(t, err)
	hold, pace := queue.Hold{By: "execution", Until: noon.Add(10 * time.Second)}, queue.Pace{Left: 60, At: noon, Rate: 12.25}
	require.NoError(t, s.control.Grant(t.Context(), "some_function", queue.Grant{State: read, Pace: pace}, hold))

	again := golden(t, "state", s)

	read, err = again.control.State(t.Context(), "some_function")
	require.NoError(t, err)
	require.Equal(t, queue.State{Version: 2, Paused: true, Trouble: trouble, Hold: hold, Pace: pace}, read)
}

func TestGoldenConfiguration(t *testing.T) {
	s := inMemory()
	l := labourer.New("some_function")
	l.Target.Lambda, l.MaxSimultaneousInvocations = "arn:aws:lambda:us-west-2:000000000000:function:some_function", 10
	l.HealthMetrics = map[string]ecology.Metric{"SomeDBCPU": {Query: ecology.Query{MetricName: "CPUUtilization", Namespace: "AWS/RDS", Statistic: "Average", Period: time.Minute,
		Dimensions: []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "YOUR-DB"}}}, Feelings: ecology.Feelings{3: 50, 4: 25}, Operator: "<="}}
	schema := jobs.Schema{ChunkableAttrs: []string{"section", "store", "product"}}
	require.NoError(t, s.registry.ApplyLabourer(t.Context(), l.ID, string(l.Stored()), 0))
	require.NoError(t, s.registry.ApplyLabourer(t.Context(), l.ID, string(l.Stored()), 1))
	require.NoError(t, s.registry.ApplySchema(t.Context(), "default", string(schema.Stored()), 0))

	again := golden(t, "configuration", s)

	read, found, err := again.registry.Labourer(t.Context(), l.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, string(l.Stored()), string(read.Stored()))
	attrs, found, err := again.registry.Schema(t.Context(), "")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, schema.ChunkableAttrs, attrs.ChunkableAttrs)
}

func TestGoldenHealth(t *testing.T) {
	s := inMemory()
	value := 42.5
	readings := map[string]ecology.Reading{"0123456789abcdef0123456789abcdef": {Value: &value, At: noon}, "fedcba9876543210fedcba9876543210": {At: noon, Error: "CloudWatch refuses the query"}}
	known := ecology.Remembered{Status: ecology.Moderate, Known: true, At: noon, History: ecology.History{"SomeDBCPU": {Status: ecology.Moderate, Since: map[ecology.Status]time.Time{ecology.Good: noon}}}}
	for _, key := range slices.Sorted(maps.Keys(readings)) {
		require.NoError(t, s.health.Ask(t.Context(), key, noon, noon))
	}
	require.NoError(t, s.health.Keep(t.Context(), readings))
	require.NoError(t, s.health.Remember(t.Context(), "some_function", ecology.Remembered{}, known))

	again := golden(t, "health", s)

	read, err := again.health.Readings(t.Context(), slices.Collect(maps.Keys(readings)))
	require.NoError(t, err)
	require.Equal(t, readings, read)
	remembered, err := again.health.Recall(t.Context(), "some_function")
	require.NoError(t, err)
	require.Equal(t, known, remembered)
}

func oneJob() ledger.Job {
	return ledger.Job{ID: "nightly-2026-11-22", Labourer: "some_function", State: ledger.Scheduling, SubmittedAt: noon, RecordedAt: noon, Total: 300, Generation: 1,
		Text: []byte(`{"labourer":"some_function","period":"last_3_days","isolate_days":true}`), Fingerprint: "0123456789abcdef0123456789abcdef",
		Owner: "invocation", OwnedUntil: noon.Add(time.Minute), NotBefore: noon.Add(time.Hour), ChunkableAttrs: []string{"section", "store"}}
}

func TestGoldenJobs(t *testing.T) {
	rejected := oneJob()
	rejected.State, rejected.Owner, rejected.OwnedUntil, rejected.NotBefore, rejected.ChunkableAttrs, rejected.Total = ledger.Rejected, "", time.Time{}, time.Time{}, nil, 0
	rejected.ErrorField, rejected.ErrorReason, rejected.FinishedAt = "labourer", `"some_function" is no labourer of this stack; apply it first`, noon
	whole := oneJob()
	whole.Total = 3
	shared := oneJob()
	shared.Total, shared.Segment, shared.First = 3, segment.IDOf("another", 0), 17
	long := oneJob()
	// Text that does not compress, and is the same in each run.
	var noise strings.Builder
	for ordinal := range 60 {
		noise.WriteString(string(segment.IDOf("noise", ordinal)))
	}
	long.Text = []byte(`{"labourer":"some_function","noise":"` + noise.String() + `"}`)
	cancelling := func(s stores, j ledger.Job) error { return s.jobs.Cancel(t.Context(), j) }
	for name, c := range map[string]struct {
		job  ledger.Job
		then func(s stores, j ledger.Job) error
	}{
		"job scheduling": {job: oneJob()}, "job rejected": {job: rejected}, "job in a shared segment": {job: shared}, "job with a long text": {job: long},
		"job cancelling": {job: oneJob(), then: cancelling},
		"job cancelled": {job: oneJob(), then: func(s stores, j ledger.Job) error {
			if err := cancelling(s, j); err != nil {
				return err
			}
			return s.jobs.Finish(t.Context(), j, ledger.Cancelled, noon.Add(time.Hour))
		}},
		"job whole": {job: whole, then: func(s stores, j ledger.Job) error {
			at, numbers := j.SegmentAt(0)
			e := queue.Entry{Labourer: j.Labourer, Due: noon, Segment: at, Tasks: numbers, Attempt: 1}
			if err := s.jobs.Publish(t.Context(), []ledger.Job{j}, e); err != nil {
				return err
			}
			return s.jobs.Complete(t.Context(), j, noon.Add(time.Hour))
		}},
		"job completed": {job: oneJob(), then: func(s stores, j ledger.Job) error {
			at, numbers := j.SegmentAt(1)
			p, err := s.jobs.Record(t.Context(), j.ID, at, ledger.Ends{task.Completed: slices.Collect(numbers.All())})
			if err != nil {
				return err
			}
			if err := s.jobs.Roll(t.Context(), p, noon); err != nil {
				return err
			}
			return s.jobs.Finish(t.Context(), j, ledger.Completed, noon.Add(time.Hour))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := inMemory()
			require.NoError(t, s.jobs.Create(t.Context(), c.job))
			if c.then != nil {
				require.NoError(t, c.then(s, c.job))
			}
			want, found, err := s.jobs.Get(t.Context(), c.job.ID)
			require.NoError(t, err)
			require.True(t, found)

			again := golden(t, name, s)

			read, found, err := again.jobs.Get(t.Context(), c.job.ID)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, want, read)
			text, err := again.jobs.Text(t.Context(), read)
			require.NoError(t, err)
			require.Equal(t, string(c.job.Text), string(text))
			listed, err := again.jobs.Month(t.Context(), noon)
			require.NoError(t, err)
			require.Equal(t, []string{c.job.ID}, listed)
			for _, it := range again.db.Items(fakeaws.JobsTable) {
				if it["item"].(*types.AttributeValueMemberS).Value == "job" {
					require.LessOrEqual(t, fakeaws.Size(it), 1024, "the record is one write unit")
				}
			}
		})
	}
}

func TestGoldenProgress(t *testing.T) {
	j := oneJob()
	at, _ := j.SegmentAt(0)
	s := inMemory()
	require.NoError(t, s.jobs.Create(t.Context(), j))
	p, err := s.jobs.Record(t.Context(), j.ID, at, ledger.Ends{task.Completed: {0, 1, 2}, task.Dead: {3, 4}, task.Cancelled: {ledger.Life(5, 1)}})
	require.NoError(t, err)
	require.NoError(t, s.jobs.Roll(t.Context(), p, noon))
	p.Rolled = p.Counts()

	again := golden(t, "progress", s)

	read, err := again.jobs.Progress(t.Context(), j)
	require.NoError(t, err)
	require.Equal(t, []ledger.Progress{p}, read)
}

func TestGoldenReplay(t *testing.T) {
	s := inMemory()
	began, err := s.replays.Begin(t.Context(), "again-1", noon)
	require.NoError(t, err)

	again := golden(t, "replay", s)

	read, err := again.replays.Begin(t.Context(), "again-1", noon.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, began, read)
}

func TestEveryGoldenFileIsStillWritten(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "items", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	source, err := os.ReadFile("golden_test.go")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".json"), "-", " ")
		require.Contains(t, string(source), `"`+name+`"`, "%s belongs to no test", file)
	}
}
