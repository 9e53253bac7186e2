package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/testing/bill"
)

// measuredFunctions has the functions of the stack that take part in the life of a task, by the names that they have for the meter.
var measuredFunctions = map[string]string{"scheduler": "SchedulerFunctionName", "orchestrator": "OrchestratorFunctionName",
	"worker-assistant": "WorkerAssistantFunctionName", "scavenger": "ScavengerFunctionName", "archiver": "ArchiverFunctionName"}

// workerCaller names Drover's workers for the meter.
const workerCaller = "drover-worker"

// times are the moments in the life of a job, as its workers see it.
type times struct {
	mu             sync.Mutex
	submitted      time.Time
	started, ended []time.Time
}

func (t *times) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = append(t.started, time.Now())
}

func (t *times) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, time.Now())
}

// starts returns how many workers have started.
func (t *times) starts() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.started)
}

// first returns how long the first worker's start took.
func (t *times) first() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started[0].Sub(t.submitted)
}

// vacancies returns how long each freed slot stood empty: the k-th end frees the slot that the k-th start beyond the cap fills.
func (t *times) vacancies(limit int) (out []time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := limit; k < len(t.started) && k-limit < len(t.ended); k++ {
		out = append(out, max(0, t.started[k].Sub(t.ended[k-limit])))
	}
	return out
}

// employ runs the shape's workers in this process. Each sends its message when it ends.
func (s *stack) employ(b *testing.B, of shape) *times {
	b.Helper()
	require.NoError(b, apply(b.Context(), s.registry, fmt.Sprintf(`
labourers: {%s: {target: {lambda: "arn:aws:lambda:%s:000000000000:function:drover-work-%s"}, max_simultaneous_invocations: %d}}
job_schemas: {default: {chunkable_attrs: [[part, {}]]}}
`, of.id, localstack.Region, of.id, of.limit)))
	t, takes := &times{}, of.durations()
	queue := sqs.NewFromConfig(s.through(workerCaller))
	s.meter.Employ("drover-work-"+of.id, func(payload []byte) {
		var task struct {
			ID     string `json:"task_id"`
			Drover struct{ Attempt int }
		}
		_ = json.Unmarshal(payload, &task) // without an id the completion is refused, and the job does not end
		t.start()
		time.AfterFunc(takes(), func() {
			t.end()
			_, _ = queue.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs["CompletionsQueueUrl"]),
				MessageBody: aws.String(fmt.Sprintf(`{"version": 1, "task_id": %q, "attempt": %d, "status": "completed"}`, task.ID, task.Drover.Attempt))})
		})
	})
	return t
}

// parts returns the values of the attribute of which each task gets one.
func parts(tasks int) []int {
	out := make([]int, tasks)
	for i := range out {
		out[i] = i
	}
	return out
}

// run runs the shape in true time, and returns when its job is complete.
func (s *stack) run(b *testing.B, of shape) *times {
	b.Helper()
	t := s.employ(b, of)
	job, err := json.Marshal(map[string]any{"job_id": of.id, "labourer": of.id, "parts": parts(of.tasks), "isolate_parts": true})
	require.NoError(b, err)
	t.submitted = time.Now()
	require.NoError(b, s.submit(b.Context(), string(job)))
	await(b, "the job to be complete", 250*time.Millisecond, 10*time.Minute, func() (bool, error) {
		record, found, err := s.jobs.Get(b.Context(), of.id)
		return found && record.State == ledger.Completed, err
	})
	record, _, err := s.jobs.Get(b.Context(), of.id)
	require.NoError(b, err)
	require.Equal(b, ledger.Counts{Completed: of.tasks}, record.Counts)
	return t
}

// snapshot holds what the stack has consumed up to a moment.
type snapshot struct {
	usage      map[string]localstack.Usage
	logged     map[string]logged // by function
	executions int
	transports int // requests of SQS by which Lambda moves messages
}

func (s *stack) snapshot(b *testing.B) snapshot {
	b.Helper()
	out := snapshot{usage: s.meter.Usage(), logged: map[string]logged{}, transports: s.mappings.Requests()}
	for name := range measuredFunctions {
		out.logged[name] = s.read(b, s.groups[name])
	}
	pages := sfn.NewListExecutionsPaginator(s.machines, &sfn.ListExecutionsInput{StateMachineArn: aws.String(s.Outputs["OrchestrateStateMachineArn"])})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.Context())
		require.NoError(b, err)
		out.executions += len(page.Executions)
	}
	return out
}

// amounts returns what was consumed since before, and the number of AWS calls of Drover's functions.
func (s *stack) amounts(b *testing.B, before snapshot) (all bill.Amounts, calls int) {
	b.Helper()
	now := s.snapshot(b)
	poller := now.usage[localstack.Poller].Since(before.usage[localstack.Poller])
	worker := now.usage[workerCaller].Since(before.usage[workerCaller])
	all = bill.Amounts{bill.Events: 1, bill.Executions: float64(now.executions - before.executions),
		bill.QueueRequests: float64(now.transports - before.transports + requestsOf(worker))}
	for name, output := range measuredFunctions {
		spent := now.usage[name].Since(before.usage[name])
		of := spent.Units()
		calls += spent.Total()
		all[bill.WriteUnits] += of.Write
		all[bill.ReadUnits] += of.Read
		all[bill.Events] += float64(spent.Events)
		all[bill.Puts] += float64(spent.Calls["s3 PUT"])
		all[bill.QueueRequests] += float64(requestsOf(spent))
		all[bill.LogBytes] += float64(now.logged[name].bytes - before.logged[name].bytes)
		invocations := 0
		for function, n := range poller.Invoked {
			if strings.Contains(function, s.Outputs[output]) {
				invocations += n
			}
		}
		if name == "orchestrator" { // its machine invokes it
			invocations = now.logged[name].invocations - before.logged[name].invocations
			all[bill.LogBytes] += float64(invocations) * bill.MachineLog
			all[bill.Billed] += float64(invocations) * bill.MachineTime
		}
		took, gigabytes := bill.Duration(name, 0)
		all[bill.Invocations] += float64(invocations)
		all[bill.Compute] += float64(invocations) * took.Seconds() * gigabytes
	}
	_, gigabytes := bill.Duration("worker-assistant", 0)
	perMessage, _ := bill.Duration("worker-assistant", 1)
	none, _ := bill.Duration("worker-assistant", 0)
	all[bill.Compute] += float64(worker.Calls["sqs SendMessage"]) * (perMessage - none).Seconds() * gigabytes
	_, gigabytes = bill.Duration("scheduler", 0)
	all[bill.Compute] += float64(worker.Calls["sqs SendMessage"]) * bill.Creation.Seconds() * gigabytes // as many tasks were created
	return all, calls
}

func requestsOf(u localstack.Usage) (n int) {
	for call, times := range u.Calls {
		if strings.HasPrefix(call, "sqs ") {
			n += times
		}
	}
	return n
}

// logged counts the content of a log group.
type logged struct{ bytes, invocations int }

// ofLambda begins the lines that Lambda itself writes. In the template they are at WARN, so that AWS does not write them.
var ofLambda = []string{"START RequestId", "END RequestId", "REPORT RequestId", "INIT_START"}

func (s *stack) read(b *testing.B, group string) (out logged) {
	b.Helper()
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(s.logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.Context())
		require.NoError(b, err)
		for _, event := range page.Events {
			message := aws.ToString(event.Message)
			if strings.HasPrefix(message, "REPORT RequestId") {
				out.invocations++
			}
			if !slices.ContainsFunc(ofLambda, func(begin string) bool { return strings.HasPrefix(message, begin) }) {
				out.bytes += len(strings.TrimSpace(message)) + bill.LogEvent
			}
		}
	}
	return out
}

// groupOf returns the log group of a function.
func (s *stack) groupOf(ctx context.Context, function string) (string, error) {
	is, err := s.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return "", err
	}
	if is.LoggingConfig != nil && aws.ToString(is.LoggingConfig.LogGroup) != "" {
		return *is.LoggingConfig.LogGroup, nil
	}
	return "/aws/lambda/" + function, nil
}
