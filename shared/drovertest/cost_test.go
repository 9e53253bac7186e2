package drovertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/bill"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

var update = flag.Bool("update", false, "rewrite testdata/costs.golden; review it before you commit")

// load is a way in which the tasks of a labourer come to their ends. Its target is a function, and nothing fails, if it does not say otherwise.
type load struct {
	name   string
	limit  int // the cap
	tasks  int
	takes  time.Duration // how long a task runs: half of it to half more, evenly drawn
	evenly bool          // all tasks run equally long, so those that started together end together

	fails   float64       // how many of the first attempts fail; the second ones do not
	queue   bool          // the target is a queue
	metric  bool          // the labourer has a health metric, which has no value
	payload int           // bytes of a payload that compresses to three quarters
	apart   bool          // each task is a job of its own
	every   time.Duration // between one job and the next; 0: they come at once
	// most a task, and most dollars for a million of them; 0: only the golden file says what it costs
	writes, reads, dollars float64
}

var loads = []load{
	{name: "cap 1, 1 s", limit: 1, tasks: 1200, takes: time.Second, writes: 3.4, reads: 4, dollars: 6.5},
	{name: "cap 12, 5 s", limit: 12, tasks: 3000, takes: 5 * time.Second, writes: 3.3, reads: 4, dollars: 5},
	{name: "cap 100, 30 s", limit: 100, tasks: 5000, takes: 30 * time.Second, writes: 3.3, reads: 4, dollars: 5},
	{name: "cap 100, 1 s", limit: 100, tasks: 10000, takes: time.Second, writes: 2.6, reads: 3, dollars: 3.5},
	{name: "lockstep: cap 256, 1 s", limit: 256, tasks: 10240, takes: time.Second, evenly: true, writes: 2.4, reads: 3, dollars: 3},

	{name: "cap 12, 5 s, a fifth of the first attempts fails", limit: 12, tasks: 3000, takes: 5 * time.Second, fails: 0.2, writes: 3.1, reads: 3.1, dollars: 4.1},
	{name: "cap 12, 5 s, a queue as target", limit: 12, tasks: 1500, takes: 5 * time.Second, queue: true},
	{name: "cap 12, 5 s, a health metric", limit: 12, tasks: 1500, takes: 5 * time.Second, metric: true},
	{name: "cap 12, 5 s, a payload of 4 KB", limit: 12, tasks: 1500, takes: 5 * time.Second, payload: 4 << 10, writes: 3, reads: 2.5, dollars: 3.5},
	{name: "cap 12, 5 s, a payload of 50 KB", limit: 12, tasks: 500, takes: 5 * time.Second, payload: 50 << 10, writes: 11.5, reads: 6.5, dollars: 9.5},
	{name: "cap 12, 5 s, jobs of one task", limit: 12, tasks: 1500, takes: 5 * time.Second, apart: true, writes: 9, reads: 8, dollars: 14},
	{name: "cap 12, 5 s, jobs of one task, one in two seconds", limit: 12, tasks: 1500, takes: 5 * time.Second, apart: true, every: 2 * time.Second},
}

// TestTheCostOfATask counts what some loads consume, from the event to the archive, and prices it. The workers' own runs are not counted, but
// the messages that they send are.
func TestTheCostOfATask(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	var out strings.Builder
	for _, l := range loads {
		m := measured(t, l)
		lines, sum := m.bill(float64(l.tasks))
		fmt.Fprintf(&out, "%s, %d tasks\n", l.name, l.tasks)
		for _, line := range lines {
			fmt.Fprintf(&out, "  %-38s %8.3f a task  $%.2f\n", line.What, line.Amount/float64(l.tasks), line.Dollars)
		}
		fmt.Fprintf(&out, "  %-38s %15s  $%.2f\n", "a million tasks", "", sum)
		for _, name := range slices.Sorted(maps.Keys(m.calls)) {
			if n := float64(m.calls[name]) / float64(l.tasks); n >= 0.0005 {
				fmt.Fprintf(&out, "    %-40s %6.3f\n", name, n)
			}
		}
		if l.dollars == 0 {
			continue
		}
		require.LessOrEqual(t, m.writes/float64(l.tasks), l.writes, "write units a task at %s", l.name)
		require.LessOrEqual(t, m.reads/float64(l.tasks), l.reads, "read units a task at %s", l.name)
		require.LessOrEqual(t, sum, l.dollars, "dollars a million tasks at %s", l.name)

		if l.apart || l.payload > 0 || l.fails > 0 {
			continue
		}
		// The two formulas of docs/costs.md. Of the worker assistant's updates, one closes each task, and the others feed leases.
		grants := float64(m.calls["orchestrator DynamoDB TransactWriteItems"]) / float64(l.tasks)
		feeds := float64(m.calls["worker-assistant DynamoDB UpdateItem"])/float64(l.tasks) - 1
		require.InEpsilon(t, m.writes/float64(l.tasks), 2.05+8*grants+feeds, 0.02, "write units a task at %s", l.name)
		require.InEpsilon(t, sum, 1.98+5.5*grants+2.9*feeds, 0.02, "dollars a million tasks at %s", l.name)
	}
	requireGolden(t, "costs.golden", out.String())
}

// meter counts what a load consumes.
type meter struct {
	mu            sync.Mutex
	writes, reads float64
	calls         map[string]int // by function, service and operation
	invocations   int
	compute       float64 // GB-seconds
	executions    int     // of the orchestrate machine
	billed        float64 // GB-seconds of these
	transitions   int     // of Standard executions
	logged        int     // bytes
	puts          int
	events        int
	requests      int // of SQS
	function      string
	running       map[string]time.Duration
}

func newMeter() *meter {
	return &meter{calls: map[string]int{}, running: map[string]time.Duration{}}
}

// bill returns what was consumed in all, and what that costs for a million tasks.
func (m *meter) bill(tasks float64) (lines []bill.Line, sum float64) {
	lines, sum = bill.AWS().Bill(bill.Amounts{bill.WriteUnits: m.writes, bill.ReadUnits: m.reads, bill.Invocations: float64(m.invocations), bill.Compute: m.compute,
		bill.Executions: float64(m.executions), bill.Billed: m.billed, bill.Transitions: float64(m.transitions), bill.QueueRequests: float64(m.requests),
		bill.Events: float64(m.events), bill.Puts: float64(m.puts), bill.LogBytes: float64(m.logged)})
	for i := range lines {
		lines[i].Dollars *= 1e6 / tasks
	}
	return lines, sum * 1e6 / tasks
}

// measured runs a load and returns what it consumed.
func measured(t *testing.T, l load) *meter {
	t.Helper()
	d := drovertest.New()
	m := newMeter()
	require.NoError(t, d.Apply(l.configuration()))
	require.NoError(t, d.Run())
	m.attach(d)
	l.employ(t, d, func() { m.requests++ })
	told := len(d.EventBridge.Told())
	d.DynamoDB.ResetUsage()

	completed := l.submit(d)
	require.NoError(t, d.Run())

	require.Equal(t, l.tasks, completed(t))
	archived, err := d.Archived()
	require.NoError(t, err)
	require.Len(t, archived, l.tasks)
	for _, cost := range d.DynamoDB.Usage() {
		m.writes, m.reads = m.writes+cost.WriteUnits, m.reads+cost.ReadUnits
	}
	m.events = len(slices.DeleteFunc(d.EventBridge.Told()[told:], func(e event.Envelope) bool { return strings.HasPrefix(e.Source, "aws.") }))
	m.compute += bill.Creation.Seconds() * 0.5 * float64(l.tasks)
	require.Empty(t, m.running, "an execution has not ended")
	return m
}

// A load whose target is a queue uses the one at desk.
const desk = "https://sqs.us-east-1.amazonaws.com/000000000000/desk"

func (l load) configuration() string {
	target, metrics := "{lambda: work}", ""
	if l.queue {
		target = fmt.Sprintf("{sqs: %q}", desk)
	}
	if l.metric {
		metrics = "    health_metrics: {cpu: {details: {MetricName: CPU, Namespace: Mine}, feelings: {3: 50}}}\n"
	}
	return fmt.Sprintf("labourers:\n  w:\n    target: %s\n    max_simultaneous_invocations: %d\n%sjob_schemas: {default: {chunkable_attrs: [[part, {}]]}}\n",
		target, l.limit, metrics)
}

// submit submits the load's job or jobs. It returns a function that counts what has completed.
func (l load) submit(d *drovertest.Drover) (completed func(*testing.T) int) {
	letters := make([]byte, l.payload)
	dice := rand.New(rand.NewPCG(5, 6))
	for i := range letters {
		letters[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[dice.IntN(64)]
	}
	jobs, each := 1, l.tasks
	if l.apart {
		jobs, each = l.tasks, 1
	}
	for i := range jobs {
		job := map[string]any{"job_id": l.job(i), "labourer": "w", "parts": make([]int, each), "isolate_parts": true}
		if l.payload > 0 {
			job["letters"] = string(letters)
		}
		if l.every == 0 {
			d.Submit(job)
			continue
		}
		d.World.At(d.World.Now().Add(time.Duration(i)*l.every), fakeaws.Run, "job "+l.job(i), func() { d.Submit(job) })
	}
	return func(t *testing.T) (n int) {
		t.Helper()
		for i := range jobs {
			job, _, err := d.Job(l.job(i))
			require.NoError(t, err)
			n += job.Counts.Completed
		}
		return n
	}
}

func (l load) job(i int) string {
	if l.apart {
		return fmt.Sprintf("j%d", i)
	}
	return "j"
}

// employ runs the labourer's tasks. Each sends one message at its end, and calls ended.
func (l load) employ(t *testing.T, d *drovertest.Drover, ended func()) {
	dice, luck := rand.New(rand.NewPCG(3, 4)), rand.New(rand.NewPCG(7, 8))
	work := func(text []byte, done func(*fakeaws.Failure)) {
		var one struct {
			TaskID string `json:"task_id"`
			Drover struct{ Attempt int }
		}
		require.NoError(t, json.Unmarshal(text, &one))
		takes := l.takes
		if !l.evenly {
			takes = time.Duration(float64(takes) * (0.5 + dice.Float64()))
		}
		status := "completed"
		if l.fails > 0 && one.Drover.Attempt == 1 && luck.Float64() < l.fails {
			status = "failed"
		}
		d.World.At(d.World.Now().Add(takes), fakeaws.Run, "end of "+one.TaskID, func() {
			ended()
			d.Deliver(fakeaws.CompletionsQueue, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": %q}`, one.TaskID, one.Drover.Attempt, status))
			done(nil)
		})
	}
	if !l.queue {
		d.Lambda.Handle("work", work)
		return
	}
	d.SQS.Create(desk, fakeaws.Queue{Visibility: time.Hour})
	d.SQS.Map(desk, fakeaws.Consumer{Batch: 1, Most: 1000, Take: func(batch []fakeaws.Received, done func([]string, error)) {
		work([]byte(batch[0].Body), func(*fakeaws.Failure) { done(nil, nil) })
	}})
}

// attach counts what the stack does from now on.
func (m *meter) attach(d *drovertest.Drover) {
	clients := d.Clients()
	clients.Log = slog.New(slog.NewJSONHandler(logWriter{m}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey { // the true time's text is not always equally long
			return slog.String(a.Key, "2026-01-01T00:00:00.123456789Z")
		}
		return a
	}}))
	functions := fakeaws.Wire(clients)
	d.Invoke = func(i fakeaws.Invocation) {
		m.function = i.Function
		messages := 0
		if strings.HasPrefix(i.About, "messages ") {
			messages = 1 + strings.Count(i.About, ",")
			m.requests += 2 * (messages + bill.PollersMessages - 1) / bill.PollersMessages // to receive them, and to delete them
		}
		took, gigabytes := bill.Duration(i.Function, messages)
		m.invocations, m.compute = m.invocations+1, m.compute+took.Seconds()*gigabytes
		out, err := i.Run(context.Background(), functions)
		m.function = ""
		i.Done(out, err)
	}
	before := func(_ context.Context, r fakeaws.Request) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.function == "" {
			return nil // the test itself looks
		}
		m.calls[m.function+" "+r.Service+" "+r.Operation]++
		switch r.Service {
		case "S3":
			m.puts++
		case "SQS":
			m.requests++
		}
		return nil
	}
	for _, h := range []*fakeaws.Hooks{&d.DynamoDB.Hooks, &d.S3.Hooks, &d.SQS.Hooks, &d.EventBridge.Hooks, &d.StepFunctions.Hooks, &d.Lambda.Hooks} {
		h.Before = before
	}
	d.StepFunctions.Record = m.record
}

// record counts an event of an execution's history: one of an Express execution is logged, one that enters a state of a Standard execution is a
// transition.
func (m *meter) record(machine, execution, what string, data any) {
	entered := strings.HasSuffix(what, "StateEntered")
	if machine == fakeaws.BackoffMachine {
		if entered {
			m.transitions++
		}
		return
	}
	m.logged += bill.HistoryEvent + bill.LogEvent
	if data != nil {
		text, err := json.Marshal(data)
		if err != nil {
			panic(err) // it was decoded from JSON
		}
		m.logged += len(strconv.Quote(string(text)))
	}
	switch {
	case what == "ExecutionStarted":
		m.executions++
		m.running[execution] = 0
	case entered:
		m.running[execution] += bill.BetweenStates
	case what == "TaskScheduled":
		took, _ := bill.Duration("orchestrator", 0)
		m.running[execution] += took
	case strings.HasPrefix(what, "Execution"):
		m.billed += math.Ceil(m.running[execution].Seconds()*10) / 10 * 64 / 1024
		delete(m.running, execution)
	}
}

type logWriter struct{ *meter }

func (w logWriter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logged += len(bytes.TrimSpace(text)) + bill.LogEvent
	return len(text), nil
}
