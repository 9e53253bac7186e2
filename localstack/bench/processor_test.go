package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Lambda gives a whole processor at 1,769 MB and a proportional share below
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html): a seventh at 256 MB, a half at 884 MB.
var shares = []struct {
	name string
	of   float64 // a processor
}{{"a-seventh", 1. / 7}, {"a-half", 1. / 2}, {"whole", 1}}

const (
	// period divides time into shares: a process that has used up its share of a period waits for the next one.
	period = 20 * time.Millisecond
	// The scheduler gets jobsABatch jobs of tasksAJob tasks in one invocation. The labourer has atOnce slots, and as many ends are archived together.
	jobsABatch, tasksAJob = 10, 100
	atOnce                = 100
)

// BenchmarkProcessor runs the deployed functions under shares of a processor. It schedules a thousand tasks from ten jobs and grants them to a hundred
// slots. It completes them in batches of ten, which starts the next ones, and records and archives their ends in batches of a hundred. The processor time is the function's own, and the same on every
// machine of this speed. The rest of an invocation is waiting: for the function's share, and for the local AWS, which is slower than AWS. The benchmark
// needs a writable processor cgroup, so it has to run as root on Linux.
func BenchmarkProcessor(b *testing.B) {
	for _, share := range shares {
		b.Run(share.name, func(b *testing.B) {
			for b.Loop() {
				p := newPipeline(b, share.of)
				p.run(b)
				p.report(b)
			}
		})
	}
}

// pipeline runs the four functions, one process each, on a local AWS that has only their tables, queues, bus and bucket. Without rules, mappings and
// machines, the benchmark itself passes events on.
type pipeline struct {
	sqs       *sqs.Client
	db        *dynamodb.Client
	tasks     string // table
	workers   string // URL of the workers' queue
	functions map[string]*measured
}

// measured is a function's process, with the durations of its invocations.
type measured struct {
	*localstack.Function
	group string // the folder of its cgroup
	took  []time.Duration
	idle  time.Duration // processor time before the first invocation
}

var functionNames = []string{"scheduler", "orchestrator", "worker-assistant", "scavenger", "archiver"}

func newPipeline(b *testing.B, share float64) *pipeline {
	b.Helper()
	emulator, err := localstack.Start(b.Context(), localstack.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, emulator.Stop()) })
	cfg := emulator.Config()
	p := &pipeline{sqs: sqs.NewFromConfig(cfg), db: dynamodb.NewFromConfig(cfg), functions: map[string]*measured{}}
	for _, table := range fakeaws.StackTables("") {
		_, err := p.db.CreateTable(b.Context(), table)
		require.NoError(b, err)
	}
	queue := func(name string) string {
		made, err := p.sqs.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: &name})
		require.NoError(b, err)
		return aws.ToString(made.QueueUrl)
	}
	p.tasks, p.workers = fakeaws.TasksTable, queue("workers")
	_, err = eventbridge.NewFromConfig(cfg).CreateEventBus(b.Context(), &eventbridge.CreateEventBusInput{Name: aws.String("bench")})
	require.NoError(b, err)
	_, err = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(b.Context(), &s3.CreateBucketInput{Bucket: aws.String("archive")})
	require.NoError(b, err)
	require.NoError(b, apply(b.Context(), dynamo.Registry{API: p.db, Table: fakeaws.ControlTable}, fmt.Sprintf(`
labourers: {harvest: {target: {sqs: %q}, max_simultaneous_invocations: %d}}
job_schemas: {default: {chunkable_attrs: [[section, {}]]}}
`, p.workers, atOnce)))
	environ := []string{"AWS_ENDPOINT_URL=" + emulator.Endpoint, "AWS_REGION=" + cfg.Region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"STACK=bench", "TASKS_TABLE=" + fakeaws.TasksTable, "CONTROL_TABLE=" + fakeaws.ControlTable, "JOBS_TABLE=" + fakeaws.JobsTable, "RUNS_TABLE=" + fakeaws.RunsTable, "EVENT_BUS=bench",
		"RUNS_QUEUE_URL=" + queue("runs"), "RUNS_DEAD_LETTER_QUEUE_URL=" + queue("runs-dead"),
		"WORKFLOW_STATE_MACHINE=arn:aws:states:us-east-1:000000000000:stateMachine:none",
		"JOBS_QUEUE_URL=" + queue("jobs"), "JOBS_DEAD_LETTER_QUEUE_URL=" + queue("jobs-dead"), "COMPLETIONS_QUEUE_URL=" + queue("completions"),
		"COMPLETIONS_DEAD_LETTER_QUEUE_URL=" + queue("completions-dead"), "STREAM_FAILURES_QUEUE_URL=" + queue("stream-failures"),
		"ALARM_TOPIC=arn:aws:sns:us-east-1:000000000000:none", "ARCHIVE_BUCKET=archive",
		"BACKOFF_STATE_MACHINE=arn:aws:states:us-east-1:000000000000:stateMachine:none", "COMPLETIONS_MAX_RECEIVES=5", "MAX_TASKS_PER_JOB=1000000",
		"RETENTION_DAYS=30"}
	for _, name := range functionNames {
		group := cgroup(b, share) // made before the process, so the cleanup removes it after the process
		f, err := localstack.StartFunction(filepath.Join(checkout, ".local/functions", name, "bootstrap"), environ)
		require.NoError(b, err)
		b.Cleanup(func() { _ = f.Stop() })
		require.NoError(b, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(f.PID())), 0o600))
		p.functions[name] = &measured{Function: f, group: group}
	}
	return p
}

// cgroup makes a cgroup with a share of a processor, and removes it when the benchmark ends.
func cgroup(b *testing.B, share float64) string {
	b.Helper()
	top, settings := "/sys/fs/cgroup", map[string]string{"cpu.max": fmt.Sprintf("%d %d", int64(share*float64(period.Microseconds())), period.Microseconds())}
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); err == nil { // version 1
		top, settings = "/sys/fs/cgroup/cpu", map[string]string{"cpu.cfs_period_us": strconv.FormatInt(period.Microseconds(), 10),
			"cpu.cfs_quota_us": strconv.FormatInt(int64(share*float64(period.Microseconds())), 10)}
	}
	group, err := os.MkdirTemp(top, "drover-bench-") //nolint:usetesting // the kernel makes a cgroup for the folder
	if err != nil {
		b.Skipf("this machine cannot limit the processor: %s", err)
	}
	b.Cleanup(func() {
		require.NoError(b, os.Remove(group), "a cgroup can be removed once its process has ended")
	})
	for _, name := range []string{"cpu.max", "cpu.cfs_period_us", "cpu.cfs_quota_us"} {
		if value, set := settings[name]; set {
			if err := os.WriteFile(filepath.Join(group, name), []byte(value), 0o600); err != nil {
				b.Skipf("this machine cannot limit the processor: %s", err)
			}
		}
	}
	return group
}

// invoke calls a function, with its timeout as the deadline, and decodes its answer.
func (p *pipeline) invoke(b *testing.B, name string, event, into any) {
	b.Helper()
	text, err := json.Marshal(event)
	require.NoError(b, err)
	f := p.functions[name]
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if len(f.took) == 0 {
		f.idle = processor(b, f.PID())
	}
	began := time.Now()
	answer, err := f.Invoke(ctx, text)
	f.took = append(f.took, time.Since(began))
	require.NoError(b, err)
	if into != nil {
		require.NoError(b, json.Unmarshal(answer, into), "%s", answer)
	}
}

type message struct {
	ID         string            `json:"messageId"`
	Source     string            `json:"eventSource"`
	Body       string            `json:"body"`
	Attributes map[string]string `json:"attributes"`
}

type batch struct {
	Records []message `json:"Records"`
}

func messages(bodies []string) batch {
	var of batch
	for i, body := range bodies {
		of.Records = append(of.Records, message{ID: strconv.Itoa(i), Source: "aws:sqs", Body: body, Attributes: map[string]string{"ApproximateReceiveCount": "1"}})
	}
	return of
}

func (p *pipeline) run(b *testing.B) {
	b.Helper()
	var failures struct {
		Failed []any `json:"batchItemFailures"`
	}
	var jobs []string
	for j := range jobsABatch {
		sections := make([]string, tasksAJob)
		for i := range sections {
			sections[i] = fmt.Sprintf(`"section-%04d"`, i)
		}
		jobs = append(jobs, fmt.Sprintf(`{"version": "0", "id": "e%d", "detail-type": "SubmitJob", "source": "bench", "time": "2026-11-22T12:00:00Z", "detail": {"job_id": "job-%d",
"labourer": "harvest", "sections": [%s], "isolate_sections": true, "report": {"columns": ["area_ha", "yield_t", "moisture_percent", "protein_percent", "price_eur"],
"source": "s3://harvest-measurements/combines/raw/", "destination": "s3://harvest-reports/sections/by-day/", "format": "parquet"}}}`, j, j, strings.Join(sections, ",")))
	}
	p.invoke(b, "scheduler", messages(jobs), &failures)
	require.Empty(b, failures.Failed)
	for done, round := 0, 0; done < jobsABatch*tasksAJob; round++ {
		p.start(b, fmt.Sprintf("execution-%d", round))
		ended := p.complete(b)
		require.NotEmpty(b, ended, "%d of %d tasks are completed, and no other starts", done, jobsABatch*tasksAJob)
		records := map[string]any{"Records": p.closings(b, ended)}
		p.invoke(b, "scavenger", records, nil)
		p.invoke(b, "archiver", records, nil)
		done += len(ended)
	}
}

// start grants due tasks and starts the first ones, as an execution of the orchestrate machine does.
func (p *pipeline) start(b *testing.B, execution string) {
	b.Helper()
	step := func(name string, into any, more map[string]any) {
		in := map[string]any{"step": name, "execution": execution, "labourer": "harvest"}
		maps.Copy(in, more)
		p.invoke(b, "orchestrator", in, into)
	}
	step("plan", nil, map[string]any{"input": map[string]any{"labourers": []string{"harvest"}}})
	step("reap", nil, nil)
	more := struct{ Start bool }{true}
	for round := 1; more.Start; round++ {
		var claimed struct {
			Claimed int
			Leases  json.RawMessage
		}
		decided := map[string]any{"round": round}
		step("claim", &claimed, map[string]any{"decided": decided})
		if claimed.Claimed == 0 {
			break
		}
		step("dispatch", &more, map[string]any{"leases": claimed.Leases, "decided": decided})
	}
}

// complete takes started tasks from the workers' queue, at least atOnce if there are so many, reports their ends, and returns them.
func (p *pipeline) complete(b *testing.B) []string {
	b.Helper()
	var ended []string
	for len(ended) < atOnce {
		got, err := p.sqs.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &p.workers, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 600})
		require.NoError(b, err)
		if len(got.Messages) == 0 {
			break // the leases are empty
		}
		var reports []string
		for _, m := range got.Messages {
			var handed struct {
				TaskID string `json:"task_id"`
			}
			require.NoError(b, json.Unmarshal([]byte(aws.ToString(m.Body)), &handed))
			ended = append(ended, handed.TaskID)
			reports = append(reports, fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": 1, "status": "completed", "result": {"rows": 1234}, "stats": {"ms": 321}}`, handed.TaskID))
			_, err := p.sqs.DeleteMessage(b.Context(), &sqs.DeleteMessageInput{QueueUrl: &p.workers, ReceiptHandle: m.ReceiptHandle})
			require.NoError(b, err)
		}
		var failures struct {
			Failed []any `json:"batchItemFailures"`
		}
		p.invoke(b, "worker-assistant", messages(reports), &failures)
		require.Empty(b, failures.Failed)
	}
	return ended
}

// closings returns the stream records of ended tasks.
func (p *pipeline) closings(b *testing.B, ended []string) []any {
	b.Helper()
	var records []any
	for i, id := range ended {
		segment, n, _ := strings.Cut(id, ".")
		key := map[string]types.AttributeValue{"segment": &types.AttributeValueMemberS{Value: segment}, "n": &types.AttributeValueMemberN{Value: n}}
		got, err := p.db.GetItem(b.Context(), &dynamodb.GetItemInput{TableName: &p.tasks, Key: key, ConsistentRead: aws.Bool(true)})
		require.NoError(b, err)
		require.Contains(b, got.Item, "status", "%s has not ended", id)
		records = append(records, map[string]any{"eventID": id, "eventName": "MODIFY", "dynamodb": map[string]any{"SequenceNumber": strconv.Itoa(i), "Keys": image(key), "NewImage": image(got.Item)}})
	}
	return records
}

func image(item map[string]types.AttributeValue) map[string]any {
	out := map[string]any{}
	for name, value := range item {
		out[name] = imageOf(value)
	}
	return out
}

func imageOf(value types.AttributeValue) any {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberB:
		return map[string]any{"B": base64.StdEncoding.EncodeToString(v.Value)}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": image(v.Value)}
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, one := range v.Value {
			list = append(list, imageOf(one))
		}
		return map[string]any{"L": list}
	default:
		panic(fmt.Sprintf("a task has no %T", value))
	}
}

// report logs the cost of each function's invocations. If there are several, the duration excludes the first one, which opens the connections.
func (p *pipeline) report(b *testing.B) {
	b.Helper()
	for _, name := range functionNames {
		f := p.functions[name]
		cpu := float64((processor(b, f.PID()) - f.idle).Microseconds()) / 1000 / float64(len(f.took))
		took := slices.Sorted(slices.Values(f.took[min(1, len(f.took)-1):]))
		median, longest := took[len(took)/2], took[len(took)-1]
		throttled := f.throttled(b) / float64(len(f.took))
		b.ReportMetric(cpu, name+"-cpu-ms")
		b.ReportMetric(throttled, name+"-waits-ms")
		b.ReportMetric(float64(median.Microseconds())/1000, name+"-ms")
		b.Logf("%-17s %4d invocations, each %7.1f ms of a processor, %8.1f ms of waiting for the share; in all %8.1f ms (median), %8.1f ms (longest); %5.1f MB",
			name, len(f.took), cpu, throttled, float64(median.Microseconds())/1000, float64(longest.Microseconds())/1000, float64(peakOf(f.PID()))/(1<<20))
	}
}

// processor returns the processor time that a process has used.
func processor(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(text), ") ") // the name may contain spaces
	fields := strings.Fields(after)
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond // Linux counts in hundredths of a second
}

// throttled returns for how many milliseconds the process waited for its share.
func (f *measured) throttled(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(f.group, "cpu.stat"))
	require.NoError(b, err)
	for line := range strings.Lines(string(text)) {
		var n float64
		if _, err := fmt.Sscanf(line, "throttled_time %f", &n); err == nil { // version 1, nanoseconds
			return n / 1e6
		}
		if _, err := fmt.Sscanf(line, "throttled_usec %f", &n); err == nil {
			return n / 1e3
		}
	}
	return 0
}
