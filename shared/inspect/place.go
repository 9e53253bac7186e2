package inspect

import (
	"time"

	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/task"
)

// Status is where a task stands.
type Status string

// A task is queued until it is in hand, also while it waits in a lease. It is running until its attempt ends, and waiting between a failure and
// the time of the next attempt.
const (
	Queued    Status = "queued"
	Waiting   Status = "waiting"
	Running   Status = "running"
	Completed Status = "completed"
	Dead      Status = "dead"
	Cancelled Status = "cancelled"
)

// Statuses are all statuses, in the order of a task's life.
var Statuses = []Status{Queued, Waiting, Running, Completed, Dead, Cancelled}

// Ended reports whether a task with this status has reached its end.
func (s Status) Ended() bool { return s == Completed || s == Dead || s == Cancelled }

// Places are the leases and entries that hold tasks, by segment.
type Places struct {
	leases  map[segment.ID][]queue.Lease
	entries map[segment.ID][]queue.Entry
}

// PlacesOf arranges leases and entries, of one labourer or several.
func PlacesOf(leases []queue.Lease, entries []queue.Entry) Places {
	p := Places{map[segment.ID][]queue.Lease{}, map[segment.ID][]queue.Entry{}}
	for _, l := range leases {
		if l.Unreadable != nil {
			continue // its tasks are not known
		}
		p.leases[l.Segment] = append(p.leases[l.Segment], l)
	}
	for _, e := range entries {
		if e.Unreadable != nil {
			continue
		}
		p.entries[e.Segment] = append(p.entries[e.Segment], e)
	}
	return p
}

// Segments returns the tasks that are queued, waiting or running, by segment.
func (p Places) Segments() map[segment.ID]segment.Numbers {
	out := map[segment.ID]segment.Numbers{}
	for id, leases := range p.leases {
		for _, l := range leases {
			out[id] = out[id].Union(l.Held())
		}
	}
	for id, entries := range p.entries {
		for _, e := range entries {
			out[id] = out[id].Union(e.Tasks)
		}
	}
	return out
}

// Done returns the tasks that were completed under leases with this job, by segment: completions that the job's progress may not have yet.
func (p Places) Done(job string) map[segment.ID]segment.Numbers {
	out := map[segment.ID]segment.Numbers{}
	for id, leases := range p.leases {
		for _, l := range leases {
			if l.Job == job {
				out[id] = out[id].Union(l.Done())
			}
		}
	}
	return out
}

// Place is a lease or an entry that holds a task. Both are nil where neither was seen.
type Place struct {
	Lease   *queue.Lease
	Hand    *queue.Hand  // nil while the task waits in the lease
	Retry   *queue.Retry // not nil: it waits in the lease for its next attempt
	Entry   *queue.Entry
	Attempt int // for which the task is there
}

// Of returns what holds the next attempt at a task, or the last attempt where that is not settled yet. A lease and an entry that were read at
// different times may both name the task: the later attempt is the newer one and, of the same attempt, the lease.
func (p Places) Of(t task.Task) Place {
	var place Place
	if t.Status.Terminal() {
		return place
	}
	newest := 0
	for _, e := range p.entries[t.ID.Segment] {
		if e.Tasks.Contains(t.ID.N) && e.Attempt > t.Attempt && e.Attempt > newest {
			place, newest = Place{Entry: &e, Attempt: e.Attempt}, e.Attempt
		}
	}
	for _, l := range p.leases[t.ID.Segment] {
		attempt := l.AttemptAt(t.ID.N)
		if l.Held().Contains(t.ID.N) && attempt >= t.Attempt && attempt >= newest {
			place, newest = Place{Lease: &l, Attempt: attempt}, attempt
			if h, in := l.Hands[t.ID.N]; in {
				place.Hand = &h
			}
			if again, waits := l.Retries[t.ID.N]; waits {
				place.Retry = &again
			}
		}
	}
	return place
}

// StatusOf returns the status of a task at a time, by its item and its place.
func StatusOf(t task.Task, p Place, now time.Time) Status {
	switch {
	case t.Status.Terminal():
		return Status(t.Status)
	case p.Retry != nil && p.Retry.Due.After(now):
		return Waiting
	case p.Lease != nil && p.Attempt > t.Attempt && p.Hand == nil:
		return Queued
	case p.Lease != nil && p.Attempt > t.Attempt:
		return Running
	case p.Entry != nil && (t.Status == task.Open || !p.Entry.Due.After(now)):
		return Queued
	case t.Status == task.Open:
		return Queued // its entry is being published, or moved between the two reads
	}
	return Waiting
}
