package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func leaseFor(t *testing.T, parent context.Context, end time.Duration) *lease {
	l := newLease(parent, time.Now, time.Now().Add(end), time.Time{})
	t.Cleanup(l.stop)
	return l
}

func TestALeaseEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := leaseFor(t, t.Context(), time.Minute)
		require.NoError(t, l.Err())

		<-l.Done()

		require.Equal(t, time.Minute, time.Since(start))
		require.ErrorIs(t, l.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, context.Cause(l), context.DeadlineExceeded)
	})
}

func TestAnExtendedLeaseAndItsContextsEndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := leaseFor(t, t.Context(), time.Minute)
		child, cancel := context.WithTimeout(l, time.Hour)
		defer cancel()

		l.extend(start.Add(90 * time.Second))
		l.extend(start.Add(10 * time.Second)) // earlier: changes nothing
		<-child.Done()

		require.Equal(t, 90*time.Second, time.Since(start))
		require.ErrorIs(t, child.Err(), context.DeadlineExceeded)
		end, bounded := child.Deadline()
		require.True(t, bounded)
		require.Equal(t, start.Add(90*time.Second), end)
	})
}

func TestNothingExtendsALeasePastItsLatestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := newLease(t.Context(), time.Now, start.Add(time.Minute), start.Add(2*time.Minute))
		defer l.stop()

		l.extend(start.Add(time.Hour))
		<-l.Done()

		require.Equal(t, 2*time.Minute, time.Since(start))
	})
}

func TestAnEndedLeaseCannotBeExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := leaseFor(t, t.Context(), time.Minute)
		<-l.Done()

		l.extend(time.Now().Add(time.Hour))

		require.ErrorIs(t, l.Err(), context.DeadlineExceeded)
		called := make(chan struct{})
		require.False(t, context.AfterFunc(l, func() { close(called) })())
		<-called
	})
}

func TestALeaseEndsLikeItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("no longer ours")
		parent, cancel := context.WithCancelCause(t.Context())
		l := leaseFor(t, parent, time.Minute)
		child, stop := context.WithCancel(l)
		defer stop()

		cancel(why)
		<-child.Done()

		require.ErrorIs(t, child.Err(), context.Canceled)
		require.Equal(t, why, context.Cause(l))
		require.Equal(t, why, context.Cause(child))
	})
}

func TestAStoppedLeaseLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		l := newLease(t.Context(), time.Now, time.Now().Add(time.Minute), time.Time{})
		child, cancel := context.WithCancel(l)
		defer cancel()
		forgotten, forget := context.WithCancel(l)
		forget()

		l.stop()

		<-child.Done()
		<-forgotten.Done()
		require.ErrorIs(t, child.Err(), context.Canceled)
	})
}
