package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/trace"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/worker"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// tracedSpan is a span as a reader of OTLP sees it.
type tracedSpan struct {
	TraceID    string `json:"traceId"`
	ID         string `json:"spanId"`
	Parent     string `json:"parentSpanId"`
	Name       string
	Kind       int
	Start      int64 `json:"startTimeUnixNano,string"`
	End        int64 `json:"endTimeUnixNano,string"`
	Attributes []struct {
		Key   string
		Value struct {
			Text string `json:"stringValue"`
			Int  int    `json:"intValue,string"`
			Is   bool   `json:"boolValue"`
		}
	}
	Links  []struct{ SpanID string }
	Events []struct{ Name string }
	Status struct {
		Code    int
		Message string
	}
}

func (s tracedSpan) text(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.Text
		}
	}
	return ""
}

// told returns what a span stands for, and its length.
func (s tracedSpan) told() string {
	words := s.Name
	for _, key := range []string{"drover.reason", "drover.status", "error.type"} {
		if text := s.text(key); text != "" {
			words += ", " + text
		}
	}
	return words + ": " + time.Duration(s.End-s.Start).String()
}

// spans returns the spans of the one document that a command prints.
func (s said) spans() []tracedSpan {
	s.t.Helper()
	var document struct {
		ResourceSpans []struct {
			ScopeSpans []struct{ Spans []tracedSpan }
		}
	}
	require.NoError(s.t, json.Unmarshal([]byte(s.ok()), &document), s.out)
	return document.ResourceSpans[0].ScopeSpans[0].Spans
}

func tellings(spans []tracedSpan) []string {
	var out []string
	for _, s := range spans {
		out = append(out, s.told())
	}
	return out
}

// replayed returns a stack with job "j", whose only task fails twice, dies, is replayed an hour later and completes. It came with a traceparent.
func replayed(t *testing.T) (g *ground, parents map[int]string) {
	t.Helper()
	g, parents = newGround(t), map[int]string{}
	require.NoError(t, g.Apply(`labourers: {shop: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:shop"}, max_attempts: 2, retry: {min: 10s, initial: 10s, rate: 1, max: 10s}}}`))
	require.NoError(t, g.Worker("shop", 5*time.Second, func(_ context.Context, task worker.Task) (any, error) {
		parents[task.Attempt] = task.Trace.Traceparent()
		if task.Attempt < 3 {
			return nil, worker.Errorf("Busy", "come again")
		}
		return nil, nil
	}))
	g.Submit(`{"job_id": "j", "labourer": "shop", "not_before": "2026-01-01T01:00:00Z", "traceparent": "` + traceparent + `"}`)
	require.NoError(t, g.Run())
	g.RunFor(time.Hour)
	g.drover("replay", "--job", "j").ok()
	require.NoError(t, g.Run())
	return g, parents
}

func TestATraceTellsOfEachWaitAndEachAttempt(t *testing.T) {
	g, parents := replayed(t)

	spans := g.drover("trace", "j", "--format", "otlp").spans()

	var kinds []string
	for _, s := range spans {
		require.Equal(t, traceID, s.TraceID)
		name, _, _ := strings.Cut(s.told(), ": ")
		kinds = append(kinds, name)
	}
	require.Equal(t, []string{"submit shop, completed", "task shop, completed", "wait, not_before", "attempt shop, failed, Busy", "wait, backoff",
		"attempt shop, failed, Busy", "wait, replay", "attempt shop, completed"}, kinds)
	require.Equal(t, "00f067aa0ba902b7", spans[0].Parent, "it belongs to the submitter's trace")
	require.Equal(t, spans[0].ID, spans[1].Parent)
	for i, s := range spans[2:] {
		require.Equal(t, spans[1].ID, s.Parent)
		if i > 0 {
			require.Equal(t, spans[i+1].End, s.Start, "what follows begins where the one before ended")
		}
	}
	for attempt, at := range map[int]int{1: 3, 2: 5, 3: 7} {
		require.Equal(t, "00-"+traceID+"-"+spans[at].ID+"-01", parents[attempt], "the worker's parent is the span of its attempt")
		require.Equal(t, 5, spans[at].Kind)
		if attempt > 1 {
			require.Equal(t, spans[at-2].ID, spans[at].Links[0].SpanID, "a retry links to the attempt before")
		}
	}
	require.Equal(t, 2, spans[3].Status.Code)
	require.Equal(t, "come again", spans[3].Status.Message)
	require.Equal(t, "completed", spans[1].Events[0].Name)
	require.Equal(t, spans, g.drover("--json", "trace", "j").spans(), "it is the same each time")
}

func TestATraceTellsWhatATaskWaitsForNow(t *testing.T) {
	g := newGround(t)
	g.openShop(time.Hour, well)
	g.Submit(`{"job_id": "j", "labourer": "shop", "sections": [1, 2, 3, 4], "isolate_sections": true}`)
	g.RunFor(time.Minute)
	require.NoError(t, g.Pause("shop"))
	g.RunFor(time.Minute)

	spans := g.drover("--json", "trace", "j").spans()

	require.Equal(t, []string{"submit shop, scheduled: 1s", "task shop, running: 2m0s", "wait, queued: 1s", "attempt shop, running: 1m59s"}, tellings(spans[:4]))
	last := spans[len(spans)-1]
	require.Equal(t, []string{"task shop, queued: 2m0s", "wait, queued: 2m0s"}, tellings(spans[len(spans)-2:]))
	require.Contains(t, last.text("drover.waiting_for"), "paused")
	require.NotEqual(t, traceID, last.TraceID, "it has a trace of its own")
	require.Len(t, last.TraceID, 32)
	require.Equal(t, last.ID, g.drover("--json", "trace", "j").spans()[len(spans)-1].ID)
	text := g.drover("trace", "j").ok()
	require.Contains(t, text, "wait: queued (for the labourer is paused)")
}

func TestATraceIsReadFromTheArchiveWhereTheTableHasForgotten(t *testing.T) {
	g, _ := replayed(t)
	want := g.drover("--json", "trace", "j").spans()
	id := want[1].text("drover.task_id")
	g.stack.Parameters["RetentionDays"] = "1"
	g.RunFor(25 * time.Hour)
	segment, n, _ := strings.Cut(id, ".")
	g.forget(fakeaws.TasksTable, map[string]types.AttributeValue{"segment": &types.AttributeValueMemberS{Value: segment}, "n": &types.AttributeValueMemberN{Value: n}})

	require.Equal(t, want, g.drover("--json", "trace", "j").spans(), "the task is in the archive alone")
	require.Equal(t, want, g.drover("--json", "trace", "j", "--task", id).spans())

	g.forget(fakeaws.JobsTable, map[string]types.AttributeValue{"job_id": &types.AttributeValueMemberS{Value: "j"}, "item": &types.AttributeValueMemberS{Value: "job"}})
	g.drover("trace", "j").fails(failed, `there is no job "j"`, "--labourer, --date")
	spans := g.drover("--json", "trace", "j", "--labourer", "shop", "--date", "2026-01-01").spans()
	require.Equal(t, want[0].ID, spans[0].ID)
	require.Equal(t, want[3:], spans[3:], "only when it was to begin is forgotten")
	g.drover("trace", "j", "--labourer", "shop", "--date", "2026-01-09").fails(failed, `there is no job "j"`)
}

// forget deletes an item, as DynamoDB does after its time to live.
func (g *ground) forget(table string, key map[string]types.AttributeValue) {
	g.t.Helper()
	_, err := g.DynamoDB.DeleteItem(g.t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: key})
	require.NoError(g.t, err)
}

func TestTheTraceOfARunHasTheTasksOfItsTurns(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(`
labourers: {crew: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/crew"}, max_attempts: 1}}
workflows: {order: {activities: [ship]}}
plugins: {stock: {activity: ship, stage: pre, labourer: crew}, risky: {activity: ship, stage: parallel, labourer: crew, mandatory: false}}
`))
	parents := map[string]string{}
	require.NoError(t, g.Worker("crew", time.Second, func(_ context.Context, task worker.Task) (any, error) {
		parents[task.Plugin] = task.Trace.Traceparent()
		if task.Plugin == "risky" {
			return nil, errors.New("no luck")
		}
		return nil, nil
	}))
	run := g.StartWorkflow(`{"workflow": "order", "uid": "u", "traceparent": "` + traceparent + `"}`)
	require.NoError(t, g.Run())

	spans := g.drover("--json", "trace", run).spans()

	require.Equal(t, "start order, Optional Task Error", strings.SplitN(spans[0].told(), ": ", 2)[0])
	require.Equal(t, "00f067aa0ba902b7", spans[0].Parent)
	var turns, attempts []tracedSpan
	for _, s := range spans {
		switch {
		case strings.HasPrefix(s.Name, "task "):
			turns = append(turns, s)
		case strings.HasPrefix(s.Name, "attempt "):
			attempts = append(attempts, s)
		}
	}
	require.Len(t, turns, 2)
	require.Equal(t, []string{"stock", "ship", "pre", "risky", "ship", "parallel"}, []string{turns[0].text("drover.plugin"), turns[0].text("drover.activity"), turns[0].text("drover.stage"),
		turns[1].text("drover.plugin"), turns[1].text("drover.activity"), turns[1].text("drover.stage")})
	require.Equal(t, []string{"00-" + traceID + "-" + attempts[0].ID + "-01", "00-" + traceID + "-" + attempts[1].ID + "-01"}, []string{parents["stock"], parents["risky"]})
	one := g.drover("--json", "trace", run, "--task", turns[1].text("drover.task_id")).spans()
	require.Equal(t, turns[1], one[1])
	require.Contains(t, g.drover("trace", run).ok(), "(risky of ship, parallel)")
}

func TestTraceSelectsTasksAndExplainsWhatIsWrong(t *testing.T) {
	g := busy(t)
	all := g.drover("--json", "trace", "mixed").spans()
	tasks := slices.DeleteFunc(slices.Clone(all), func(s tracedSpan) bool { return !strings.HasPrefix(s.Name, "task ") })
	require.Len(t, tasks, 3)
	one := tasks[1].text("drover.task_id")

	require.Equal(t, one, g.drover("--json", "trace", "mixed", "--task", one).spans()[1].text("drover.task_id"))
	limited := g.drover("--json", "trace", "mixed", "--limit", "1").spans()
	require.Equal(t, tasks[0].ID, limited[1].ID)
	require.Less(t, len(limited), len(all))
	require.Contains(t, g.drover("--json", "trace", "gone").spans()[0].told(), "cancelled")
	g.drover("trace", "next", "--task", one).fails(failed, "belongs to mixed")
	g.drover("trace", "unheard-of").fails(failed, `there is no job "unheard-of"`)
	g.drover("trace", "mixed", "--task", "x").fails(misuse, "--task", "<segment>.<number>")
	g.drover("trace", "mixed", "--format", "jaeger").fails(misuse, "--format", "otlp")
	g.drover("trace", "mixed", "--limit", "-1").fails(misuse, "--limit")
	g.drover("trace", "mixed", "--date", "x").fails(misuse, "--date")
	g.drover("trace").fails(misuse, "JOB or RUN")
}

func TestTheTraceOfARejectedJobSaysWhy(t *testing.T) {
	g := newGround(t)
	g.Submit(`{"job_id": "j", "labourer": "nobody", "traceparent": "` + traceparent + `"}`)
	require.NoError(t, g.Run())

	spans := g.drover("--json", "trace", "j").spans()

	require.Len(t, spans, 1)
	require.Equal(t, traceID, spans[0].TraceID)
	require.Contains(t, spans[0].Status.Message, "labourer: there is no labourer")
}

func TestATraceOfMoreThanTenThousandTasksNeedsALimit(t *testing.T) {
	g := newGround(t)
	require.NoError(t, g.Apply(shop))
	require.NoError(t, g.Pause("shop"))
	g.Submit(map[string]any{"job_id": "j", "labourer": "shop", "period": map[string]string{"from": "2026-01-01", "to": "2026-12-31"}, "isolate_days": true,
		"sections": make([]int, 30), "isolate_sections": true})
	g.RunFor(time.Minute)

	g.drover("trace", "j").fails(misuse, "has 10950 tasks", "--task ID", "--limit N")

	spans := g.drover("--json", "trace", "j", "--limit", "300").spans()
	require.Len(t, spans, 1+2*300)
	require.Equal(t, trace.SpanID("submit", "j", fmt.Sprint(drovertest.Start.UnixMilli())), spans[0].ID)
}

func TestATraceSaysByTheLogWhatBoundEachWait(t *testing.T) {
	g := newGround(t)
	g.openShop(10*time.Minute, well)
	g.Submit(`{"job_id": "first", "labourer": "shop"}`)
	g.RunFor(time.Minute)
	g.drover("pause", "shop").ok()
	g.Submit(sections("nightly", 5))
	g.RunFor(30 * time.Minute)
	g.drover("resume", "shop").ok()
	require.NoError(t, g.Run())
	waits := func(words ...string) []tracedSpan {
		return slices.DeleteFunc(g.drover(append([]string{"--json", "trace"}, words...)...).spans(), func(s tracedSpan) bool { return s.Name != "wait" })
	}

	bound := waits("nightly", "--decisions")

	require.Len(t, bound, 5)
	for i, s := range bound {
		require.Equal(t, "paused", s.text("drover.reason"), "for most of the wait")
		require.Equal(t, "paused", s.Events[0].Name)
		require.Equal(t, s.ID, waits("nightly")[i].ID)
		require.Equal(t, "queued", waits("nightly")[i].text("drover.reason"), "without the log")
	}
	last := bound[4].Events
	require.Equal(t, "cap", last[len(last)-1].Name, "three run before the last two")
	require.Contains(t, g.drover("trace", "nightly", "--decisions").ok(), "wait: paused (")
	require.Equal(t, "queued", waits("first", "--decisions")[0].text("drover.reason"), "nothing kept it waiting")
	g.logs.lines = nil
	require.Equal(t, "queued", waits("nightly", "--decisions")[0].text("drover.reason"), "a log that is not kept says nothing")
}
