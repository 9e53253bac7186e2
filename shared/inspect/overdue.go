package inspect

import (
	"context"
	"errors"
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
	Undispatched int                // claimed tasks that no dispatcher has started
	Unsettled    int                // ended tasks that still hold their slots
	Idle         time.Duration      // for how long tasks have been due although slots are free; 0: none
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
		o.Lost += lease.Lost(queue.Limits{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}, now.Add(-Grace)).Len()
		if lease.Undispatched(now.Add(-Grace)) {
			o.Undispatched += lease.Held().Len()
		}
	}
	for _, e := range b.Entries {
		if e.Unreadable != nil {
			o.Undecoded = append(o.Undecoded, *e.Unreadable)
		}
	}
	o.Unsettled, err = r.unsettled(ctx, b.Leases, now)
	return o, err
}

// unsettled counts the tasks that ended a while ago and still hold their slots.
func (r *Reader) unsettled(ctx context.Context, leases []queue.Lease, now time.Time) (int, error) {
	n := 0
	for _, l := range leases[:min(len(leases), leasesExamined)] {
		if l.Unreadable != nil || now.Sub(l.ClaimedAt) < Grace {
			continue
		}
		tasks, err := r.Tasks.Range(ctx, l.Segment, l.Held())
		if err != nil {
			return 0, err
		}
		var ended segment.Numbers
		for _, t := range tasks {
			if (t.Status.Terminal() || t.Attempt >= l.Attempt && t.Status != task.Open) && now.Sub(t.ClosedAt) > Grace {
				ended = ended.Union(segment.Of(t.ID.N))
			}
		}
		if ended.Empty() {
			continue
		}
		// They may have been released since the lease was read.
		again, found, err := r.Control.Lease(ctx, l.Labourer, l.Item())
		if err != nil && !errors.Is(err, queue.ErrChanged) {
			return 0, err
		}
		if found {
			n += again.Held().Intersect(ended).Len()
		}
	}
	return n, nil
}

// idle returns for how long tasks have been due although slots are free and nothing holds them back; 0 within [Grace].
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
	if longest <= Grace {
		return 0
	}
	return longest
}

// WorkLeft returns how many tasks of a labourer run or hold a slot, and how many are queued or still have to be created. It looks for the latter
// only where the queue is empty and no task runs: between two segments of a job that is being created both may be so.
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
