package console_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/console"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// crowded returns a ground with 500 labourers, and with a job of 100,000 tasks that has ended: 10,000 of its tasks are dead. 300 small jobs came after it.
func crowded(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	var all strings.Builder
	all.WriteString("labourers:\n")
	for i := range 500 {
		fmt.Fprintf(&all, "  l%03d: {target: {sqs: \"https://sqs.us-east-1.amazonaws.com/000000000000/q\"}}\n", i)
	}
	require.NoError(t, g.Apply(all.String()))
	jobs := dynamo.Jobs{API: g.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: fakeaws.Retention}
	tasks := dynamo.Tasks{API: g.DynamoDB, Table: fakeaws.TasksTable, Retention: fakeaws.Retention}
	at := drovertest.Start
	large := ledger.Job{ID: "large", Labourer: "l000", State: ledger.Completed, SubmittedAt: at, RecordedAt: at, FinishedAt: at.Add(time.Hour), Total: 100_000,
		Generation: 1, Counts: ledger.Counts{Completed: 90_000, Dead: 10_000}}
	large.Cursor = large.Segments()
	require.NoError(t, jobs.Create(t.Context(), large))
	for ordinal := range large.Segments() {
		id, numbers := large.SegmentAt(ordinal)
		ends := ledger.Ends{}
		var some []task.Task
		for n := range numbers.All() {
			status := task.Completed
			if (ordinal*segment.Size+n)%10 == 0 {
				status = task.Dead
			}
			died := at.Add(time.Minute)
			some = append(some, task.Task{ID: task.ID{Segment: id, N: n}, JobID: "large", Labourer: "l000", Payload: []byte(`{"a":1}`), CreatedAt: at, ClosedAt: died, Status: status,
				Attempt: 1, Attempts: []task.Attempt{{Attempt: 1, DispatchedAt: &at, ClosedAt: &died, Status: task.Failed, Error: &task.Error{Type: "Bad"}}}})
			ends.Add(n, 0, status)
		}
		require.NoError(t, tasks.Create(t.Context(), some))
		_, err := jobs.Record(t.Context(), "large", id, ends)
		require.NoError(t, err)
	}
	for i := range 300 {
		require.NoError(t, jobs.Create(t.Context(), ledger.Job{ID: fmt.Sprintf("small-%03d", i), Labourer: "l001", State: ledger.Completed, SubmittedAt: at.Add(time.Duration(i+1) * time.Second),
			RecordedAt: at, FinishedAt: at.Add(time.Hour), Total: 1, Cursor: 1, Generation: 1, Counts: ledger.Counts{Completed: 1}}))
	}
	g.World.Advance(at.Add(2 * time.Hour))
	return g
}

func TestNoPageOfACrowdedStackReadsAll(t *testing.T) {
	if testing.Short() {
		t.Skip("not judged: 100,000 tasks take a while to write")
	}
	g := crowded(t)
	reads := counted(g)
	for path, shows := range map[string]string{"/jobs": "The list goes on.", "/jobs/large": "200 of its 10\u202f000 dead tasks", "/jobs/large?status=dead": "The list goes on.",
		"/jobs/large?status=completed&limit=500": "The list goes on.", "/dead": "The list goes on.", "/dead?job=large&error=Bad": "The list goes on.", "/dead?labourer=l000": "The list goes on.",
		"/labourers/l000": "nothing is due", "/jobs?labourer=l000": "large", "/api/labourers": `"truncated":true`, "/api/dead/count?job=large": `{"dead":10000}`,
		"/api/dead/count?labourer=l000": `{"dead":10000}`, "/search?q=l49": "l499"} {
		reads.Store(0)
		begun := time.Now()
		require.Contains(t, g.get(path).is(http.StatusOK), shows, path)
		limit := int64(console.ReadsAPage)
		if path == "/api/labourers" {
			limit = 3 + 50*4
		}
		require.LessOrEqual(t, reads.Load(), limit, path)
		t.Logf("%s: %d requests, %s", path, reads.Load(), time.Since(begun).Round(time.Millisecond))
	}

	var dead []string
	for next := ""; ; {
		w := g.get("/api/dead?limit=500&after=" + next).one()
		for _, one := range w["items"].([]any) {
			dead = append(dead, one.(map[string]any)["task_id"].(string))
		}
		if w["truncated"] == false {
			break
		}
		next = w["next"].(string)
	}
	slices.Sort(dead)
	require.Len(t, slices.Compact(dead), 10_000, "the windows make the whole list")
}
