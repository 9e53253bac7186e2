package decision

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/task"
)

// Snapshot holds what a decision about a labourer depends on.
type Snapshot struct {
	Labourer   string
	Execution  string // that decides; "" for a reader
	State      queue.State
	Leases     []queue.Lease
	Entries    []queue.Entry // of the queue; those that are not due yet do not count
	More       bool          // more entries may be due
	Assessment ecology.Assessment
	FeedUntil  time.Time // how long leases may be fed by this assessment; zero: for ever
}

// Decision says what is to be done for a labourer, and holds the record of it.
type Decision struct {
	Start  bool   // claim: fill, raise or make leases
	Revoke bool   // lower slots of leases
	Record Record // if nothing starts; if something does, see [Decision.Started]

	snapshot Snapshot
}

// Decide decides whether tasks may start now, or slots are to be revoked, and says what binds the labourer.
func (s Snapshot) Decide(now time.Time) Decision {
	a, granted := s.Assessment, queue.Granted(s.Leases)
	d := Decision{snapshot: s, Record: s.record(now), Revoke: len(queue.Revoke(s.Leases, s.Desired())) > 0}
	due, trouble := d.due(), s.State.Trouble
	resting, held := trouble != nil && trouble.Until.After(now), s.State.Hold.KeepsOff(s.Execution, now)
	switch {
	case s.State.Paused:
		d.Revoke = d.Revoke || queue.Waiting(s.Leases) > 0
		d.paused()
	case d.Record.Due == 0 && !s.idle():
		d.nothing()
	case a.Desired == 0:
		d.full(granted, d.Record.Due)
	case d.Revoke && d.Record.Free > 0:
		d.bind(Busy, nil, "slots are being taken back: %s granted, %d of these in hand, and %d are desired", are(granted, "slot"), d.Record.Running, a.Desired)
	case granted >= a.Desired && !s.idle() && d.Record.Free > 0: // the target keeps an order
		d.bind(Busy, nil, "a task before them is being started, and %s due", due)
	case d.Revoke, granted >= a.Desired && !s.idle():
		d.full(granted, d.Record.Due)
	case d.Record.Free == 0 && (resting || held): // a slot that a lease kept when the cap fell
		d.full(granted, d.Record.Due)
	case resting:
		d.bind(Target, &Evidence{Trouble: trouble}, "the target could not be reached, it is tried again at %s: %s", moment(trouble.Until), trouble.Error)
	case held:
		hold := s.State.Hold
		d.bind(Busy, &Evidence{Hold: &hold}, "another execution holds the labourer: %d of %d are free, %s due", d.Record.Free, a.Desired, due)
	default:
		d.Start = true
		d.starting(granted)
	}
	return d
}

// Desired returns how many tasks of the labourer may be in hand: none of a paused one.
func (s Snapshot) Desired() int {
	if s.State.Paused {
		return 0
	}
	return s.Assessment.Desired
}

// idle reports whether a lease has a free slot for a task that waits in it, or is to be fed longer.
func (s Snapshot) idle() bool {
	return slices.ContainsFunc(s.Leases, func(l queue.Lease) bool { return l.Hungry() || l.Stale(s.FeedUntil) })
}

// record returns the numbers of a record.
func (s Snapshot) record(now time.Time) Record {
	a := s.Assessment
	r := Record{At: now.UTC().Truncate(time.Millisecond), Labourer: s.Labourer, Status: a.Status, Metrics: a.Statuses(), Cap: a.Cap, Desired: a.Desired,
		Running: queue.Running(s.Leases), Due: queue.Waiting(s.Leases) + queue.Ripe(s.Leases, now), DueMore: s.More}
	r.Free = max(r.Desired-r.Running, 0)
	oldest := func(due time.Time) {
		if at := due.UTC(); r.OldestDue == nil || at.Before(*r.OldestDue) {
			r.OldestDue = &at
		}
	}
	for _, l := range s.Leases {
		if !l.Waiting.Empty() && !l.Due.IsZero() {
			oldest(l.Due)
		}
		for _, again := range l.Retries {
			if !again.Due.After(now) {
				oldest(again.Due)
			}
		}
	}
	for _, e := range s.Entries {
		if !e.Due.After(now) && !e.Tasks.Empty() {
			r.Due += e.Tasks.Len()
			oldest(e.Due)
		}
	}
	return r
}

// Started returns the record of a claim that started n tasks.
func (d Decision) Started(n int) Record {
	r := &d.Record
	r.Started = n
	switch left := max(r.Due-n, 0); {
	case r.Due == 0 && !r.DueMore:
		d.nothing()
	case left == 0 && !r.DueMore && r.Due > 0:
		d.bind(None, nil, "%s started", was(n, "due task"))
	case n >= r.Free:
		d.full(r.Running+n, left)
		if n > 0 && r.Evidence != nil { // earlier holders of slots are not what binds
			r.Evidence.Holders = nil
		}
		if r.Evidence != nil && r.Evidence.Metric == nil && r.Evidence.Holders == nil {
			r.Evidence = nil
		}
	case d.snapshot.State.Probing():
		d.untried()
	default:
		d.bind(Busy, nil, "%s started, %s; the next claim starts more", was(n, "task"), d.more(fmt.Sprintf("%d were due", r.Due)))
	}
	return d.Record
}

// Yielded returns the record of a claim that started nothing, because of another writer.
func (d Decision) Yielded(reason string) Record {
	d.bind(Busy, nil, "%s", reason)
	return d.Record
}

func (d *Decision) bind(b Binding, e *Evidence, format string, arguments ...any) {
	d.Record.Binding, d.Record.Evidence, d.Record.Reason = b, e, fmt.Sprintf(format, arguments...)
}

func (d *Decision) nothing() { d.bind(NothingDue, nil, "nothing is due") }

func (d *Decision) paused() {
	pause := d.snapshot.State.Pause
	if pause == (queue.Pause{}) {
		d.bind(Paused, nil, "the labourer is paused")
		return
	}
	text := "the labourer is paused"
	if pause.By != "" {
		text += " by " + pause.By
	}
	if !pause.At.IsZero() {
		text += " since " + moment(pause.At)
	}
	d.bind(Paused, &Evidence{Pause: &pause}, "%s", text)
}

// full binds by what limits the slots, health or cap: so many slots are taken, and so many tasks are due.
func (d *Decision) full(taken, due int) {
	a, e := d.snapshot.Assessment, &Evidence{}
	switch {
	case a.Whole() == 0:
		d.bind(Cap, nil, "the cap is %s", strconv.FormatFloat(a.Cap, 'g', -1, 64))
		return
	case a.Desired == 0:
		e.Metric = metric(a)
		d.bind(Health, e, "health is %s: %s", a.Status, a.Reason)
		return
	}
	reason := fmt.Sprintf("no slot is free: %d of %d are taken, %s due", taken, a.Desired, d.more(are(due, "task")))
	if a.CapReason != "" {
		reason += "; the cap is " + strconv.FormatFloat(a.Cap, 'g', -1, 64) + ": " + a.CapReason
	}
	e.Holders = holders(d.snapshot.Leases)
	if !a.Lowered() {
		d.bind(Cap, e, "%s", reason)
		return
	}
	e.Metric = metric(a)
	d.bind(Health, e, "%s; health is %s: %s", reason, a.Status, a.Reason)
}

// starting binds a decision to start, as long as nothing has started.
func (d *Decision) starting(granted int) {
	switch r := d.Record; {
	case r.Due == 0: // retries are only to be fed longer
		d.nothing()
	case r.Free == 0: // leases are only to be fed longer
		d.full(granted, d.Record.Due)
	case d.snapshot.State.Probing():
		d.untried()
	default:
		d.bind(None, nil, "tasks are being started: %d of %d are free, %s due", r.Free, r.Desired, d.due())
	}
}

// untried binds by a target that could not be reached and may be tried again.
func (d *Decision) untried() {
	trouble := d.snapshot.State.Trouble
	d.bind(Target, &Evidence{Trouble: trouble}, "the target could not be reached at %s and is tried again within a minute: %s", moment(trouble.At), trouble.Error)
}

// due returns "1 task is" or "more than 2 tasks are", the tasks that are due.
func (d *Decision) due() string { return d.more(are(d.Record.Due, "task")) }

// more returns a number of due tasks in words, as a lower bound if more tasks may be due.
func (d *Decision) more(text string) string {
	if d.Record.DueMore {
		return "more than " + text
	}
	return text
}

// metric returns the metric that decides an assessment; nil without metrics.
func metric(a ecology.Assessment) *Metric {
	m, found := a.Metrics[a.Decisive]
	if !found {
		return nil
	}
	return &Metric{a.Decisive, m.Status, m.Finite(), m.AgeSeconds(), m.Threshold, m.Operator, m.Reason}
}

// holders returns the tasks that have held slots the longest.
func holders(leases []queue.Lease) []Holder {
	out := make([]Holder, 0, HoldersShown+1) // those of the leases so far
	for _, l := range leases {
		for n, h := range l.Hands {
			if len(out) == HoldersShown && h.Since.After(out[HoldersShown-1].Since) {
				continue
			}
			one := Holder{Task: task.ID{Segment: l.Segment, N: n}.String(), Job: l.Job, Attempt: l.AttemptAt(n), Since: h.Since.UTC()}
			at, _ := slices.BinarySearchFunc(out, one, Holder.compare)
			out = slices.Insert(out, at, one)
			out = out[:min(len(out), HoldersShown)]
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// compare compares holders by the times since when they hold their slots.
func (h Holder) compare(other Holder) int {
	return cmp.Or(h.Since.Compare(other.Since), cmp.Compare(h.Task, other.Task))
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// are returns "1 task is" or "2 tasks are".
func are(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return strconv.Itoa(n) + " " + thing + "s are"
}

// was returns "1 task was" or "2 tasks were".
func was(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " was"
	}
	return strconv.Itoa(n) + " " + thing + "s were"
}
