package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/local"
	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/packaging"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// stack is a deployed Drover, with the clients that tests need.
type stack struct {
	target localstack.Target
	name   string
	out    map[string]string // its outputs
	bus    *bus

	db       *dynamodb.Client
	sqs      *sqs.Client
	sns      *sns.Client
	events   *eventbridge.Client
	machines *sfn.Client
	lambda   *lambda.Client
	metrics  *cloudwatch.Client
	logs     *cloudwatchlogs.Client
	s3       *s3.Client

	jobs     dynamo.Jobs
	control  dynamo.Control
	registry dynamo.Registry
}

// build updates the binaries to deploy; Go rebuilds only what has changed.
func build(ctx context.Context) error {
	return run(ctx, cleanEnviron(os.Environ()), nil, "make", "build", ".local/localstack/endtoend/testdata/worker/bootstrap")
}

// cleanEnviron returns the environment without the settings of a make that may run these tests.
func cleanEnviron(environ []string) []string {
	var out []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "MAKE") && !strings.HasPrefix(variable, "MFLAGS") && !strings.HasPrefix(variable, "PARAMETERS=") {
			out = append(out, variable)
		}
	}
	return append(out, "ARCH="+runtime.GOARCH)
}

// run runs a command in the checkout; its error contains the output.
func run(ctx context.Context, environ []string, stdout *bytes.Buffer, name string, arguments ...string) error {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir, command.Env = checkout, environ
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if stdout != nil {
		command.Stdout = stdout
	}
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, said.String())
	}
	return nil
}

// deploy deploys a template with the code of make build, for the processor that this code runs on, and returns the stack's outputs.
func deploy(ctx context.Context, on localstack.Target, name, template string, parameters ...string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(checkout, template))
	if err != nil {
		return nil, err
	}
	read, err := packaging.Read(text)
	if err != nil {
		return nil, err
	}
	arguments := []string{"--stack", name, "--json", "deploy", "--yes", "--template", template}
	if _, has := read.Parameters()["Architecture"]; has {
		arguments = append(arguments, "--parameter", "Architecture="+local.Architecture())
	}
	for _, p := range parameters {
		arguments = append(arguments, "--parameter", p)
	}
	var printed bytes.Buffer
	if err := run(ctx, cleanEnviron(on.Environ()), &printed, "bin/drover", arguments...); err != nil {
		return nil, err
	}
	var said struct{ Outputs map[string]string }
	err = json.Unmarshal(printed.Bytes(), &said)
	return said.Outputs, err
}

// newStack deploys Drover without its tick.
func newStack(ctx context.Context, on localstack.Target, name string) (*stack, error) {
	parameters := []string{"TickState=DISABLED", "MoeStatusTable=true"}
	if os.Getenv(stackVariable) != "" { // tests create queues while they run, and tags take effect with a delay
		parameters = append(parameters, "WorkerFunctionArns=*", "WorkerQueueArns=*", "WorkerStateMachineArns=*")
	}
	out, err := deploy(ctx, on, name, "infra/template.yaml", parameters...)
	if err != nil {
		return nil, err
	}
	cfg := on.Config()
	s := &stack{target: on, name: name, out: out,
		db: dynamodb.NewFromConfig(cfg), sqs: sqs.NewFromConfig(cfg), sns: sns.NewFromConfig(cfg), events: eventbridge.NewFromConfig(cfg),
		machines: sfn.NewFromConfig(cfg, plainHost), lambda: lambda.NewFromConfig(cfg), metrics: cloudwatch.NewFromConfig(cfg), logs: cloudwatchlogs.NewFromConfig(cfg),
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = !on.OnAWS() })}
	s.jobs = dynamo.Jobs{API: s.db, Table: out["JobsTableName"], Control: out["ControlTableName"]}
	s.control = dynamo.Control{API: s.db, Table: out["ControlTableName"]}
	s.registry = dynamo.Registry{API: s.db, Table: out["ControlTableName"]}
	s.bus, err = watch(ctx, s)
	return s, err
}

// plainHost keeps the SDK from adding the prefix "sync-" to the host of a local AWS, which has only one name.
func plainHost(o *sfn.Options) {
	if o.BaseEndpoint == nil {
		return
	}
	o.APIOptions = append(o.APIOptions, func(calls *middleware.Stack) error {
		return calls.Initialize.Add(middleware.InitializeMiddlewareFunc("PlainHost",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
			}), middleware.Before)
	})
}

// named returns the test's own name for its labourer, its job and its queue.
func named(t *testing.T) string {
	return strings.NewReplacer("/", "-").Replace(strings.TrimPrefix(t.Name(), "Test"))
}

// called returns a name for the test's own resources. It begins with the stack's name and has at most 75 characters, the limit for a FIFO queue's name
// without its suffix.
func (s *stack) called(t *testing.T) string {
	name := s.name + "-" + strings.NewReplacer(".", "-").Replace(named(t))
	if len(name) > 75 {
		name = fmt.Sprintf("%s-%08x", name[:66], crc32.ChecksumIEEE([]byte(name)))
	}
	return name
}

// object is a JSON object.
type object = map[string]any

// with returns a copy of an object with the fields of more added or replaced.
func with(o, more object) object {
	maps.Copy(o, more)
	return o
}

// apply applies a labourer under the test's name, and replaces an earlier one.
func (s *stack) apply(t *testing.T, definition object) {
	t.Helper()
	s.configure(t, object{"labourers": object{named(t): definition}})
}

// schema applies a job schema that tests share.
func (s *stack) schema(ctx context.Context, name string, attributes ...string) error {
	return s.registry.ApplySchema(ctx, name, string(job.Schema{ChunkableAttrs: attributes}.Stored()), 0)
}

// configure applies a file of labourers and job schemas.
func (s *stack) configure(t *testing.T, file object) {
	t.Helper()
	text, err := json.Marshal(file)
	require.NoError(t, err)
	c, _, problems := labourer.Read("labourers.json", text)
	require.Empty(t, problems)
	applied, err := s.registry.All(t.Context(), true)
	require.NoError(t, err)
	for id, l := range c.Labourers {
		require.NoError(t, s.registry.ApplyLabourer(t.Context(), id, string(l.Stored()), applied.Labourers[id].Revision))
	}
	for name, schema := range c.JobSchemas {
		require.NoError(t, s.registry.ApplySchema(t.Context(), name, string(schema.Stored()), applied.Schemas[name].Revision))
	}
}

// impatient holds a retry policy whose waits are short enough for tests.
var impatient = object{"min": "1s", "initial": "1s", "max": "2s"}

// put puts an event on the bus and returns its id.
func (s *stack) put(t *testing.T, detailType string, detail any) string {
	t.Helper()
	text, err := json.Marshal(detail)
	require.NoError(t, err)
	out, err := s.events.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: aws.String(s.out["EventBusName"]), Source: aws.String("the.tests"), DetailType: &detailType, Detail: aws.String(string(text))}}})
	require.NoError(t, err)
	require.Zero(t, out.FailedEntryCount, "the bus refuses %s", text)
	return aws.ToString(out.Entries[0].EventId)
}

// submit submits a job for the test's labourer under the test's name and returns its id.
func (s *stack) submit(t *testing.T, attributes object) string {
	t.Helper()
	detail := with(object{"job_id": named(t), "labourer": named(t)}, attributes)
	s.put(t, "SubmitJob", detail)
	return detail["job_id"].(string)
}

// tasks returns the attributes of a job of n tasks, by the schema that all tests share.
func tasks(n int, attributes object) object {
	sections := make([]int, n)
	for i := range sections {
		sections[i] = i
	}
	return with(object{"job_schema_name": "sections", "isolate_sections": true, "sections": sections}, attributes)
}

// ended waits until a job has ended and returns its record.
func (s *stack) ended(t *testing.T, jobID string) ledger.Job {
	t.Helper()
	defer s.tell(t, jobID)
	s.fact(t, "JobCompleted", object{"job_id": jobID})
	job, found, err := s.jobs.Get(t.Context(), jobID)
	require.NoError(t, err)
	require.True(t, found, "job %s has no record", jobID)
	require.Equal(t, ledger.Completed, job.State)
	return job
}

// tell shows a job, its tasks and the rest of its labourer's work, if the test has failed.
func (s *stack) tell(t *testing.T, jobID string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	job, _, err := s.jobs.Get(t.Context(), jobID)
	t.Logf("%v, job %s: %s", err, jobID, shown(job))
	for _, one := range s.tasks(t, job.Labourer) {
		if one.JobID == jobID {
			one.Payload = nil
			t.Logf("task %+v", one)
		}
	}
	for _, it := range s.scan(t, "ControlTableName") {
		if owner, _, _ := strings.Cut(text(it["labourer"]), "#"); owner == job.Labourer {
			t.Logf("control: %s", shown(plain(it)))
		}
	}
}

// archived returns the archived records of a labourer's tasks, once the archive has each life of them that has ended: it gathers ends before it
// writes them.
func (s *stack) archived(t *testing.T, labourerID string) []archive.Record {
	t.Helper()
	ended := s.endedLives(t, labourerID)
	return await(t, "the archive of "+labourerID, func() ([]archive.Record, bool) {
		var out []archive.Record
		written := map[string]bool{}
		pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: aws.String(s.out["ArchiveBucketName"]), Prefix: aws.String("labourer=" + labourerID + "/")})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			for _, o := range page.Contents {
				for _, r := range s.file(t, aws.ToString(o.Key)) {
					out = append(out, r)
					written[fmt.Sprintf("%s/%d", r.TaskID, r.Life)] = true
				}
			}
		}
		return out, !slices.ContainsFunc(ended, func(life string) bool { return !written[life] })
	})
}

// endedLives returns the lives of a labourer's tasks that have ended.
func (s *stack) endedLives(t *testing.T, labourerID string) []string {
	t.Helper()
	var out []string
	for id, one := range s.tasks(t, labourerID) {
		lives := one.Life
		if one.Status.Terminal() {
			lives++
		}
		for life := range lives {
			out = append(out, fmt.Sprintf("%s/%d", id, life))
		}
	}
	return out
}

// scan returns all items of one of the stack's tables.
func (s *stack) scan(t *testing.T, output string) []map[string]dbtypes.AttributeValue {
	t.Helper()
	var out []map[string]dbtypes.AttributeValue
	pages := dynamodb.NewScanPaginator(s.db, &dynamodb.ScanInput{TableName: aws.String(s.out[output]), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		out = append(out, page.Items...)
	}
	return out
}

// tasks returns all tasks in the tasks table, or those of a labourer.
func (s *stack) tasks(t *testing.T, labourerID string) map[task.ID]task.Task {
	t.Helper()
	var ids []task.ID
	for _, it := range s.scan(t, "TasksTableName") {
		if of := text(it["labourer"]); of == "" || labourerID != "" && of != labourerID { // part of a payload, or of another labourer
			continue
		}
		id, err := task.ParseID(text(it["segment"]) + "." + plain(it)["n"])
		require.NoError(t, err)
		ids = append(ids, id)
	}
	all, err := dynamo.Tasks{API: s.db, Table: s.out["TasksTableName"]}.Load(t.Context(), ids)
	require.NoError(t, err)
	return all
}

func (s *stack) file(t *testing.T, key string) []archive.Record {
	t.Helper()
	got, err := s.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(s.out["ArchiveBucketName"]), Key: &key})
	require.NoError(t, err)
	defer got.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(got.Body)
	require.NoError(t, err)
	records, err := archive.Read(body.Bytes())
	require.NoError(t, err)
	return records
}

// running returns the number of running tasks of the test's labourer.
func (s *stack) running(t *testing.T) int {
	t.Helper()
	leases, err := s.control.Leases(t.Context(), named(t))
	require.NoError(t, err)
	return queue.Running(leases)
}

// idle waits until the test's labourer has neither leases nor queue entries.
func (s *stack) idle(t *testing.T) {
	t.Helper()
	await(t, "the labourer to have nothing left", func() ([]string, bool) {
		var left []string
		leases, err := s.control.Leases(t.Context(), named(t))
		require.NoError(t, err)
		for _, l := range leases {
			left = append(left, l.Item())
		}
		entries, err := s.control.Due(t.Context(), named(t), time.Now().AddDate(1, 0, 0), 100)
		require.NoError(t, err)
		for _, e := range entries {
			left = append(left, e.Item())
		}
		return left, len(left) == 0
	})
}

// orchestrate runs the orchestrate machine like a person or the tick, and returns what its output shows for the test's labourer, or nil if the
// execution skipped the labourer.
func (s *stack) orchestrate(t *testing.T, input object) *orchestrated {
	t.Helper()
	out, err := s.execute(t.Context(), t, input)
	require.NoError(t, err)
	return out
}

// orchestrateAtOnce runs n executions at the same time and returns what each shows for the test's labourer.
func (s *stack) orchestrateAtOnce(t *testing.T, n int, input object) []*orchestrated {
	t.Helper()
	out, failed := make([]*orchestrated, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { out[i], failed[i] = s.execute(t.Context(), t, input) })
	}
	all.Wait()
	require.NoError(t, errors.Join(failed...))
	return out
}

// look runs the machine on the test's labourer and returns its output. An execution skips a labourer while another one paces it, so look starts
// executions until one has paced the labourer.
func (s *stack) look(t *testing.T) *orchestrated {
	t.Helper()
	return await(t, "an orchestration to look at "+named(t), func() (*orchestrated, bool) {
		seen := s.orchestrate(t, wake(t))
		return seen, seen != nil
	})
}

// wake returns the input that makes the machine read only the test's labourer.
func wake(t *testing.T) object { return object{"labourers": []string{named(t)}} }

// orchestrated holds what an execution of the orchestrate machine decided about a labourer.
type orchestrated struct {
	decision.Record
	Failed object // the error that ended the labourer's branch
}

// execute runs one execution to its end. AWS cannot describe a running Express execution, so the call waits for the end.
func (s *stack) execute(ctx context.Context, t *testing.T, input object) (*orchestrated, error) {
	text, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	out, err := s.machines.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{
		StateMachineArn: aws.String(s.out["OrchestrateStateMachineArn"]), Input: aws.String(string(text))})
	if err != nil {
		return nil, err
	}
	if out.Status != sfntypes.SyncExecutionStatusSucceeded {
		return nil, fmt.Errorf("the orchestration %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	var all struct{ Decisions []orchestrated }
	if err := json.Unmarshal([]byte(aws.ToString(out.Output)), &all); err != nil {
		return nil, fmt.Errorf("reading %s, %w", aws.ToString(out.Output), err)
	}
	for _, one := range all.Decisions {
		if one.Labourer == named(t) {
			return &one, nil
		}
	}
	return nil, nil
}

// situation describes the state of the test's labourer and its job, for the messages of failed waits.
func (s *stack) situation(t *testing.T) string {
	t.Helper()
	items, err := s.db.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(s.out["ControlTableName"]), KeyConditionExpression: aws.String("labourer = :l"),
		ExpressionAttributeValues: map[string]dbtypes.AttributeValue{":l": &dbtypes.AttributeValueMemberS{Value: named(t)}}})
	require.NoError(t, err)
	var found []string
	for _, item := range items.Items {
		if name, is := item["item"].(*dbtypes.AttributeValueMemberS); is {
			found = append(found, name.Value)
		}
	}
	job, _, err := s.jobs.Get(t.Context(), named(t))
	require.NoError(t, err)
	return fmt.Sprintf("the job is %q with %+v of %d, the labourer has %v", job.State, job.Counts, job.Total, found)
}

// counted returns how many reports the worker assistant has logged under this name, in total.
func (s *stack) counted(t *testing.T, name string) int {
	t.Helper()
	function, err := s.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(s.out["WorkerAssistantFunctionName"])})
	require.NoError(t, err)
	n := 0
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(s.logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: function.LoggingConfig.LogGroup})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, line := range page.Events {
			var logged struct{ Summary map[string]any }
			if json.Unmarshal([]byte(aws.ToString(line.Message)), &logged) == nil {
				times, _ := logged.Summary[name].(float64)
				n += int(times)
			}
		}
	}
	return n
}

// awaitCount waits until the worker assistant has counted at least so many. Its log comes after its messages have left their queue.
func (s *stack) awaitCount(t *testing.T, name string, least int) {
	t.Helper()
	await(t, name+" to be counted", func() (int, bool) {
		n := s.counted(t, name)
		return n, n >= least
	})
}
