package endtoend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
)

func TestG5DeadTasksAreReplayedOnceForRepeatedCommands(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for name, selected := range map[string]func(t *testing.T, dead string) object{
		"by task":     func(_ *testing.T, dead string) object { return object{"tasks": []string{dead}} },
		"by job":      func(t *testing.T, _ string) object { return object{"job_id": named(t)} },
		"by labourer": func(t *testing.T, _ string) object { return object{"labourer": named(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := s.desk(t)
			s.apply(t, d.labourer(2, object{"max_attempts": 2}))
			s.submit(t, tasks(2, nil))
			work := d.take(t, 2)
			s.complete(t, work[0])
			s.report(t, work[1].failed(nil))
			s.report(t, d.take(t, 1)[0].failed(nil))
			s.fact(t, "JobCompleted", object{"job_id": named(t), "generation": 1.})
			dead := s.fact(t, "TaskDead", object{"job_id": named(t)})["task_id"].(string)
			command := selected(t, dead)
			command["replay_id"] = named(t)

			for range 3 {
				s.put(t, "ReplayTasks", command)
			}

			third := d.take(t, 1)[0]
			require.Equal(t, []any{dead, 3}, []any{third.taskID, third.attempt}, "the task keeps its id, and its attempts are counted on")
			s.report(t, third.failed(nil)) // max_attempts counts from the replay
			fourth := d.take(t, 1)[0]
			s.put(t, "ReplayTasks", command)
			s.complete(t, fourth)
			ended := s.fact(t, "JobCompleted", object{"job_id": named(t), "generation": 2.})
			require.Equal(t, []any{2., 2., 0.}, []any{ended["total"], ended["completed"], ended["dead"]})
			s.settled(t, "JobsQueueUrl")
			require.Zero(t, d.waiting(t), "it was replayed again")
			s.requireTwoLives(t, dead)
			s.idle(t)
		})
	}
}

// requireTwoLives requires that both lives of a task are in the archive, the second with a link to the first.
func (s *stack) requireTwoLives(t *testing.T, id string) {
	t.Helper()
	lives := map[int]archive.Record{}
	for _, r := range s.archived(t, named(t)) {
		if r.TaskID == id {
			lives[r.Life] = r
		}
	}
	require.Len(t, lives, 2)
	require.Equal(t, task.Dead, lives[0].Status)
	require.Len(t, lives[0].Attempts, 2)
	require.Equal(t, task.Completed, lives[1].Status)
	require.Len(t, lives[1].Attempts, 4)
	require.Equal(t, 2, lives[1].ReplayOf)
	job, _, err := s.jobs.Get(t.Context(), named(t))
	require.NoError(t, err)
	require.Equal(t, ledger.Counts{Completed: 2}, job.Counts)
}
