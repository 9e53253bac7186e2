package leasing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/service/leasing"
)

var errDown = errors.New("the table is unreachable")

const at = segment.ID("abcdefghijklmnop")

// desk notes the calls in their order.
type desk struct {
	calls   []string
	entered queue.Lease
	fails   string
	aside   []queue.Entry
	written []queue.Lease // what was set aside was written from these
}

func (d *desk) call(name string) error {
	d.calls = append(d.calls, name)
	if d.fails == name {
		return errDown
	}
	return nil
}

func (d *desk) Enter(_ context.Context, l queue.Lease) error {
	d.entered = l
	return d.call("enter")
}

func (d *desk) Save(context.Context, queue.Lease, queue.Lease) error { return d.call("save") }

func (d *desk) Requeue(context.Context, queue.Lease, queue.Lease, queue.Entry) error {
	return d.call("requeue")
}

func (d *desk) SetWaitingAside(_ context.Context, before, _ queue.Lease, e queue.Entry, _ time.Time) (queue.Aside, error) {
	d.aside, d.written = append(d.aside, e), append(d.written, before)
	return queue.Aside{Entry: e}, d.call("set aside")
}

func (d *desk) Kill(context.Context, queue.Lease, queue.Lease, []task.Task, []task.Task) error {
	return d.call("kill")
}

// lease has task 3 in hand and task 4 waiting. Tasks 0 to 2 were completed under it.
func lease(hands ...int) queue.Lease {
	l := queue.Lease{Labourer: "f", Segment: at, Attempt: 1, Revision: 7, Job: "nightly", Tasks: segment.Range(0, 4), Hands: map[int]queue.Hand{}, Slots: 1}
	for _, n := range hands {
		l.Hands[n] = queue.Hand{By: queue.Dispatched}
	}
	return l
}

func waiting(l queue.Lease, numbers segment.Numbers) queue.Lease {
	l.Waiting = numbers
	return l
}

// writes are all writes of a lease that may empty it. Each takes the tasks away, which are in hand or wait.
var writes = map[string]func(context.Context, leasing.Writer, queue.Lease, segment.Numbers) error{
	"save": func(ctx context.Context, w leasing.Writer, l queue.Lease, gone segment.Numbers) error {
		_, err := w.Save(ctx, l, l.Ended(gone))
		return err
	},
	"requeue": func(ctx context.Context, w leasing.Writer, l queue.Lease, gone segment.Numbers) error {
		_, err := w.Requeue(ctx, l, l.Returned(gone))
		return err
	},
	"set aside": func(ctx context.Context, w leasing.Writer, l queue.Lease, gone segment.Numbers) error {
		return w.SetWaitingAside(ctx, l, gone, time.Time{})
	},
	"kill": func(ctx context.Context, w leasing.Writer, l queue.Lease, gone segment.Numbers) error {
		var failed []task.Task
		for n := range gone.All() {
			failed = append(failed, task.Task{ID: task.ID{Segment: at, N: n}})
		}
		_, err := w.Kill(ctx, l, failed, failed)
		return err
	},
}

func on(d *desk) leasing.Writer { return leasing.Writer{Control: d, Deaths: d, Progress: d} }

// held returns a lease that holds these tasks where a write may take them away.
func held(write string, numbers ...int) queue.Lease {
	if write == "set aside" {
		return waiting(lease(), segment.Of(numbers...))
	}
	return lease(numbers...)
}

func TestG5ProgressIsEnteredBeforeTheWriteThatEmptiesALease(t *testing.T) {
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			d := &desk{}

			require.NoError(t, write(t.Context(), on(d), held(name, 3, 4), segment.Of(3, 4)))

			require.Equal(t, []string{"enter", name}, d.calls)
			want := segment.Range(0, 2)
			if name == "save" { // the two tasks were completed, and have not gone elsewhere
				want = segment.Range(0, 4)
			}
			require.Equal(t, want, d.entered.Done())
		})
	}
}

func TestNoProgressIsEnteredWhileALeaseHoldsTasks(t *testing.T) {
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			d := &desk{}

			require.NoError(t, write(t.Context(), on(d), held(name, 3, 4), segment.Of(3)))

			require.Equal(t, []string{name}, d.calls)
		})
	}
}

// TestG5ALeaseIsNotEmptiedIfItsProgressCannotBeEntered: it alone knows what was completed under it.
func TestG5ALeaseIsNotEmptiedIfItsProgressCannotBeEntered(t *testing.T) {
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			d := &desk{fails: "enter"}

			require.ErrorIs(t, write(t.Context(), on(d), held(name, 3), segment.Of(3)), errDown)

			require.Equal(t, []string{"enter"}, d.calls)
		})
	}
}

func TestAFailedWriteIsReported(t *testing.T) {
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, write(t.Context(), on(&desk{fails: name}), held(name, 3, 4), segment.Of(3)), errDown)
		})
	}
}

func TestAWriteReturnsTheLeaseAsItIsStored(t *testing.T) {
	l := lease(3, 4)

	saved, err := on(&desk{}).Save(t.Context(), l, l.Ended(segment.Of(3)))
	require.NoError(t, err)
	require.Equal(t, int64(8), saved.Revision)
	require.Equal(t, segment.Range(0, 3), saved.Done())

	requeued, err := on(&desk{}).Requeue(t.Context(), l, l.Returned(segment.Of(3)))
	require.NoError(t, err)
	require.Equal(t, int64(8), requeued.Revision)
	require.Equal(t, segment.Range(0, 2), requeued.Done(), "a task that returned has not completed")
	require.Equal(t, segment.Of(4), requeued.Held())
}

// TestOnlyTasksThatWaitAreSetAside: those in hand may run.
func TestOnlyTasksThatWaitAreSetAside(t *testing.T) {
	d := &desk{}

	err := on(d).SetWaitingAside(t.Context(), waiting(lease(3), segment.Of(4)), segment.Of(3, 4), time.Time{})

	require.NoError(t, err)
	require.Equal(t, segment.Of(4), d.aside[0].Tasks)
	require.Equal(t, []string{"set aside"}, d.calls)
}

// TestTasksThatWaitForDifferentAttemptsAreSetAsideOneAfterTheOther: an aside has one attempt.
func TestTasksThatWaitForDifferentAttemptsAreSetAsideOneAfterTheOther(t *testing.T) {
	d := &desk{}
	l := waiting(lease(3), segment.Of(4))
	l.Retries = map[int]queue.Retry{1: {Attempt: 3}, 2: {Attempt: 2}}

	require.NoError(t, on(d).SetWaitingAside(t.Context(), l, segment.Range(1, 4), time.Time{}))

	var asides []string
	for i, e := range d.aside {
		asides = append(asides, fmt.Sprintf("%s for attempt %d at revision %d", e.Tasks, e.Attempt, d.written[i].Revision))
	}
	require.Equal(t, []string{"4 for attempt 1 at revision 7", "2 for attempt 2 at revision 8", "1 for attempt 3 at revision 9"}, asides)
}
