package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/cloudwatch"
	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/console"
	"github.com/drover-run/drover/shared/core/event"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const host = "127.0.0.1:4500"

// ground is a Drover in memory with a console.
type ground struct {
	*drovertest.Drover
	t       *testing.T
	console http.Handler
	open    error         // why the stack cannot be opened
	allowed time.Duration // for the doctor, when it was asked last
	host    string
	token   string
	log     strings.Builder
}

func newGround(t *testing.T, change ...func(*console.Options)) *ground {
	t.Helper()
	g := &ground{Drover: drovertest.New(), t: t}
	o := console.Options{Host: host, Now: g.World.Now, Log: slog.New(slog.NewTextHandler(&g.log, nil)),
		Open: func(context.Context) (*console.Stack, error) { return g.stack(), g.open },
		Explain: func(err error) console.Trouble {
			return console.Trouble{Status: http.StatusBadGateway, Reason: err.Error(), Fix: "Look after it."}
		}}
	for _, one := range change {
		one(&o)
	}
	g.host = o.Host
	g.console = console.New(t.Context(), o).Handler()
	return g
}

func (g *ground) stack() *console.Stack {
	db := g.DynamoDB
	tasks, control := dynamo.Tasks{API: db, Table: fakeaws.TasksTable}, dynamo.Control{API: db, Table: fakeaws.ControlTable}
	compositions := dynamo.NewCompositions(db, fakeaws.RunsTable)
	st := &console.Stack{Name: "drover", Region: "us-east-1",
		Reader: &inspect.Reader{Tasks: tasks, Control: control, Jobs: dynamo.Jobs{API: db, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable},
			Registry: dynamo.Registry{API: db, Table: fakeaws.ControlTable}, Health: dynamo.Health{API: db, Table: fakeaws.ControlTable},
			Metrics: cloudwatch.Source{API: g.CloudWatch}, Queues: noQueues{}, Archive: s3.Bucket{API: g.S3, Name: fakeaws.ArchiveBucket},
			Created: drovertest.Start.AddDate(0, -2, 0), RetentionDays: 30, Now: g.World.Now,
			Wait: func(ctx context.Context, span time.Duration) error { g.RunFor(span); return ctx.Err() }},
		Runs:      inspect.Runs{Store: dynamo.Runs{API: db, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable}, Compositions: compositions, Tasks: tasks, Leases: control},
		Workflows: compositions, History: cloudwatch.Source{API: g.CloudWatch}, Actions: actions{g},
		Doctor: func(ctx context.Context) ([]console.Check, error) {
			ends, _ := ctx.Deadline()
			g.allowed = time.Until(ends)
			return []console.Check{{Name: "tables", OK: true, Detail: "all there"}, {Name: "stream", Detail: "it lags <b>far</b>", Fix: "wait"}}, nil
		}}
	st.Why = inspect.Whys{Reader: st.Reader, Runs: st.Runs, Command: func(words ...string) string { return "drover " + strings.Join(words, " ") }}
	return st
}

type noQueues struct{}

func (noQueues) Backlog(context.Context, string) (inspect.Backlog, error) {
	return inspect.Backlog{}, nil
}

// actions carries out actions as a command line would.
type actions struct{ g *ground }

func (a actions) SetPaused(_ context.Context, labourer string, paused bool) error {
	if paused {
		return a.g.Pause(labourer)
	}
	return a.g.Resume(labourer)
}

func (a actions) Cancel(_ context.Context, job string) error {
	a.g.Put(event.CancelJob, map[string]string{"job_id": job})
	return nil
}

func (a actions) Replay(_ context.Context, tasks []string, job, labourer string) error {
	detail := map[string]any{"replay_id": "one"}
	if tasks != nil {
		detail["tasks"] = tasks
	}
	if job != "" {
		detail["job_id"] = job
	}
	if labourer != "" {
		detail["labourer"] = labourer
	}
	a.g.Put(event.ReplayTasks, detail)
	return nil
}

func (a actions) ChangeRun(_ context.Context, run, verb string) (flow.State, error) {
	if verb == "cancel" {
		a.g.Put(event.CancelWorkflow, map[string]string{"run_id": run})
		a.g.RunFor(10 * time.Second)
	} else if err := a.setRunPaused(run, verb == "pause"); err != nil {
		return "", err
	}
	tree, err := a.g.Workflow(run)
	return tree.State, err
}

func (a actions) setRunPaused(run string, paused bool) error {
	store := dynamo.Runs{API: a.g.DynamoDB, Table: fakeaws.RunsTable, Control: fakeaws.ControlTable}
	before, found, err := store.Get(a.g.t.Context(), run)
	if err != nil || !found {
		return err
	}
	after := before
	after.Head.Paused = paused
	_, err = store.Save(a.g.t.Context(), before, after)
	return err
}

// answer is a response.
type answer struct {
	t *testing.T
	*httptest.ResponseRecorder
}

// ask makes a request. Headers are pairs of a name and a value.
func (g *ground) ask(method, path, body string, headers ...string) answer {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), method, "http://"+g.host+path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.console.ServeHTTP(w, r)
	return answer{g.t, w}
}

func (g *ground) get(path string) answer { g.t.Helper(); return g.ask(http.MethodGet, path, "") }

// post carries out an action with the page's token.
func (g *ground) post(path, body string) answer {
	g.t.Helper()
	if g.token == "" {
		g.token = regexp.MustCompile(`name="drover-token" content="([^"]+)"`).FindStringSubmatch(g.get("/jobs").Body.String())[1]
	}
	return g.ask(http.MethodPost, path, body, "X-Drover-Token", g.token, "Origin", "http://"+g.host, "Sec-Fetch-Site", "same-origin")
}

// is requires a status, and returns the body.
func (a answer) is(status int) string {
	a.t.Helper()
	require.Equal(a.t, status, a.Code, a.Body.String())
	return a.Body.String()
}

// one returns the document of a response that has to be fine.
func (a answer) one() map[string]any {
	a.t.Helper()
	var out map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.is(http.StatusOK)), &out))
	require.Equal(a.t, "application/json", a.Header().Get("Content-Type"))
	return out
}

// problem returns the error of a response with this status.
func (a answer) problem(status int) map[string]any {
	a.t.Helper()
	var out struct {
		Error map[string]any `json:"error"`
	}
	require.NoError(a.t, json.Unmarshal([]byte(a.is(status)), &out))
	require.NotEmpty(a.t, out.Error["reason"])
	return out.Error
}

const village = `
labourers:
  shop:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/shop"}
    max_simultaneous_invocations: 4
    max_attempts: 2
    retry: {min: 10s, initial: 10s, rate: 1, max: 10s}
    health_metrics:
      ShopCPU:
        details: {MetricName: CPUUtilization, Namespace: AWS/RDS, Period: 60, Statistics: [Average], Dimensions: [{Name: DBInstanceIdentifier, Value: shop}]}
        feelings: {3: 50, 4: 25}
  mill:
    target: {sqs: "https://sqs.us-east-1.amazonaws.com/000000000000/mill"}
    max_simultaneous_invocations: 2
job_schemas:
  default: {chunkable_attrs: [[section, {}]]}
workflows:
  order intake: {description: "Takes <em>orders</em>", activities: [validate, ship]}
plugins:
  check: {activity: validate, stage: pre, labourer: mill}
  fraud: {activity: validate, stage: parallel, labourer: mill, mandatory: false, filter: {country: [AT]}}
  send: {activity: ship, stage: post, labourer: mill}
`

// poison is a text that would be markup, or would confuse a reader, where it is not escaped.
const poison = `<img src=x onerror=alert(1)>"'&{{.}}` + "\u2028\u202e"

// inhabited returns a ground where the job nightly has 12 tasks: the sections a-d die of a poisonous error, the others are completed. Then the job
// morning is submitted, of which nothing has begun, and a run of the workflow is over.
func inhabited(t *testing.T, change ...func(*console.Options)) *ground {
	t.Helper()
	g := newGround(t, change...)
	require.NoError(t, g.Apply(village))
	require.NoError(t, g.Worker("shop", 3*time.Second, func(_ context.Context, one worker.Task) (any, error) {
		var payload struct {
			Sections []string `json:"sections"`
		}
		if err := json.Unmarshal(one.Payload, &payload); err != nil {
			return nil, err
		}
		if payload.Sections[0] < "e" {
			return nil, fmt.Errorf("no section: %s", poison)
		}
		return json.RawMessage(`{"big": 12345678901234567890123, "text": "</script><b>"}`), nil
	}))
	require.NoError(t, g.Worker("mill", time.Second, func(context.Context, worker.Task) (any, error) { return map[string]int{"flour": 3}, nil }))
	text, err := json.Marshal(poison)
	require.NoError(t, err)
	g.Submit(fmt.Sprintf(`{"job_id": "nightly", "labourer": "shop", "sections": ["a","b","c","d","e","f","g","h","i","j","k","l"], "isolate_sections": true,
		"note": %s, "big": 9007199254740993.10}`, text))
	require.NoError(t, g.Run())
	require.NoError(t, g.Pause("shop"))
	g.Submit(`{"job_id": "morning", "labourer": "shop", "sections": ["a","e"], "isolate_sections": true}`)
	g.StartWorkflow(fmt.Sprintf(`{"start_id": "first", "workflow": "order intake", "uid": "order-1", "metadata": {"country": "DE", "note": %s}}`, text))
	g.RunFor(2 * time.Minute)
	return g
}
