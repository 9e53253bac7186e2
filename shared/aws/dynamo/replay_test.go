package dynamo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestG5ATaskMayLiveAThousandTimes: its job's progress does not grow with its lives, though the stream tells of earlier deaths again, and the
// task itself stays far from what an item may have.
func TestG5ATaskMayLiveAThousandTimes(t *testing.T) {
	const lives = 1000
	s := inMemory()
	j := oneJob()
	require.NoError(t, s.jobs.Create(t.Context(), j))
	at, _ := j.SegmentAt(0)
	one := oneTask()
	one.ID, one.JobID = task.ID{Segment: at, N: 3}, j.ID
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	size := func() int {
		for _, it := range s.db.Items(fakeaws.JobsTable) {
			if _, is := it["replayed"]; is {
				return fakeaws.Size(it)
			}
		}
		return 0
	}
	die := func() ledger.Progress {
		failed := closed(t, one, task.Failed)
		require.NoError(t, s.tasks.Save(t.Context(), one, failed))
		dead := must(t)(failed.Kill(noon))
		require.NoError(t, s.tasks.Save(t.Context(), failed, dead))
		ends := ledger.Ends{task.Dead: {ledger.Life(3, dead.Life)}}
		if dead.Life > 0 {
			ends[task.Dead] = append(ends[task.Dead], ledger.Life(3, dead.Life-1), ledger.Life(3, 0))
		}
		p, err := s.jobs.Record(t.Context(), j.ID, at, ends)
		require.NoError(t, err)
		require.Equal(t, ledger.Counts{Dead: 1}, p.Counts())
		require.NoError(t, s.jobs.Roll(t.Context(), p, noon))
		p.Rolled, one = p.Counts(), dead
		return p
	}
	first := 0
	for life := range lives {
		p := die()
		entry := queue.Entry{Labourer: j.Labourer, Due: noon.Add(time.Duration(life) * time.Second), Segment: at, First: 3, Tasks: segment.Of(3), Attempt: one.Attempt + 1}
		require.NoError(t, s.replays.Revive(t.Context(), j, p, []task.Task{one}, entry))
		one = must(t)(one.Revive())
		if life == 0 {
			first = size()
		}
	}

	require.LessOrEqual(t, size(), first+4, "the number of a life has some more digits")
	for _, it := range s.db.Items(fakeaws.TasksTable) {
		require.Less(t, fakeaws.Size(it), 64<<10)
	}
	die()
	record, _, err := s.jobs.Get(t.Context(), j.ID)
	require.NoError(t, err)
	require.Equal(t, ledger.Counts{Dead: 1}, record.Counts)
}
