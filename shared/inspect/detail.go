package inspect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

const (
	// placeReads limits how often a task that is between two places is read before it is shown without one.
	placeReads = 5
	// placePause separates two such reads.
	placePause = 100 * time.Millisecond
)

// Task returns all about a task that is in the table. found is false when it is not: it may be in the archive, see [Reader.Archived].
func (r *Reader) Task(ctx context.Context, id task.ID) (d Detail, found bool, err error) {
	for read := 1; ; read++ {
		loaded, err := r.Tasks.Load(ctx, []task.ID{id})
		if err != nil {
			return Detail{}, false, err
		}
		t, ok := loaded[id]
		if !ok {
			return Detail{}, false, nil
		}
		for whole, err := range r.Tasks.Filled(ctx, []task.Task{t}) {
			if err != nil {
				return Detail{}, false, err
			}
			t = whole
		}
		now := r.Now()
		if t.Status.Terminal() {
			return DetailOf(t, Place{}, "", now), true, nil
		}
		leases, err := r.Control.LeasesOn(ctx, t.Labourer, id.Segment)
		if err != nil {
			return Detail{}, false, err
		}
		entries, err := r.Control.Queue(ctx, t.Labourer)
		if err != nil {
			return Detail{}, false, err
		}
		place := PlacesOf(leases, entries).Of(t)
		if place == (Place{}) && read < placeReads {
			if err := r.Wait(ctx, placePause); err != nil {
				return Detail{}, false, err
			}
			continue
		}
		waiting, err := r.waiting(ctx, t, place, now)
		return DetailOf(t, place, waiting, now), err == nil, err
	}
}

// waiting returns what an open task waits for.
func (r *Reader) waiting(ctx context.Context, t task.Task, place Place, now time.Time) (string, error) {
	status := StatusOf(t, place, now)
	if status == Running {
		return r.running(ctx, t, place, now)
	}
	b, err := r.Pulse().One(ctx, t.Labourer)
	if _, missing := errors.AsType[*NotFoundError](err); missing {
		return WaitingFor(status, place, nil, now), nil
	}
	if err != nil {
		return "", err
	}
	return WaitingFor(status, place, &b.Labourer, now), nil
}

// running returns what a task in hand waits for: the start of its worker, its worker's end, or a worker that reads the queue.
func (r *Reader) running(ctx context.Context, t task.Task, place Place, now time.Time) (string, error) {
	l, found, err := r.Registry.Labourer(ctx, t.Labourer)
	if err != nil || !found {
		return RunningFor(place, t.ID.N, nil), err
	}
	limits := limitsOf(l)
	waits := RunningFor(place, t.ID.N, &limits)
	if l.Target.SQS == "" || place.Hand.By == queue.Undispatched {
		return waits, nil
	}
	q, err := r.Queues.Backlog(ctx, l.Target.SQS)
	if err != nil { // reading a worker's queue takes a right that this view does without; the doctor reports it
		return waits, nil //nolint:nilerr // the view is right without it
	}
	if unread := q.Unread(l, place.Hand.Since, now); unread != "" {
		return fmt.Sprintf("a worker: %s (the attempt counts as lost at %s)", unread, place.Lease.EndOf(t.ID.N, limits).UTC().Format(time.RFC3339)), nil
	}
	return waits, nil
}

// limitsOf returns the times after which a labourer's task in hand counts as lost.
func limitsOf(l labourer.Labourer) queue.Limits {
	return queue.Limits{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}
}

// SentSince returns when the oldest message was sent of tasks that leases have in hand and whose workers were started; zero: there is none.
func SentSince(leases []queue.Lease) time.Time {
	var since time.Time
	for _, l := range leases {
		for _, hand := range l.Hands {
			if hand.By != queue.Undispatched && (since.IsZero() || hand.Since.Before(since)) {
				since = hand.Since
			}
		}
	}
	return since
}

// Backlog counts the messages of a queue.
type Backlog struct {
	Waiting  int // visible to consumers
	InFlight int // received and not deleted
}

// Unread says that no worker reads the queue although there was time enough; it returns "" when that is not so. since is when the longest
// waiting message was sent. Enough is five minutes, or half of a shorter lease: when the lease ends, the task is sent again.
func (b Backlog) Unread(l labourer.Labourer, since, now time.Time) string {
	if b.Waiting < 1 || b.InFlight > 0 || since.IsZero() || now.Sub(since) < min(Late, l.Lease()/2) {
		return ""
	}
	return fmt.Sprintf("%s %s in the queue, the oldest for about %s, and no worker reads them",
		Count(b.Waiting, "message"), Plural(b.Waiting, "waits", "wait"), now.Sub(since).Truncate(time.Second))
}
