package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/cancellation"
	"github.com/drover-run/drover/shared/service/leasing"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/service/progress"
	"github.com/drover-run/drover/shared/service/target"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// yard is an orchestrator over tables in memory that only counts its workers.
type yard struct {
	*orchestrator.Service
	db      *fakeaws.DynamoDB
	control dynamo.Control
	now     time.Time

	mu      sync.Mutex
	started map[task.ID]int
}

func (y *yard) Start(_ context.Context, _ labourer.Labourer, starts []target.Start) []error {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, s := range starts {
		y.started[s.Task.ID]++
	}
	return make([]error, len(starts))
}

// newYard returns a yard with a labourer of short attempts, and due jobs of one task each.
func newYard(t *testing.T, jobs ...string) *yard {
	t.Helper()
	y := &yard{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), started: map[task.ID]int{}}
	y.db = fakeaws.NewDynamoDB(func() time.Time { return y.now })
	y.control = dynamo.Control{API: y.db, Table: fakeaws.ControlTable}
	tasks := dynamo.Tasks{API: y.db, Table: fakeaws.TasksTable, Retention: time.Hour}
	ledgers := dynamo.Jobs{API: y.db, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: time.Hour}
	registry := dynamo.Registry{API: y.db, Table: fakeaws.ControlTable}
	now := func() time.Time { return y.now }
	y.Service = &orchestrator.Service{Control: y.control, Tasks: tasks, Registry: registry, Memory: dynamo.Health{API: y.db, Table: fakeaws.ControlTable},
		Leases:   leasing.Writer{Control: y.control, Deaths: dynamo.Deaths{Tasks: tasks, Control: y.control}, Progress: progress.Service{Jobs: ledgers, Now: now}},
		Sweeper:  cancellation.Service{Jobs: ledgers, Control: y.control, Tasks: tasks, Now: now},
		Launcher: target.Launcher{Starter: y, Tasks: tasks, Now: now}, Now: now}
	c, _, problems := labourer.Read("l.json", []byte(`{"labourers": {"hasty": {"target": {"sqs": "http://localhost/0/q"}, "max_simultaneous_invocations": 9,
		"max_duration": "2s", "cooldown": "1s", "max_attempts": 1}}}`))
	require.Empty(t, problems)
	require.NoError(t, registry.ApplyLabourer(t.Context(), "hasty", string(c.Labourers["hasty"].Stored()), 0))
	for i, id := range jobs {
		j := ledger.Job{ID: id, Labourer: "hasty", State: ledger.Scheduling, Text: []byte(`{}`), SubmittedAt: y.now, Total: 1, Owner: "me",
			OwnedUntil: y.now.Add(time.Minute), Generation: 1}
		require.NoError(t, ledgers.Create(t.Context(), j))
		require.NoError(t, tasks.Create(t.Context(), []task.Task{{ID: j.TaskAt(0), Labourer: "hasty", JobID: id, Payload: json.RawMessage(`{}`), CreatedAt: y.now}}))
		at, numbers := j.SegmentAt(0)
		require.NoError(t, ledgers.Publish(t.Context(), []ledger.Job{j}, queue.Entry{Labourer: "hasty", Due: y.now.Add(time.Duration(i) * time.Millisecond),
			Segment: at, Tasks: numbers, Job: id, Attempt: 1}))
	}
	y.now = y.now.Add(time.Second)
	return y
}

// claim returns what a claim hands out.
func (y *yard) claim(t *testing.T) []orchestrator.Handout {
	t.Helper()
	claimed, err := y.Claim(t.Context(), "execution", "hasty", orchestrator.Decided{Round: 1})
	require.NoError(t, err)
	return claimed.Leases
}

// failing makes calls fail before they do anything, if they reach an item whose key has this text.
func (y *yard) failing(operation, text string) {
	y.db.Before = func(_ context.Context, r fakeaws.Request) error {
		in, _ := json.Marshal(r.Input) //nolint:errchkjson // a request of the SDK
		if r.Operation == operation && strings.Contains(string(in), text) {
			return errors.New("as the test wants it")
		}
		return nil
	}
}

// TestG4ALeaseWhoseDispatcherDiedIsDispatchedBeforeItEnds: no attempt is lost that never began, although the labourer's attempts are shorter than the
// time after which a dispatcher counts as dead.
func TestG4ALeaseWhoseDispatcherDiedIsDispatchedBeforeItEnds(t *testing.T) {
	y := newYard(t, "one")
	leases := y.claim(t)

	y.now = y.now.Add(10 * time.Second)
	reaped, err := y.Reap(t.Context(), "hasty")
	require.NoError(t, err)
	require.Empty(t, reaped.Undispatched, "its dispatcher may still be at it")
	require.Zero(t, reaped.Expired)

	y.now = y.now.Add(time.Minute)
	reaped, err = y.Reap(t.Context(), "hasty")
	require.NoError(t, err)
	require.Zero(t, reaped.Expired)
	require.Equal(t, leases, reaped.Undispatched)

	_, err = y.Dispatch(t.Context(), "hasty", leases)
	require.NoError(t, err)
	held, err := y.control.Leases(t.Context(), "hasty")
	require.NoError(t, err)
	require.Equal(t, y.now.Add(3*time.Second), held[0].EndOf(0, queue.Limits{MaxDuration: 2 * time.Second, Cooldown: time.Second}), "from its dispatch on, the attempt has the labourer's time")
}

// TestG4ALateDispatcherLeavesTheLeaseToAnother: another dispatcher may adopt the lease before the late one ends, and both would start its workers.
func TestG4ALateDispatcherLeavesTheLeaseToAnother(t *testing.T) {
	for late, started := range map[time.Duration]int{35 * time.Second: 1, 36 * time.Second: 0} {
		y := newYard(t, "one")
		leases := y.claim(t)
		y.now = y.now.Add(late)

		_, err := y.Dispatch(t.Context(), "hasty", leases)

		require.NoError(t, err)
		require.Len(t, y.started, started, late)
	}
}

// TestG3AnUnmarkedDispatchGivesNothingBack: started workers keep their slots, so their completions count although the lease is not marked.
func TestG3AnUnmarkedDispatchGivesNothingBack(t *testing.T) {
	y := newYard(t, "one")
	leases := y.claim(t)
	y.failing("UpdateItem", "lease#")

	dispatched, err := y.Dispatch(t.Context(), "hasty", leases)

	require.NoError(t, err)
	require.Equal(t, 1, dispatched.Dispatched)
	require.Contains(t, dispatched.Errors[0], "as the test wants it")
	held, err := y.control.Leases(t.Context(), "hasty")
	require.NoError(t, err)
	require.Equal(t, 1, queue.Running(held))
}

// TestG8ALeaseThatCannotBeDispatchedBlocksNoOther: an error ends the dispatch of its own lease only.
func TestG8ALeaseThatCannotBeDispatchedBlocksNoOther(t *testing.T) {
	y := newYard(t, "one", "two", "three")
	leases := y.claim(t)
	require.Len(t, leases, 3)
	first := strings.Split(leases[0].Lease, "#")[1]
	y.failing("Query", first)

	_, err := y.Dispatch(t.Context(), "hasty", leases)

	require.ErrorContains(t, err, "as the test wants it")
	require.Len(t, y.started, 2)
	held, err := y.control.Leases(t.Context(), "hasty")
	require.NoError(t, err)
	for _, l := range held {
		require.Equal(t, string(l.Segment) == first, l.Starting(), l.Item())
	}
}
