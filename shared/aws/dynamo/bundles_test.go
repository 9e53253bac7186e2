package dynamo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// letters returns text that compresses to three quarters. Each seed has its own.
func letters(seed, length int) string {
	random, out := rand.New(rand.NewPCG(uint64(seed), 11)), make([]byte, length)
	for i := range out {
		out[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random.IntN(64)]
	}
	return string(out)
}

// alike returns tasks whose payloads differ in a number only, as those of a job do.
func alike(count, length int) (out []task.Task) {
	for n := range count {
		one := oneTask()
		one.ID.N, one.Payload = n, fmt.Appendf(nil, `{"all":%q,"part":%d}`, letters(1, length), n)
		out = append(out, one)
	}
	return out
}

// unlike returns tasks whose payloads have nothing in common.
func unlike(count, length int) (out []task.Task) {
	for n := range count {
		one := oneTask()
		one.ID.N, one.Payload = n, fmt.Appendf(nil, `{"own":%q}`, letters(n, length))
		out = append(out, one)
	}
	return out
}

// apart returns the items that hold payloads, and not a task.
func (s stores) apart() []fakeaws.Item {
	return slices.DeleteFunc(s.db.Items(fakeaws.TasksTable), func(it fakeaws.Item) bool { return it["labourer"] != nil })
}

// units returns what the store has consumed since its usage was reset.
func (s stores) units() (writes, reads float64) {
	for _, cost := range s.db.Usage() {
		writes, reads = writes+cost.WriteUnits, reads+cost.ReadUnits
	}
	return writes, reads
}

// TestNeighbouringPayloadsShareItems says what that saves. A task's own item takes a write unit. A payload of 4 KB compresses to three, and takes
// four alone.
func TestNeighbouringPayloadsShareItems(t *testing.T) {
	for name, c := range map[string]struct {
		tasks  []task.Task
		items  int
		writes float64 // for each payload
	}{
		"alike":                {alike(252, 4<<10), 4, 0.07},
		"nothing in common":    {unlike(252, 4<<10), 63, 3.26},
		"alike, of 50 KB":      {alike(50, 50<<10), 10, 7.6},
		"alike, of 1.5 KB":     {alike(256, 1500), 2, 0.02},
		"too large for others": {alike(4, 200<<10), 4, 151},
		"alone":                {alike(1, 4<<10), 1, 4},
	} {
		s := inMemory()
		require.NoError(t, s.tasks.Create(t.Context(), c.tasks), name)

		writes, _ := s.units()
		require.InDelta(t, c.writes, writes/float64(len(c.tasks))-1, 0.02, name)
		require.Len(t, s.apart(), c.items, name)
		for i, one := range whole(t, s, c.tasks[0].ID.Segment) {
			require.Equal(t, c.tasks[i].Payload, one.Payload, name)
			require.Equal(t, 1, one.Parts, "an earlier version finds a payload that lies apart, and does not start a worker without one")
		}
	}
}

// drawn draws tasks of a segment, in order and with gaps, whose payloads are small and large, alike and not.
func drawn(t *rapid.T) (out []task.Task) {
	huge := rapid.Bool().Draw(t, "one is huge")
	for n := rapid.IntRange(0, 5).Draw(t, "first"); n < segment.Size && len(out) < 40; n += rapid.SampledFrom([]int{1, 1, 1, 1, 2, 9}).Draw(t, "step") {
		one := oneTask()
		length := rapid.SampledFrom([]int{0, 20, 900, 1500, 3000, 4000, 4100, 30_000, 70_000}).Draw(t, "length")
		if huge && n > 9 {
			length, huge = 300_000, false
		}
		one.ID.N = n
		one.Payload = fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, letters(rapid.IntRange(0, 2).Draw(t, "seed"), length))
		one.CreatedAt = noon.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "day")) * 24 * time.Hour)
		if rapid.IntRange(0, 9).Draw(t, "bytes") == 0 {
			one.Payload = noise(length)
		}
		out = append(out, one)
	}
	return out
}

// cut divides tasks into calls, each of which may leave some out.
func cut(t *rapid.T, tasks []task.Task) (out [][]task.Task) {
	for len(tasks) > 0 {
		n := rapid.IntRange(1, len(tasks)).Draw(t, "call")
		some := slices.Clone(tasks[:n])
		if rapid.Bool().Draw(t, "with gaps") {
			some = slices.DeleteFunc(some, func(task.Task) bool { return rapid.IntRange(0, 3).Draw(t, "gap") == 0 })
		}
		out, tasks = append(out, some), tasks[n:]
	}
	return out
}

var errCrash = errors.New("the process ends")

// TestG1PayloadsSurviveEveryWayOfCreatingTheirTasks: a creation ends after any write, done or not, and is repeated with other cuts of the segment. Each
// task has its payload from the moment at which it exists, and keeps that of its first creation if the later ones bring others.
func TestG1PayloadsSurviveEveryWayOfCreatingTheirTasks(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := inMemory()
		tasks := drawn(r)
		at := tasks[0].ID.Segment
		adds := rapid.Bool().Draw(r, "adds")
		kept := map[int]json.RawMessage{} // by which creation each task was first seen
		look := func(brought []task.Task) {
			for some, err := range s.tasks.Chunks(context.Background(), at, segment.Range(0, 255)) {
				require.NoError(r, err)
				for _, one := range some {
					i := slices.IndexFunc(brought, func(b task.Task) bool { return b.ID == one.ID })
					if kept[one.ID.N] == nil || !adds {
						kept[one.ID.N] = brought[i].Payload
					}
					require.True(r, bytes.Equal(kept[one.ID.N], one.Payload), "task %d", one.ID.N)
				}
			}
		}
		for range rapid.IntRange(0, 3).Draw(r, "interrupted creations") {
			brought := slices.Clone(tasks)
			if adds && rapid.Bool().Draw(r, "other payloads") {
				for i := range brought {
					brought[i].Payload = fmt.Appendf(nil, `{"other":%d,"text":%q}`, i, letters(9, len(tasks[i].Payload)))
				}
			}
			left, happens := rapid.IntRange(0, 20).Draw(r, "writes"), rapid.Bool().Draw(r, "the last one happens")
			hook := func(_ context.Context, q fakeaws.Request) error {
				if q.Operation != "Query" && q.Operation != "BatchGetItem" {
					if left--; left < 0 {
						return errCrash
					}
				}
				return nil
			}
			if happens {
				s.db.After = hook
			} else {
				s.db.Before = hook
			}
			for _, some := range cut(r, brought) {
				if adds {
					_ = s.tasks.Add(context.Background(), some)
					before, after := s.db.Before, s.db.After
					s.db.Before, s.db.After = nil, nil
					look(brought)
					s.db.Before, s.db.After = before, after
				} else {
					_ = s.tasks.Create(context.Background(), some)
				}
			}
			s.db.Before, s.db.After = nil, nil
		}

		if adds {
			require.NoError(r, s.tasks.Add(context.Background(), tasks))
		} else {
			for _, some := range [][]task.Task{tasks[:len(tasks)/2], tasks[len(tasks)/2:]} {
				require.NoError(r, s.tasks.Create(context.Background(), some))
			}
		}

		look(tasks)
		require.Len(r, kept, len(tasks))
		mixed := rapid.Permutation(slices.Concat(tasks, tasks)).Draw(r, "a batch of the stream")
		var ids []task.ID
		for _, one := range mixed {
			ids = append(ids, one.ID)
		}
		loaded, err := s.tasks.Load(context.Background(), ids)
		require.NoError(r, err)
		var batch []task.Task
		for _, id := range ids {
			batch = append(batch, loaded[id])
		}
		n := 0
		for one, err := range s.tasks.Filled(context.Background(), batch) {
			require.NoError(r, err)
			require.True(r, bytes.Equal(kept[one.ID.N], one.Payload), "task %d", one.ID.N)
			n++
		}
		require.Equal(r, len(batch), n)

		var gone segment.Numbers
		for _, one := range tasks {
			if rapid.Bool().Draw(r, "removed") {
				gone = gone.Union(segment.Of(one.ID.N))
			}
		}
		require.NoError(r, s.tasks.Remove(context.Background(), at, gone))
		left, err := s.tasks.Range(context.Background(), at, segment.Range(0, 255))
		require.NoError(r, err)
		require.Len(r, left, len(tasks)-gone.Len())
		look(tasks)
	})
}

// TestG1ALateWriteOfACreationNamesABundleThatExists: the table carries out writes of tasks late, of a creation that was given up as its bundles could not be
// written. By then another creation has cut the tasks into other bundles.
func TestG1ALateWriteOfACreationNamesABundleThatExists(t *testing.T) {
	s := inMemory()
	tasks := alike(100, 4000)
	var late []*dynamodb.BatchWriteItemInput
	s.db.Before = func(_ context.Context, q fakeaws.Request) error {
		in, is := q.Input.(*dynamodb.BatchWriteItemInput)
		if !is {
			return nil
		}
		for _, w := range in.RequestItems[fakeaws.TasksTable] {
			if w.PutRequest.Item["labourer"] == nil { // a bundle
				return errCrash
			}
		}
		late = append(late, in)
		return errCrash
	}
	require.ErrorIs(t, s.tasks.Create(context.Background(), tasks), errCrash)
	s.db.Before = nil
	require.NoError(t, s.tasks.Create(context.Background(), tasks[:60]))
	require.NoError(t, s.tasks.Create(context.Background(), tasks[60:]))

	for _, in := range late {
		_, err := s.db.BatchWriteItem(context.Background(), in)
		require.NoError(t, err)
	}

	read := 0
	for some, err := range s.tasks.Chunks(context.Background(), tasks[0].ID.Segment, segment.Range(0, 255)) {
		require.NoError(t, err)
		for _, one := range some {
			require.Equal(t, tasks[one.ID.N].Payload, one.Payload)
			read++
		}
	}
	require.Equal(t, len(tasks), read)
}

// TestAPayloadThatSharesAnItemTakesNoMoreWriteUnits than all of them alone, for the creation and the end of their tasks.
func TestAPayloadThatSharesAnItemTakesNoMoreWriteUnits(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tasks := drawn(r)
		together, alone := inMemory(), inMemory()
		require.NoError(r, together.tasks.Create(context.Background(), tasks))
		for _, one := range tasks {
			require.NoError(r, alone.tasks.Create(context.Background(), []task.Task{one}))
		}
		for _, s := range []stores{together, alone} {
			read, err := s.tasks.Range(context.Background(), tasks[0].ID.Segment, segment.Range(0, 255))
			require.NoError(r, err)
			for _, one := range read {
				done, err := one.Close(task.End{Attempt: 1, Status: task.Completed, At: noon})
				require.NoError(r, err)
				require.NoError(r, s.tasks.Save(context.Background(), one, done))
			}
		}
		is, _ := together.units()
		was, _ := alone.units()
		require.LessOrEqual(r, is, was)
	})
}

func TestRemovedTasksLeaveNoBundles(t *testing.T) {
	s := inMemory()
	tasks := alike(130, 4<<10)
	require.NoError(t, s.tasks.Create(t.Context(), tasks))
	bundles := len(s.apart())

	require.NoError(t, s.tasks.Remove(t.Context(), tasks[0].ID.Segment, segment.Range(0, 9)))

	require.Len(t, s.apart(), bundles, "others need it")
	require.NoError(t, s.tasks.Remove(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255)))
	require.Empty(t, slices.DeleteFunc(s.db.Items(fakeaws.TasksTable), func(it fakeaws.Item) bool {
		return strings.Contains(it["segment"].(*types.AttributeValueMemberS).Value, "#0-")
	}), "only the first may stay, until it expires")
}

// TestABundleIsReadOnce for all tasks of a batch, in any order; at half the price, and strongly consistent where that does not find it.
func TestABundleIsReadOnce(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := inMemory()
		if late {
			s.db.Stale = func(string, fakeaws.Item) time.Duration { return time.Second }
		}
		tasks := alike(120, 4<<10)
		require.NoError(t, s.tasks.Create(t.Context(), tasks))
		require.Len(t, s.apart(), 2)
		loaded, err := s.tasks.Range(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255))
		require.NoError(t, err)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(loaded), func(i, j int) { loaded[i], loaded[j] = loaded[j], loaded[i] })
		s.db.ResetUsage()

		for one, err := range s.tasks.Filled(t.Context(), loaded) {
			require.NoError(t, err)
			require.Equal(t, tasks[one.ID.N].Payload, one.Payload)
		}

		_, reads := s.units()
		require.Equal(t, map[bool]float64{false: 2 * 0.5, true: 2 * 1.5}[late], reads)
	}
}

// TestG8FewBytesOfBundlesAreReadAtOnce: 4 MB of what is read and unpacked, in one request.
func TestG8FewBytesOfBundlesAreReadAtOnce(t *testing.T) {
	s := inMemory()
	var tasks []task.Task
	for n := range 256 {
		one := oneTask()
		one.ID.N, one.Payload = n, fmt.Appendf(nil, `{"all":%q,"part":%d}`, letters(n/8, 30<<10), n)
		tasks = append(tasks, one)
	}
	require.NoError(t, s.tasks.Create(t.Context(), tasks))
	largest, keys := 0, 0
	s.db.Before = func(_ context.Context, q fakeaws.Request) error {
		if in, is := q.Input.(*dynamodb.BatchGetItemInput); is {
			n := len(in.RequestItems[fakeaws.TasksTable].Keys)
			largest, keys = max(largest, n), keys+n
		}
		return nil
	}

	read := whole(t, s, tasks[0].ID.Segment)

	require.Len(t, read, 256)
	require.Equal(t, len(s.apart()), keys, "each once")
	require.Greater(t, len(s.apart()), 16)
	require.LessOrEqual(t, largest, 4<<20/(2*200<<10))
	for i := range read {
		require.Equal(t, tasks[i].Payload, read[i].Payload)
	}
}

// TestABundleIsDatedByTheLatestOfItsTasks: a year after the end of each, and never earlier than it was.
func TestABundleIsDatedByTheLatestOfItsTasks(t *testing.T) {
	const day = 24 * time.Hour
	s := inMemory()
	tasks := alike(30, 4<<10)
	tasks[7].Due = noon.Add(100 * day)
	require.NoError(t, s.tasks.Add(t.Context(), tasks))
	require.Len(t, s.apart(), 1)
	dated := func() time.Duration {
		date := s.apart()[0]["expires_at"].(*types.AttributeValueMemberN).Value
		var seconds int64
		_, err := fmt.Sscan(date, &seconds)
		require.NoError(t, err)
		return time.Unix(seconds, 0).Sub(noon) - s.tasks.Retention
	}
	require.Equal(t, (100+396)*day, dated(), "the task that is due last")
	ended := func(n int, after time.Duration) (writes, reads float64) {
		loaded, err := s.tasks.Load(t.Context(), []task.ID{tasks[n].ID})
		require.NoError(t, err)
		require.Equal(t, noon.Add(s.tasks.Retention+(100+396)*day), loaded[tasks[n].ID].PayloadUntil)
		done, err := loaded[tasks[n].ID].Close(task.End{Attempt: 1, Status: task.Completed, At: noon.Add(after)})
		require.NoError(t, err)
		s.db.ResetUsage()
		require.NoError(t, s.tasks.Ended(t.Context(), done))
		return s.units()
	}
	for _, c := range []struct {
		ends  time.Duration
		dates time.Duration // then
		dear  bool
	}{
		{130 * day, (100 + 396) * day, false},
		{140 * day, (140 + 396) * day, true}, // a month more than needed
		{139 * day, (140 + 396) * day, false},
		{150 * day, (140 + 396) * day, false},
		{170 * day, (140 + 396) * day, false},
		{171 * day, (171 + 396) * day, true},
		{10 * day, (171 + 396) * day, false},
	} {
		writes, _ := ended(3, c.ends)
		require.Equal(t, c.dear, writes > 0, "%s", c.ends)
		require.Equal(t, c.dates, dated(), "%s", c.ends)
	}

	require.NoError(t, s.tasks.Add(t.Context(), tasks), "an addition that is repeated very late")
	require.Equal(t, (171+396)*day, dated())
	s.db.Stale = func(string, fakeaws.Item) time.Duration { return fakeaws.MostStale }
	ended(4, 160*day)
	require.Equal(t, (171+396)*day, dated(), "an old date is read")
	s.db.Stale = nil

	require.Equal(t, 1, s.db.Expire(fakeaws.TasksTable, "expires_at", noon.Add((171+397)*day+s.tasks.Retention)))
	ended(5, 400*day)
	require.Empty(t, s.apart(), "what is gone is not made again")
}

// TestADateOfPartsNeverBecomesAnEarlierOne: a record of the stream may come again, after that of the task's second end.
func TestADateOfPartsNeverBecomesAnEarlierOne(t *testing.T) {
	const day = 24 * time.Hour
	s := inMemory()
	require.NoError(t, s.tasks.Create(t.Context(), alike(1, 4<<10)))
	one := whole(t, s, oneTask().ID.Segment)[0]
	for _, after := range []time.Duration{100 * day, 200 * day, 100 * day} {
		one.ClosedAt = noon.Add(after)
		require.NoError(t, s.tasks.Ended(t.Context(), one))
	}

	require.Zero(t, s.db.Expire(fakeaws.TasksTable, "expires_at", noon.Add((200+365)*day+s.tasks.Retention)))
	require.Equal(t, 1, s.db.Expire(fakeaws.TasksTable, "expires_at", noon.Add((200+367)*day+s.tasks.Retention)))
}

// TestG8ADamagedBundleFailsItsTasksOnly, and gives none of them the payload of another.
func TestG8ADamagedBundleFailsItsTasksOnly(t *testing.T) {
	binary := func(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }
	stored := func(it fakeaws.Item) []byte { return it["payload"].(*types.AttributeValueMemberB).Value }
	for name, damage := range map[string]func(s stores, first, second fakeaws.Item){
		"gone": func(s stores, first, _ fakeaws.Item) {
			_, err := s.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: new(fakeaws.TasksTable), Key: fakeaws.Item{"segment": first["segment"], "n": first["n"]}})
			require.NoError(t, err)
		},
		"empty":                  func(_ stores, first, _ fakeaws.Item) { first["payload"] = binary(nil) },
		"no bytes":               func(_ stores, first, _ fakeaws.Item) { first["payload"] = &types.AttributeValueMemberS{Value: "x"} },
		"without":                func(_ stores, first, _ fakeaws.Item) { delete(first, "payload") },
		"cut":                    func(_ stores, first, _ fakeaws.Item) { first["payload"] = binary(stored(first)[:len(stored(first))/2]) },
		"the content of another": func(_ stores, first, second fakeaws.Item) { first["payload"] = second["payload"] },
		"another version":        func(_ stores, first, _ fakeaws.Item) { first["payload"] = binary([]byte{2, 0, 0, 0, 0, 1, '1'}) },
		"a bit": func(_ stores, first, _ fakeaws.Item) {
			b := slices.Clone(stored(first))
			b[len(b)/2] ^= 1
			first["payload"] = binary(b)
		},
		"what unpacks to megabytes": func(_ stores, first, _ fakeaws.Item) {
			first["payload"] = binary(packed(t, bytes.Repeat([]byte{1}, 7<<20)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := inMemory()
			tasks := alike(100, 4<<10)
			require.NoError(t, s.tasks.Create(t.Context(), tasks))
			bundles := s.apart()
			require.Len(t, bundles, 2)
			damage(s, bundles[0], bundles[1])
			if name != "gone" {
				require.NoError(t, s.db.Put(fakeaws.TasksTable, bundles[0]))
			}

			requireUnreadable(t, s, tasks, func(n int) bool { return n < 63 })
		})
	}
}

func packed(t *testing.T, text []byte) []byte {
	t.Helper()
	s := inMemory()
	one := oneTask()
	one.Payload = text
	require.NoError(t, s.tasks.Create(t.Context(), []task.Task{one}))
	return s.db.Items(fakeaws.TasksTable)[0]["payload"].(*types.AttributeValueMemberB).Value
}

// requireUnreadable requires that those tasks have no payload, and the others have theirs.
func requireUnreadable(t *testing.T, s stores, tasks []task.Task, damaged func(n int) bool, says ...any) {
	t.Helper()
	var bad *task.UnreadableError
	for some, err := range s.tasks.Chunks(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255)) {
		if err != nil {
			require.ErrorAs(t, err, &bad)
			require.ErrorIs(t, bad.Reason, task.ErrNoPayload)
		}
		for _, one := range some {
			require.False(t, damaged(one.ID.N), says...)
			require.Equal(t, tasks[one.ID.N].Payload, one.Payload)
		}
	}
	require.NotNil(t, bad)
	for _, one := range bad.Tasks {
		require.True(t, damaged(one.ID.N), "task %d", one.ID.N)
		require.Empty(t, one.Payload)
	}
	all, err := s.tasks.Range(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255))
	require.NoError(t, err, "their attempts can end")
	require.Len(t, all, len(tasks))
	for one, err := range s.tasks.Filled(t.Context(), all) {
		require.Equal(t, damaged(one.ID.N), errors.Is(err, task.ErrNoPayload), "task %d: %v", one.ID.N, err)
	}
}

// TestG8ADamagedNameOfABundleFailsItsTaskOnly, and is never that of another task's payload.
func TestG8ADamagedNameOfABundleFailsItsTaskOnly(t *testing.T) {
	s := inMemory()
	tasks := alike(100, 4<<10)
	require.NoError(t, s.tasks.Create(t.Context(), tasks))
	all, err := s.tasks.Range(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255))
	require.NoError(t, err)
	require.Empty(t, all[0].Payload)
	name, other := all[3].Bundle, all[99].Bundle
	for _, is := range []string{"x", "-", "#", name + " ", " " + name, name + "#1", strings.Replace(name, "0-", "00-", 1), strings.Replace(name, "0-", "-1-", 1),
		strings.Replace(name, "0-", "+0-", 1), strings.Replace(name, "-62", "-255", 1), strings.Replace(name, "-62", "-256", 1), strings.Replace(name, "-62", "-2", 1),
		name + "0", name[:len(name)-1], "0-62#-1#5", "0-62#99999999999999999999#5", "0-62#5#0", "0-62#5#9999999999", strings.Repeat("9", 1<<16), other} {
		for _, it := range s.db.Items(fakeaws.TasksTable) {
			if it["bundle"] != nil && it["n"].(*types.AttributeValueMemberN).Value == "3" {
				it["bundle"] = &types.AttributeValueMemberS{Value: is}
				require.NoError(t, s.db.Put(fakeaws.TasksTable, it))
			}
		}

		requireUnreadable(t, s, tasks, func(n int) bool { return n == 3 }, "%.99q", is)
		require.NoError(t, s.tasks.Ended(t.Context(), task.Task{ID: tasks[3].ID, Parts: 1, Bundle: is, ClosedAt: noon.Add(time.Hour)}))
	}
	require.NoError(t, s.tasks.Remove(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255)))
	require.Empty(t, s.apart())
}

// TestATaskInABundleGoesThroughItsLives with its payload.
func TestATaskInABundleGoesThroughItsLives(t *testing.T) {
	s := inMemory()
	tasks := alike(3, 4<<10)
	require.NoError(t, s.tasks.Create(t.Context(), tasks))
	loaded, err := s.tasks.Load(t.Context(), []task.ID{tasks[1].ID})
	require.NoError(t, err)
	one := loaded[tasks[1].ID]
	failed := closed(t, one, task.Failed)
	dead := must(t)(failed.Kill(noon.Add(2 * time.Minute)))
	again := must(t)(dead.Revive())
	for _, step := range [][2]task.Task{{one, failed}, {failed, dead}, {dead, again}, {again, closed(t, again, task.Completed)}} {
		require.NoError(t, s.tasks.Save(t.Context(), step[0], step[1]))
		require.Equal(t, tasks[1].Payload, whole(t, s, one.ID.Segment)[1].Payload)
		records := s.db.Stream(fakeaws.TasksTable, 0)
		told, err := dynamo.StreamImage(records[len(records)-1].Change.NewImage)
		require.NoError(t, err)
		for filled, err := range s.tasks.Filled(t.Context(), []task.Task{told}) {
			require.NoError(t, err)
			require.Equal(t, tasks[1].Payload, filled.Payload)
		}
	}
	stale, err := s.tasks.Rewrite(t.Context(), one.ID.Segment, segment.Range(0, 255), func(of task.Task) (task.Task, bool) {
		after, err := of.Cancel(noon)
		return after, err == nil
	})
	require.NoError(t, err)
	require.True(t, stale.Empty())
	for i, one := range whole(t, s, one.ID.Segment) {
		require.Equal(t, tasks[i].Payload, one.Payload)
	}
}
