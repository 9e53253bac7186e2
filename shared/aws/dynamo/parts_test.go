package dynamo_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// TestG1APayloadOfAnySizeIsReadAsItWasWritten covers bytes that do not compress, up to what a target takes, beside small ones, with the largest
// result and through every change of a task.
func TestG1APayloadOfAnySizeIsReadAsItWasWritten(t *testing.T) {
	for _, length := range []int{256 << 10, 256<<10 + 1, 400 << 10, 512 << 10, 1<<20 - 1, 1 << 20} {
		s := inMemory()
		small, large, other := oneTask(), oneTask(), oneTask()
		large.ID.N, other.ID.N = small.ID.N+1, small.ID.N+2
		large.Payload = noise(length)
		parts := (length + 256<<10 - 1) / (256 << 10)
		if parts == 1 {
			parts = 0
		}
		require.NoError(t, s.tasks.Create(t.Context(), []task.Task{small, large, other}))
		large.Parts = parts

		read, err := s.tasks.Range(t.Context(), small.ID.Segment, segment.Range(0, 255))
		require.NoError(t, err)
		require.Equal(t, []task.Task{small, large, other}, read)
		require.Len(t, s.db.Items(fakeaws.TasksTable), 3+parts)
		if parts == 0 {
			continue
		}
		failed, err := large.Close(task.End{Attempt: 1, Status: task.Failed, DispatchedAt: noon, At: noon, Error: &task.Error{Type: "Boom"}, Result: noise(256 << 10)})
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), large, failed), "it leaves room for the largest result")
		records := s.db.Stream(fakeaws.TasksTable, 0)
		told, err := dynamo.StreamImage(records[len(records)-1].Change.NewImage)
		require.NoError(t, err)
		require.Empty(t, told.Payload, "the stream tells of the task's own item")
		dead, err := told.Kill(noon.Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), told, dead))
		payload, err := s.tasks.Payload(t.Context(), dead)
		require.NoError(t, err)
		require.Equal(t, []byte(large.Payload), payload)
		again, err := dead.Revive()
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), dead, again))
		loaded, err := s.tasks.Load(t.Context(), []task.ID{large.ID})
		require.NoError(t, err)
		require.Equal(t, large.Payload, loaded[large.ID].Payload)
	}
}

// TestThePartsOfAPayloadGoAYearAfterTheirTask, as a replay leaves them alone and needs that time.
func TestThePartsOfAPayloadGoAYearAfterTheirTask(t *testing.T) {
	s := inMemory()
	one := oneTask()
	one.Payload = noise(600 << 10)
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	loaded, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
	require.NoError(t, err)
	done, err := loaded[one.ID].Close(task.End{Attempt: 1, Status: task.Completed, At: noon})
	require.NoError(t, err)
	require.NoError(t, s.tasks.Save(t.Context(), loaded[one.ID], done))
	for range 2 {
		require.NoError(t, s.tasks.Ended(t.Context(), done))
	}

	require.Equal(t, 1, s.db.Expire(fakeaws.TasksTable, "expires_at", noon.Add(s.tasks.Retention+time.Hour)), "the task")
	require.Zero(t, s.db.Expire(fakeaws.TasksTable, "expires_at", noon.Add(s.tasks.Retention+365*24*time.Hour)))
	require.Equal(t, 3, s.db.Expire(fakeaws.TasksTable, "expires_at", noon.Add(s.tasks.Retention+367*24*time.Hour)))
	require.NoError(t, s.tasks.Ended(t.Context(), done), "what is gone is not made again")
	require.Empty(t, s.db.Items(fakeaws.TasksTable))
}

// TestG8ATaskWhosePayloadIsGoneIsUnreadableAndTheOthersAreNot.
func TestG8ATaskWhosePayloadIsGoneIsUnreadableAndTheOthersAreNot(t *testing.T) {
	s := inMemory()
	one, small := oneTask(), oneTask()
	one.Payload, small.ID.N = noise(600<<10), one.ID.N+1
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one, small}))
	for _, it := range s.db.Items(fakeaws.TasksTable) {
		if n, is := it["n"].(*types.AttributeValueMemberN); is && it["labourer"] == nil && n.Value == "1" {
			_, err := s.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: new(fakeaws.TasksTable), Key: map[string]types.AttributeValue{"segment": it["segment"], "n": it["n"]}})
			require.NoError(t, err)
		}
	}

	read, err := s.tasks.Range(t.Context(), one.ID.Segment, segment.Range(0, 255))

	var bad *task.UnreadableError
	require.ErrorAs(t, err, &bad)
	require.ErrorIs(t, bad.Reason, task.ErrNoPayload)
	require.Equal(t, one.ID, bad.Tasks[0].ID)
	require.Equal(t, []task.Task{small}, read)
}

func TestRemovedTasksLeaveNoPartsOfTheirPayloads(t *testing.T) {
	s := inMemory()
	one := oneTask()
	one.Payload = noise(1 << 20)
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))

	require.NoError(t, s.tasks.Remove(t.Context(), one.ID.Segment, segment.Range(0, 255)))

	require.Empty(t, s.db.Items(fakeaws.TasksTable))
}

// TestNoBatchOfLargePayloadsIsMoreThanATableTakes: 16 MB and 25 items.
func TestNoBatchOfLargePayloadsIsMoreThanATableTakes(t *testing.T) {
	s, most := inMemory(), 0
	var tasks []task.Task
	for n := range 30 {
		one := oneTask()
		one.ID.N, one.Payload = n, noise(1<<20)
		tasks = append(tasks, one)
	}
	s.db.Before = func(_ context.Context, r fakeaws.Request) error {
		if in, is := r.Input.(*dynamodb.BatchWriteItemInput); is {
			size := 0
			for _, w := range in.RequestItems[fakeaws.TasksTable] {
				size += fakeaws.Size(w.PutRequest.Item)
			}
			most = max(most, size)
		}
		return nil
	}

	require.NoError(t, s.tasks.Create(t.Context(), tasks))

	require.Less(t, most, 16<<20)
	read, err := s.tasks.Range(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255))
	require.NoError(t, err)
	require.Len(t, read, len(tasks))
	require.True(t, slices.IsSortedFunc(read, func(a, b task.Task) int { return a.ID.N - b.ID.N }))
	require.Equal(t, noise(1<<20), read[29].Payload)
}
