package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/localstack"
	stacks "github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
)

// checkout leads to the project's top folder: go test runs in the package's.
const checkout = "../.."

// stack is Drover, deployed on its own emulator, with a meter between the functions and the emulator.
type stack struct {
	stacks.Stack

	meter    *localstack.Meter
	db       *dynamodb.Client
	bus      *eventbridge.Client
	lambda   *lambda.Client
	sqs      *sqs.Client
	s3       *s3.Client
	logs     *cloudwatchlogs.Client
	machines *sfn.Client
	registry dynamo.Registry
	jobs     dynamo.Jobs
	control  dynamo.Control

	emulator *localstack.Emulator
	mappings *localstack.Mappings
	groups   map[string]string // the log groups of measured functions
}

// start deploys the binaries of make build, without the minute tick.
func start(b *testing.B) *stack {
	b.Helper()
	return startWith(b, "DISABLED")
}

// startWith deploys them with the minute tick ENABLED or DISABLED.
func startWith(b *testing.B, ticks string) *stack {
	b.Helper()
	meter, err := localstack.StartMeter()
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, meter.Stop()) })
	emulator, err := localstack.Start(b.Context(), localstack.Options{FunctionEndpoint: meter.Endpoint})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, emulator.Stop()) })
	require.NoError(b, meter.Forward(emulator.Endpoint))

	const name = "bench"
	deploy := exec.CommandContext(b.Context(), "bin/drover", "--stack", name, "deploy", "--yes", "--template", "infra/template.yaml", "--parameter", "TickState="+ticks)
	deploy.Dir = checkout
	deploy.Env = append(emulator.Environ(), "DROVER_ARTIFACTS_BUCKET=")
	var said bytes.Buffer
	deploy.Stdout, deploy.Stderr = &said, &said
	require.NoError(b, deploy.Run(), &said)

	cfg := emulator.Config()
	described, err := stacks.Describe(b.Context(), cloudformation.NewFromConfig(cfg), name)
	require.NoError(b, err)
	s := &stack{Stack: described, meter: meter, db: dynamodb.NewFromConfig(cfg), bus: eventbridge.NewFromConfig(cfg), lambda: lambda.NewFromConfig(cfg),
		sqs: sqs.NewFromConfig(cfg), s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), logs: cloudwatchlogs.NewFromConfig(cfg),
		machines: sfn.NewFromConfig(cfg), emulator: emulator, groups: map[string]string{}}
	s.registry = dynamo.Registry{API: s.db, Table: s.Outputs["ControlTableName"]}
	s.jobs = dynamo.Jobs{API: s.db, Table: s.Outputs["JobsTableName"], Control: s.Outputs["ControlTableName"]}
	s.control = dynamo.Control{API: s.db, Table: s.Outputs["ControlTableName"]}
	require.NoError(b, localstack.NameFunction(b.Context(), s.lambda, s.Outputs["SchedulerFunctionName"], scheduler))
	return s
}

// through returns the settings of a caller that goes through the meter.
func (s *stack) through(caller string) aws.Config {
	cfg := s.emulator.Config()
	cfg.BaseEndpoint, cfg.AppID = aws.String(s.meter.Endpoint), caller
	return cfg
}

// takeMappings gives queues and streams the batching windows of the template.
func (s *stack) takeMappings(b *testing.B) {
	b.Helper()
	mappings, err := localstack.TakeMappings(b.Context(), s.emulator, s.meter)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, mappings.Stop()) })
	s.mappings = mappings
}

// These name functions for the meter.
const scheduler, scavenger = "scheduler", "scavenger"

// apply applies new labourers and job schemas.
func apply(ctx context.Context, registry dynamo.Registry, configuration string) error {
	c, _, problems := labourer.Read("labourers.yaml", []byte(configuration))
	if len(problems) > 0 {
		return fmt.Errorf("the configuration is wrong: %v", problems)
	}
	for id, l := range c.Labourers {
		if err := registry.ApplyLabourer(ctx, id, string(l.Stored()), 0); err != nil {
			return err
		}
	}
	for name, schema := range c.JobSchemas {
		if err := registry.ApplySchema(ctx, name, string(schema.Stored()), 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) submit(ctx context.Context, job string) error {
	return s.command(ctx, event.SubmitJob, job)
}

// command puts a command on the bus.
func (s *stack) command(ctx context.Context, kind, detail string) error {
	out, err := s.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{EventBusName: aws.String(s.Outputs["EventBusName"]),
		Source: aws.String("bench"), DetailType: &kind, Detail: &detail}}})
	if err == nil && out.FailedEntryCount > 0 {
		err = fmt.Errorf("the bus refuses the command: %s", aws.ToString(out.Entries[0].ErrorMessage))
	}
	return err
}

// await calls look at intervals until it returns true.
func await(b *testing.B, what string, each, atMost time.Duration, look func() (bool, error)) {
	b.Helper()
	for until := time.Now().Add(atMost); ; time.Sleep(each) {
		seen, err := look()
		require.NoError(b, err)
		if seen {
			return
		}
		require.True(b, time.Now().Before(until), "waited %s in vain for %s", atMost, what)
	}
}

// peaks follows the memory of a function's processes until the context ends. Then the channel delivers the most that one of them used, in bytes.
func (s *stack) peaks(ctx context.Context, function string) <-chan int {
	largest := make(chan int, 1)
	go func() {
		most := 0
		for ctx.Err() == nil {
			most = max(most, s.peak(function))
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		largest <- most
	}()
	return largest
}

// peak returns the most memory that any process of a function has used so far.
func (s *stack) peak(function string) int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	most := 0
	for _, p := range processes {
		environ, err := os.ReadFile("/proc/" + p.Name() + "/environ")
		if err != nil || !hasSetting(environ, "AWS_LAMBDA_FUNCTION_NAME="+function) || !hasSetting(environ, "AWS_ENDPOINT_URL="+s.meter.Endpoint) {
			continue
		}
		if pid, err := strconv.Atoi(p.Name()); err == nil {
			most = max(most, peakOf(pid))
		}
	}
	return most
}

// peakOf returns the most memory that a process has used, in bytes, or 0 if the process has ended.
func peakOf(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, _ := strconv.Atoi(fields[1])
			return kilobytes << 10
		}
	}
	return 0
}

// tick holds the unit of processor times below /proc.
const tick = 10 * time.Millisecond

// spentBy returns the processor time that a process has used, or 0 if the process has ended.
func spentBy(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(stat), ") ") // behind the program's name
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

// spentByEmulator returns the processor time that the emulator has used, without its functions.
func (s *stack) spentByEmulator() time.Duration {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	sum := time.Duration(0)
	for _, p := range processes {
		environ, err := os.ReadFile("/proc/" + p.Name() + "/environ")
		if err != nil || !hasSetting(environ, "GATEWAY_PORT="+strconv.Itoa(s.emulator.Port)) || bytes.Contains(environ, []byte("AWS_LAMBDA_FUNCTION_NAME=")) {
			continue
		}
		if pid, err := strconv.Atoi(p.Name()); err == nil {
			sum += spentBy(pid)
		}
	}
	return sum
}

func hasSetting(environ []byte, setting string) bool {
	return bytes.HasPrefix(environ, append([]byte(setting), 0)) || bytes.Contains(environ, append([]byte("\x00"+setting), 0))
}
