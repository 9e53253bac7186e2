package inspect

import (
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
)

// Labourer is a line: the health of a labourer, how many of its tasks may run, and how many run and wait.
type Labourer struct {
	Labourer string                    `json:"labourer_id"`
	Paused   bool                      `json:"paused"`
	Status   ecology.Status            `json:"status"`
	Metrics  map[string]ecology.Status `json:"metrics"`
	Cap      float64                   `json:"cap"`
	Desired  int                       `json:"desired"`
	Running  int                       `json:"running"`
	Free     int                       `json:"free"`
	Due      int                       `json:"due"`   // tasks that could start now
	Later    int                       `json:"later"` // tasks whose time has not come
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

// LabourerOf returns the line of a labourer at a time, by its assessment, its state and its queue.
func LabourerOf(id string, a ecology.Assessment, s queue.State, entries []queue.Entry, now time.Time) Labourer {
	l := Labourer{Labourer: id, Paused: s.Paused, Status: a.Status, Metrics: a.Statuses(), Cap: a.Cap, Desired: a.Desired, Running: a.Running,
		Free: a.Free, Trouble: s.Trouble}
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
		return fmt.Sprintf("no slot is free: %d of %d taken; health is %s: %s", l.Running, l.Desired, l.Status, a.Reason)
	case l.Free == 0:
		return fmt.Sprintf("no slot is free: %d of %d taken", l.Running, l.Desired)
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

// WaitingFor returns what has to happen before a task goes on; "" for a task that has ended. l is the line of its labourer; nil where the
// labourer is not applied.
func WaitingFor(status Status, p Place, l *Labourer, now time.Time) string {
	switch {
	case status.Ended():
		return ""
	case status == Running && p.Lease.DispatchedAt.IsZero():
		return "its worker is being started"
	case status == Running:
		return fmt.Sprintf("its worker, until %s; then the attempt counts as lost", p.Lease.ExpiresAt.UTC().Format(time.RFC3339))
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
