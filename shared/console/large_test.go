package console_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/console"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/testing/crowd"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// crowded returns a ground with a crowd, two hours after its large job was submitted.
func crowded(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	require.NoError(t, g.Apply(crowd.Configuration()))
	jobs := dynamo.Jobs{API: g.DynamoDB, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: fakeaws.Retention}
	tasks := dynamo.Tasks{API: g.DynamoDB, Table: fakeaws.TasksTable, Retention: fakeaws.Retention}
	require.NoError(t, crowd.Fill(t.Context(), jobs, tasks, drovertest.Start))
	g.World.Advance(drovertest.Start.Add(2 * time.Hour))
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
		"/labourers/l000": "30\u202f112", "/jobs?labourer=l000": "large", "/api/labourers": `"truncated":true`, "/api/dead/count?job=large": `{"dead":10000}`,
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
