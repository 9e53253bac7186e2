package progress_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/progress"
)

var (
	noon    = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	errDown = errors.New("the table is unreachable")
)

// desk stores one job and its progress, and finishes it.
type desk struct {
	job      ledger.Job
	gone     bool
	progress map[segment.ID]ledger.Progress
	writes   int
	rolled   []segment.ID
	finished int
	fails    string
	overtake func() // what another component does before Complete, which is then refused
}

func newDesk(tasks int) *desk {
	return &desk{job: ledger.Job{ID: "nightly", Total: tasks, RecordedAt: noon}, progress: map[segment.ID]ledger.Progress{}}
}

func (d *desk) fail(name string) error {
	if d.fails == name {
		return errDown
	}
	return nil
}

func (d *desk) Get(context.Context, string) (ledger.Job, bool, error) {
	return d.job, !d.gone, d.fail("Get")
}

func (d *desk) Record(_ context.Context, _ string, at segment.ID, ends ledger.Ends) (ledger.Progress, error) {
	if err := d.fail("Record"); err != nil {
		return ledger.Progress{}, err
	}
	d.writes++
	p := d.progress[at]
	p.Segment = at
	p.Completed, p.Dead, p.Cancelled = union(p.Completed, ends[task.Completed]), union(p.Dead, ends[task.Dead]), union(p.Cancelled, ends[task.Cancelled])
	d.progress[at] = p
	return p, nil
}

func union(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func (d *desk) Roll(_ context.Context, p ledger.Progress, _ time.Time) error {
	if err := d.fail("Roll"); err != nil {
		return err
	}
	if d.fails == "the roll is overtaken" {
		return ledger.ErrChanged
	}
	d.rolled = append(d.rolled, p.Segment)
	p.Rolled = p.Counts()
	d.progress[p.Segment] = p
	return nil
}

func (d *desk) Complete(_ context.Context, job ledger.Job, at time.Time) error {
	if err := d.fail("Complete"); err != nil {
		return err
	}
	d.writes++
	if d.overtake != nil {
		d.overtake()
		return ledger.ErrChanged
	}
	d.job.Whole, d.job.State, d.job.FinishedAt, d.job.Counts.Completed = true, ledger.Completed, at, job.Total
	return nil
}

func (d *desk) Finish(context.Context, string) (bool, error) {
	d.finished++
	return true, d.fail("Finish")
}

func (d *desk) service() progress.Service {
	return progress.Service{Jobs: d, Finisher: d, Now: func() time.Time { return noon }}
}

// lease is on the job's segment, with these tasks completed under it.
func (d *desk) lease(ordinal int, done segment.Numbers) queue.Lease {
	at, _ := d.job.SegmentAt(ordinal)
	return queue.Lease{Labourer: "f", Segment: at, Attempt: 1, Job: "nightly", Tasks: done}
}

func ends(status task.Status, numbers ...int) ledger.Ends {
	out := ledger.Ends{}
	for _, n := range numbers {
		out.Add(n, 0, status)
	}
	return out
}

func TestAllCompletionsOfALeaseAreEnteredWithOneWrite(t *testing.T) {
	d := newDesk(200)

	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 99))))

	require.Equal(t, 1, d.writes)
	at, _ := d.job.SegmentAt(0)
	require.Equal(t, ledger.Counts{Completed: 100}, d.progress[at].Counts())
	require.Empty(t, d.rolled, "the segment has open tasks")
	require.Zero(t, d.finished)
}

func TestWhatWasNotCompletedIsNotEntered(t *testing.T) {
	d := newDesk(10)
	l := d.lease(0, segment.Range(0, 9))
	l.Waiting, l.Hands = segment.Of(8, 9), map[int]queue.Hand{7: {}}

	require.NoError(t, d.service().Enter(t.Context(), l))

	require.Equal(t, ledger.Counts{Completed: 7}, d.progress[l.Segment].Counts())
}

func TestTheLastCompletionsFinishTheJob(t *testing.T) {
	d := newDesk(300)
	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 255))))
	require.Equal(t, 1, d.finished, "a full segment may be the last one: the finisher decides")

	require.NoError(t, d.service().Enter(t.Context(), d.lease(1, segment.Range(0, 43))))

	require.Equal(t, 2, d.finished)
	require.Len(t, d.rolled, 2)
}

func TestG5EnteringALeaseAgainChangesNothing(t *testing.T) {
	d := newDesk(10)
	l := d.lease(0, segment.Range(0, 9))
	require.NoError(t, d.service().Enter(t.Context(), l))
	before := d.progress[l.Segment]

	require.NoError(t, d.service().Enter(t.Context(), l))

	require.Equal(t, before, d.progress[l.Segment])
	require.Len(t, d.rolled, 1, "its counts are in the job's totals")
	require.Equal(t, 2, d.finished, "the component that entered it first may have died before the job's end")
}

func TestALeaseWithoutAJobOrCompletionsEntersNothing(t *testing.T) {
	d := newDesk(10)
	of := d.lease(0, segment.Range(0, 9))
	of.Job = "" // on tasks of several jobs: these are entered from the stream

	require.NoError(t, d.service().Enter(t.Context(), of))
	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Numbers{})))

	require.Zero(t, d.writes)
}

func TestDeathsAndCancellationsCountAsEnds(t *testing.T) {
	d := newDesk(3)
	at, _ := d.job.SegmentAt(0)
	record := func(e ledger.Ends) bool {
		full, err := d.service().Record(t.Context(), "nightly", map[segment.ID]ledger.Ends{at: e})
		require.NoError(t, err)
		return full
	}

	require.False(t, record(ends(task.Dead, 0)))
	require.False(t, record(ends(task.Completed, 1)))
	require.True(t, record(ends(task.Cancelled, 2)))

	require.Equal(t, ledger.Counts{Completed: 1, Dead: 1, Cancelled: 1}, d.progress[at].Rolled)
}

func TestG5EndsOfAnEarlierJobWithTheSameIDDoNotFillThisOne(t *testing.T) {
	d := newDesk(2)

	full, err := d.service().Record(t.Context(), "nightly", map[segment.ID]ledger.Ends{"abcdefghijklmnop": ends(task.Completed, 0, 1)})

	require.NoError(t, err)
	require.False(t, full)
	require.Empty(t, d.rolled)
}

func TestNothingIsEnteredForAJobWhoseRecordHasExpired(t *testing.T) {
	d := newDesk(2)
	d.gone = true

	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 1))))

	require.Zero(t, d.writes+d.finished)
}

// TestARollThatIsOvertakenIsNoError: the progress has changed since, and the component that changed it rolls it.
func TestARollThatIsOvertakenIsNoError(t *testing.T) {
	d := newDesk(2)
	d.fails = "the roll is overtaken"

	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 1))))

	require.Equal(t, 1, d.finished)
}

// small returns a desk with a job that has been scheduled, all of whose tasks fit a segment.
func small(tasks int) *desk {
	d := newDesk(tasks)
	d.job.State, d.job.Generation = ledger.Scheduled, 1
	return d
}

func TestAJobWhoseTasksCompletedUnderOneLeaseEndsWithOneWrite(t *testing.T) {
	d := small(10)

	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 9))))

	require.Equal(t, 1, d.writes)
	require.True(t, d.job.Whole)
	require.Empty(t, d.progress)
	require.Equal(t, 1, d.finished, "the finisher publishes the end")
}

func TestG5EnteringALeaseOfAWholeJobAgainPublishesItsEndAgain(t *testing.T) {
	d := small(10)
	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 9))))

	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 9))))
	full, err := d.service().Record(t.Context(), "nightly", map[segment.ID]ledger.Ends{d.lease(0, segment.Numbers{}).Segment: ends(task.Completed, 3)})

	require.NoError(t, err)
	require.True(t, full)
	require.Equal(t, 1, d.writes, "nothing is counted twice")
	require.Equal(t, 2, d.finished)
}

func TestACompletionThatAnotherComponentEnteredFirstIsNoError(t *testing.T) {
	d := small(10)
	d.overtake = func() { d.job.Whole = true }

	require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 9))))

	require.Empty(t, d.progress)
	require.Equal(t, 1, d.finished)
}

func TestACompletionIsEnteredInTheProgressWhereTheJobCannotEndAtOnce(t *testing.T) {
	for name, change := range map[string]func(*desk){
		"it is being cancelled":          func(d *desk) { d.job.Cancelling = true },
		"it is being cancelled just now": func(d *desk) { d.overtake = func() { d.job.Cancelling = true } },
		"it was replayed":                func(d *desk) { d.job.Generation = 2 },
		"ends are in its totals":         func(d *desk) { d.job.Counts.Dead = 1 },
		"it has more tasks":              func(d *desk) { d.job.Total = 11 },
		"it has more segments":           func(d *desk) { d.job.Total = 266 },
		"its tasks are still being made": func(d *desk) { d.job.State = ledger.Scheduling },
	} {
		t.Run(name, func(t *testing.T) {
			d := small(10)
			change(d)

			require.NoError(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 9))))

			require.False(t, d.job.Whole)
			require.Len(t, d.progress, 1)
		})
	}
	d := small(1)
	_, err := d.service().Record(t.Context(), "nightly", map[segment.ID]ledger.Ends{d.lease(0, segment.Numbers{}).Segment: ends(task.Dead, 0)})
	require.NoError(t, err)
	require.Len(t, d.progress, 1, "a death may be replayed")
}

func TestAFailureAtAnyStepIsReported(t *testing.T) {
	for _, step := range []string{"Get", "Record", "Roll", "Finish"} {
		t.Run(step, func(t *testing.T) {
			d := newDesk(2)
			d.fails = step

			require.ErrorIs(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 1))), errDown)
		})
	}
	d := small(2)
	d.fails = "Complete"
	require.ErrorIs(t, d.service().Enter(t.Context(), d.lease(0, segment.Range(0, 1))), errDown)
}
