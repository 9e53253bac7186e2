package assistant

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// leased returns a lease whose tasks in hand were dispatched a minute ago.
func leased(slots int, hands, waiting segment.Numbers) queue.Lease {
	l := queue.Lease{Labourer: "f", Segment: "abcdefghijklmnop", Attempt: 1, Tasks: hands.Union(waiting), Waiting: waiting, Slots: slots,
		ClaimedAt: noon.Add(-time.Minute), Hands: map[int]queue.Hand{}}
	for n := range hands.All() {
		l.Hands[n] = queue.Hand{Since: l.ClaimedAt, By: queue.Dispatched}
	}
	return l
}

// TestG3EachFreedSlotTakesOneTask decides on writes of a lease: which tasks it has in hand afterwards, and by what.
func TestG3EachFreedSlotTakesOneTask(t *testing.T) {
	one, other, last := &sender{message: "1", mark: "mark-1"}, &sender{message: "2", mark: "mark-2"}, &sender{message: "3", mark: "mark-3", last: true}
	done := func(n int, by *sender) ended { return ended{n: n, completed: true, by: by} }
	hands := func(l queue.Lease, by string, numbers segment.Numbers) queue.Lease {
		return l.Marked(numbers, by, noon)
	}

	for name, c := range map[string]struct {
		lease     queue.Lease
		ended     []ended
		unstarted segment.Numbers
		noted     segment.Numbers
		spent     bool
		now       time.Time
		by        map[int]string // the hands afterwards
		waiting   segment.Numbers
		fed, left segment.Numbers // tasks that were fed, and those that are left to the orchestrator
	}{
		"the next task takes the slot of one that ended": {
			lease: leased(2, segment.Of(0, 1), segment.Range(2, 9)), ended: []ended{done(0, one)},
			by: map[int]string{1: "d", 2: "mark-1"}, waiting: segment.Range(3, 9), fed: segment.Of(2)},
		"each message feeds the slot that it frees": {
			lease: leased(3, segment.Range(0, 2), segment.Range(3, 9)), ended: []ended{done(0, one), done(2, other)},
			by: map[int]string{1: "d", 3: "mark-1", 4: "mark-2"}, waiting: segment.Range(5, 9), fed: segment.Of(3, 4)},
		"a message feeds what others have left idle": {
			lease: leased(4, segment.Of(0), segment.Range(3, 9)), ended: []ended{done(0, one)},
			by: map[int]string{3: "mark-1", 4: "mark-1", 5: "mark-1", 6: "mark-1"}, waiting: segment.Range(7, 9), fed: segment.Range(3, 6)},
		"nothing waits": {
			lease: leased(2, segment.Of(0, 1), segment.Numbers{}), ended: []ended{done(0, one)}, by: map[int]string{1: "d"}},
		"the slot was taken away": {
			lease: leased(1, segment.Of(0, 1), segment.Of(2)), ended: []ended{done(0, one)}, by: map[int]string{1: "d"}, waiting: segment.Of(2)},
		"all slots were taken away": {
			lease: leased(0, segment.Of(0), segment.Of(2)), ended: []ended{done(0, one)}, by: map[int]string{}, waiting: segment.Of(2)},
		"the lease may not be fed any more": {
			lease: until(leased(1, segment.Of(0), segment.Of(2)), noon), ended: []ended{done(0, one)}, now: noon.Add(time.Second),
			by: map[int]string{}, waiting: segment.Of(2)},
		"the lease may just be fed": {
			lease: until(leased(1, segment.Of(0), segment.Of(2)), noon), ended: []ended{done(0, one)}, by: map[int]string{2: "mark-1"}, fed: segment.Of(2)},
		"the task has left the lease already": {
			lease: leased(2, segment.Of(1), segment.Range(2, 9)), ended: []ended{done(0, one)}, by: map[int]string{1: "d"}, waiting: segment.Range(2, 9)},
		"one of two has left the lease already": {
			lease: leased(2, segment.Of(1, 2), segment.Range(3, 9)), ended: []ended{done(0, one), done(1, other)},
			by: map[int]string{2: "d", 3: "mark-2"}, waiting: segment.Range(4, 9), fed: segment.Of(3)},
		"a task that waits has ended": {
			lease: leased(1, segment.Of(0), segment.Of(1, 2)), ended: []ended{done(1, one)}, by: map[int]string{0: "d"}, waiting: segment.Of(2)},
		"a message that does not come again starts nothing": {
			lease: leased(2, segment.Of(0, 1), segment.Range(2, 9)), ended: []ended{done(0, one), done(1, last)},
			by: map[int]string{2: "mark-1", 3: "u"}, waiting: segment.Range(4, 9), fed: segment.Of(2, 3), left: segment.Of(3)},
		"what a message fed that does not come again": {
			lease: hands(leased(2, segment.Of(0, 1), segment.Of(2)), "mark-3", segment.Of(1)),
			by:    map[int]string{0: "d", 1: "u"}, waiting: segment.Of(2), left: segment.Of(1)},
		"what could not be started": {
			lease: hands(leased(2, segment.Of(0, 1), segment.Of(2)), "mark-1", segment.Of(0, 1)), unstarted: segment.Of(1),
			by: map[int]string{0: "mark-1", 1: "u"}, waiting: segment.Of(2), left: segment.Of(1)},
		"what could not be started, and was marked otherwise since": {
			lease: leased(2, segment.Of(0, 1), segment.Of(2)), unstarted: segment.Of(1), by: map[int]string{0: "d", 1: "d"}, waiting: segment.Of(2)},
		"a start that is noted feeds a slot of a target that keeps an order": {
			lease: inOrder(hands(leased(3, segment.Of(0, 1), segment.Range(2, 9)), "mark-1", segment.Of(1))), noted: segment.Of(1),
			by: map[int]string{0: "d", 1: "d", 2: "mark-1"}, waiting: segment.Range(3, 9), fed: segment.Of(2)},
		"an end, when a start is not noted and the target keeps an order": {
			lease: inOrder(hands(leased(2, segment.Of(0, 1), segment.Range(2, 9)), "mark-2", segment.Of(1))), ended: []ended{done(0, one)},
			by: map[int]string{1: "mark-2"}, waiting: segment.Range(2, 9)},
		"a start that is not noted, when the target keeps no order": {
			lease: hands(leased(2, segment.Of(0, 1), segment.Range(2, 9)), "mark-2", segment.Of(1)), ended: []ended{done(0, one)},
			by: map[int]string{1: "mark-2", 2: "mark-1"}, waiting: segment.Range(3, 9), fed: segment.Of(2)},
		"an end, when the target takes no more starts": {
			lease: leased(1, segment.Of(0), segment.Of(1)), ended: []ended{done(0, one)}, spent: true,
			by: map[int]string{1: "u"}, fed: segment.Of(1), left: segment.Of(1)},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			if !c.now.IsZero() {
				now = c.now
			}
			f := feeding{senders: senders{one.mark: one, other.mark: other, last.mark: last}, lease: c.lease, ended: c.ended, unstarted: c.unstarted, noted: c.noted, spent: c.spent}

			s := f.next(now)

			by := map[int]string{}
			for n, h := range s.after.Hands {
				by[n] = h.By
				switch {
				case h.By == queue.Undispatched:
					require.Equal(t, epoch, h.Since, "task %d is to be started at once", n)
				case s.fed.Contains(n) && h.By != queue.Dispatched:
					require.Equal(t, now, h.Since, "the time of task %d begins", n)
				}
			}
			require.Equal(t, c.by, by)
			require.Equal(t, c.waiting, s.after.Waiting)
			require.Equal(t, []segment.Numbers{c.fed, c.left}, []segment.Numbers{s.fed, s.unstarted})
			require.LessOrEqual(t, len(s.after.Hands), max(len(c.lease.Hands), c.lease.Slots))
		})
	}
}

func inOrder(l queue.Lease) queue.Lease { l.Ordered = true; return l }

func until(l queue.Lease, t time.Time) queue.Lease { l.FeedUntil = t; return l }

// TestG5OnlyWhatCompletedStaysInItsLease: it is entered in its job's progress when the lease ends. The stream enters other ends.
func TestG5OnlyWhatCompletedStaysInItsLease(t *testing.T) {
	by := &sender{mark: "mark"}
	f := feeding{lease: leased(2, segment.Of(0, 1), segment.Numbers{}), ended: []ended{{n: 0, completed: true, by: by}, {n: 1, by: by}}}

	after := f.next(noon).after

	require.Equal(t, segment.Of(0), after.Tasks)
	require.Equal(t, segment.Of(0), after.Done())
}

// TestALeaseThatRunsOutWakesInStepsOfAnEighth: otherwise each of its last tasks would wake the orchestrator.
func TestALeaseThatRunsOutWakesInStepsOfAnEighth(t *testing.T) {
	for name, c := range map[string]struct {
		slots, before, after int // slots, and tasks in hand before and after a write
		want                 bool
	}{
		"the first idle slot of one":   {1, 2, 1, false},
		"the only slot":                {1, 1, 0, true},
		"one of eight":                 {8, 8, 7, true},
		"one of nine":                  {9, 9, 8, false},
		"the second of nine":           {9, 8, 7, true},
		"the fourth of forty":          {40, 37, 36, false},
		"the fifth of forty":           {40, 36, 35, true},
		"the sixth of forty":           {40, 35, 34, false},
		"three of forty over a step":   {40, 36, 33, true},
		"more in hand than slots":      {8, 20, 12, false},
		"no slots are left, tasks run": {0, 5, 1, false},
		"the last task of nine":        {9, 1, 0, true},
		"the last task without a slot": {0, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			before := leased(c.slots, segment.Range(0, c.before-1), segment.Numbers{})

			require.Equal(t, c.want, drier(before, before.Ended(segment.Range(c.after, c.before-1))))
			before.Retries = map[int]queue.Retry{200: {Due: noon, Attempt: 2}}
			require.Equal(t, c.want, drier(before, before.Ended(segment.Range(c.after, c.before-1))), "also with a task that waits for its next attempt")
		})
	}
	full := leased(2, segment.Of(0, 1), segment.Range(2, 9))
	fed, _ := full.Ended(segment.Of(0)).Feed(queue.MostSlots, "mark", noon)
	require.False(t, drier(full, fed), "a slot that was fed is not idle")
}

// TestTasksThatWereFedApartKeepTheirOwnTimes: a worker that is started again has the deadline that it had.
func TestTasksThatWereFedApartKeepTheirOwnTimes(t *testing.T) {
	l := leased(5, segment.Range(0, 4), segment.Numbers{}).Marked(segment.Of(1, 3), "mark", noon).Marked(segment.Of(0), "mark", noon.Add(time.Second))

	require.Equal(t, []turn{{l.ClaimedAt, segment.Of(2, 4)}, {noon, segment.Of(1, 3)}, {noon.Add(time.Second), segment.Of(0)}}, turns(l, segment.Range(0, 4)))
}

// registry counts its reads.
type registry struct {
	labourer labourer.Labourer
	missing  bool
	err      error
	reads    int
}

func (r *registry) Labourer(context.Context, string) (labourer.Labourer, bool, error) {
	r.reads++
	return r.labourer, !r.missing, r.err
}

func (r *registry) Named(_ context.Context, ids []string) (map[string]labourer.Labourer, error) {
	r.reads++
	out := map[string]labourer.Labourer{}
	for _, id := range ids {
		if id != "removed" {
			out[id] = labourer.Labourer{ID: id, Target: r.labourer.Target}
		}
	}
	return out, r.err
}

// TestLabourersAreReadTogether, those alone that are not remembered. What cannot be read so is read by itself.
func TestLabourersAreReadTogether(t *testing.T) {
	r := &registry{labourer: labourer.Labourer{ID: "f", Target: labourer.Target{SQS: "https://host/f"}}}
	known := &Labourers{Registry: r, Now: func() time.Time { return noon }}
	learn := func(want int, ids ...string) {
		t.Helper()
		r.reads = 0
		known.Learn(t.Context(), ids...)
		require.Equal(t, want, r.reads)
	}
	recent := func(want int, id string) {
		t.Helper()
		r.reads = 0
		_, err := known.Recent(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, r.reads)
	}

	learn(1, "f", "g", "removed", "g")
	learn(0, "g", "f", "f")
	learn(0, "f", "removed")
	recent(0, "f")
	recent(0, "g")
	recent(1, "removed")

	r.err = errors.New("the table is unavailable")
	learn(1, "h", "i")
	r.err = nil
	recent(1, "h")
}

func TestALabourerIsReadOnceInAFewSeconds(t *testing.T) {
	const machine = "arn:aws:states:us-west-2:000000000000:stateMachine:worker"
	now := noon
	r := &registry{labourer: labourer.Labourer{ID: "f", Target: labourer.Target{SQS: "https://host/old"}}}
	known := &Labourers{Registry: r, Now: func() time.Time { return now }}
	read := func() labourer.Target {
		t.Helper()
		l, err := known.Recent(t.Context(), "f")
		require.NoError(t, err)
		return l.Target
	}

	require.Equal(t, "https://host/old", read().SQS)
	r.labourer.Target = labourer.Target{States: machine}
	now = now.Add(recent - time.Millisecond)
	require.Equal(t, "https://host/old", read().SQS)
	require.Equal(t, 1, r.reads)

	own, err := known.runs(t.Context(), "f", machine)
	require.NoError(t, err)
	require.True(t, own, "a report is not dropped because of what is remembered")
	require.Equal(t, machine, read().States)
	require.Equal(t, 2, r.reads)

	now = now.Add(recent)
	r.missing = true
	require.Empty(t, read().Address(), "a labourer that was removed has no target")

	r.err = errors.New("the table is unavailable")
	_, err = known.Recent(t.Context(), "f")
	require.ErrorContains(t, err, "reading labourer f, the table is unavailable")
}
