package task_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

const seg = segment.ID("abcdefghijklmnop")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestATaskIsNamedAfterItsPlace(t *testing.T) {
	for text, id := range map[string]task.ID{
		"abcdefghijklmnop.0":   {Segment: seg, N: 0},
		"abcdefghijklmnop.7":   {Segment: seg, N: 7},
		"abcdefghijklmnop.255": {Segment: seg, N: 255},
		"2jxtsgokhmkcw7cc.10":  {Segment: segment.IDOf("nightly", 0), N: 10},
	} {
		read, err := task.ParseID(text)

		require.NoError(t, err, text)
		require.Equal(t, id, read)
		require.Equal(t, text, id.String())
	}
}

// Names are compared as text, so a task has exactly one name, and other spellings are refused.
func TestAnInvalidTaskIDIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               "",
		"no number":           "abcdefghijklmnop",
		"empty number":        "abcdefghijklmnop.",
		"no segment":          ".7",
		"short segment":       "abc.7",
		"long segment":        "abcdefghijklmnopq.7",
		"upper case":          "ABCDEFGHIJKLMNOP.7",
		"foreign characters":  "abcdefghijklmno1.7",
		"beyond the segment":  "abcdefghijklmnop.256",
		"negative":            "abcdefghijklmnop.-1",
		"negative zero":       "abcdefghijklmnop.-0",
		"signed":              "abcdefghijklmnop.+7",
		"leading zero":        "abcdefghijklmnop.07",
		"surrounded by space": " abcdefghijklmnop.7",
		"two numbers":         "abcdefghijklmnop.7.7",
		"not a whole number":  "abcdefghijklmnop.7e0",
		"much too large":      "abcdefghijklmnop.99999999999999999999",
		"sosw's uuid":         "6f7c73de-7998-4e0d-8c6e-f00000000000",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := task.ParseID(text)

			require.ErrorContains(t, err, "does not have the form <segment>.<number>")
		})
	}
}

func TestTheErrorOfATaskIDDoesNotRepeatAWholePayload(t *testing.T) {
	_, err := task.ParseID(strings.Repeat("x", 1<<20))

	require.Less(t, len(err.Error()), 200)
}

func FuzzParseID(f *testing.F) {
	f.Add("abcdefghijklmnop.7")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := task.ParseID(text)
		if err != nil {
			return
		}
		require.Equal(t, text, id.String(), "a task has one name")
		require.True(t, id.Segment.Valid())
		require.True(t, segment.Range(0, segment.Size-1).Contains(id.N))
	})
}

func open() task.Task {
	return task.Task{ID: task.ID{Segment: seg, N: 7}, Labourer: "f", JobID: "nightly", Payload: json.RawMessage(`{"store":"x"}`), CreatedAt: noon}
}

func ended(t require.TestingT, from task.Task, end task.End) task.Task {
	out, err := from.Close(end)
	require.NoError(t, err)
	return out
}

func failure(attempt int) task.End {
	return task.End{Attempt: attempt, Status: task.Failed, DispatchedAt: noon, At: noon.Add(time.Duration(attempt) * time.Minute), Error: &task.Error{Type: "Boom", Message: "as told"}}
}

func TestOnlyCompletedDeadAndCancelledAreTerminal(t *testing.T) {
	for status, terminal := range map[task.Status]bool{
		task.Open: false, task.Failed: false, task.Expired: false, task.Completed: true, task.Dead: true, task.Cancelled: true,
	} {
		require.Equal(t, terminal, status.Terminal(), "status %q", status)
	}
}

func TestAClosedAttemptKeepsItsTimesAndItsError(t *testing.T) {
	closed := ended(t, open(), task.End{Attempt: 1, Status: task.Completed, DispatchedAt: noon.Add(1234567 * time.Nanosecond), At: noon.Add(time.Minute),
		Result: json.RawMessage(`{"rows":10}`), Stats: json.RawMessage(`{"ms":3}`)})

	require.Equal(t, task.Completed, closed.Status)
	require.Equal(t, 1, closed.Attempt)
	require.Equal(t, noon.Add(time.Minute), closed.ClosedAt)
	require.JSONEq(t, `{"rows":10}`, string(closed.Result))
	require.JSONEq(t, `{"ms":3}`, string(closed.Stats))
	text, err := json.Marshal(closed.Attempts)
	require.NoError(t, err)
	require.JSONEq(t, `[{"attempt": 1, "dispatched_at": "2026-11-22T12:00:00.001Z", "closed_at": "2026-11-22T12:01:00Z", "status": "completed"}]`, string(text))
}

func TestAttemptsAccumulate(t *testing.T) {
	first := ended(t, open(), failure(1))
	second := ended(t, first, task.End{Attempt: 2, Status: task.Expired, At: noon.Add(time.Hour), Error: &task.Error{Type: "Expired"}})

	text, err := json.Marshal(second.Attempts)
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"attempt": 1, "dispatched_at": "2026-11-22T12:00:00Z", "closed_at": "2026-11-22T12:01:00Z", "status": "failed", "error": {"type": "Boom", "message": "as told"}},
		{"attempt": 2, "closed_at": "2026-11-22T13:00:00Z", "status": "expired", "error": {"type": "Expired"}}
	]`, string(text))
	require.Equal(t, "Expired", second.LastError().Type)
	require.Equal(t, "Boom", first.LastError().Type, "a derived task leaves the original unchanged")
	require.Nil(t, open().LastError())
	other := ended(t, first, failure(2))
	require.Equal(t, "Expired", second.LastError().Type, "two closed copies of one task do not share their attempts")
	require.Equal(t, "Boom", other.LastError().Type)
}

// TestG8ATaskThatFailsForTheThousandthTimeCanStillBeClosed: the messages of its oldest errors are dropped, so that the item does not grow too large.
func TestG8ATaskThatFailsForTheThousandthTimeCanStillBeClosed(t *testing.T) {
	one := open()
	before := one
	for attempt := 1; attempt <= 1000; attempt++ {
		before, one = one, ended(t, one, task.End{Attempt: attempt, Status: task.Failed, DispatchedAt: noon, At: noon, Error: &task.Error{Type: "Boom", Message: strings.Repeat("x", 4<<10)}})
	}

	messages, types := 0, 0
	for _, a := range one.Attempts {
		messages += len(a.Error.Message)
		types += len(a.Error.Type)
	}
	require.Equal(t, 64<<10, messages)
	require.Len(t, one.LastError().Message, 4<<10, "the last message is whole")
	require.Equal(t, 1000*len("Boom"), types)
	require.Len(t, before.Attempts[983].Error.Message, 4<<10, "the previous task is unchanged")
	require.Empty(t, one.Attempts[983].Error.Message)
	text, err := json.Marshal(one.Attempts)
	require.NoError(t, err)
	require.Less(t, len(text), 256<<10)
}

func TestG4OnlyTheCurrentAttemptIsClosed(t *testing.T) {
	failed := ended(t, open(), failure(1))
	completed := ended(t, open(), task.End{Attempt: 1, Status: task.Completed, At: noon})
	dead, err := failed.Kill(noon)
	require.NoError(t, err)
	cancelled, err := open().Cancel(noon)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		task    task.Task
		attempt int
	}{
		"an attempt that has not begun":          {open(), 2},
		"no attempt":                             {open(), 0},
		"the attempt that has failed":            {failed, 1},
		"the one after the next":                 {failed, 3},
		"the attempt that has completed":         {completed, 1},
		"another attempt after it has completed": {completed, 2},
		"another attempt after it has died":      {dead, 2},
		"another attempt after it was cancelled": {cancelled, 1},
		"a later attempt after it was cancelled": {cancelled, 2},
		"an attempt before the first":            {open(), -1},
		"the attempt after which it died, again": {dead, 1},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := c.task.Close(task.End{Attempt: c.attempt, Status: task.Completed, At: noon})

			require.ErrorIs(t, err, task.ErrStale)
			require.Equal(t, c.task, after, "it changes nothing")
		})
	}
}

func TestG5ATaskReachesOneEndOnce(t *testing.T) {
	failed := ended(t, open(), failure(1))
	expired := ended(t, open(), task.End{Attempt: 1, Status: task.Expired, At: noon})
	completed := ended(t, open(), task.End{Attempt: 1, Status: task.Completed, At: noon})
	dead, err := failed.Kill(noon)
	require.NoError(t, err)
	cancelled, err := open().Cancel(noon)
	require.NoError(t, err)

	at := noon.Add(time.Hour)
	kill := func(t task.Task) (task.Task, error) { return t.Kill(at) }
	cancel := func(t task.Task) (task.Task, error) { return t.Cancel(at) }
	revive := func(t task.Task) (task.Task, error) { return t.Revive() }
	for name, c := range map[string]struct {
		do      func(task.Task) (task.Task, error)
		allowed []task.Task
		refused []task.Task
		becomes task.Status
	}{
		"kill":   {kill, []task.Task{failed, expired}, []task.Task{open(), completed, dead, cancelled}, task.Dead},
		"cancel": {cancel, []task.Task{open(), failed, expired}, []task.Task{completed, dead, cancelled}, task.Cancelled},
		"revive": {revive, []task.Task{dead}, []task.Task{open(), failed, expired, completed, cancelled}, task.Open},
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range c.allowed {
				after, err := c.do(before)
				require.NoError(t, err, "for a task with status %q", before.Status)
				require.Equal(t, c.becomes, after.Status)
				require.Equal(t, before.Attempts, after.Attempts, "its attempts stay")
				if after.Status.Terminal() {
					require.Equal(t, at, after.ClosedAt)
				}
			}
			for _, before := range c.refused {
				after, err := c.do(before)
				require.ErrorIs(t, err, task.ErrStale, "for a task with status %q", before.Status)
				require.Equal(t, before, after)
			}
		})
	}
}

func TestANewLifeBeginsWithAllItsAttempts(t *testing.T) {
	tired := ended(t, open(), failure(1))
	end := failure(2)
	end.Permanent, end.RetryAfter = true, time.Hour
	tired = ended(t, tired, end)
	require.Equal(t, 2, tired.Failures())
	dead, err := tired.Kill(noon)
	require.NoError(t, err)

	again, err := dead.Revive()

	require.NoError(t, err)
	require.Equal(t, task.Open, again.Status)
	require.Equal(t, 1, again.Life)
	require.Equal(t, 2, again.LifeAttempt)
	require.Equal(t, 2, again.Attempt, "attempt numbers continue")
	require.Zero(t, again.Failures())
	require.False(t, again.Permanent)
	require.Zero(t, again.RetryAfter)
	require.Zero(t, again.ClosedAt)
	require.Len(t, again.Attempts, 2)
	third := ended(t, again, failure(3))
	require.Equal(t, 1, third.Failures())
}

// TestG5EventsInAnyOrder: events of all kinds, including stale ones, never end a life of a task twice and never count an attempt twice.
func TestG5EventsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := open()
		endsOfLife := map[int]int{}
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			before := one
			var err error
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				status := rapid.SampledFrom([]task.Status{task.Completed, task.Failed, task.Expired}).Draw(t, "status")
				one, err = one.Close(task.End{Attempt: rapid.IntRange(0, 6).Draw(t, "attempt"), Status: status, At: noon.Add(time.Duration(i))})
			case 1:
				one, err = one.Kill(noon)
			case 2:
				one, err = one.Cancel(noon)
			case 3:
				one, err = one.Revive()
			}
			if err != nil {
				require.ErrorIs(t, err, task.ErrStale)
				require.Equal(t, before, one)
				continue
			}
			require.Len(t, one.Attempts, one.Attempt, "one record for each attempt")
			require.GreaterOrEqual(t, one.Failures(), 0)
			require.GreaterOrEqual(t, one.Attempt, before.Attempt)
			if one.Status.Terminal() {
				require.False(t, before.Status.Terminal(), "%s after %s", one.Status, before.Status)
				endsOfLife[one.Life]++
				require.Equal(t, 1, endsOfLife[one.Life])
			}
		}
		for i, a := range one.Attempts {
			require.Equal(t, i+1, a.Attempt)
		}
	})
}
