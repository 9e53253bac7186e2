package bench

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	"github.com/drover-run/drover/shared/testing/bill"
)

// The essential functions of sosw, and their memory in its own templates, in GB.
var essentials = map[string]float64{"scheduler": 1, "orchestrator": 0.25, "scavenger": 0.25, "worker_assistant": 0.25}

const (
	soswBucket = "sosw-queue"
	soswMeta   = "sosw_tasks_meta"
)

// sosw is sosw 0.7, unmodified, from the Python package index: its tables, and a process for each of its four functions.
type sosw struct {
	*stack
	shape shape
	hosts map[string]*host
	times *times
	ended chan struct{} // receives an item whenever the assistant has marked a task
	fails chan error    // what a worker or the assistant could not do
}

// host runs one function in a process.
type host struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	init    time.Duration // until sosw was imported

	mu          sync.Mutex
	invocations int
	took        time.Duration
	logged      int // bytes
}

// createSosw creates sosw's tables and its bucket as its templates do, but with on-demand capacity, so that its scheduler need not wait.
func (s *stack) createSosw(b *testing.B) {
	b.Helper()
	type index struct{ name, hash, sort string }
	for _, t := range []struct {
		name, hash, sort string
		global, local    index
	}{
		{"config", "env", "config_name", index{}, index{}},
		{"sosw_tasks", "task_id", "", index{"sosw_tasks_greenfield", "labourer_id", "greenfield"}, index{}},
		{"sosw_closed_tasks", "task_id", "", index{"labourer_task_status_with_time", "labourer_id_task_status", "closed_at"}, index{}},
		{"sosw_retry_tasks", "labourer_id", "task_id", index{}, index{"labourer_id_greenfield", "labourer_id", "desired_launch_time"}},
		{soswMeta, "task_id", "created_at", index{}, index{}},
	} {
		numbers := map[string]bool{"greenfield": true, "closed_at": true, "desired_launch_time": true, "created_at": true}
		attributes := map[string]types.AttributeDefinition{}
		key := func(hash, sort string) (keys []types.KeySchemaElement) {
			for i, name := range []string{hash, sort} {
				if name != "" {
					kind := types.ScalarAttributeTypeS
					if numbers[name] {
						kind = types.ScalarAttributeTypeN
					}
					attributes[name] = types.AttributeDefinition{AttributeName: &name, AttributeType: kind}
					keys = append(keys, types.KeySchemaElement{AttributeName: &name, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
				}
			}
			return keys
		}
		in := &dynamodb.CreateTableInput{TableName: &t.name, BillingMode: types.BillingModePayPerRequest, KeySchema: key(t.hash, t.sort)}
		switch {
		case t.name == "sosw_closed_tasks":
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: &t.global.name, KeySchema: key(t.global.hash, t.global.sort),
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"completed_at", "greenfield", "attempts"}}}}
		case t.global.name != "":
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: &t.global.name, KeySchema: key(t.global.hash, t.global.sort),
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}}
		case t.local.name != "":
			in.LocalSecondaryIndexes = []types.LocalSecondaryIndex{{IndexName: &t.local.name, KeySchema: key(t.local.hash, t.local.sort),
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}}
		}
		for _, a := range attributes {
			in.AttributeDefinitions = append(in.AttributeDefinitions, a)
		}
		_, err := s.db.CreateTable(b.Context(), in)
		require.NoError(b, err)
	}
	_, err := s.s3.CreateBucket(b.Context(), &s3.CreateBucketInput{Bucket: aws.String(soswBucket)})
	require.NoError(b, err)
}

// hire starts sosw for one shape: it has one labourer. Its workers run in this process. As sosw's Worker does, each invokes the assistant at its end.
func (s *stack) hire(b *testing.B, of shape) *sosw {
	b.Helper()
	o := &sosw{stack: s, shape: of, hosts: map[string]*host{}, times: &times{}, ended: make(chan struct{}, of.tasks), fails: make(chan error, of.tasks)}
	worker := "sosw-work-" + of.id
	var code bytes.Buffer
	archive := zip.NewWriter(&code)
	_, err := archive.Create("index.py")
	require.NoError(b, err)
	require.NoError(b, archive.Close())
	made, err := s.lambda.CreateFunction(b.Context(), &lambda.CreateFunctionInput{FunctionName: &worker, Runtime: lambdatypes.RuntimePython312,
		Handler: aws.String("index.handler"), Timeout: aws.Int32(900), Role: aws.String("arn:aws:iam::000000000000:role/none"),
		Code: &lambdatypes.FunctionCode{ZipFile: code.Bytes()}})
	require.NoError(b, err, "sosw asks for the worker's timeout")
	for name := range essentials {
		schema := map[string]any{"chunkable_attrs": []any{[]any{"part", map[string]any{}}}}
		configuration, err := json.Marshal(map[string]any{
			"task_config": map[string]any{"labourers": map[string]any{worker: map[string]any{"arn": made.FunctionArn, "max_simultaneous_invocations": of.limit}}},
			"job_schema":  schema, "job_schema_variants": map[string]any{"default": schema}, "queue_bucket": soswBucket})
		require.NoError(b, err)
		_, err = s.db.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: aws.String("config"), Item: map[string]types.AttributeValue{"env": text("production"),
			"config_name": text(o.function(name) + "_config"), "config_value": text(string(configuration))}})
		require.NoError(b, err)
		o.hosts[name] = o.startHost(b, name)
	}
	assistant := make(chan []byte, of.tasks)
	s.meter.Employ(o.function("worker_assistant"), func(payload []byte) { assistant <- payload })
	b.Cleanup(func() { close(assistant) })
	go func() {
		for payload := range assistant {
			err := o.hosts["worker_assistant"].invoke(json.RawMessage(payload))
			if err != nil {
				o.fails <- err
				return
			}
			o.ended <- struct{}{}
		}
	}()
	takes := of.durations()
	functions := lambda.NewFromConfig(s.through(o.caller("worker")))
	s.meter.Employ(worker, func(payload []byte) {
		var task struct {
			ID string `json:"task_id"`
		}
		_ = json.Unmarshal(payload, &task) // without an id the assistant refuses it
		o.times.start()
		time.AfterFunc(takes(), func() {
			o.times.end()
			report, _ := json.Marshal(map[string]string{"action": "mark_task_as_completed", "task_id": task.ID})
			_, err := functions.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String(o.function("worker_assistant")),
				InvocationType: lambdatypes.InvocationTypeEvent, Payload: report})
			if err != nil {
				o.fails <- err
			}
		})
	})
	return o
}

// function returns the name of one of sosw's functions. Each shape has functions of its own, as their names lead to their configuration.
func (o *sosw) function(name string) string { return "sosw_" + name + "_" + o.shape.id }

func (o *sosw) startHost(b *testing.B, name string) *host {
	b.Helper()
	h := &host{command: exec.CommandContext(b.Context(), filepath.Join(checkout, ".local/venv/bin/python3"), "sosw/host.py", name)}
	h.command.Env = []string{"AWS_ENDPOINT_URL=" + strings.Replace(o.meter.Endpoint, "localhost", "127.0.0.1", 1), // so that its client of S3 uses paths
		"AWS_REGION=" + localstack.Region, "AWS_DEFAULT_REGION=" + localstack.Region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_LAMBDA_FUNCTION_NAME=" + o.function(name), localstack.AppID + "=" + o.caller(name), "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"PATH=" + os.Getenv("PATH")}
	h.command.Stderr = os.Stderr
	var err error
	h.in, err = h.command.StdinPipe()
	require.NoError(b, err)
	out, err := h.command.StdoutPipe()
	require.NoError(b, err)
	h.out = bufio.NewScanner(out)
	require.NoError(b, h.command.Start())
	b.Cleanup(func() { _ = h.in.Close(); _ = h.command.Wait() })
	said, err := h.read()
	require.NoError(b, err)
	h.init = said.took()
	return h
}

type said struct {
	Seconds  float64
	LogBytes int `json:"log_bytes"`
	Error    *string
}

func (s said) took() time.Duration { return time.Duration(s.Seconds * float64(time.Second)) }

func (h *host) read() (out said, err error) {
	if !h.out.Scan() {
		return out, errors.Join(errors.New("a process of sosw has ended"), h.out.Err())
	}
	return out, json.Unmarshal(h.out.Bytes(), &out)
}

// invoke hands an event to the function, and waits for the end of the invocation.
func (h *host) invoke(event any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, err := json.Marshal(event)
	if err != nil {
		return err
	}
	if _, err := h.in.Write(append(text, '\n')); err != nil {
		return err
	}
	out, err := h.read()
	if err != nil {
		return err
	}
	if out.Error != nil {
		return fmt.Errorf("sosw: %s", *out.Error)
	}
	h.invocations++
	h.took += out.took()
	h.logged += out.LogBytes
	return nil
}

// schedule hands the shape's job to the scheduler, and returns when all tasks are in its table.
func (o *sosw) schedule() error {
	return o.hosts["scheduler"].invoke(map[string]any{"lambda_name": "sosw-work-" + o.shape.id, "parts": parts(o.shape.tasks), "isolate_parts": true})
}

// tick invokes what sosw's rule invokes each minute.
func (o *sosw) tick(b *testing.B) {
	b.Helper()
	for _, name := range []string{"orchestrator", "scavenger"} {
		require.NoError(b, o.hosts[name].invoke(map[string]any{}))
	}
}

// run runs the shape without waiting for the minutes between the ticks: the next tick comes as soon as all workers that the last one started have
// ended. That is what a tick of the true rate finds too, because no worker runs longer than a minute. It returns the number of ticks.
func (o *sosw) run(b *testing.B) (ticks int) {
	b.Helper()
	require.NoError(b, o.schedule())
	for done := 0; ; ticks++ {
		o.tick(b)
		started := o.times.starts()
		if done == o.shape.tasks {
			break // this tick has archived the last ones
		}
		require.Greater(b, started, done, "a tick starts tasks as long as there are some")
		for ; done < started; done++ {
			select {
			case <-o.ended:
			case err := <-o.fails:
				require.NoError(b, err)
			}
		}
	}
	closed, err := o.db.Query(b.Context(), &dynamodb.QueryInput{TableName: aws.String("sosw_closed_tasks"), IndexName: aws.String("labourer_task_status_with_time"),
		Select: types.SelectCount, KeyConditionExpression: aws.String("labourer_id_task_status = :s"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":s": text("sosw-work-" + o.shape.id + "_1")}})
	require.NoError(b, err)
	require.EqualValues(b, o.shape.tasks, closed.Count, "each task is closed")
	return ticks
}

// caller returns the name of one of sosw's functions for the meter.
func (o *sosw) caller(name string) string {
	return "sosw-" + o.shape.id + "-" + strings.ReplaceAll(name, "_", "-")
}

// amounts returns what sosw has consumed. Its log of what happened to a task, in a table of its own, is optional: meta is the part for that.
func (o *sosw) amounts() (all, meta bill.Amounts, calls int) {
	all, meta = bill.Amounts{bill.Events: 1}, bill.Amounts{}
	for name, gigabytes := range essentials {
		spent, h := o.meter.Usage()[o.caller(name)], o.hosts[name]
		of, its := spent.Units(), spent.Tables[soswMeta]
		calls += spent.Total()
		all[bill.WriteUnits] += of.Write
		all[bill.ReadUnits] += of.Read
		all[bill.Puts] += float64(spent.Calls["s3 PUT"])
		all[bill.Invocations] += float64(h.invocations)
		all[bill.Compute] += float64(spent.Total()) * bill.Call.Seconds() * gigabytes
		all[bill.LogBytes] += float64(h.logged)
		meta[bill.WriteUnits] += its.Write
		meta[bill.Compute] += its.Write * bill.Call.Seconds() * gigabytes // one call for each unit
	}
	return all, meta, calls
}
