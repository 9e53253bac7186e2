package sim

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// warm creates what a process creates only once. Created within a bubble, it would belong to that bubble and fail in the next.
var warm = sync.OnceFunc(func() {
	world := fakeaws.NewWorld(epoch)
	tasks := dynamo.Tasks{API: fakeaws.NewDynamoDB(world.Now, fakeaws.StackTables("")...), Table: fakeaws.TasksTable}
	id := task.ID{Segment: segment.IDOf("warm", 0)}
	payload, err := json.Marshal(map[string]string{"x": strings.Repeat("x", 1000)})
	if err == nil {
		err = tasks.Create(context.Background(), []task.Task{{ID: id, Labourer: "l", JobID: "j", Payload: payload}})
	}
	if err == nil {
		_, err = tasks.Load(context.Background(), []task.ID{id})
	}
	if err != nil {
		panic(err)
	}
})

// inBubble simulates a plan in its own bubble.
func inBubble(t *testing.T, p plan, o Options) Report {
	warm()
	var report Report
	synctest.Test(t, func(*testing.T) { report = simulate(p, o) })
	return report
}
