package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

// dueLimit limits how many entries one claim takes tasks from: 2 × 30 + 1 items in a transaction that takes 100.
const dueLimit = 30

// Assessed says whether tasks of a labourer may start, with every number behind the decision.
type Assessed struct {
	Labourer string `json:"labourer"`
	Round    int    `json:"round"`
	Start    bool   `json:"start"`
	Reason   string `json:"reason"`
	Paused   bool   `json:"paused"`
	Due      int    `json:"due"`      // in the entries that were read
	DueMore  bool   `json:"due_more"` // more entries may be due
	ecology.Assessment
	Trouble    *queue.Trouble `json:"trouble,omitempty"`
	Unreadable []string       `json:"unreadable,omitempty"` // the first leases and due entries that cannot be decoded
}

// Assess reports whether tasks of a labourer may start now. In the first round it writes only the labourer's remembered health, if that has
// changed. In a later round the claim of the round before still holds the labourer. If nothing is left to start, Assess ends the hold and
// reads everything once more, as other executions may have yielded to it.
func (s *Service) Assess(ctx context.Context, execution, id string, round int) (Assessed, error) {
	l, err := s.labourer(ctx, id)
	if err != nil {
		return Assessed{}, err
	}
	h := s.hold(execution, id)
	k, err := s.read(ctx, h, l)
	if err != nil {
		return Assessed{}, err
	}
	if start, _ := k.decide(s.Now()); !start && round > 0 {
		if k, err = s.departAndRead(ctx, h); err != nil {
			return Assessed{}, err
		}
	}
	out := Assessed{Labourer: id, Round: round + 1, Assessment: k.assessment, Paused: k.state.Paused, Due: k.due, DueMore: k.more, Trouble: k.state.Trouble,
		Unreadable: k.unreadable}
	out.Start, out.Reason = k.decide(s.Now())
	return out, nil
}

// snapshot holds what a decision about a labourer depends on, read in the order that keeps the cap: the state before the leases.
type snapshot struct {
	hold       hold // of the execution that reads
	labourer   labourer.Labourer
	state      queue.State
	leases     []queue.Lease
	entries    []queue.Entry
	due        int
	more       bool
	unreadable []string
	assessment ecology.Assessment
}

func (k *snapshot) show(err error) {
	if len(k.unreadable) < errorsShown {
		k.unreadable = append(k.unreadable, err.Error())
	}
}

func (s *Service) read(ctx context.Context, h hold, l labourer.Labourer) (snapshot, error) {
	out := snapshot{hold: h, labourer: l}
	var err error
	if out.state, err = s.Control.State(ctx, l.ID); err != nil {
		return out, err
	}
	if out.leases, err = s.Control.Leases(ctx, l.ID); err != nil {
		return out, err
	}
	for _, lease := range out.leases {
		if lease.Unreadable != nil {
			out.show(*lease.Unreadable)
		}
	}
	if err = s.readDue(ctx, &out); err != nil {
		return out, err
	}
	out.more = len(out.entries) == dueLimit
	for _, e := range out.entries {
		out.due += e.Tasks.Len()
	}
	out.assessment, err = s.assess(ctx, l, queue.Running(out.leases))
	return out, err
}

// readDue reads the first due entries. It sets aside at once those that cannot be decoded, as they hold no slot: they must not keep others
// from being among the first.
func (s *Service) readDue(ctx context.Context, k *snapshot) (err error) {
	for range tries {
		if k.entries, err = s.Control.Due(ctx, k.labourer.ID, s.Now(), dueLimit); err != nil {
			return err
		}
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
			break
		}
	}
	return nil
}

// departAndRead ends the hold and then reads everything again, the labourer included: an execution that was woken for a change may have
// yielded to the hold and ended.
func (s *Service) departAndRead(ctx context.Context, h hold) (snapshot, error) {
	if err := h.depart(ctx); err != nil {
		return snapshot{}, err
	}
	l, err := s.labourer(ctx, h.labourer)
	if err != nil {
		return snapshot{}, err
	}
	return s.read(ctx, h, l)
}

// assess applies the ecology, stores what the next assessment needs, and publishes a change of status.
func (s *Service) assess(ctx context.Context, l labourer.Labourer, running int) (ecology.Assessment, error) {
	if len(l.HealthMetrics) == 0 {
		return ecology.Assess(l.Subject(), nil, nil, s.Now(), running), nil
	}
	readings, err := s.Health.Readings(ctx, l.HealthMetrics)
	if err != nil {
		return ecology.Assessment{}, err
	}
	before, err := s.Memory.Recall(ctx, l.ID)
	if err != nil {
		return ecology.Assessment{}, err
	}
	now := s.Now()
	a := ecology.Assess(l.Subject(), readings, before.History, now, running)
	after := ecology.Remembered{Status: a.Status, Known: true, History: a.History, At: before.At}
	changed := !before.Known || before.Status != a.Status
	if changed {
		after.At = now.UTC().Truncate(time.Millisecond)
	}
	if !changed && sameHistory(before.History, after.History) {
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

// decide reports whether a claim is worth trying, and why.
func (k snapshot) decide(now time.Time) (bool, string) {
	due := fmt.Sprintf("%d", k.due)
	if k.more {
		due = "more than " + due
	}
	a := k.assessment
	switch {
	case k.state.Paused:
		return false, "the labourer is paused"
	case k.due == 0:
		return false, "nothing is due"
	case a.Desired == 0 && a.Cap == 0:
		return false, "the cap is 0"
	case a.Desired == 0:
		return false, fmt.Sprintf("health is %s: %s", a.Status, a.Reason)
	case a.Free == 0:
		return false, fmt.Sprintf("no slot is free: %d of %d are taken, %s tasks are due", a.Running, a.Desired, due)
	case k.state.Trouble != nil && k.state.Trouble.Until.After(now):
		return false, fmt.Sprintf("the target could not be reached, it is tried again at %s: %s", k.state.Trouble.Until.Format(time.RFC3339), k.state.Trouble.Error)
	case k.hold.yields(k.state, now):
		return false, fmt.Sprintf("another execution holds the labourer: %d of %d are free, %s tasks are due", a.Free, a.Desired, due)
	}
	return true, fmt.Sprintf("%d of %d are free, %s tasks are due", a.Free, a.Desired, due)
}
