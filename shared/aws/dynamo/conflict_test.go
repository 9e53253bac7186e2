package dynamo_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const retention = 30 * 24 * time.Hour

// stores holds the adapters on one DynamoDB.
type stores struct {
	db       *fakeaws.DynamoDB
	tasks    dynamo.Tasks
	control  dynamo.Control
	jobs     dynamo.Jobs
	registry dynamo.Registry
	health   dynamo.Health
	replays  dynamo.Replays
}

func inMemory() stores {
	db := fakeaws.NewDynamoDB(func() time.Time { return noon })
	return stores{db,
		dynamo.Tasks{API: db, Table: fakeaws.TasksTable, Retention: retention}, dynamo.Control{API: db, Table: fakeaws.ControlTable},
		dynamo.Jobs{API: db, Table: fakeaws.JobsTable, Control: fakeaws.ControlTable, Retention: retention},
		dynamo.Registry{API: db, Table: fakeaws.ControlTable}, dynamo.Health{API: db, Table: fakeaws.ControlTable},
		dynamo.Replays{API: db, Tasks: fakeaws.TasksTable, Control: fakeaws.ControlTable, Jobs: fakeaws.JobsTable, Retention: retention}}
}

// job returns a job of this many tasks that is being created.
func job(total int) ledger.Job {
	return ledger.Job{ID: "nightly", Labourer: "l", State: ledger.Scheduling, Text: []byte(`{"labourer":"l"}`), Fingerprint: "f", SubmittedAt: noon,
		Total: total, Owner: "me", OwnedUntil: noon.Add(time.Minute), Generation: 1}
}

func (s stores) publish(t *testing.T, j ledger.Job) ledger.Job {
	t.Helper()
	require.NoError(t, s.jobs.Create(t.Context(), j))
	for ordinal := range j.Segments() {
		at, numbers := j.SegmentAt(ordinal)
		require.NoError(t, s.jobs.Publish(t.Context(), []ledger.Job{j}, queue.Entry{Labourer: "l", Due: noon, Segment: at, Tasks: numbers, Attempt: 1}))
		j.Cursor++
	}
	j, _, err := s.jobs.Get(t.Context(), j.ID)
	require.NoError(t, err)
	return j
}

// meeting makes the next n writes meet another transaction on their items.
func (s stores) meeting(n int) *int {
	met := 0
	s.db.Before = func(_ context.Context, r fakeaws.Request) error {
		if met == n {
			return nil
		}
		switch r.Operation {
		case "TransactWriteItems":
			met++
			return &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{
				{Code: aws.String("None")}, {Code: aws.String("TransactionConflict")}}}
		case "UpdateItem", "PutItem", "DeleteItem":
			met++
			return &types.TransactionConflictException{}
		}
		return nil
	}
	return &met
}

// before does something once, before the first call of an operation.
func (s stores) before(operation string, do func()) {
	done := false
	s.db.Before = func(_ context.Context, r fakeaws.Request) error {
		if r.Operation == operation && !done {
			done = true
			do()
		}
		return nil
	}
}

func TestTwoSegmentsThatAreEnteredAtOnceAreBothEntered(t *testing.T) {
	s := inMemory()
	j := s.publish(t, job(300))
	at, _ := j.SegmentAt(0)
	p, err := s.jobs.Record(t.Context(), j.ID, at, ledger.Ends{task.Completed: {0, 1}})
	require.NoError(t, err)
	met := s.meeting(2)

	require.NoError(t, s.jobs.Roll(t.Context(), p, noon), "a record that another segment's sums enter is not a segment that was entered")

	require.Equal(t, 2, *met)
	j, _, err = s.jobs.Get(t.Context(), j.ID)
	require.NoError(t, err)
	require.Equal(t, 2, j.Counts.Completed)
}

// granted publishes a job of one segment and grants slots to its entry.
func (s stores) granted(t *testing.T, j ledger.Job, slots int) queue.Lease {
	t.Helper()
	s.publish(t, j)
	entries, err := s.control.Queue(t.Context(), j.Labourer)
	require.NoError(t, err)
	return s.grant(t, entries, queue.Room{Free: slots, Slots: slots, Starts: slots})
}

// grant grants room to entries of one segment and returns the lease.
func (s stores) grant(t *testing.T, entries []queue.Entry, room queue.Room) queue.Lease {
	t.Helper()
	state, err := s.control.State(t.Context(), entries[0].Labourer)
	require.NoError(t, err)
	g := queue.Plan(state, nil, entries, room, noon)
	require.Len(t, g.Changed, 1)
	require.NoError(t, s.control.Grant(t.Context(), entries[0].Labourer, g, queue.Hold{}))
	return g.Changed[0].Written()
}

func TestALeaseIsSavedAlsoWhenOthersAreWritingToIt(t *testing.T) {
	s := inMemory()
	l := s.granted(t, job(2), 2)
	s.meeting(1)

	require.NoError(t, s.control.Save(t.Context(), l, l.Ended(segment.Of(1))))

	l, found, err := s.control.Lease(t.Context(), "l", l.Item())
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, segment.Of(0), l.Held())
}

func TestAWriteThatMeetsOthersForTooLongIsAnErrorAndNotALostRace(t *testing.T) {
	s := inMemory()
	l := s.granted(t, job(1), 1)
	j, _, err := s.jobs.Get(t.Context(), "nightly")
	require.NoError(t, err)
	one := task.Task{ID: j.TaskAt(0), Labourer: "l", JobID: j.ID, Payload: json.RawMessage(`{}`), CreatedAt: noon}
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	done, err := one.Close(task.End{Attempt: 1, Status: task.Completed, At: noon})
	require.NoError(t, err)
	s.meeting(1000)

	for name, write := range map[string]func() error{
		"Save":   func() error { return s.tasks.Save(t.Context(), one, done) },
		"Grant":  func() error { return s.control.Grant(t.Context(), "l", queue.Grant{}, queue.Hold{}) },
		"Revoke": func() error { return s.control.Revoke(t.Context(), "l", queue.Change{Before: l, After: l}) },
		"Lease":  func() error { return s.control.Save(t.Context(), l, l.Marked(l.Tasks, queue.Dispatched, noon)) },
		"Hear":   func() error { return s.control.Hear(t.Context(), l, 0, noon) },
		"Requeue": func() error {
			return s.control.Requeue(t.Context(), l, l.Without(l.Tasks), l.Next(l.Tasks, noon))
		},
		"Create": func() error { return s.jobs.Create(t.Context(), job(1)) },
		"Finish": func() error { return s.jobs.Finish(t.Context(), j, ledger.Completed, noon) },
		"Apply":  func() error { return s.registry.ApplyLabourer(t.Context(), "l", "{}", 0) },
		"Ask":    func() error { return s.health.Ask(t.Context(), "key", noon, noon) },
	} {
		err := write()
		require.Error(t, err, name)
		for _, lost := range []error{queue.ErrChanged, ledger.ErrChanged, task.ErrStale} {
			require.NotErrorIs(t, err, lost, name)
		}
	}
}
