package inspect

import (
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
)

// Labourer is a line: the health of a labourer, how many of its tasks may run, and how many run and wait.
//
// A lease holds tasks that run and tasks that wait for one of its slots. It takes as much of what is desired as its tasks may use of its slots,
// and at least what runs: that is what it is granted.
type Labourer struct {
	Labourer string                    `json:"labourer_id"`
	Paused   bool                      `json:"paused"`
	Status   ecology.Status            `json:"status"`
	Metrics  map[string]ecology.Status `json:"metrics"`
	Cap      float64                   `json:"cap"`
	Desired  int                       `json:"desired"`
	Running  int                       `json:"running"` // tasks in hand: started, or about to be
	Slots    int                       `json:"slots"`   // how many tasks of the leases may be in hand
	Granted  int                       `json:"granted"` // what the leases take of desired
	Free     int                       `json:"free"`    // desired − granted, at least 0
	Waiting  int                       `json:"waiting"` // tasks that wait in leases
	Due      int                       `json:"due"`     // tasks that could start now: these, and those that are due in the queue
	Later    int                       `json:"later"`   // tasks whose time has not come
	Reason   string                    `json:"reason"`
	Trouble  *queue.Trouble            `json:"trouble,omitempty"` // why the target could not be reached last time
}

// Pace is a line: an assessment in a few numbers.
type Pace struct {
	Labourer string                    `json:"labourer_id"`
	Status   ecology.Status            `json:"status"`
	Metrics  map[string]ecology.Status `json:"metrics"`
	Desired  int                       `json:"desired"`
	Running  int                       `json:"running"`
	Free     int                       `json:"free"`
}

// PaceOf returns the pace of a labourer.
func PaceOf(id string, a ecology.Assessment) Pace {
	return Pace{Labourer: id, Status: a.Status, Metrics: a.Statuses(), Desired: a.Desired, Running: a.Running, Free: a.Free}
}

// LabourerOf returns the line of a labourer at a time, by its assessment, its state, its leases and its queue.
func LabourerOf(id string, a ecology.Assessment, s queue.State, leases []queue.Lease, entries []queue.Entry, now time.Time) Labourer {
	l := Labourer{Labourer: id, Paused: s.Paused, Status: a.Status, Metrics: a.Statuses(), Cap: a.Cap, Desired: a.Desired, Trouble: s.Trouble,
		Running: queue.Running(leases), Granted: queue.Granted(leases), Waiting: queue.Waiting(leases)}
	l.Free, l.Due = max(l.Desired-l.Granted, 0), l.Waiting
	for _, lease := range leases {
		l.Slots += lease.Slots
	}
	for _, e := range entries {
		if e.Due.After(now) {
			l.Later += e.Tasks.Len()
		} else {
			l.Due += e.Tasks.Len()
		}
	}
	l.Reason = l.reason(a, now)
	return l
}

// reason returns why no more tasks start, in the order in which the orchestrator decides.
func (l Labourer) reason(a ecology.Assessment, now time.Time) string {
	switch {
	case l.Paused:
		return "the labourer is paused"
	case l.Desired == 0 && l.Cap == 0:
		return "the cap is 0"
	case l.Desired == 0:
		return fmt.Sprintf("health is %s: %s", l.Status, a.Reason)
	case l.Trouble != nil && l.Trouble.Until.After(now):
		return fmt.Sprintf("the target could not be reached and is tried again at %s: %s", l.Trouble.Until.UTC().Format(time.RFC3339), l.Trouble.Error)
	case l.Due == 0:
		return "nothing is due"
	case l.Free == 0 && l.Status < ecology.High:
		return fmt.Sprintf("no slot is free: %d of %d taken; health is %s: %s", l.Granted, l.Desired, l.Status, a.Reason)
	case l.Free == 0:
		return fmt.Sprintf("no slot is free: %d of %d taken", l.Granted, l.Desired)
	case l.Trouble != nil:
		return l.untried()
	}
	return "tasks are being started"
}

// untried says that a target could not be reached and has not been tried since, although it is time.
func (l Labourer) untried() string {
	return fmt.Sprintf("the target could not be reached at %s and is tried again within a minute: %s", l.Trouble.At.UTC().Format(time.RFC3339), l.Trouble.Error)
}

// Blocked reports whether due tasks stay queued until the labourer is resumed, its cap is raised or its health improves.
func (l Labourer) Blocked() bool { return l.Paused || l.Desired == 0 }

// due returns "1 task is" or "2 tasks are".
func (l Labourer) due() string { return Count(l.Due, "task") + " " + Plural(l.Due, "is", "are") }

// RunningFor returns what running task n waits for: the start of its worker, or its worker's end. limits are its labourer's; nil where the
// labourer is not applied.
func RunningFor(p Place, n int, limits *queue.Limits) string {
	switch {
	case p.Hand.By == queue.Undispatched:
		return "its worker is being started"
	case limits == nil:
		return "its worker"
	}
	return fmt.Sprintf("its worker, until %s; then the attempt counts as lost", p.Lease.EndOf(n, *limits).UTC().Format(time.RFC3339))
}

// slot returns what a task that waits in a lease waits for: a slot of the lease, and what holds the slots.
func slot(of queue.Lease, l *Labourer) string {
	const granted = "granted, waits for a slot of its lease: "
	blocked := ""
	if l != nil && l.Blocked() {
		blocked = "; " + l.Reason
	}
	if of.Slots == 0 {
		return granted + "it has none now" + blocked
	}
	text := fmt.Sprintf("%d in hand of %s", len(of.Hands), Count(of.Slots, "slot"))
	var longest time.Time
	for _, h := range of.Hands {
		if h.By != queue.Undispatched && (longest.IsZero() || h.Since.Before(longest)) {
			longest = h.Since
		}
	}
	if !longest.IsZero() {
		text += ", the longest since " + longest.UTC().Format(time.RFC3339)
	}
	return granted + text + blocked
}

// WaitingFor returns what has to happen before a task starts; "" for a task that has ended. l is the line of its labourer; nil where the
// labourer is not applied. Of a running task see [RunningFor].
func WaitingFor(status Status, p Place, l *Labourer, now time.Time) string {
	switch {
	case status.Ended():
		return ""
	case status == Queued && p.Lease != nil:
		return slot(*p.Lease, l)
	case p.Lease != nil:
		return "the last attempt has just failed; its retry is being decided"
	case p.Entry != nil && p.Entry.Due.After(now):
		return fmt.Sprintf("its time, %s, for attempt %d", p.Entry.Due.UTC().Format(time.RFC3339), p.Entry.Attempt)
	case l == nil:
		return "its labourer, which is not applied"
	case p.Entry == nil:
		return "its place in the queue"
	case l.Blocked() || l.Trouble != nil && l.Trouble.Until.After(now):
		return l.Reason
	case l.Free == 0:
		return fmt.Sprintf("%s, and %s due", l.Reason, l.due())
	}
	if l.Trouble != nil {
		return l.untried()
	}
	return fmt.Sprintf("being started: %s %s free, %s due", Count(l.Free, "slot"), Plural(l.Free, "is", "are"), l.due())
}
