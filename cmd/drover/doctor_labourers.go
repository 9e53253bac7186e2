package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/segment"
	"github.com/drover-run/drover/shared/task"
)

// labourers looks at each labourer: what is applied, its target, its tasks.
func (d *doctor) labourers(ctx context.Context) []check {
	applied, err := d.registry.All(ctx, true)
	if err != nil {
		return []check{unread("labourers", err, "dynamodb:Query", "", "they cannot be read: ")}
	}
	ids := slices.Sorted(maps.Keys(applied.Labourers))
	found, read := make([][]check, len(ids)), make([]labourer.Labourer, len(ids))
	var g errgroup.Group
	g.SetLimit(readers)
	for i, id := range ids {
		g.Go(func() error {
			name := "labourer " + id
			l, err := labourer.Decode(id, []byte(applied.Labourers[id].Text))
			if err != nil {
				found[i] = []check{wrong(name, "apply it again with this version of drover", "%v", err)}
				return nil
			}
			read[i] = l
			found[i] = slices.Concat(d.target(ctx, name, l), d.healthMetrics(ctx, name, l), []check{d.work(ctx, name, l)})
			return nil
		})
	}
	_ = g.Wait() // what goes wrong is in the checks
	if len(ids) == 0 {
		return []check{fine("labourers", "none is applied")}
	}
	return append(slices.Concat(found...), d.room(ctx, read))
}

// work looks for tasks of a labourer that do not get on.
func (d *doctor) work(ctx context.Context, name string, l labourer.Labourer) check {
	name += ": tasks"
	p := newPulse(d.stack, d.now)
	err := p.ask(ctx, []labourer.Labourer{l})
	var b beat
	if err == nil {
		b, err = p.look(ctx, l)
	}
	if err != nil {
		return unread(name, err, "dynamodb:GetItem and Query", "", "they cannot be read: ")
	}
	now := d.now()
	aside, err := d.control.Unreadable(ctx, l.ID, unreadableShown)
	if err != nil {
		return unread(name, err, "dynamodb:Query", "", "what was set aside cannot be read: ")
	}
	if s, item := undecoded(b, aside); s != "" {
		key, _ := json.Marshal(map[string]map[string]string{"labourer": {"S": l.ID}, "item": {"S": item}}) // strings alone
		return wrong(name, "their tasks are in no lease and no entry, so none of them goes on: mend the attribute, and put the item back under its key in `was`; or delete it. Look at it with: "+
			d.command("dynamodb", "get-item", "--table-name", d.control.Table, "--key", string(key)), "%s", s)
	}
	if s := stuck(l, b.leases, now); s != "" {
		return wrong(name, "see the executions of the orchestrate machine: the tick should have reaped them", "%s", s)
	}
	if unsettled, err := d.unsettled(ctx, b.leases, now); err != nil {
		return unread(name, err, "dynamodb:GetItem and Query", "", "they cannot be read: ")
	} else if unsettled > 0 {
		return wrong(name, "see the scavenger's log, and the check of the stream", "%s ended more than %s ago and still hold their slots", many(unsettled, "task"), overdue)
	}
	if b.Trouble != nil && (b.Due > 0 || now.Sub(b.Trouble.At) < recently) {
		return wrong(name, "mend the target, or apply the labourer with another one", "the target could not be reached at %s: %s", moment(&b.Trouble.At), b.Trouble.Error)
	}
	if waits := idle(b, now); waits > overdue {
		return wrong(name, "see the executions of the orchestrate machine, and the checks of the orchestrator and the tick",
			"%s due, the first for %s, and %d slots are free: nobody hands them out", are(b.Due, "task"), waits.Truncate(time.Second), b.Free)
	}
	return fine(name, "%d running, %d due, %d later; %s", b.Running, b.Due, b.Later, b.Reason)
}

const (
	// overdue is after how long something should have happened: a tick, and as long again for it to be carried out.
	overdue = 2 * time.Minute
	// undispatchedAfter is how long the orchestrator itself leaves a lease alone that is not dispatched.
	undispatchedAfter = 45 * time.Second
	// recently is for how long a trouble is told of although no task waits.
	recently = 15 * time.Minute
)

// unreadableShown is how many items that were set aside are read.
const unreadableShown = 50

// undecoded says which of a labourer's leases and entries cannot be decoded, and which were set aside for that, and returns the key of the
// first; "" when there are none.
func undecoded(b beat, aside []queue.Unreadable) (said, item string) {
	found := slices.Clone(aside)
	for _, l := range b.leases {
		if l.Unreadable != nil {
			found = append(found, *l.Unreadable)
		}
	}
	for _, e := range b.entries {
		if e.Unreadable != nil {
			found = append(found, *e.Unreadable)
		}
	}
	if len(found) == 0 {
		return "", ""
	}
	return fmt.Sprintf("%s of the control table cannot be decoded, and %d of these were set aside; the first: %v", many(len(found), "item"), len(aside), found[0]), found[0].Item
}

// stuck says what of a labourer's leases should have been reaped by now; "" when nothing.
func stuck(l labourer.Labourer, leases []queue.Lease, now time.Time) string {
	lost, undispatched := 0, 0
	for _, lease := range leases {
		if lease.Unreadable != nil {
			continue
		}
		lost += lease.Lost(queue.Losing{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}, now.Add(-overdue)).Len()
		if lease.DispatchedAt.IsZero() && now.Sub(lease.ClaimedAt) > undispatchedAfter+overdue {
			undispatched += lease.Held().Len()
		}
	}
	switch {
	case lost > 0:
		return fmt.Sprintf("the leases of %s ended more than %s ago, and nobody has closed them", many(lost, "task"), overdue)
	case undispatched > 0:
		return fmt.Sprintf("%s claimed more than %s ago, and nobody has started their workers", were(undispatched, "task"), overdue)
	}
	return ""
}

// leasesLooked is in how many leases it is looked for tasks that have ended.
const leasesLooked = 50

// unsettled is how many tasks ended a while ago and are still held.
func (d *doctor) unsettled(ctx context.Context, leases []queue.Lease, now time.Time) (int, error) {
	n := 0
	for _, l := range leases[:min(len(leases), leasesLooked)] {
		if l.Unreadable != nil || now.Sub(l.ClaimedAt) < overdue {
			continue
		}
		tasks, err := d.tasks.Range(ctx, l.Segment, l.Held())
		if err != nil {
			return 0, err
		}
		var ended segment.Numbers
		for _, t := range tasks {
			if (t.Status.Terminal() || t.Attempt >= l.Attempt && t.Status != task.Open) && now.Sub(t.ClosedAt) > overdue {
				ended = ended.Union(segment.Of(t.ID.N))
			}
		}
		if ended.Empty() {
			continue
		}
		// They may have been released since the lease was read.
		again, found, err := d.control.Lease(ctx, l.Labourer, l.Item())
		if err != nil && !errors.Is(err, queue.ErrChanged) {
			return 0, err
		}
		if found {
			n += again.Held().Intersect(ended).Len()
		}
	}
	return n, nil
}

// idle is for how long tasks have been due although slots are free and nothing holds them back.
func idle(b beat, now time.Time) time.Duration {
	if b.Blocked() || b.Free == 0 || b.Trouble != nil {
		return 0
	}
	var longest time.Duration
	for _, e := range b.entries {
		if !e.Tasks.Empty() {
			longest = max(longest, now.Sub(e.Due))
		}
	}
	return longest
}
