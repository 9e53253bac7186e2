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
// fails names the call that fails. races counts the writes that find their lease changed; -1 means all of them.
type world struct {
	leases    []queue.Lease
	queued    []queue.Entry
	saved     []task.Task
	kills     []int // how many tasks ended together
	waits     []outcome.Backoff
	swept     []string
	labourer  *labourer.Labourer
	fails     string
	races     int
	cancelled segment.Numbers // tasks that another component cancels
	random    float64
	asked     int // how often for the labourer
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

func (w *world) Kill(_ context.Context, l queue.Lease, failed, dead []task.Task) error {
	if w.races != 0 {
		w.races--
		return queue.ErrChanged
	}
	if err := w.fail("Kill"); err != nil {
		return err
	}
	for _, t := range failed {
		if w.cancelled.Contains(t.ID.N) {
			return queue.ErrChanged
		}
	}
	for i, t := range failed {
		w.release(l, segment.Of(t.ID.N))
		w.saved = append(w.saved, dead[i])
	}
	w.kills = append(w.kills, len(failed))
	return nil
}

// Chunks returns tasks that failed the third time, one at a time, except those that were cancelled. Their payloads are stored apart.
func (w *world) Chunks(_ context.Context, _ segment.ID, numbers segment.Numbers) iter.Seq2[[]task.Task, error] {
	return func(yield func([]task.Task, error) bool) {
		for n := range numbers.All() {
			t := failed(n, 3, "Boom")
			t.Parts, t.Payload = 1, make([]byte, 1<<20)
			if w.cancelled.Contains(n) {
				t.Status = task.Cancelled
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

func (w *world) release(l queue.Lease, numbers segment.Numbers) {
	for i := range w.leases {
		if w.leases[i].Item() == l.Item() {
			w.leases[i].Released = w.leases[i].Released.Union(numbers)
		}
	}
}

func (w *world) Release(_ context.Context, l queue.Lease, numbers segment.Numbers) error {
	w.release(l, numbers)
	return w.fail("Release")
}

func (w *world) Requeue(_ context.Context, l queue.Lease, e queue.Entry) error {
	if w.races != 0 {
		w.races--
		return queue.ErrChanged
	}
	if err := w.fail("Requeue"); err != nil {
		return err
	}
	w.release(l, e.Tasks)
	w.queued = append(w.queued, e)
	return nil
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
	return outcome.Settler{Tasks: w, Deaths: w, Control: w, Registry: w, Waiter: w, Sweeper: w, Now: func() time.Time { return noon.Add(300 * time.Microsecond) },
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

func lease(attempt int, numbers ...int) queue.Lease {
	return queue.Lease{Labourer: "f", Segment: seg, Attempt: attempt, First: numbers[0], Tasks: segment.Of(numbers...)}
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
	one := failed(4, 1, "Boom")
	one.MaxDuration = time.Minute

	settled, err := w.settler().Settle(context.Background(), []task.Task{one})

	require.NoError(t, err)
	require.Equal(t, outcome.Settled{Retried: 1, Freed: []string{"f"}}, settled)
	require.Equal(t, []queue.Entry{{Labourer: "f", Due: noon.Add(10*time.Second + time.Millisecond), Segment: seg, First: 4, Tasks: segment.Of(4), Attempt: 2, MaxDuration: time.Minute}}, w.queued)
	require.Equal(t, segment.Of(3, 5), w.leases[0].Held())
	require.Equal(t, []outcome.Backoff{{Labourer: "f", Due: w.queued[0].Due, Attempt: 2, Tasks: []task.Task{one}}}, w.waits)
	require.Equal(t, []string{"nightly abcdefghijklmnop.4"}, w.swept)
	require.Empty(t, w.saved, "its item stays as it is")
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

// TestG5AnExhaustedTaskThatIsCancelledMeanwhileIsOnlyReleased: the other exhausted tasks die.
func TestG5AnExhaustedTaskThatIsCancelledMeanwhileIsOnlyReleased(t *testing.T) {
	w := &world{labourer: f(), leases: []queue.Lease{lease(3, 4, 5, 6)}, cancelled: segment.Of(5)}

	settled, err := w.settler().Settle(context.Background(), []task.Task{failed(4, 3, "Boom"), failed(5, 3, "Boom"), failed(6, 3, "Boom")})

	require.NoError(t, err)
	require.Equal(t, 2, settled.Dead)
	require.True(t, w.leases[0].Held().Empty())
	require.Empty(t, w.queued)
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

// TestABatchOfFailuresTakesFewWrites: one entry for the tasks of a segment that wait for the same time, one wait for those of all segments.
func TestABatchOfFailuresTakesFewWrites(t *testing.T) {
	const other = segment.ID("ponmlkjihgfedcba")
	w := &world{labourer: f(), leases: []queue.Lease{lease(1, 0, 1, 2, 3, 4), lease(2, 10, 11), {Labourer: "f", Segment: other, Attempt: 1, Tasks: segment.Of(0, 1)}}}
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
	require.Equal(t, []int{1, 1, 4}, counts)
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
			w := &world{leases: []queue.Lease{lease(1, 4), lease(3, 5), {Labourer: "odd", Segment: other, Attempt: 1, Tasks: segment.Of(4)}, {Labourer: "odd", Segment: other, Attempt: 3, Tasks: segment.Of(5)}}}
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
