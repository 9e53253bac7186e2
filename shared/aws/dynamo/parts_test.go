package dynamo_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
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
	for length, parts := range map[int]int{600: 0, 1 << 10: 0, 3 << 10: 1, 256 << 10: 1, 256<<10 + 1: 2, 400 << 10: 2, 1<<20 - 1: 4, 1 << 20: 4} {
		s := inMemory()
		small, large, other := oneTask(), oneTask(), oneTask()
		large.ID.N, other.ID.N = small.ID.N+1, small.ID.N+2
		large.Payload = noise(length)
		require.NoError(t, s.tasks.Create(t.Context(), []task.Task{small, large, other}))
		if large.Parts = parts; parts > 0 {
			large.PayloadUntil = large.CreatedAt.Add(s.tasks.Retention + (366+30)*24*time.Hour)
		}

		require.Equal(t, []task.Task{small, large, other}, whole(t, s, small.ID.Segment))
		require.Len(t, s.db.Items(fakeaws.TasksTable), 3+parts)
		if parts == 0 {
			continue
		}
		loaded, err := s.tasks.Load(t.Context(), []task.ID{large.ID})
		require.NoError(t, err)
		bare := large
		bare.Payload = nil
		require.Equal(t, bare, loaded[large.ID])
		read, err := s.tasks.Range(t.Context(), small.ID.Segment, segment.Range(0, 255))
		require.NoError(t, err)
		require.Equal(t, []task.Task{small, bare, other}, read)

		failed, err := bare.Close(task.End{Attempt: 1, Status: task.Failed, DispatchedAt: noon, At: noon, Error: &task.Error{Type: "Boom"}, Result: noise(256 << 10)})
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), bare, failed), "it leaves room for the largest result")
		records := s.db.Stream(fakeaws.TasksTable, 0)
		told, err := dynamo.StreamImage(records[len(records)-1].Change.NewImage)
		require.NoError(t, err)
		require.Empty(t, told.Payload, "the stream tells of the task's own item")
		dead, err := told.Kill(noon.Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), told, dead))
		for one, err := range s.tasks.Filled(t.Context(), []task.Task{small, dead, dead}) { // a batch of the stream may have a task twice
			require.NoError(t, err)
			if one.ID == dead.ID {
				require.Equal(t, large.Payload, one.Payload)
			}
		}
		again, err := dead.Revive()
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), dead, again))
		require.Equal(t, large.Payload, whole(t, s, small.ID.Segment)[1].Payload)
	}
}

// whole reads all tasks of a segment, with their payloads.
func whole(t *testing.T, s stores, at segment.ID) (all []task.Task) {
	t.Helper()
	for some, err := range s.tasks.Chunks(t.Context(), at, segment.Range(0, 255)) {
		require.NoError(t, err)
		all = append(all, some...)
	}
	return all
}

// TestAPayloadLiesApartWhereThatSavesWriteUnits: of the creation of a task and of its end.
func TestAPayloadLiesApartWhereThatSavesWriteUnits(t *testing.T) {
	for length := 100; length < 9<<10; length += 61 {
		units, apart := 0.0, false
		for _, inside := range []bool{false, true} {
			s := inMemory()
			one := oneTask()
			one.Payload = noise(length)
			if inside {
				require.NoError(t, s.db.Put(fakeaws.TasksTable, asStoredBefore(t, one)))
				s.db.ResetUsage()
				units -= float64((fakeaws.Size(s.db.Items(fakeaws.TasksTable)[0]) + 1023) / 1024)
			} else {
				s.db.ResetUsage()
				require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
				apart = len(s.db.Items(fakeaws.TasksTable)) > 1
			}
			loaded, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
			require.NoError(t, err)
			done, err := loaded[one.ID].Close(task.End{Attempt: 1, Status: task.Completed, At: noon})
			require.NoError(t, err)
			require.NoError(t, s.tasks.Save(t.Context(), loaded[one.ID], done))
			for _, cost := range s.db.Usage() {
				if inside {
					units -= cost.WriteUnits
				} else {
					units += cost.WriteUnits
				}
			}
		}
		require.LessOrEqual(t, units, 0.0, "%d bytes", length)
		require.True(t, apart || length < 2<<10, "%d bytes", length)
		require.False(t, apart && length < 700, "%d bytes", length)
	}
}

// TestG1ATaskThatWasStoredWithItsPayloadKeepsIt: earlier versions wrote any payload of up to 256 KB with its task.
func TestG1ATaskThatWasStoredWithItsPayloadKeepsIt(t *testing.T) {
	s := inMemory()
	one := oneTask()
	one.Payload = noise(200 << 10)
	require.NoError(t, s.db.Put(fakeaws.TasksTable, asStoredBefore(t, one)))
	require.Equal(t, []task.Task{one}, whole(t, s, one.ID.Segment))

	done, err := one.Close(task.End{Attempt: 1, Status: task.Completed, At: noon})
	require.NoError(t, err)
	require.NoError(t, s.tasks.Save(t.Context(), one, done))

	require.Equal(t, []task.Task{done}, whole(t, s, one.ID.Segment))
	records := s.db.Stream(fakeaws.TasksTable, 0)
	told, err := dynamo.StreamImage(records[len(records)-1].Change.NewImage)
	require.NoError(t, err)
	for filled, err := range s.tasks.Filled(t.Context(), []task.Task{told}) {
		require.NoError(t, err)
		require.Equal(t, one.Payload, filled.Payload)
	}
	require.NoError(t, s.tasks.Ended(t.Context(), told))
}

// asStoredBefore returns the item of a task with a payload that does not compress, as versions before this one wrote it.
func asStoredBefore(t *testing.T, one task.Task) fakeaws.Item {
	t.Helper()
	s := inMemory()
	payload := one.Payload
	one.Payload = nil
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	it := s.db.Items(fakeaws.TasksTable)[0]
	it["payload"] = &types.AttributeValueMemberB{Value: payload}
	return it
}

// TestThePartsOfAPayloadGoAYearAfterTheirTask, as a replay leaves them alone and needs that time. They are dated for that when they are created, by
// the day on which the task is due, and anew if it ends late.
func TestThePartsOfAPayloadGoAYearAfterTheirTask(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		due, ends time.Duration // after its creation
		writes    float64
		until     time.Duration
	}{
		"at once":                    {0, time.Hour, 0, 396 * day},
		"within a month":             {0, 30 * day, 0, 396 * day},
		"late":                       {0, 31 * day, 9, 397 * day},
		"due in ten years":           {3650 * day, 3651 * day, 0, (3650 + 396) * day},
		"due in ten years, and late": {3650 * day, 3700 * day, 9, (3700 + 366) * day},
	} {
		s := inMemory()
		one := oneTask()
		one.Payload, one.Due = noise(9<<10-100), one.CreatedAt.Add(c.due)
		require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
		loaded, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
		require.NoError(t, err)
		at := one.CreatedAt.Add(c.ends)
		done, err := loaded[one.ID].Close(task.End{Attempt: 1, Status: task.Completed, At: at})
		require.NoError(t, err)
		require.NoError(t, s.tasks.Save(t.Context(), loaded[one.ID], done))
		s.db.ResetUsage()
		for range 2 {
			require.NoError(t, s.tasks.Ended(t.Context(), done))
		}
		spent := 0.0
		for _, cost := range s.db.Usage() {
			spent += cost.WriteUnits
		}
		require.Equal(t, 2*c.writes, spent, name)

		require.Equal(t, 1, s.db.Expire(fakeaws.TasksTable, "expires_at", at.Add(s.tasks.Retention+time.Hour)), "the task")
		until := one.CreatedAt.Add(c.until + s.tasks.Retention)
		require.False(t, until.Before(at.Add(s.tasks.Retention+366*day)), name)
		require.Zero(t, s.db.Expire(fakeaws.TasksTable, "expires_at", until.Add(-time.Hour)), name)
		require.Equal(t, 1, s.db.Expire(fakeaws.TasksTable, "expires_at", until.Add(time.Hour)), name)
		done.PayloadUntil = time.Time{}
		require.NoError(t, s.tasks.Ended(t.Context(), done), "what is gone is not made again")
		require.Empty(t, s.db.Items(fakeaws.TasksTable))
	}
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

	var read []task.Task
	var bad *task.UnreadableError
	for some, err := range s.tasks.Chunks(t.Context(), one.ID.Segment, segment.Range(0, 255)) {
		if read = append(read, some...); err != nil {
			require.ErrorAs(t, err, &bad)
		}
	}

	require.NotNil(t, bad)
	require.ErrorIs(t, bad.Reason, task.ErrNoPayload)
	require.ErrorContains(t, bad.Reason, "2 of its 3 parts exist")
	require.Equal(t, one.ID, bad.Tasks[0].ID)
	require.Equal(t, []task.Task{small}, read)
	loaded, err := s.tasks.Load(t.Context(), []task.ID{one.ID})
	require.NoError(t, err)
	require.Len(t, loaded, 1, "its attempt can end")
	var reasons []error
	for _, err := range s.tasks.Filled(t.Context(), []task.Task{loaded[one.ID], small}) {
		reasons = append(reasons, err)
	}
	require.Len(t, reasons, 2)
	require.ErrorIs(t, reasons[0], task.ErrNoPayload)
	require.NoError(t, reasons[1])
}

// TestATaskIsAddedWithItsPayloadOrNotAtAll: of two tasks under one id the first keeps its own.
func TestATaskIsAddedWithItsPayloadOrNotAtAll(t *testing.T) {
	s := inMemory()
	first, second := oneTask(), oneTask()
	first.Payload, second.Payload = noise(300<<10), noise(600<<10)

	for _, one := range []task.Task{first, second} {
		require.NoError(t, s.tasks.Add(t.Context(), []task.Task{one}))
	}

	require.Equal(t, first.Payload, whole(t, s, first.ID.Segment)[0].Payload)
	require.Len(t, s.db.Items(fakeaws.TasksTable), 3)
}

// TestPayloadsAreReadSomeAtATime: 4 MB of parts at once, at half the price of a strongly consistent read, and strongly where that finds none.
func TestPayloadsAreReadSomeAtATime(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := inMemory()
		if late {
			s.db.Stale = func(string, fakeaws.Item) time.Duration { return time.Second }
		}
		var tasks []task.Task
		for n := range 40 {
			one := oneTask()
			if one.ID.N = n; n%10 > 0 {
				one.Payload = differing(n, 3990) // it fills its 4 KB, so that it shares no item
			}
			tasks = append(tasks, one)
		}
		require.NoError(t, s.tasks.Create(t.Context(), tasks))
		s.db.ResetUsage()

		read := whole(t, s, tasks[0].ID.Segment)

		require.Len(t, read, 40)
		for n, one := range read {
			require.Equal(t, tasks[n].Payload, one.Payload)
		}
		calls, units := 0, 0.0
		for use, cost := range s.db.Usage() {
			if use.Operation == "BatchGetItem" {
				calls, units = calls+cost.Calls, units+cost.ReadUnits
			}
		}
		want := map[bool]float64{false: 36 * 0.5, true: 36 * 1.5}[late]
		require.Equal(t, want, units)
		require.Equal(t, map[bool]int{false: 3, true: 6}[late], calls)
	}
}

// differing returns bytes that do not compress. Each seed has its own.
func differing(seed, length int) json.RawMessage {
	random, out := rand.New(rand.NewPCG(uint64(seed), 7)), make([]byte, length)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
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
	read := whole(t, s, tasks[0].ID.Segment)
	require.Len(t, read, len(tasks))
	require.True(t, slices.IsSortedFunc(read, func(a, b task.Task) int { return a.ID.N - b.ID.N }))
	require.Equal(t, noise(1<<20), read[29].Payload)
}
