package dynamo_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// noise returns bytes that do not compress. The table accepts results that are no JSON.
func noise(length int) json.RawMessage {
	random, out := rand.New(rand.NewPCG(5, 7)), make([]byte, length)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
}

// TestG1AnEndOfTheLargestSizeIsKeptAndOneByteMoreIsRefusedByItsSizes; what was kept can die, be cancelled and be revived.
func TestG1AnEndOfTheLargestSizeIsKeptAndOneByteMoreIsRefusedByItsSizes(t *testing.T) {
	s := inMemory()
	one := oneTask()
	one.Payload = noise(256 << 10)
	stored := asStoredBefore(t, one)
	end := func(status task.Status, result int) (task.Task, error) {
		require.NoError(t, s.db.Put(fakeaws.TasksTable, stored))
		after, err := one.Close(task.End{Attempt: 1, Status: status, DispatchedAt: noon, At: noon, Result: noise(result), Stats: json.RawMessage(`{"ms":3}`)})
		require.NoError(t, err)
		return after, s.tasks.Save(t.Context(), one, after)
	}
	for _, status := range []task.Status{task.Completed, task.Failed} {
		least, most := 0, 256<<10
		for least+1 < most {
			middle := (least + most) / 2
			if _, err := end(status, middle); err == nil {
				least = middle
			} else {
				most = middle
			}
		}

		_, err := end(status, most)
		var large *task.TooLargeError
		require.ErrorAs(t, err, &large)
		require.Equal(t, task.TooLargeError{Payload: 256 << 10, Result: most, Stats: 8, Size: large.Limit + 1, Limit: 399 << 10}, *large)
		require.ErrorContains(t, err, one.ID.String())
		kept, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
		require.NoError(t, err)
		require.Equal(t, task.Open, kept[one.ID].Status, "nothing was written")

		is, err := end(status, least)
		require.NoError(t, err)
		size := fakeaws.Size(s.db.Items(fakeaws.TasksTable)[0])
		require.LessOrEqual(t, size, 399<<10)
		require.Greater(t, size, 399<<10-200, "it is measured closely")
		if status != task.Failed {
			continue
		}
		dead, err := is.Kill(noon.Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), is, dead))
		again, err := dead.Revive()
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), dead, again))
		cancelled, err := again.Cancel(noon.Add(2 * time.Hour))
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), again, cancelled))
	}
}
