package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// leaving makes DynamoDB leave every part of a batch undone the first times that it is asked for.
func (s stores) leaving(times int) {
	asked := map[string]int{}
	s.db.Unprocessed = func(table string, key fakeaws.Item) bool {
		place := fmt.Sprint(table, fakeaws.Size(key))
		for _, name := range []string{"segment", "n", "labourer", "item", "job_id"} {
			place += fmt.Sprintf(" %v", key[name])
		}
		asked[place]++
		return asked[place] <= times
	}
}

func TestWhatATableLeavesUnprocessedIsAskedForAgain(t *testing.T) {
	s := inMemory()
	s.leaving(2)
	var tasks []task.Task
	var ids []task.ID
	for n := range 120 {
		one := oneTask()
		one.ID.N = n
		tasks, ids = append(tasks, one), append(ids, one.ID)
	}

	require.NoError(t, s.tasks.Create(t.Context(), tasks))
	require.Len(t, s.db.Items(fakeaws.TasksTable), len(tasks))
	s.leaving(2)
	loaded, err := s.tasks.Load(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, loaded, len(tasks))

	readings, keys := map[string]ecology.Reading{}, []string{}
	for i := range 120 {
		keys = append(keys, fmt.Sprintf("metric-%03d", i))
		readings[keys[i]] = ecology.Reading{At: noon}
	}
	require.NoError(t, s.health.Keep(t.Context(), readings))
	s.leaving(2)
	read, err := s.health.Readings(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, readings, read)

	var jobs []string
	for i := range 120 {
		j := job(1)
		j.ID = fmt.Sprintf("job-%03d", i)
		jobs = append(jobs, j.ID)
		require.NoError(t, s.jobs.Create(t.Context(), j))
	}
	s.leaving(2)
	found, err := s.jobs.GetAll(t.Context(), jobs)
	require.NoError(t, err)
	require.Len(t, found, len(jobs))
}

// waiting is a DynamoDB whose clients wait in real time, as those of AWS do.
type waiting struct{ dynamo.API }

func TestAskingAgainEndsWithItsContext(t *testing.T) {
	s := inMemory()
	s.leaving(1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	s.tasks.API = waiting{s.db}

	err := s.tasks.Create(ctx, []task.Task{oneTask()})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.tasks.Load(ctx, []task.ID{oneTask().ID})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestErrorsSayWhatWasBeingDone(t *testing.T) {
	s := inMemory()
	down := errors.New("no table answers")
	s.db.Before = func(context.Context, fakeaws.Request) error { return down }
	one, j, ctx := oneTask(), job(1), t.Context()
	at, numbers := j.SegmentAt(0)
	after := closed(t, one, task.Completed)
	calls := map[string]func() error{
		"writing 1 items": func() error { return s.tasks.Create(ctx, []task.Task{one}) },
		"reading 1 tasks": func() error { _, err := s.tasks.Load(ctx, []task.ID{one.ID}); return err },
		"reading tasks 0": func() error { _, err := s.tasks.Range(ctx, at, numbers); return err },
		"closing task":    func() error { return s.tasks.Save(ctx, one, after) },
		"storing job":     func() error { return s.jobs.Create(ctx, j) },
		"reading job":     func() error { _, _, err := s.jobs.Get(ctx, j.ID); return err },
		"taking over job": func() error { return s.jobs.Own(ctx, j, "me", noon, noon) },
		"giving up job":   func() error { return s.jobs.Disown(ctx, j) },
		"finishing job":   func() error { return s.jobs.Finish(ctx, j, ledger.Completed, noon) },
		"recording the":   func() error { _, err := s.jobs.Record(ctx, j.ID, at, ledger.Ends{task.Completed: {0}}); return err },
		"the progress of": func() error { _, err := s.jobs.Record(ctx, j.ID, at, nil); return err },
		"entering segme":  func() error { return s.jobs.Roll(ctx, ledger.Progress{JobID: j.ID, Segment: at}, noon) },
		"listing the job": func() error { _, err := s.jobs.Month(ctx, noon); return err },
		"reading 1 jobs":  func() error { _, err := s.jobs.GetAll(ctx, []string{j.ID}); return err },
		"cancelling job":  func() error { return s.jobs.Cancel(ctx, j) },
		"the state of":    func() error { _, err := s.control.State(ctx, "l"); return err },
		"the leases of":   func() error { _, err := s.control.Leases(ctx, "l"); return err },
		"the queue of":    func() error { _, err := s.control.Queue(ctx, "l"); return err },
		"looking at":      func() error { _, err := s.control.Look(ctx, "l", noon, 1); return err },
		"setting paused":  func() error { return s.control.SetPaused(ctx, "l", true) },
		"the trouble of":  func() error { return s.control.SetTrouble(ctx, "l", nil) },
		"the health of":   func() error { _, err := s.health.Recall(ctx, "l"); return err },
		"reading 1 metri": func() error { _, err := s.health.Readings(ctx, []string{"key"}); return err },
		"asking for metr": func() error { return s.health.Ask(ctx, "key", noon, noon) },
		"of labourers":    func() error { _, _, err := s.registry.Labourer(ctx, "l"); return err },
		"applying l to":   func() error { return s.registry.ApplyLabourer(ctx, "l", "{}", 0) },
		"beginning repla": func() error { _, err := s.replays.Begin(ctx, "r", noon); return err },
	}
	for doing, call := range calls {
		err := call()
		require.ErrorIs(t, err, down, doing)
		require.ErrorContains(t, err, doing)
	}
}
