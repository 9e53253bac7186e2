package inspect

import (
	"fmt"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

// Labourer is a line: the decision about a labourer as it is now, and what its slots are made of.
//
// A lease holds tasks that run and tasks that wait for one of its slots. It takes as much of what is desired as its tasks may use of its slots,
// and at least what runs: that is what it is granted.
type Labourer struct {
	decision.Record

	Paused  bool           `json:"paused"`
	Slots   int            `json:"slots"`             // how many tasks of the leases may be in hand
	Granted int            `json:"granted"`           // what the leases take of desired
	Waiting int            `json:"waiting"`           // tasks that wait in leases
	Later   int            `json:"later"`             // tasks whose time has not come
	Trouble *queue.Trouble `json:"trouble,omitempty"` // why the target could not be reached last time

	CapMin       int        `json:"cap_min,omitempty"` // of a cap that finds itself
	CapMax       int        `json:"cap_max,omitempty"`
	CapReason    string     `json:"cap_reason,omitempty"` // why the cap is not just the configured one
	CapChangedAt *time.Time `json:"cap_changed_at,omitempty"`
	CapShadow    int        `json:"cap_shadow,omitempty"` // the cap that would have been found
	Pin          *queue.Pin `json:"pin,omitempty"`
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
	l := Labourer{Record: decision.Snapshot{Labourer: id, State: s, Leases: leases, Entries: entries, Assessment: a}.Decide(now).Record,
		Paused: s.Paused, Trouble: s.Trouble, Granted: queue.Granted(leases), Waiting: queue.Waiting(leases)}
	for _, lease := range leases {
		if lease.Granted() > 0 { // a lease with nothing but retries uses none
			l.Slots += lease.Slots
		}
		for _, again := range lease.Retries {
			if again.Due.After(now) {
				l.Later++
			}
		}
	}
	for _, e := range entries {
		if e.Due.After(now) {
			l.Later += e.Tasks.Len()
		}
	}
	return l
}

// capped adds what is known of the labourer's cap: how it was found, or the pin.
func (l Labourer) capped(of labourer.Labourer, a ecology.Assessment, pin *queue.Pin, found adaptive.Found, now time.Time) Labourer {
	l.CapReason = a.CapReason
	if of.Adaptive != nil {
		l.CapMin, l.CapMax = of.Adaptive.Min, of.Adaptive.Max
		if found.Cap != 0 {
			l.CapChangedAt = &found.Changed
		}
		if of.Adaptive.Shadow && found.Cap != 0 {
			l.CapShadow, l.CapReason = found.Cap, "shadow: it would be "+strconv.Itoa(found.Cap)+": "+found.Reason
		}
	}
	if pin.Holds(now) {
		l.Pin, l.CapChangedAt = pin, &pin.At
	}
	return l
}

// Blocked reports whether due tasks stay queued until the labourer is resumed, its cap is raised or its health improves.
func (l Labourer) Blocked() bool { return l.Paused || l.Desired == 0 }

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
	case p.Retry != nil && p.Retry.Due.After(now):
		return fmt.Sprintf("its time, %s, for attempt %d", p.Retry.Due.UTC().Format(time.RFC3339), p.Attempt)
	case p.Retry != nil && l != nil && l.Binding != decision.NothingDue:
		return l.Reason
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
	case l.Binding == decision.NothingDue: // it was taken from the queue between the two reads
		return "its worker is being started"
	}
	return l.Reason
}
