package inspect

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Overdue is work of a labourer that does not go on by itself: tasks by more than [Grace] after their time, and items that hold tasks but
// cannot be decoded.
type Overdue struct {
	Undecoded    []queue.Unreadable // leases and entries; those that were set aside come first
	SetAside     int                // how many of Undecoded were set aside
	Lost         int                // tasks whose attempts count as lost, and that no reaper has closed
	Undispatched int                // tasks in hand that no dispatcher has started
	Unsettled    int                // ended tasks that are still in hand
	Unfed        int                // tasks that wait in leases although slots of these are free
	Idle         time.Duration      // for how long tasks have been due in the queue, or retries in leases, although slots are free; 0: none
}

// asideRead limits how many items that were set aside Overdue reads.
const asideRead = 50

// leasesExamined limits in how many leases Overdue looks for ended tasks.
const leasesExamined = 50

// Overdue returns what of a labourer's work is overdue.
func (r *Reader) Overdue(ctx context.Context, b Beat) (Overdue, error) {
	now := r.Now()
	o := Overdue{Idle: b.idle(now)}
	l := b.Configuration
	var err error
	if o.Undecoded, err = r.Control.Unreadable(ctx, l.ID, asideRead); err != nil {
		return o, err
	}
	o.SetAside = len(o.Undecoded)
	for _, lease := range b.Leases {
		if lease.Unreadable != nil {
			o.Undecoded = append(o.Undecoded, *lease.Unreadable)
			continue
		}
		o.Lost += lease.Lost(limitsOf(l), now.Add(-Grace)).Len()
	}
	for _, e := range b.Entries {
		if e.Unreadable != nil {
			o.Undecoded = append(o.Undecoded, *e.Unreadable)
		}
	}
	if o.Unsettled, err = r.unsettled(ctx, b.Leases, now); err != nil {
		return o, err
	}
	return o, r.unstarted(ctx, &o, b, now)
}

// unstarted counts the tasks that should have been started long ago: those in hand that no dispatcher started, and those that wait for slots that
// are free. A lease does not say since when a slot is free, nor always since when a task is left to a dispatcher. So the last start under it
// must be a while ago, and the lease must stay as it is for some time.
func (r *Reader) unstarted(ctx context.Context, o *Overdue, b Beat, now time.Time) error {
	held := b.Blocked() || b.Trouble != nil
	undispatched := func(l queue.Lease) int { return l.Forsaken(now.Add(-Grace)).Len() }
	unfed := func(l queue.Lease) int {
		if held || !l.Hungry() {
			return 0
		}
		return l.Waiting.Len()
	}
	suspects := slices.DeleteFunc(slices.Clone(b.Leases), func(l queue.Lease) bool {
		return undispatched(l)+unfed(l) == 0 || now.Sub(lastStart(l)) <= Grace
	})
	if len(suspects) == 0 {
		return nil
	}
	if err := r.Wait(ctx, handOver); err != nil {
		return err
	}
	for _, l := range suspects {
		again, found, err := r.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil {
			return err
		}
		if found && again.Revision == l.Revision {
			o.Undispatched += undispatched(l)
			o.Unfed += unfed(l)
		}
	}
	return nil
}

// lastStart returns when a task was last taken in hand, as far as the lease still tells.
func lastStart(l queue.Lease) time.Time {
	last := l.ClaimedAt
	for _, h := range l.Hands {
		if h.Since.After(last) {
			last = h.Since
		}
	}
	return last
}

// unsettled counts the tasks that ended a while ago and are still in hand.
func (r *Reader) unsettled(ctx context.Context, leases []queue.Lease, now time.Time) (int, error) {
	n := 0
	for _, l := range leases[:min(len(leases), leasesExamined)] {
		if l.Unreadable != nil || now.Sub(l.ClaimedAt) < Grace {
			continue
		}
		tasks, err := r.Tasks.Range(ctx, l.Segment, l.InHand())
		if err != nil {
			return 0, err
		}
		var ended segment.Numbers
		for _, t := range tasks {
			if (t.Status.Terminal() || t.Attempt >= l.AttemptAt(t.ID.N) && t.Status != task.Open) && now.Sub(t.ClosedAt) > Grace {
				ended = ended.Union(segment.Of(t.ID.N))
			}
		}
		if ended.Empty() {
			continue
		}
		// They may have left the lease since it was read.
		again, found, err := r.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil && !errors.Is(err, queue.ErrChanged) {
			return 0, err
		}
		if found {
			n += again.InHand().Intersect(ended).Len()
		}
	}
	return n, nil
}

// idle returns for how long tasks have been due in the queue, or retries in leases, although slots are free and nothing holds them back; 0 within [Grace].
func (b Beat) idle(now time.Time) time.Duration {
	if b.Blocked() || b.Free == 0 || b.Trouble != nil {
		return 0
	}
	var longest time.Duration
	for _, e := range b.Entries {
		if !e.Tasks.Empty() {
			longest = max(longest, now.Sub(e.Due))
		}
	}
	for _, l := range b.Leases {
		for _, again := range l.Retries {
			longest = max(longest, now.Sub(again.Due))
		}
	}
	if longest <= Grace {
		return 0
	}
	return longest
}

// WorkLeft returns how many tasks of a labourer are in hand, and how many are queued, wait in leases or still have to be created. It looks for the
// last only where there are no others: that may be so between two segments of a job that is being created.
func (r *Reader) WorkLeft(ctx context.Context, id string) (running, queued int, err error) {
	entries, err := r.Control.Queue(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	leases, err := r.Control.Leases(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		if queued += e.Tasks.Len(); e.Unreadable != nil {
			queued++ // at least
		}
	}
	queued += queue.Waiting(leases) + queue.Retries(leases)
	if running = queue.Running(leases); running+queued > 0 {
		return running, queued, nil
	}
	err = r.EachJob(ctx, func(jobs []ledger.Job) (bool, error) {
		for _, j := range jobs {
			if j.Labourer == id && j.State == ledger.Scheduling && !j.Cancelling {
				queued += max(j.Total-j.Cursor*segment.Size, 0)
			}
		}
		return true, nil
	})
	return running, queued, err
}
