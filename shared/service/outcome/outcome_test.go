package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/retry"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/outcome"
)

const seg = segment.ID("abcdefghijklmnop")

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	errOff = errors.New("the table is unavailable")
)

// world holds everything that a Settler reaches, for one labourer: its leases, and the tasks that were queued, killed, swept and sent to wait.
// fails names the call that fails. races counts the writes before which another component writes the lease; -1 means all of them.
type world struct {
	leases   []queue.Lease
	queued   []queue.Entry
	saved    []task.Task
	kills    []int // how many tasks ended together
	waits    []outcome.Backoff
	swept    []string
	labourer *labourer.Labourer
	fails    string
	races    int
	ended    map[int]task.Status // tasks that another component ends
	random   float64
	asked    int // how often for the labourer
}

func (w *world) fail(name string) error {
	if w.fails == name {
		return errOff
	}
	return nil
}

func (w *world) Labourer(context.Context, string) (labourer.Labourer, bool, error) {
	w.asked++
	if w.labourer == nil {
		return labourer.Labourer{}, false, w.fail("Labourer")
	}
	return *w.labourer, true, w.fail("Labourer")
}

// write replaces a lease on condition of its revision, as the store does.
func (w *world) write(name string, before, after queue.Lease) (queue.Lease, error) {
	if err := w.fail(name); err != nil {
		return before, err
	}
	for i, l := range w.leases {
		if l.Item() != before.Item() {
			continue
		}
		if w.races != 0 {
			w.races--
			w.leases[i].Revision++
		}
		if w.leases[i].Revision != before.Revision {
			break
		}
		after.Revision = before.Revision + 1
		w.leases[i] = after
		return after, nil
	}
	return before, queue.ErrChanged
}

func (w *world) Save(_ context.Context, before, after queue.Lease) (queue.Lease, error) {
	return w.write("Save", before, after)
}

func (w *world) Kill(_ context.Context, l queue.Lease, failed, dead []task.Task) (queue.Lease, error) {
	var numbers segment.Numbers
	for _, t := range failed {
		if w.ended[t.ID.N] != task.Open {
			return l, queue.ErrChanged
		}
		numbers = numbers.Union(segment.Of(t.ID.N))
	}
	l, err := w.write("Kill", l, l.Without(numbers))
	if err == nil {
		w.saved = append(w.saved, dead...)
		w.kills = append(w.kills, len(failed))
	}
	return l, err
}

// Chunks returns tasks that failed the third time, one at a time, except those that have ended. Their payloads are stored apart.
func (w *world) Chunks(_ context.Context, _ segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return func(yield func([]task.Task, error) bool) {
		for n := range numbers.All() {
			t := failed(n, 3, "Boom")
			t.Parts, t.Payload = 1, make([]byte, 1<<20)
			if status := w.ended[n]; status != task.Open {
				t.Status = status
			}
			if !yield([]task.Task{t}, nil) {
				return
			}
		}
		if err := w.fail("Chunks"); err != nil {
			yield(nil, err)
		}
	}
}

func (w *world) LeasesOn(_ context.Context, _ string, s segment.ID) ([]queue.Lease, error) {
	var out []queue.Lease
	for _, l := range w.leases {
		if l.Segment == s {
			out = append(out, l)
		}
	}
	return out, w.fail("LeasesOn")
}

func (w *world) Requeue(_ context.Context, l queue.Lease, e queue.Entry) (queue.Lease, error) {
	l, err := w.write("Requeue", l, l.Without(e.Tasks))
	if err == nil {
		w.queued = append(w.queued, e)
	}
	return l, err
}

func (w *world) Backoff(_ context.Context, b outcome.Backoff) error {
	w.waits = append(w.waits, b)
	return w.fail("Backoff")
}

func (w *world) Sweep(_ context.Context, tasks []task.Task) error {
	for _, t := range tasks {
		w.swept = append(w.swept, t.JobID+" "+t.ID.String())
	}
	return w.fail("Sweep")
}

func (w *world) settler() outcome.Settler {
	return outcome.Settler{Tasks: w, Control: w, Leases: w, Registry: w, Waiter: w, Sweeper: w, Now: func() time.Time { return noon.Add(300 * time.Microsecond) },
		Random: func() float64 { return w.random }}
}

// f returns a labourer whose tasks get three attempts.
func f() *labourer.Labourer {
	l := labourer.New("f")
	l.NotRetryable = []string{"BadInput"}
	l.Retry = retry.Policy{Min: 10 * time.Second, Initial: 60 * time.Second, Rate: 2, Max: time.Hour}
	return &l
}

// failed returns a task whose attempt has failed with this error.
func failed(n, attempt int, kind string) task.Task {
	t := task.Task{ID: task.ID{Segment: seg, N: n}, Labourer: "f", JobID: "nightly", CreatedAt: noon}
	for a := 1; a <= attempt; a++ {
		t, _ = t.Close(task.End{Attempt: a, Status: task.Failed, At: noon, Error: &task.Error{Type: kind}})
	}
	return t
}

// lease returns a lease of the nightly job with these tasks in hand, and as many slots.
func lease(attempt int, numbers ...int) queue.Lease {
	l := queue.Lease{Labourer: "f", Segment: seg, Job: "nightly", Attempt: attempt, First: numbers[0], Tasks: segment.Of(numbers...), Waiting: segment.Of(numbers...),
		Slots: len(numbers), Revision: 7}
	l, _ = l.Feed(queue.MostSlots, queue.Dispatched, noon)
	return l
}

// elsewhereOf returns the lease as one of another segment.
func elsewhereOf(l queue.Lease, labourer string, at segment.ID) queue.Lease {
	l.Labourer, l.Segment = labourer, at
	return l
}

func TestG4WhenNoAttemptMayFollow(t *testing.T) {
	permanent := failed(1, 1, "Boom")
	permanent.Permanent = true
	own := failed(1, 3, "Boom")
	own.MaxAttempts = 5
	strict := failed(1, 1, "Boom")
	strict.MaxAttempts = 1
	replayed := failed(1, 3, "Boom")
	replayed.LifeAttempt = 2
	silent := failed(1, 1, "Boom")
	silent.Attempts = nil
	for name, c := range map[string]struct {
		task   task.Task
		reason string // "": another one may
	}{
		"the first of three":                      {failed(1, 1, "Boom"), ""},
		"the second of three":                     {failed(1, 2, "Boom"), ""},
		"the third of three":                      {failed(1, 3, "Boom"), "3 of 3 attempts have failed"},
		"the fourth of three":                     {failed(1, 4, "Boom"), "4 of 3 attempts have failed"},
		"the worker says so":                      {permanent, "the worker said that it is not retryable"},
		"the labourer says so":                    {failed(1, 1, "BadInput"), "errors of type BadInput are not retryable"},
		"the job allows more":                     {own, ""},
		"the job allows fewer":                    {strict, "1 of 1 attempts have failed"},
		"attempts of a former life do not count":  {replayed, ""},
		"an attempt of which nothing is recorded": {silent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dead, reason := outcome.Exhausted(c.task, *f())

			require.Equal(t, c.reason, reason)
			require.Equal(t, c.reason != "", dead)
		})
	}
}

func TestG1AFailedTaskGoesFromItsLeaseToTheQueue(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(1, 3, 4, 5)}}
	w.leases[0].MaxDuration = time.Minute
	one := failed(4, 1, "Boom")

	settled, err := w.settler().Settle(context.Background(), []task.Task{one})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{Retried: 1, Freed: []string{"f"}}, settled)
	require.Equal(t, []queue.Entry{{Labourer: "f", Due: noon.Add(10*time.Second + time.Millisecond), Segment: seg, First: 4, Tasks: segment.Of(4),
		Job: "nightly", Attempt: 2, MaxDuration: time.Minute}}, w.queued)
	require.Equal(t, segment.Of(3, 5), w.leases[0].Held())
	require.Empty(t, w.leases[0].Done(), "it was not completed")
	require.Equal(t, []outcome.Backoff{{Labourer: "f", Until: noon.Add(11 * time.Second), Tasks: []task.Task{one}}}, w.waits)
	require.Equal(t, []string{"nightly abcdefghijklmnop.4"}, w.swept)
	require.Empty(t, w.saved, "its item stays as it is")
}

// TestAFailedTaskThatWaitsInItsLeaseForItsNextAttemptIsSettled but for its wake: whatever the labourer says by now, it is neither queued nor killed. If
// its next attempt has begun, there is nothing to wake for.
func TestAFailedTaskThatWaitsInItsLeaseForItsNextAttemptIsSettled(t *testing.T) {
	due := noon.Add(20*time.Second + 300*time.Millisecond)
	for name, c := range map[string]struct {
		lease queue.Lease
		waits []outcome.Backoff
	}{
		"it waits": {lease(1, 3, 4).Postponed(4, due), []outcome.Backoff{{Labourer: "f", Until: noon.Add(21 * time.Second), Tasks: []task.Task{failed(4, 1, "Boom")}}}},
		"it waits, and so does a task for a slot": {fed(lease(1, 3, 4).Postponed(4, due)), []outcome.Backoff{{Labourer: "f", Until: noon.Add(time.Minute),
			Tasks: []task.Task{failed(4, 1, "Boom")}}}},
		"it has begun": {again(lease(1, 3, 4).Postponed(4, due), due), nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := f()
			l.MaxAttempts = 1
			w := &world{labourer: l, leases: []queue.Lease{c.lease}}

			settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 1, "Boom")})

			require.NoError(t, err)
			require.Equal(t, outcome.Settled{}, settled, "its slot was fed")
			require.Equal(t, c.waits, w.waits)
			require.Equal(t, []string{"nightly abcdefghijklmnop.4"}, w.swept, "its job may be cancelled")
			require.Empty(t, w.queued)
			require.Empty(t, w.saved)
			require.Equal(t, c.lease, w.leases[0])
		})
	}
}

// fed returns the lease with another task, which waits for a slot.
func fed(l queue.Lease) queue.Lease {
	l.Waiting = segment.Of(9)
	l.Tasks = l.Tasks.Union(l.Waiting)
	return l
}

// again returns the lease after its retries have begun.
func again(l queue.Lease, now time.Time) queue.Lease {
	l, _ = l.Feed(queue.MostSlots, queue.Dispatched, now)
	return l
}

func TestG5AnExhaustedTaskDiesAndItsLeaseLetsItGo(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(3, 4)}}

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 3, "Boom")})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{Dead: 1, Freed: []string{"f"}}, settled)
	require.Len(t, w.saved, 1)
	require.Equal(t, task.Dead, w.saved[0].Status)
	require.True(t, w.leases[0].Held().Empty())
	require.Empty(t, w.queued)
	require.Empty(t, w.waits)
}

// TestG5AnExhaustedTaskThatEndsMeanwhileOnlyLeavesItsLease: the other exhausted tasks die. What the lease says was completed enters the job's
// progress when the lease ends, so a cancelled task must not be among it.
func TestG5AnExhaustedTaskThatEndsMeanwhileOnlyLeavesItsLease(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(3, 4, 5, 6, 7, 8)}, ended: map[int]task.Status{5: task.Cancelled, 7: task.Completed}}

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 3, "Boom"), failed(5, 3, "Boom"), failed(6, 3, "Boom"), failed(7, 3, "Boom")})

	require.NoError(t, err)
	require.Equal(t, 2, settled.Dead)
	require.Equal(t, segment.Of(8), w.leases[0].Held())
	require.Equal(t, segment.Of(7), w.leases[0].Done())
	require.Empty(t, w.queued)
}

// TestG1AFailedTaskThatWaitsInALeaseIsSettled: its start was taken for failed and the task was granted again, but its worker ran.
func TestG1AFailedTaskThatWaitsInALeaseIsSettled(t *testing.T) {
	for attempt, want := range map[int]outcome.Settled{1: {Retried: 1, Freed: []string{"f"}}, 3: {Dead: 1, Freed: []string{"f"}}} {
		l := lease(attempt, 3)
		l.Tasks, l.Waiting = segment.Of(3, 4), segment.Of(4)
		w := &world{labourer: f(), leases: []queue.Lease{l}}

		settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, attempt, "Boom")})

		require.NoError(t, err)
		require.Equal(t, want, settled)
		require.Equal(t, segment.Of(3), w.leases[0].Held())
	}
}

// TestALabourerIsHungryIfTasksWaitForAFreeSlotOfTheLease: also if an earlier settler, which may have died, freed the slot. A slot that was
// revoked is not free.
func TestALabourerIsHungryIfTasksWaitForAFreeSlotOfTheLease(t *testing.T) {
	for name, c := range map[string]struct {
		attempt, task, slots int
		waiting              segment.Numbers
		hungry               []string
	}{
		"a retry":                    {1, 3, 2, segment.Of(8), []string{"f"}},
		"a death":                    {3, 3, 2, segment.Of(8), []string{"f"}},
		"a retry that was settled":   {1, 5, 3, segment.Of(8), []string{"f"}},
		"a death that was settled":   {3, 5, 3, segment.Of(8), []string{"f"}},
		"a retry from a revoked one": {1, 3, 1, segment.Of(8), nil},
		"a death from a revoked one": {3, 3, 1, segment.Of(8), nil},
		"a retry, and none waits":    {1, 3, 2, segment.Of(), nil},
		"a death, and none waits":    {3, 3, 2, segment.Of(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := lease(c.attempt, 3, 4)
			l.Tasks, l.Waiting, l.Slots = l.Tasks.Union(c.waiting), c.waiting, c.slots
			w := &world{labourer: f(), leases: []queue.Lease{l}}

			settled, err := w.settler().Settle(context.Background(), []task.Task{failed(c.task, c.attempt, "Boom")})

			require.NoError(t, err)
			require.Equal(t, []string{"f"}, settled.Freed)
			require.Equal(t, c.hungry, settled.Hungry)
		})
	}
}

// TestG8DeathsAfterARaceHoldNoPayloadsThatAreStoredApart: they may have 1 MB each, and the tasks' images in the stream leave them out.
func TestG8DeathsAfterARaceHoldNoPayloadsThatAreStoredApart(t *testing.T) {
	dying := make([]task.Task, 50)
	numbers := make([]int, len(dying))
	for i := range dying {
		dying[i], numbers[i] = failed(i, 3, "Boom"), i
		dying[i].Parts = 1
	}
	w := &world{labourer: f(), leases: []queue.Lease{lease(3, numbers...)}, races: 1}

	settled, err := w.settler().Settle(context.Background(), dying)

	require.NoError(t, err)
	require.Equal(t, 50, settled.Dead)
	require.Equal(t, []int{50}, w.kills, "together")
	for _, one := range w.saved {
		require.Empty(t, one.Payload)
	}
}

// TestABatchOfDeathsTakesFewTransactions: as few as the limits of bytes and items allow.
func TestABatchOfDeathsTakesFewTransactions(t *testing.T) {
	small, large := make([]task.Task, 200), make([]task.Task, 20)
	numbers := make([]int, 220)
	for i := range small {
		small[i] = failed(i, 3, "Boom")
	}
	for i := range large {
		large[i] = failed(200+i, 3, "Boom")
		large[i].Payload = make([]byte, 1<<20)
	}
	for i := range numbers {
		numbers[i] = i
	}
	w := &world{labourer: f(), leases: []queue.Lease{lease(3, numbers...)}}

	settled, err := w.settler().Settle(context.Background(), slices.Concat(small, large))

	require.NoError(t, err)
	require.Equal(t, 220, settled.Dead)
	require.Equal(t, []int{90, 90, 23, 3, 3, 3, 3, 3, 2}, w.kills)
}

// TestG4ATaskThatNoLeaseHoldsWasSettledBefore: also if a lease holds the task for another attempt by now. The earlier settler may have died before
// it reported the free slots.
func TestG4ATaskThatNoLeaseHoldsWasSettledBefore(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(2, 4), lease(4, 5)}}

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 1, "Boom"), failed(5, 3, "Boom"), failed(6, 1, "Boom")})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{Freed: []string{"f"}}, settled)
	require.Empty(t, w.queued)
	require.Empty(t, w.saved)
	require.Empty(t, w.waits)
	require.Equal(t, 2, queue.Running(w.leases))
}

func TestTasksThatDidNotFailArePassedOver(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(1, 4)}}
	open := failed(4, 0, "")
	done, err := open.Close(task.End{Attempt: 1, Status: task.Completed, At: noon})
	require.NoError(t, err)

	settled, err := w.settler().Settle(context.Background(), []task.Task{open, done})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{}, settled)
	require.Zero(t, w.asked)
}

// TestABatchOfFailuresTakesFewWrites: one entry for the tasks of a lease that wait for the same time, one wait for all that are due at about the
// same time.
func TestABatchOfFailuresTakesFewWrites(t *testing.T) {
	const other = segment.ID("ponmlkjihgfedcba")
	w := &world{labourer: f(), leases: []queue.Lease{lease(1, 0, 1, 2, 3, 4), lease(2, 10, 11), elsewhereOf(lease(1, 0, 1), "f", other)}}
	elsewhere := failed(1, 1, "Boom")
	elsewhere.ID.Segment, elsewhere.JobID = other, "weekly"
	asked := failed(4, 1, "Boom")
	asked.RetryAfter = 10 * time.Minute

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(0, 1, "Boom"), failed(1, 1, "Other"), failed(10, 2, "Boom"), elsewhere, failed(2, 1, "Boom"), asked})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{Retried: 6, Freed: []string{"f"}}, settled)
	require.Len(t, w.queued, 4)
	require.Equal(t, segment.Of(0, 1, 2), w.queued[0].Tasks)
	require.Equal(t, segment.Of(1), w.queued[1].Tasks)
	require.Equal(t, w.queued[0].Due, w.queued[1].Due)
	require.Equal(t, segment.Of(10), w.queued[2].Tasks)
	require.Equal(t, noon.Add(10*time.Minute+time.Millisecond), w.queued[3].Due)
	counts := []int{}
	for _, wait := range w.waits {
		counts = append(counts, len(wait.Tasks))
	}
	slices.Sort(counts)
	require.Equal(t, []int{1, 5}, counts, "also those of other attempts")
	require.Equal(t, []string{"nightly abcdefghijklmnop.0", "nightly abcdefghijklmnop.1", "nightly abcdefghijklmnop.2",
		"weekly ponmlkjihgfedcba.1", "nightly abcdefghijklmnop.10", "nightly abcdefghijklmnop.4"}, w.swept)
	require.Equal(t, 1, w.asked)
}

// TestG10NoRetryIsSoonerThanThePolicySays: nor later, for every random number, retry_after and number of failures.
func TestG10NoRetryIsSoonerThanThePolicySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := f()
		l.MaxAttempts = 20
		attempt := rapid.IntRange(1, 12).Draw(t, "attempt")
		w := &world{labourer: l, leases: []queue.Lease{lease(attempt, 4)}, random: rapid.Float64Range(0, 0.9999999).Draw(t, "random")}
		one := failed(4, attempt, "Boom")
		one.RetryAfter = time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(t, "asked"))

		_, err := w.settler().Settle(context.Background(), []task.Task{one})

		require.NoError(t, err)
		wait := w.queued[0].Due.Sub(w.settler().Now())
		require.GreaterOrEqual(t, wait, l.Retry.Min)
		require.LessOrEqual(t, wait, l.Retry.Max+time.Millisecond)
		require.Len(t, w.waits, 1)
		require.False(t, w.waits[0].Until.Before(w.queued[0].Due), "they are due when the wait ends")
		require.Less(t, w.waits[0].Until.Sub(w.queued[0].Due), max(time.Second, wait/20))
		if one.RetryAfter == 0 {
			require.LessOrEqual(t, wait, l.Retry.Initial<<(attempt-1)+time.Millisecond)
		}
		require.Zero(t, w.queued[0].Due.Nanosecond()%int(time.Millisecond), "keys have no finer time")
	})
}

func TestTasksOfARemovedLabourerAreSettledByTheDefaults(t *testing.T) {
	w := &world{leases: []queue.Lease{lease(labourer.DefaultMaxAttempts, 4), lease(1, 5)}}

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, labourer.DefaultMaxAttempts, "Boom"), failed(5, 1, "BadInput")})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{Dead: 1, Retried: 1, Freed: []string{"f"}}, settled)
}

// registry holds the stored text of labourers.
type registry map[string]string

func (r registry) Labourer(_ context.Context, id string) (labourer.Labourer, bool, error) {
	l, err := labourer.Decode(id, []byte(r[id]))
	return l, err == nil, err
}

// TestG8AnUnreadableLabourerKeepsItsTasksAndBlocksNoOther: and its tasks are settled once it can be read.
func TestG8AnUnreadableLabourerKeepsItsTasksAndBlocksNoOther(t *testing.T) {
	for name, text := range map[string]string{"no JSON": `{"max_attempts"`, "nothing": ``, "a wrong value": `{"max_attempts": "x"}`, "wrong values": `{"max_attempts": "x", "max_duration": []}`,
		"too deep": strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)} {
		t.Run(name, func(t *testing.T) {
			const other = segment.ID("ponmlkjihgfedcba")
			w := &world{leases: []queue.Lease{lease(1, 4), lease(3, 5), elsewhereOf(lease(1, 4), "odd", other), elsewhereOf(lease(3, 5), "odd", other)}}
			of := func(t task.Task) task.Task {
				t.Labourer, t.ID.Segment = "odd", other
				return t
			}
			batch := []task.Task{of(failed(4, 1, "Boom")), failed(4, 1, "Boom"), of(failed(5, 3, "Boom")), failed(5, 3, "Boom")}
			s := w.settler()
			s.Registry = registry{"f": string(f().Stored()), "odd": text}

			settled, err := s.Settle(context.Background(), batch)

			require.NoError(t, err)
			require.Len(t, settled.Unreadable, 1)
			require.Contains(t, settled.Unreadable["odd"], `reading the stored labourer "odd"`)
			settled.Unreadable = nil
			require.Equal(t, outcome.Settled{Retried: 1, Dead: 1, Freed: []string{"f"}}, settled)
			require.Equal(t, 2, queue.Running(w.leases), "its tasks stay in their leases")

			s.Registry = registry{"f": string(f().Stored()), "odd": string(f().Stored())}
			settled, err = s.Settle(context.Background(), batch)
			require.NoError(t, err)
			require.Equal(t, outcome.Settled{Retried: 1, Dead: 1, Freed: []string{"odd", "f"}}, settled, "they are found there once it can be read")
		})
	}
}

func TestAWriteToAChangedLeaseIsRepeated(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(1, 4)}, races: 3}

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 1, "Boom")})

	require.NoError(t, err)
	require.Equal(t, 1, settled.Retried)

	w = &world{labourer: f(), leases: []queue.Lease{lease(1, 4)}, races: -1}
	_, err = w.settler().Settle(context.Background(), []task.Task{failed(4, 1, "Boom")})
	require.ErrorContains(t, err, "returning tasks 4 of segment abcdefghijklmnop to the queue: the leases changed 10 times in between")

	w = &world{labourer: f(), leases: []queue.Lease{lease(3, 4)}, races: 3}
	settled, err = w.settler().Settle(context.Background(), []task.Task{failed(4, 3, "Boom")})
	require.NoError(t, err)
	require.Equal(t, 1, settled.Dead)

	w = &world{labourer: f(), leases: []queue.Lease{lease(3, 4)}, races: -1}
	_, err = w.settler().Settle(context.Background(), []task.Task{failed(4, 3, "Boom")})
	require.ErrorContains(t, err, "ending tasks 4 of segment abcdefghijklmnop: they or their leases changed 10 times in between")
}

func TestAFailedCallIsAnErrorAndTheNextSettlerFinishes(t *testing.T) {
	for _, call := range []string{"Labourer", "LeasesOn", "Kill", "Requeue", "Sweep", "Backoff"} {
		t.Run(call, func(t *testing.T) {
			w := &world{labourer: f(), leases: []queue.Lease{lease(1, 3, 4), lease(3, 5)}, fails: call}
			batch := []task.Task{failed(4, 1, "Boom"), failed(5, 3, "Boom")}

			_, err := w.settler().Settle(context.Background(), batch)

			require.ErrorIs(t, err, errOff)
			w.fails, w.swept = "", nil
			_, err = w.settler().Settle(context.Background(), batch)
			require.NoError(t, err)
			require.Contains(t, w.swept, "nightly abcdefghijklmnop.4", "also if it was queued the first time")
			require.Equal(t, segment.Of(3), w.leases[0].Held())
			require.True(t, w.leases[1].Held().Empty())
			require.Len(t, w.queued, 1)
		})
	}
	t.Run("reading the leases", func(t *testing.T) {
		w := &world{labourer: f(), leases: []queue.Lease{lease(1, 4)}, fails: "LeasesOn"}
		settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 1, "Boom")})
		require.ErrorIs(t, err, errOff)
		require.Equal(t, outcome.Settled{}, settled)
	})
	t.Run("taking an ended task out of its lease", func(t *testing.T) {
		w := &world{labourer: f(), leases: []queue.Lease{lease(3, 4, 5)}, ended: map[int]task.Status{4: task.Cancelled}, fails: "Save"}
		batch := []task.Task{failed(4, 3, "Boom"), failed(5, 3, "Boom")}
		_, err := w.settler().Settle(context.Background(), batch)
		require.ErrorIs(t, err, errOff)
		w.fails = ""
		_, err = w.settler().Settle(context.Background(), batch)
		require.NoError(t, err)
		require.True(t, w.leases[0].Empty())
	})
	t.Run("reading the tasks again", func(t *testing.T) {
		w := &world{labourer: f(), leases: []queue.Lease{lease(3, 5)}, races: 1, fails: "Chunks"}
		_, err := w.settler().Settle(context.Background(), []task.Task{failed(5, 3, "Boom")})
		require.ErrorIs(t, err, errOff)
	})
	t.Run("killing a task", func(t *testing.T) {
		w := &world{labourer: f(), leases: []queue.Lease{lease(3, 5)}, fails: "Kill"}
		_, err := w.settler().Settle(context.Background(), []task.Task{failed(5, 3, "Boom")})
		require.ErrorIs(t, err, errOff)
		require.Equal(t, segment.Of(5), w.leases[0].Held(), "it stays in its lease")
	})
}

// TestG1G4EachFailureHasOneOutcome: one entry or one death, however often and in whichever batches it is settled.
func TestG1G4EachFailureHasOneOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{labourer: f(), leases: []queue.Lease{lease(1, 0, 1, 2, 3), lease(2, 4, 5), lease(3, 6, 7)}}
		all := []task.Task{failed(0, 1, "Boom"), failed(1, 1, "BadInput"), failed(2, 1, "Boom"), failed(4, 2, "Boom"), failed(6, 3, "Boom")}
		for range rapid.IntRange(1, 6).Draw(t, "deliveries") {
			w.fails = rapid.SampledFrom([]string{"", "", "LeasesOn", "Kill", "Requeue", "Sweep", "Backoff", "Labourer"}).Draw(t, "fails")
			batch := rapid.Permutation(all).Draw(t, "order")[:rapid.IntRange(0, len(all)).Draw(t, "part")]
			if _, err := w.settler().Settle(context.Background(), batch); w.fails == "" {
				require.NoError(t, err)
			}
		}
		w.fails = ""
		_, err := w.settler().Settle(context.Background(), all)
		require.NoError(t, err)

		times := map[string]int{}
		for _, e := range w.queued {
			for n := range e.Tasks.All() {
				times[fmt.Sprintf("%d for %d", n, e.Attempt)]++
			}
		}
		require.Equal(t, map[string]int{"0 for 2": 1, "2 for 2": 1, "4 for 3": 1}, times)
		require.Equal(t, segment.Of(3), w.leases[0].Held())
		require.Equal(t, segment.Of(5), w.leases[1].Held())
		require.Equal(t, segment.Of(7), w.leases[2].Held())
	})
}
