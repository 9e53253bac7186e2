package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/eventbridge"
	"github.com/drover-run/drover/shared/aws/logs"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/aws/sqs"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

// ground is a Drover in memory and in virtual time, with the command line. While a command waits, virtual time passes.
type ground struct {
	*drovertest.Drover
	t         *testing.T
	functions *fakeFunctions
	account   *fakeAccount
	sosw      *fakeSosw
	logs      *fakeLogs // of the functions
	stack     cloudformation.Stack
	// interrupt ends the next command's context when it first waits. before runs at that moment.
	interrupt bool
	before    func()
	// DynamoDB answers the command line, but no one else, with the error away until awayUntil.
	away        error
	awayUntil   time.Time
	interruptAt time.Time         // zero: never
	turning     bool              // virtual time is passing
	place       [2]string         // region and endpoint
	variables   map[string]string // the environment
	zone        *time.Location
	width       int // of the terminal; 0: there is none
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{Drover: drovertest.New(), t: t, functions: &fakeFunctions{}, account: newFakeAccount()}
	g.logs = &fakeLogs{now: g.World.Now, page: 50}
	g.Log = slog.New(slog.NewJSONHandler(g.logs, nil))
	g.account.parts["OrchestratorLogs"] = "orchestrator-logs"
	g.stack = cloudformation.Stack{Name: "drover", Status: "CREATE_COMPLETE", CreatedAt: drovertest.Start.AddDate(0, -5, 0),
		Parameters: map[string]string{"RetentionDays": "30"}, Outputs: map[string]string{
			"EventBusName": fakeaws.BusName, "TasksTableName": fakeaws.TasksTable, "ControlTableName": fakeaws.ControlTable, "JobsTableName": fakeaws.JobsTable,
			"RunsTableName": fakeaws.RunsTable, "RunsQueueUrl": fakeaws.RunsQueue,
			"ArchiveBucketName": fakeaws.ArchiveBucket, "CompletionsQueueArn": completionsARN}}
	g.DynamoDB.Before = func(context.Context, fakeaws.Request) error {
		if g.turning || !g.World.Now().Before(g.awayUntil) {
			return nil
		}
		return g.away
	}
	return g
}

const completionsARN = "arn:aws:sqs:us-east-1:000000000000:completions"

// said holds the outcome of a command.
type said struct {
	t        *testing.T
	code     int
	out, err string
}

func (g *ground) open(_ context.Context, name string) (*stack, error) {
	if name != g.stack.Name {
		return &stack{Stack: cloudformation.Stack{Name: name}, formations: g.account, listing: g.account, bins: g.account}, &cloudformation.MissingError{Stack: name}
	}
	db := g.DynamoDB
	return &stack{
		Stack:    g.stack,
		region:   g.place[0],
		endpoint: g.place[1],
		tasks:    dynamo.Tasks{API: db, Table: fakeaws.TasksTable},
		control:  dynamo.Control{API: db, Table: fakeaws.ControlTable},
		jobs:     dynamo.Jobs{API: db, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable},
		runs:     dynamo.Runs{API: db, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable},
		registry: dynamo.Registry{API: db, Table: fakeaws.ControlTable},
		health:   dynamo.Health{API: db, Table: fakeaws.ControlTable},
		bus:      eventbridge.Bus{API: g.EventBridge, Name: fakeaws.BusName},
		metrics:  cloudwatch.Source{API: g.CloudWatch},
		archive:  s3.Bucket{API: g.S3, Name: fakeaws.ArchiveBucket},

		decisions: logs.Decisions{API: g.logs}, caller: func(context.Context) string { return "arn:aws:iam::000000000000:user/ada" },

		compositions: dynamo.NewCompositions(db, fakeaws.RunsTable), waker: sqs.Runs{API: g.SQS, URL: fakeaws.RunsQueue},

		functions: g.functions, queues: g.account, topics: g.account, rules: g.account, machines: g.account, formations: g.account, listing: g.account, bins: g.account,
		sosw: g.sosw, schedules: g.sosw,
	}, nil
}

// drover runs a command line. The word after "<" is its standard input.
func (g *ground) drover(arguments ...string) said {
	g.t.Helper()
	input := ""
	if n := len(arguments); n > 1 && arguments[n-2] == "<" {
		arguments, input = arguments[:n-2], arguments[n-1]
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	var out, err bytes.Buffer
	code := run(ctx, &shell{in: strings.NewReader(input), out: &out, err: &err, now: g.World.Now, open: g.open,
		environment: func(name string) string { return g.variables[name] }, zone: g.zone, width: func() int { return g.width },
		wait: func(ctx context.Context, span time.Duration) error {
			if g.before != nil {
				g.before()
				g.before = nil
			}
			if g.interrupt || !g.interruptAt.IsZero() && g.World.Now().After(g.interruptAt) {
				cancel()
			}
			g.turning = true
			g.RunFor(span)
			g.turning = false
			return ctx.Err()
		}}, arguments)
	return said{g.t, code, out.String(), err.String()}
}

// pure runs a command that needs no stack.
func pure(t *testing.T, arguments ...string) said {
	t.Helper()
	g := &ground{Drover: drovertest.New(), t: t}
	g.stack.Name = "none"
	return g.drover(arguments...)
}

// ok returns the standard output of a command that has to succeed.
func (s said) ok() string {
	s.t.Helper()
	require.Equal(s.t, done, s.code, s.err)
	return s.out
}

// fails requires an exit code, words in the message, and an empty standard output.
func (s said) fails(code int, words ...string) {
	s.t.Helper()
	require.Equal(s.t, code, s.code, "%s%s", s.out, s.err)
	for _, w := range words {
		require.Contains(s.t, s.err, w)
	}
	require.Empty(s.t, s.out, "errors go to standard error")
}

// lines returns the JSON lines on standard output.
func (s said) lines() []map[string]any {
	s.t.Helper()
	var out []map[string]any
	for d := json.NewDecoder(strings.NewReader(s.out)); d.More(); {
		var line map[string]any
		require.NoError(s.t, d.Decode(&line), s.out)
		out = append(out, line)
	}
	return out
}

// one returns the single JSON document on standard output of a command that has to succeed.
func (s said) one() map[string]any {
	s.t.Helper()
	s.ok()
	lines := s.lines()
	require.Len(s.t, lines, 1, s.out)
	return lines[0]
}

// file writes a file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const shop = `
labourers:
  shop:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/shop"}
    max_simultaneous_invocations: 3
    retry: {min: 10s, initial: 10s, rate: 1, max: 10s}
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
`

// openShop applies the labourer shop and starts its workers.
func (g *ground) openShop(takes time.Duration, work worker.Func) {
	g.t.Helper()
	require.NoError(g.t, g.Apply(shop))
	require.NoError(g.t, g.Worker("shop", takes, work))
}

func well(context.Context, worker.Task) (any, error) { return map[string]bool{"ok": true}, nil }
