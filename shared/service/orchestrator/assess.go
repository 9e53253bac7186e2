package orchestrator

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

// dueLimit limits how many entries one claim takes tasks from: 2 × 30 + 1 items in a transaction that takes 100.
const dueLimit = 30

// probeLimit limits how many entries are read to choose a probe. Tasks that cannot be started return to the front of the queue, each as an entry: the one
// that can is behind them.
const probeLimit = 500

// limit returns how many due entries a claim reads.
func (k *snapshot) limit() int {
	if k.state.Probing() {
		return probeLimit
	}
	return dueLimit
}

// Decided holds what a step decided about a labourer. The labourer's branch in the state machine shows the last one.
type Decided struct {
	Round     int               `json:"round"`
	Decisions []decision.Record `json:"decisions"` // what the execution shows of the labourer: one record, or none while it goes on to claim
}

// shown returns the records that the execution shows after a decision: what an earlier claim of the execution started, and why no more, stays
// the answer, unless what binds the labourer now is another thing than its slots.
func (d Decided) shown(now decision.Record) (shown, made []decision.Record) {
	if len(d.Decisions) > 0 && now.Binding != decision.Paused && now.Binding != decision.Target {
		return d.Decisions, nil
	}
	made = []decision.Record{now}
	return made, made
}

// next returns what was decided, for the next round.
func (d Decided) next() Decided {
	return Decided{Round: d.Round + 1, Decisions: append([]decision.Record{}, d.Decisions...)}
}

// Assessed says whether tasks of a labourer may start.
type Assessed struct {
	Decided
	Start      bool     `json:"start"`
	Revoke     bool     `json:"revoke,omitempty"`     // slots of leases are to be taken back
	Unreadable []string `json:"unreadable,omitempty"` // the first leases and due entries that cannot be decoded

	decision.Record `json:"-"` // of this moment, also if the execution goes on to claim

	made []decision.Record
}

// Continued says what a dispatch did, and whether more may start.
type Continued struct {
	Dispatched
	Assessed
}

// DispatchAndAssess starts the workers of a claim's tasks, and then assesses whether more may start. Without a round the tasks are those of a
// dispatcher that died, and a claim follows anyway. An assessment that fails is left to the next claim, as the tasks are dispatched.
func (s *Service) DispatchAndAssess(ctx context.Context, execution, id string, before Decided, handouts []Handout) (out Continued, err error) {
	out.Assessed = Assessed{Decided: before.next(), Start: true}
	if out.Dispatched, err = s.Dispatch(ctx, id, handouts); err != nil || before.Round == 0 {
		return out, err
	}
	assessed, err := s.Assess(ctx, execution, id, before)
	if err != nil {
		out.show(err)
		return out, nil
	}
	out.Assessed = assessed
	return out, nil
}

// Assess reports whether tasks of a labourer may start now, or slots are to be revoked. It writes only the labourer's remembered health, if that
// has changed. If the execution has claimed before, Assess first ends the lock that the claim took, and then reads everything: other executions
// may have yielded to the lock.
//
// before holds what the execution decided about the labourer until now.
func (s *Service) Assess(ctx context.Context, execution, id string, before Decided) (Assessed, error) {
	h := s.hold(execution, id)
	if before.Round > 0 {
		if err := h.depart(ctx); err != nil {
			return Assessed{}, err
		}
	}
	k, err := s.read(ctx, h)
	if err != nil {
		return Assessed{}, err
	}
	d := k.decide(s.Now())
	out := Assessed{Decided: before.next(), Start: d.Start, Revoke: d.Revoke, Record: d.Record,
		Unreadable: k.unreadable}
	if !d.Start {
		out.Decisions, out.made = before.shown(d.Record)
	}
	return out, nil
}

// snapshot holds what a decision about a labourer depends on, read in the order that keeps the cap: the state before its settings and the
// leases. So a claim under settings that have changed since fails if slots were revoked because of that.
type snapshot struct {
	hold       hold // of the execution that reads
	labourer   labourer.Labourer
	state      queue.State
	leases     []queue.Lease
	entries    []queue.Entry
	more       bool
	unreadable []string
	assessment ecology.Assessment
}

func (k *snapshot) show(err error) {
	if len(k.unreadable) < errorsShown {
		k.unreadable = append(k.unreadable, err.Error())
	}
}

func (s *Service) read(ctx context.Context, h hold) (snapshot, error) {
	out := snapshot{hold: h}
	var err error
	if out.state, err = s.Control.State(ctx, h.labourer); err != nil {
		return out, err
	}
	if out.labourer, err = s.labourer(ctx, h.labourer); err != nil {
		return out, err
	}
	if out.leases, out.entries, err = s.Control.Work(ctx, h.labourer, s.Now(), out.limit()); err != nil {
		return out, err
	}
	for _, lease := range out.leases {
		if lease.Unreadable != nil {
			out.show(*lease.Unreadable)
		}
	}
	if err = s.clearQueue(ctx, &out); err != nil {
		return out, err
	}
	out.more = len(out.entries) == out.limit()
	out.assessment, err = s.assess(ctx, out)
	return out, err
}

// clearQueue sets aside at once the due entries that cannot be decoded, as they hold no slot, and reads what is due again: they must not keep
// others from being among the first.
func (s *Service) clearQueue(ctx context.Context, k *snapshot) (err error) {
	for range tries {
		readable := true
		for _, e := range k.entries {
			if e.Unreadable == nil {
				continue
			}
			readable = false
			k.show(*e.Unreadable)
			if err := s.Control.SetAside(ctx, k.labourer.ID, e.Item(), s.Now()); err != nil && !errors.Is(err, queue.ErrChanged) {
				k.show(err)
			}
		}
		if readable {
			return nil
		}
		if k.entries, err = s.Control.Due(ctx, k.labourer.ID, s.Now(), k.limit()); err != nil {
			return err
		}
	}
	return nil
}

// departAndRead ends the execution's lock, if it has it, and then reads everything again: an execution that was woken for a change may have
// yielded to the lock and ended.
func (s *Service) departAndRead(ctx context.Context, k snapshot) (snapshot, error) {
	if k.locked() {
		if err := k.hold.depart(ctx); err != nil {
			return snapshot{}, err
		}
	}
	return s.read(ctx, k.hold)
}

// locked reports whether the execution has the lock.
func (k snapshot) locked() bool { return k.state.Hold.By == k.hold.execution }

// assess applies the ecology, finds the cap where it finds itself, stores what the next assessment needs, and publishes a change of status.
func (s *Service) assess(ctx context.Context, k snapshot) (a ecology.Assessment, err error) {
	defer func() { a.Running = queue.Running(k.leases) }() // what is shown; the slots that are free are those that no lease may use
	l, granted := k.labourer, queue.Granted(k.leases)
	if len(l.HealthMetrics) == 0 {
		return ecology.Assess(l.Limited(k.state.Pin, adaptive.Found{}, s.Now()), nil, nil, s.Now(), granted), nil
	}
	now := s.Now() // before the readings are: one that is fresh when it is read must not count as too old a moment later
	readings, err := s.Health.Readings(ctx, l.HealthMetrics)
	if err != nil {
		return ecology.Assessment{}, err
	}
	before, err := s.Memory.Recall(ctx, l.ID)
	if err != nil {
		return ecology.Assessment{}, err
	}
	a = ecology.Assess(l.Limited(k.state.Pin, before.Cap, now), readings, before.History, now, granted)
	after := ecology.Remembered{Status: a.Status, Known: true, History: a.History, At: before.At}
	if l.Adaptive != nil {
		if after.Cap, err = s.findCap(ctx, k, readings, before.Cap, a); err != nil {
			return a, err
		}
		a = ecology.Assess(l.Limited(k.state.Pin, after.Cap, now), readings, before.History, now, granted)
	}
	changed := !before.Known || before.Status != a.Status
	if changed {
		after.At = now.UTC().Truncate(time.Millisecond)
	}
	if !changed && sameHistory(before.History, after.History) && before.Cap.Cap == after.Cap.Cap {
		return a, nil
	}
	// Publish first: a crash after storing the change would leave it unpublished for ever.
	if changed && before.Known {
		if err := s.Bus.Publish(ctx, event.LabourerHealthChanged(l.ID, int(before.Status), int(a.Status), a.Metrics, before.At)); err != nil {
			return a, err
		}
	}
	err = s.Memory.Remember(ctx, l.ID, before, after)
	if errors.Is(err, queue.ErrChanged) { // another execution has assessed the labourer just now, and published what changed
		err = nil
	}
	return a, err
}

func sameHistory(a, b ecology.History) bool {
	return maps.EqualFunc(a, b, func(x, y ecology.Past) bool {
		return x.Status == y.Status && maps.EqualFunc(x.Since, y.Since, time.Time.Equal)
	})
}

// decide decides whether something may start, or slots are to be revoked.
func (k snapshot) decide(now time.Time) decision.Decision { return k.subject(now).Decide(now) }

// subject returns the snapshot as the rule of decisions takes it.
func (k snapshot) subject(now time.Time) decision.Snapshot {
	return decision.Snapshot{Labourer: k.labourer.ID, Execution: k.hold.execution, State: k.state, Leases: k.leases, Entries: k.entries, More: k.more,
		Assessment: k.assessment, FeedUntil: feedUntil(k.labourer, now)}
}

// feedUntil returns how long the assistant may feed the labourer's leases by an assessment of this moment. The zero time: for ever, as the
// labourer has no metrics.
func feedUntil(l labourer.Labourer, now time.Time) time.Time {
	if len(l.HealthMetrics) == 0 {
		return time.Time{}
	}
	return now.Add(newsTerm).UTC().Truncate(time.Millisecond)
}
