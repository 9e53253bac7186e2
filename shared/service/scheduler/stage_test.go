package scheduler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/service/scheduler"
	"github.com/drover-run/drover/shared/testing/fakeaws"
	"github.com/drover-run/drover/shared/testing/outage"
)

// start is later than the machine's own time, because deadlines of contexts are compared with that.
var start = time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC)

// stage returns a stack with labourers f and g, and a schema that chunks by stores.
func stage(t require.TestingT) *drovertest.Drover {
	stack, err := fakeaws.NewStack(start, func() float64 { return 0.5 })
	require.NoError(t, err)
	d := drovertest.Over(stack)
	d.SQS.Create(fakeaws.JobsQueue, fakeaws.Queue{}) // messages stay there
	require.NoError(t, d.Apply(`
labourers:
  f: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/f"}}
  g: {target: {sqs: "https://sqs.us-west-2.amazonaws.com/000000000000/g"}}
  m: {target: {states: "arn:aws:states:us-west-2:000000000000:stateMachine:m"}}
  f:prod: {target: {lambda: "arn:aws:lambda:us-west-2:000000000000:function:f:prod"}}
job_schemas:
  default: {chunkable_attrs: [[store, {}]]}
`))
	return d
}

// stores returns a job that makes this many tasks.
func stores(id, labourer string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("s%03d", i)
	}
	text, err := json.Marshal(map[string]any{"job_id": id, "labourer": labourer, "stores": names, "isolate_stores": true})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// submitted returns a SubmitJob as the jobs queue delivers it.
func submitted(job string) string { return command("SubmitJob", job) }

func command(kind, detail string) string {
	return fmt.Sprintf(`{"version": "0", "id": "event-of-%08x", "detail-type": %q, "source": "shop", "time": "2150-01-01T00:00:00Z", "detail": %s}`, len(detail), kind, detail)
}

func messages(receives int, bodies ...string) []scheduler.Message {
	out := make([]scheduler.Message, len(bodies))
	for i, body := range bodies {
		out[i] = scheduler.Message{ID: fmt.Sprintf("message-%d", i), Body: body, Receives: receives}
	}
	return out
}

// handle processes messages with a new scheduler. The error says what must be redelivered.
func handle(d *drovertest.Drover, invocation string, batch []scheduler.Message) (scheduler.Summary, error) {
	failed, summary := fakeaws.Wire(d.Clients()).Scheduler.Service.Handle(context.Background(), invocation, batch)
	if len(failed) > 0 {
		return summary, fmt.Errorf("%d messages must be redelivered: %s", len(failed), summary.Errors)
	}
	return summary, nil
}

// created returns the payloads of each job's tasks, in order, wherever they lie. It requires that each task is in exactly one queue entry or lease, and
// that its completion is entered either by its lease or from the stream: the entry or lease names its job, or the task is marked.
func created(t require.TestingT, d *drovertest.Drover) map[string][]string {
	queued, jobs := map[segment.ID]segment.Numbers{}, map[task.ID]string{}
	control := dynamo.Control{API: d.DynamoDB, Table: fakeaws.ControlTable}
	for _, labourer := range []string{"f", "g", "m", "f:prod"} {
		published := func(at segment.ID, numbers segment.Numbers, job string) {
			require.True(t, queued[at].Intersect(numbers).Empty(), "tasks of %s are published twice", at)
			queued[at] = queued[at].Union(numbers)
			for n := range numbers.All() {
				jobs[task.ID{Segment: at, N: n}] = job
			}
		}
		entries, err := control.Queue(context.Background(), labourer)
		require.NoError(t, err)
		for _, e := range entries {
			published(e.Segment, e.Tasks, e.Job)
		}
		leases, err := control.Leases(context.Background(), labourer)
		require.NoError(t, err)
		for _, l := range leases {
			published(l.Segment, l.Held(), l.Job)
		}
	}
	tasks := dynamo.Tasks{API: d.DynamoDB, Table: fakeaws.TasksTable}
	out := map[string][]string{}
	for at, numbers := range queued {
		found, err := tasks.Range(context.Background(), at, numbers)
		require.NoError(t, err)
		require.Len(t, found, numbers.Len(), "tasks of %s are queued and do not exist", at)
		for _, one := range found {
			require.Equal(t, task.Open, one.Status)
			if one.Shared {
				require.Empty(t, jobs[one.ID], "the completion of task %s would be entered twice", one.ID)
			} else {
				require.Equal(t, one.JobID, jobs[one.ID], "no component would enter the completion of task %s", one.ID)
			}
			out[one.JobID] = append(out[one.JobID], string(one.Payload))
		}
	}
	for _, payloads := range out {
		slices.Sort(payloads)
	}
	return out
}

// facts returns the published facts by kind and id, without wakes.
func facts(d *drovertest.Drover) []string {
	var out []string
	for _, e := range d.EventBridge.Told() {
		var detail struct{ ID string }
		if json.Unmarshal(e.Detail, &detail) == nil && e.DetailType != "TasksDue" {
			out = append(out, detail.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// picture returns the picture of the stack, with each segment of a job named by its place in the job: segment ids depend on when the job was
// recorded.
func picture(t require.TestingT, d *drovertest.Drover, jobID string) string {
	job, found, err := d.Job(jobID)
	require.NoError(t, err)
	require.True(t, found)
	out := outage.Picture(d.Stack)
	for ordinal := range job.Segments() {
		at, _ := job.SegmentAt(ordinal)
		out = strings.ReplaceAll(out, string(at), fmt.Sprintf("%s-%d", jobID, ordinal))
	}
	lines := strings.Split(out, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// woken reports whether the orchestrator was woken for a labourer after the first so many events, or is to start tasks of it.
func woken(d *drovertest.Drover, since int, labourer string) bool {
	starts := slices.ContainsFunc(d.World.Coming(), func(c *fakeaws.Coming) bool {
		return strings.HasPrefix(c.Label, "orchestrator ") && strings.Contains(c.Label, fmt.Sprintf(`"labourer":%q`, labourer))
	})
	return starts || slices.ContainsFunc(d.EventBridge.Told()[since:], func(e event.Envelope) bool {
		return e.DetailType == "TasksDue" && strings.Contains(string(e.Detail), fmt.Sprintf("%q", labourer))
	})
}

// guard fails the test when a task is written again whose segment is or was in the queue or a lease: creation overwrites.
func guard(t *testing.T, d *drovertest.Drover) {
	published := map[string]bool{}
	d.DynamoDB.Watch = func(table string, before, after fakeaws.Item) {
		switch {
		case table == fakeaws.ControlTable && before == nil:
			name := text(after, "item")
			place := map[string]int{"queue": 2, "lease": 1}
			if parts := strings.Split(name, "#"); place[parts[0]] > 0 {
				numbers, err := segment.ParseNumbers(text(after, "tasks"))
				if err != nil {
					t.Error(err)
				}
				for n := range numbers.All() {
					published[fmt.Sprintf("%s.%d", parts[place[parts[0]]], n)] = true
				}
			}
		case table == fakeaws.TasksTable:
			if id := text(after, "segment") + "." + text(after, "n"); published[id] {
				t.Errorf("task %s is written again after its segment was published", id)
			}
		}
	}
}

// text returns an attribute of an item as text.
func text(it fakeaws.Item, name string) string {
	switch v := it[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}
