package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
)

// Backlog holds the counts of the queue that is a labourer's target.
type Backlog struct {
	Waiting   int           // messages that no worker has taken, or that are visible again
	Taken     int           // messages that a worker has taken and not deleted: the queue redelivers them if it dies
	Retention time.Duration // the time after which the queue deletes a message
	Unknown   string        // why the queue could not be read; empty: it was read
}

// Standing holds the tasks of a lease that still have a message in the queue.
type Standing struct{ Waiting, Taken segment.Numbers }

// Standings returns the standings of leases, by the leases' items. A queue hands out its oldest messages first, or nearly so: the tasks that
// were started last still wait, and the ones before them are taken by workers. A task that has sent a heartbeat is taken, and its heartbeats
// decide about it. A task that is older than the queue's retention has no message.
func (b Backlog) Standings(leases []Lease, now time.Time) map[string]Standing {
	type quiet struct {
		item  string
		n     int
		since time.Time
	}
	var all []quiet
	for _, l := range leases {
		for n, h := range l.Hands {
			if h.By != Undispatched && h.Heard.IsZero() && now.Sub(h.Since) <= b.Retention {
				all = append(all, quiet{l.Item(), n, h.Since})
			}
		}
	}
	slices.SortFunc(all, func(x, y quiet) int {
		return cmp.Or(y.since.Compare(x.since), cmp.Compare(y.item, x.item), cmp.Compare(y.n, x.n))
	})
	out := map[string]Standing{}
	for i, q := range all {
		s := out[q.item]
		switch {
		case i < b.Waiting:
			s.Waiting = s.Waiting.Union(segment.Of(q.n))
		case i < b.Waiting+b.Taken:
			s.Taken = s.Taken.Union(segment.Of(q.n))
		}
		out[q.item] = s
	}
	return out
}

// Kept returns the lost tasks of a lease that must not be closed as lost. A task that waits is not an attempt yet. A task that a worker has
// taken may have been taken late, if this is the first check or if the task waited at the last check: its time starts once more.
func (s Standing) Kept(l Lease, lost segment.Numbers) Standing {
	kept := Standing{Waiting: s.Waiting.Intersect(lost)}
	for n := range s.Taken.Intersect(lost).All() {
		if l.Hands[n].Asked != TakenLate {
			kept.Taken = kept.Taken.Union(segment.Of(n))
		}
	}
	return kept
}
