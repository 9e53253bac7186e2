package dynamo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

func TestARedrivenTaskAppearsInTheStreamUnchanged(t *testing.T) {
	s := inMemory()
	one := oneTask()
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	done := closed(t, one, task.Failed)
	require.NoError(t, s.tasks.Save(t.Context(), one, done))
	told := len(s.db.Stream(fakeaws.TasksTable, 0))

	for times := range 2 {
		require.NoError(t, s.tasks.Redrive(t.Context(), done, noon.Add(time.Duration(times)*time.Second)))

		records := s.db.Stream(fakeaws.TasksTable, told+times)
		require.Len(t, records, 1)
		again, err := dynamo.StreamImage(records[0].Change.NewImage)
		require.NoError(t, err)
		require.Equal(t, done, again)
	}

	is, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
	require.NoError(t, err)
	require.Equal(t, done, is[one.ID])
}

// TestTheStreamEntersARedrivenCompletion: the lease under which the task was completed may be gone.
func TestTheStreamEntersARedrivenCompletion(t *testing.T) {
	s := inMemory()
	one := oneTask()
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	done := closed(t, one, task.Completed)
	require.NoError(t, s.tasks.Save(t.Context(), one, done))

	require.NoError(t, s.tasks.Redrive(t.Context(), done, noon))

	done.Shared = true
	is, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
	require.NoError(t, err)
	require.Equal(t, done, is[one.ID])
}

func TestATaskThatIsNotAsItWasReadIsNotRedriven(t *testing.T) {
	s := inMemory()
	one := oneTask()
	failed := closed(t, one, task.Failed)
	dead, err := failed.Kill(noon)
	require.NoError(t, err)
	again, err := dead.Revive()
	require.NoError(t, err)
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	require.NoError(t, s.tasks.Save(t.Context(), one, failed))
	require.NoError(t, s.tasks.Save(t.Context(), failed, dead))
	require.NoError(t, s.tasks.Save(t.Context(), dead, again))
	told := len(s.db.Stream(fakeaws.TasksTable, 0))

	for _, was := range []task.Task{one, failed, dead} {
		require.ErrorIs(t, s.tasks.Redrive(t.Context(), was, noon), task.ErrStale)
	}
	gone := oneTask()
	gone.ID.N++
	require.ErrorIs(t, s.tasks.Redrive(t.Context(), gone, noon), task.ErrStale, "what is not there is not made")

	require.Empty(t, s.db.Stream(fakeaws.TasksTable, told))
}
