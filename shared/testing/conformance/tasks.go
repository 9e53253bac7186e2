package conformance

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// RunTasks tests the store of tasks.
func RunTasks(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"a task is read as it was created":                             createdAsGiven,
		"a whole segment is created and read in the order of numbers":  wholeSegment,
		"creating again changes nothing":                               createdAgain,
		"creating no tasks is nothing":                                 createNone,
		"a payload of a quarter of a megabyte comes back whole":        largePayload,
		"each of many payloads that are alike comes to its task":       alikePayloads,
		"payloads stay when their tasks are added again":               addedAgain,
		"tasks keep their payloads when others are removed":            removedBeside,
		"a payload is kept after a late end":                           endedLate,
		"more than a page of tasks is read":                            manyLarge,
		"what does not exist is missing among the loaded":              loadMissing,
		"ids may be asked for twice and in hundreds":                   loadMany,
		"a range has the asked numbers and no others":                  rangeOfSome,
		"the end of an attempt is saved":                               saveEnd,
		"an end is saved once":                                         saveOnce,
		"an end of an attempt that is over changes nothing":            saveStale,
		"an end of a task that was never created changes nothing":      saveUnknown,
		"of two ends at the same time one counts":                      saveRace,
		"what one attempt left is gone with the next one's end":        saveNext,
		"a failed task dies":                                           saveDeath,
		"a task is cancelled":                                          saveCancelled,
		"tasks of a segment are rewritten, and nothing else of them":   rewritten,
		"a task that has changed is not rewritten, but the others are": rewrittenStale,
		"what does not exist is not rewritten":                         rewrittenGone,
		"a dead task begins another life and the old one cannot end":   saveRevived,
		"an end that is too large is an error and not a lost race":     saveTooLarge,
		"tasks that were never published are removed":                  removedUnpublished,
		"tasks of other segments are not touched":                      otherSegments,
		"what was saved as JSON is the same JSON whatever is in it":    saveJSON,
		"a task that was not closed is open and has no attempts":       openTask,
		"tasks are told apart when their jobs share a segment":         sharedSegment,
		"the end of an attempt keeps what the job said of the task":    keepsSettings,
		"an attempt that was dispatched long ago keeps its own moment": keepsMoments,
	})
}

func newTask(s segment.ID, n int) task.Task {
	return task.Task{ID: task.ID{Segment: s, N: n}, Labourer: "labourer", JobID: "job", CreatedAt: noon,
		Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
}

func newSegment() segment.ID { return segment.IDOf(rand.Text(), 0) }

func newTasks(s segment.ID, count int) []task.Task {
	out := make([]task.Task, count)
	for n := range out {
		out[n] = newTask(s, n)
	}
	return out
}

// noise returns text of this length that does not compress.
func noise(length int) string {
	raw := make([]byte, length*3/4+3)
	_, _ = rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)[:length]
}

// load reads one task, which must exist.
func load(t *testing.T, s Stores, id task.ID) task.Task {
	t.Helper()
	found, err := s.Tasks.Load(t.Context(), []task.ID{id})
	require.NoError(t, err)
	require.Contains(t, found, id)
	return found[id]
}

func create(t *testing.T, s Stores, tasks ...task.Task) {
	t.Helper()
	require.NoError(t, s.Tasks.Create(t.Context(), tasks))
}

// end returns a task after an attempt with this end.
func end(t *testing.T, of task.Task, e task.End) task.Task {
	t.Helper()
	after, err := of.Close(e)
	require.NoError(t, err)
	return after
}

func completed(t *testing.T, of task.Task) task.Task {
	return end(t, of, task.End{Attempt: of.Attempt + 1, Status: task.Completed, DispatchedAt: noon.Add(time.Second), At: noon.Add(time.Minute),
		Result: json.RawMessage(`{"rows":10}`), Stats: json.RawMessage(`{"seconds":1.5}`)})
}

func failed(t *testing.T, of task.Task) task.Task {
	return end(t, of, task.End{Attempt: of.Attempt + 1, Status: task.Failed, DispatchedAt: noon.Add(time.Second), At: noon.Add(time.Minute),
		Error: &task.Error{Type: "Timeout", Message: "the database did not answer"}, RetryAfter: 90 * time.Second})
}

func createdAsGiven(t *testing.T, s Stores) {
	one := newTask(newSegment(), 7)
	one.Labourer, one.JobID = "some_function:live", "nightly-2026-11-22"
	one.Payload = json.RawMessage(`{"section":"größe","store":null,"empty":"","list":[],"n":1e3}`)
	one.CreatedAt = noon.Add(123 * time.Millisecond)
	one.MaxAttempts, one.MaxDuration, one.Qualifier = 5, 90*time.Second, "live"

	create(t, s, one)

	require.Equal(t, one, load(t, s, one.ID))
}

func openTask(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)

	read := load(t, s, one.ID)

	require.Equal(t, task.Open, read.Status)
	require.Empty(t, read.Attempts)
	require.True(t, read.ClosedAt.IsZero())
	require.Nil(t, read.Result)
}

func wholeSegment(t *testing.T, s Stores) {
	tasks := newTasks(newSegment(), segment.Size)

	create(t, s, tasks...)

	read, err := s.Tasks.Range(t.Context(), tasks[0].ID.Segment, segment.Range(0, segment.Size-1))
	require.NoError(t, err)
	require.Equal(t, tasks, read)
}

func createdAgain(t *testing.T, s Stores) {
	tasks := newTasks(newSegment(), 30)
	create(t, s, tasks...)

	create(t, s, tasks...)

	read, err := s.Tasks.Range(t.Context(), tasks[0].ID.Segment, segment.Range(0, 255))
	require.NoError(t, err)
	require.Equal(t, tasks, read)
}

func createNone(t *testing.T, s Stores) {
	require.NoError(t, s.Tasks.Create(t.Context(), nil))
	found, err := s.Tasks.Load(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, found)
}

func removedUnpublished(t *testing.T, s Stores) {
	at := newSegment()
	tasks := newTasks(at, 60)
	create(t, s, tasks...)
	create(t, s, newTask(newSegment(), 10))

	for range 2 {
		require.NoError(t, s.Tasks.Remove(t.Context(), at, segment.Range(5, 50).Union(segment.Range(100, 255))))

		left, err := s.Tasks.Range(t.Context(), at, segment.Range(0, 255))
		require.NoError(t, err)
		require.Equal(t, append(tasks[:5:5], tasks[51:]...), left)
	}
	require.NoError(t, s.Tasks.Remove(t.Context(), at, segment.Numbers{}))
}

func largePayload(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	one.Payload = json.RawMessage(`{"noise":"` + noise(256<<10-12) + `"}`)

	create(t, s, one)

	require.Equal(t, []task.Task{one}, whole(t, s, one.ID.Segment))
}

// alike returns tasks of 4 KB that differ in a number, and between them some that are small, large, or like no other.
func alike(count int) []task.Task {
	tasks, common := newTasks(newSegment(), count), noise(4<<10)
	for i := range tasks {
		tasks[i].Payload = json.RawMessage(fmt.Sprintf(`{"n":%d,"noise":%q}`, i, common))
		switch {
		case i%11 == 5:
			tasks[i].Payload = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
		case i%13 == 7:
			tasks[i].Payload = json.RawMessage(fmt.Sprintf(`{"n":%d,"noise":%q}`, i, noise(2000)))
		case i == 20:
			tasks[i].Payload = json.RawMessage(fmt.Sprintf(`{"n":%d,"noise":%q}`, i, noise(300<<10)))
		}
	}
	return tasks
}

func alikePayloads(t *testing.T, s Stores) {
	tasks := alike(150)
	create(t, s, tasks...)
	create(t, s, tasks[:40]...) // again, and cut off

	require.Equal(t, tasks, whole(t, s, tasks[0].ID.Segment))
	var some []task.Task
	for _, i := range []int{149, 3, 20, 3, 5, 77, 2} {
		some = append(some, load(t, s, tasks[i].ID))
	}
	n := 0
	for one, err := range s.Tasks.Filled(t.Context(), some) {
		require.NoError(t, err)
		require.Equal(t, string(tasks[one.ID.N].Payload), string(one.Payload))
		n++
	}
	require.Len(t, some, n)
}

func addedAgain(t *testing.T, s Stores) {
	tasks := alike(60)
	require.NoError(t, s.Tasks.Add(t.Context(), tasks[10:35]))

	require.NoError(t, s.Tasks.Add(t.Context(), tasks[:50]))
	others := alike(60)
	for i := range others {
		others[i].ID.Segment = tasks[0].ID.Segment
	}
	require.NoError(t, s.Tasks.Add(t.Context(), others))

	require.Equal(t, append(tasks[:50:50], others[50:]...), whole(t, s, tasks[0].ID.Segment))
}

func removedBeside(t *testing.T, s Stores) {
	tasks := alike(60)
	create(t, s, tasks...)

	require.NoError(t, s.Tasks.Remove(t.Context(), tasks[0].ID.Segment, segment.Range(30, 255)))

	require.Equal(t, tasks[:30], whole(t, s, tasks[0].ID.Segment))
}

func endedLate(t *testing.T, s Stores) {
	tasks := alike(30)
	create(t, s, tasks...)
	for range 2 {
		for _, i := range []int{20, 3, 4} { // the first has parts of its own
			one := load(t, s, tasks[i].ID)
			one.ClosedAt = noon.Add(90 * 24 * time.Hour)
			require.NoError(t, s.Tasks.Ended(t.Context(), one))
		}
	}

	require.Equal(t, tasks, whole(t, s, tasks[0].ID.Segment))
}

// whole reads all tasks of a segment with their payloads, and does not tell where these lie.
func whole(t *testing.T, s Stores, at segment.ID) (all []task.Task) {
	t.Helper()
	for chunk, err := range s.Tasks.Chunks(t.Context(), at, segment.Range(0, segment.Size-1)) {
		require.NoError(t, err)
		for _, one := range chunk {
			one.Parts, one.PayloadUntil, one.Bundle = 0, time.Time{}, ""
			all = append(all, one)
		}
	}
	return all
}

func manyLarge(t *testing.T, s Stores) {
	tasks := newTasks(newSegment(), 8)
	var ids []task.ID
	for i := range tasks {
		tasks[i].Payload = json.RawMessage(`{"noise":"` + noise(240<<10) + `"}`)
		ids = append(ids, tasks[i].ID)
		create(t, s, tasks[i])
	}

	require.Equal(t, tasks, whole(t, s, tasks[0].ID.Segment))

	loaded, err := s.Tasks.Load(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, loaded, len(tasks))
}

func loadMissing(t *testing.T, s Stores) {
	at := newSegment()
	create(t, s, newTask(at, 1))

	found, err := s.Tasks.Load(t.Context(), []task.ID{{Segment: at, N: 0}, {Segment: at, N: 1}, {Segment: newSegment(), N: 1}})

	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Contains(t, found, task.ID{Segment: at, N: 1})
}

func loadMany(t *testing.T, s Stores) {
	tasks := newTasks(newSegment(), 130)
	create(t, s, tasks...)
	var ids []task.ID
	for _, one := range tasks {
		ids = append(ids, one.ID, one.ID)
	}

	found, err := s.Tasks.Load(t.Context(), append(ids, ids...))

	require.NoError(t, err)
	require.Len(t, found, len(tasks))
	for _, one := range tasks {
		require.Equal(t, one, found[one.ID])
	}
}

func rangeOfSome(t *testing.T, s Stores) {
	tasks := newTasks(newSegment(), 20)
	create(t, s, tasks...)
	at := tasks[0].ID.Segment

	for _, c := range []struct {
		asked segment.Numbers
		want  []task.Task
	}{
		{segment.Numbers{}, nil},
		{segment.Of(3), tasks[3:4]},
		{segment.Of(0, 19), []task.Task{tasks[0], tasks[19]}},
		{segment.Of(9, 10, 100), tasks[9:11]},
		{segment.Range(200, 255), nil},
	} {
		read, err := s.Tasks.Range(t.Context(), at, c.asked)
		require.NoError(t, err)
		require.Equal(t, c.want, read, "numbers %q", c.asked)
	}
	read, err := s.Tasks.Range(t.Context(), newSegment(), segment.Range(0, 255))
	require.NoError(t, err)
	require.Empty(t, read, "a segment that is not there")
}

func saveEnd(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	after := completed(t, one)

	require.NoError(t, s.Tasks.Save(t.Context(), one, after))

	require.Equal(t, after, load(t, s, one.ID))
}

func saveOnce(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	after := completed(t, one)
	require.NoError(t, s.Tasks.Save(t.Context(), one, after))

	require.ErrorIs(t, s.Tasks.Save(t.Context(), one, after), task.ErrStale)
	require.ErrorIs(t, s.Tasks.Save(t.Context(), one, failed(t, one)), task.ErrStale)

	require.Equal(t, after, load(t, s, one.ID))
}

func saveStale(t *testing.T, s Stores) {
	first := newTask(newSegment(), 0)
	create(t, s, first)
	second := failed(t, first)
	require.NoError(t, s.Tasks.Save(t.Context(), first, second))
	third := completed(t, second)
	require.NoError(t, s.Tasks.Save(t.Context(), second, third))

	require.ErrorIs(t, s.Tasks.Save(t.Context(), first, completed(t, first)), task.ErrStale)
	require.ErrorIs(t, s.Tasks.Save(t.Context(), second, failed(t, second)), task.ErrStale)

	require.Equal(t, third, load(t, s, first.ID))
}

func saveUnknown(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)

	require.ErrorIs(t, s.Tasks.Save(t.Context(), one, completed(t, one)), task.ErrStale)

	found, err := s.Tasks.Load(t.Context(), []task.ID{one.ID})
	require.NoError(t, err)
	require.Empty(t, found, "an end made a task")
}

func saveRace(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	var racers []func() error
	for i := range 8 {
		after := completed(t, one)
		if i%2 == 1 {
			after = failed(t, one)
		}
		racers = append(racers, func() error { return s.Tasks.Save(t.Context(), one, after) })
	}

	won := race(t, task.ErrStale, racers...)

	require.Equal(t, 1, won)
	require.Len(t, load(t, s, one.ID).Attempts, 1)
}

func saveNext(t *testing.T, s Stores) {
	first := newTask(newSegment(), 0)
	create(t, s, first)
	second := end(t, first, task.End{Attempt: 1, Status: task.Failed, At: noon, Result: json.RawMessage(`{"partial":true}`),
		Stats: json.RawMessage(`{"rows":1}`), RetryAfter: time.Minute, Error: &task.Error{Type: "Busy"}})
	require.NoError(t, s.Tasks.Save(t.Context(), first, second))
	require.Equal(t, second, load(t, s, first.ID))
	third := end(t, second, task.End{Attempt: 2, Status: task.Expired, At: noon.Add(time.Hour)})

	require.NoError(t, s.Tasks.Save(t.Context(), second, third))

	read := load(t, s, first.ID)
	require.Equal(t, third, read)
	require.Nil(t, read.Result)
	require.Nil(t, read.Stats)
	require.Zero(t, read.RetryAfter)
	require.Len(t, read.Attempts, 2)
}

func saveDeath(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	before := end(t, one, task.End{Attempt: 1, Status: task.Failed, At: noon, Permanent: true, Error: &task.Error{Type: "BadInput"}})
	require.NoError(t, s.Tasks.Save(t.Context(), one, before))
	dead, err := before.Kill(noon.Add(time.Second))
	require.NoError(t, err)

	require.NoError(t, s.Tasks.Save(t.Context(), before, dead))

	require.Equal(t, dead, load(t, s, one.ID))
	require.ErrorIs(t, s.Tasks.Save(t.Context(), before, dead), task.ErrStale, "it dies once")
}

func saveCancelled(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	cancelled, err := one.Cancel(noon)
	require.NoError(t, err)

	require.NoError(t, s.Tasks.Save(t.Context(), one, cancelled))

	require.Equal(t, cancelled, load(t, s, one.ID))
	require.ErrorIs(t, s.Tasks.Save(t.Context(), one, completed(t, one)), task.ErrStale)
}

// cancelling is a change of tasks.
func cancelling(t task.Task) (task.Task, bool) {
	after, err := t.Cancel(noon.Add(time.Minute))
	return after, err == nil
}

func rewritten(t *testing.T, s Stores) {
	all := newTasks(newSegment(), segment.Size)
	all[3].Payload = json.RawMessage(`"` + noise(1<<20) + `"`) // in parts
	create(t, s, all...)
	for n := 10; n < 30; n++ { // more than a page
		large := failed(t, all[n])
		large.Result = json.RawMessage(`"` + noise(250<<10) + `"`)
		require.NoError(t, s.Tasks.Save(t.Context(), all[n], large))
		all[n] = large
	}
	waits, ended := failed(t, all[1]), completed(t, all[2])
	require.NoError(t, s.Tasks.Save(t.Context(), all[1], waits))
	require.NoError(t, s.Tasks.Save(t.Context(), all[2], ended))
	all[1], all[2] = waits, ended

	stale, err := s.Tasks.Rewrite(t.Context(), all[0].ID.Segment, segment.Range(1, 254), cancelling)

	require.NoError(t, err)
	require.Empty(t, stale)
	for n := 1; n < 255; n++ {
		if after, changed := cancelling(all[n]); changed {
			all[n] = after
		}
	}
	require.Equal(t, ended, all[2])
	require.Equal(t, all, whole(t, s, all[0].ID.Segment))
}

func rewrittenStale(t *testing.T, s Stores) {
	all := newTasks(newSegment(), 5)
	create(t, s, all...)
	racing := func(n int) func(task.Task) (task.Task, bool) {
		return func(one task.Task) (task.Task, bool) {
			if one.ID.N == n { // it ends between the read and the write
				require.NoError(t, s.Tasks.Save(t.Context(), all[n], completed(t, all[n])))
			}
			return cancelling(one)
		}
	}

	stale, err := s.Tasks.Rewrite(t.Context(), all[0].ID.Segment, segment.Range(0, 3), racing(2))
	require.NoError(t, err)
	require.Equal(t, segment.Of(2), stale)
	stale, err = s.Tasks.Rewrite(t.Context(), all[0].ID.Segment, segment.Of(4), racing(4))
	require.NoError(t, err)
	require.Equal(t, segment.Of(4), stale, "a task alone")

	for n, one := range all {
		want, _ := cancelling(one)
		if n == 2 || n == 4 {
			want = completed(t, one)
		}
		require.Equal(t, want, load(t, s, one.ID))
	}
}

func rewrittenGone(t *testing.T, s Stores) {
	stale, err := s.Tasks.Rewrite(t.Context(), newSegment(), segment.Range(0, 255), cancelling)

	require.NoError(t, err)
	require.Empty(t, stale)
}

func saveRevived(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	before := failed(t, one)
	require.NoError(t, s.Tasks.Save(t.Context(), one, before))
	dead, err := before.Kill(noon)
	require.NoError(t, err)
	require.NoError(t, s.Tasks.Save(t.Context(), before, dead))
	again, err := dead.Revive()
	require.NoError(t, err)

	require.NoError(t, s.Tasks.Save(t.Context(), dead, again))

	read := load(t, s, one.ID)
	require.Equal(t, task.Open, read.Status)
	require.Equal(t, 1, read.Life)
	require.Equal(t, 1, read.LifeAttempt)
	require.True(t, read.ClosedAt.IsZero())
	require.Equal(t, dead.Attempts, read.Attempts, "the attempts of the former life are kept")
	require.ErrorIs(t, s.Tasks.Save(t.Context(), dead, again), task.ErrStale, "it is revived once")
	require.ErrorIs(t, s.Tasks.Save(t.Context(), before, dead), task.ErrStale, "its former death is over")
	require.NoError(t, s.Tasks.Save(t.Context(), read, completed(t, read)))
}

func saveTooLarge(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	after := completed(t, one)
	after.Result = json.RawMessage(`"` + noise(600<<10) + `"`)

	err := s.Tasks.Save(t.Context(), one, after)

	require.Error(t, err)
	require.NotErrorIs(t, err, task.ErrStale)
	require.ErrorContains(t, err, one.ID.String())
	require.Equal(t, one, load(t, s, one.ID))
}

func otherSegments(t *testing.T, s Stores) {
	mine, other := newTask(newSegment(), 3), newTask(newSegment(), 3)
	create(t, s, mine, other)

	require.NoError(t, s.Tasks.Save(t.Context(), mine, completed(t, mine)))

	require.Equal(t, other, load(t, s, other.ID))
}

func saveJSON(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	for _, text := range []string{`null`, `""`, `0`, `[1,[2,[3]]]`, `{"a":{"b":"\u0000 \ud83d\ude00"}}`, `"` + string(bytes.Repeat([]byte("x"), 2000)) + `"`} {
		before := load(t, s, one.ID)
		after := end(t, before, task.End{Attempt: before.Attempt + 1, Status: task.Failed, At: noon, Result: json.RawMessage(text)})
		require.NoError(t, s.Tasks.Save(t.Context(), before, after))
		require.JSONEq(t, text, string(load(t, s, one.ID).Result))
	}
}

func sharedSegment(t *testing.T, s Stores) {
	at := newSegment()
	a, b := newTask(at, 0), newTask(at, 1)
	a.JobID, b.JobID = "a", "b"
	create(t, s, a)
	create(t, s, b)

	read, err := s.Tasks.Range(t.Context(), at, segment.Range(0, 255))

	require.NoError(t, err)
	require.Equal(t, []task.Task{a, b}, read)
}

func keepsSettings(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	one.MaxAttempts, one.MaxDuration, one.Qualifier, one.Shared = 2, time.Minute, "7", true
	create(t, s, one)

	require.NoError(t, s.Tasks.Save(t.Context(), one, failed(t, one)))

	read := load(t, s, one.ID)
	require.Equal(t, 2, read.MaxAttempts)
	require.Equal(t, time.Minute, read.MaxDuration)
	require.Equal(t, "7", read.Qualifier)
	require.True(t, read.Shared)
	require.JSONEq(t, string(one.Payload), string(read.Payload))
}

func keepsMoments(t *testing.T, s Stores) {
	one := newTask(newSegment(), 0)
	create(t, s, one)
	dispatched, closed := noon.Add(-24*time.Hour+5*time.Millisecond), noon.Add(7*time.Millisecond)
	after := end(t, one, task.End{Attempt: 1, Status: task.Completed, DispatchedAt: dispatched, At: closed})

	require.NoError(t, s.Tasks.Save(t.Context(), one, after))

	attempt := load(t, s, one.ID).Attempts[0]
	require.Equal(t, dispatched, attempt.DispatchedAt.UTC())
	require.Equal(t, closed, attempt.ClosedAt.UTC())
	require.Equal(t, closed, load(t, s, one.ID).ClosedAt)
}
