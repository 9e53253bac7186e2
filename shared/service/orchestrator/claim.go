package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/queue"
)

const (
	// claimLimit limits how many tasks one claim takes in hand: as many as a dispatcher can start in its time.
	claimLimit = 500
	// newsTerm limits how long the assistant feeds leases by one assessment of health. Each tick assesses again.
	newsTerm = 90 * time.Second
)

// Claimed says what Claim granted, and why no more.
type Claimed struct {
	Decided
	Claimed int       `json:"claimed"`          // tasks taken in hand: their workers are to be started
	Waiting int       `json:"waiting"`          // tasks that wait in the leases of these: the assistant feeds them
	Slots   int       `json:"slots"`            // of these leases
	Revoke  bool      `json:"revoke,omitempty"` // slots of leases are to be taken back, and nothing was granted
	Leases  []Handout `json:"leases"`
	Reason  string    `json:"-"`

	made []decision.Record
}

// decide notes the record of the claim. A claim that started nothing leaves what an earlier one started.
func (c *Claimed) decide(before Decided, r decision.Record) {
	c.Reason = r.Reason
	if c.Claimed == 0 {
		c.Decisions, c.made = before.shown(r)
		return
	}
	c.made = []decision.Record{r}
	c.Decisions = c.made
}

// Claim grants slots and due tasks, as many as may start. Other executions yield from its transaction until it has dispatched. This misses no
// wake, as the claimer reads everything again after ending its lock: here if nothing is left to start, else in DispatchAndAssess.
func (s *Service) Claim(ctx context.Context, execution, id string, before Decided) (Claimed, error) {
	out := Claimed{Decided: Decided{Round: before.Round, Decisions: []decision.Record{}}, Leases: []Handout{}}
	k, err := s.read(ctx, s.hold(execution, id))
	for range tries {
		if err != nil {
			return out, err
		}
		d := k.decide(s.Now())
		if !d.Start && k.locked() {
			if k, err = s.departAndRead(ctx, k); err != nil {
				return out, err
			}
			d = k.decide(s.Now())
		}
		if !d.Start {
			out.decide(before, d.Record)
			out.Revoke = d.Revoke
			return out, nil
		}
		granted, overtaken, failed := s.grant(ctx, &k)
		for _, c := range granted {
			out.add(c)
		}
		switch {
		case failed != nil:
			return out, failed // the transaction may still be under way, so a lock has to expire by itself
		case out.Claimed > 0:
			out.decide(before, d.Started(out.Claimed))
			return out, nil
		case overtaken:
			out.decide(before, d.Yielded("the labourer, or one of its leases, changed in the meantime"))
		case k.labourer.Target.FIFO() && queue.Starting(k.leases): // perhaps the assistant is starting it right now
			out.decide(before, d.Yielded("a task before them is still to be started"))
		case !k.locked():
			out.decide(before, d.Started(0))
			return out, nil // nothing is left to start
		}
		k, err = s.departAndRead(ctx, k)
	}
	return out, err
}

func (c *Claimed) add(lease queue.Change) {
	c.Slots, c.Waiting = c.Slots+lease.After.Slots, c.Waiting+lease.After.Waiting.Len()
	if started := lease.Started(); !started.Empty() {
		c.Claimed += started.Len()
		c.Leases = append(c.Leases, Handout{Lease: lease.After.Item(), Tasks: started.String()})
	}
}

// grant writes what may start, and returns the leases that it changed, in the order of their tasks. overtaken says that another writer was
// first, so some of it was refused.
func (s *Service) grant(ctx context.Context, k *snapshot) (granted []queue.Change, overtaken bool, err error) {
	now := s.Now()
	room := queue.Room{Free: k.assessment.Free, Slots: k.assessment.Desired, Starts: claimLimit, FeedUntil: feedUntil(k.labourer, now),
		Ordered: k.labourer.Target.FIFO(), Limits: limits(k.labourer)}
	plan := queue.Plan
	if k.state.Probing() {
		plan = queue.Probe
	}
	g := plan(k.state, k.leases, k.entries, room, now)
	for _, c := range g.Filled { // these take no slot that they did not have, so they need no fence
		_, err := s.Leases.Save(ctx, c.Before, c.After)
		if errors.Is(err, queue.ErrChanged) {
			overtaken = true // perhaps the assistant has fed it
			continue
		}
		if err != nil {
			return granted, overtaken, err
		}
		granted = append(granted, c)
	}
	if g.Fenced() {
		err = k.fenced(ctx, g, now)
		switch {
		case errors.Is(err, queue.ErrChanged):
			overtaken, err = true, nil
		case err == nil:
			granted = append(granted, g.Changed...)
		}
	}
	queue.SortChanges(granted)
	return granted, overtaken, err
}

// fenced writes what changes under the fence, with the labourer locked. It fails with queue.ErrChanged if another execution has the lock, or the
// state has changed since it was read: a claim between that read and the lock has moved the version.
func (k *snapshot) fenced(ctx context.Context, g queue.Grant, now time.Time) error {
	if err := k.hold.approach(ctx, now); err != nil {
		return err
	}
	k.state.Hold = k.hold.from(now)
	return k.hold.grant(ctx, g, now)
}

// Revoked counts what Revoke took back.
type Revoked struct {
	Slots    int      `json:"slots"`
	Returned int      `json:"returned"` // tasks that waited in leases, and are in the queue again
	Errors   []string `json:"errors,omitempty"`
}

// Revoke lowers the slots of leases to what is desired now. It takes no task out of hand: what runs may end. The tasks that wait in the leases
// of a paused labourer go back to the queue. The assistant feeds the others again once their lease has slots.
func (s *Service) Revoke(ctx context.Context, id string) (Revoked, error) {
	var out Revoked
	k, err := s.read(ctx, s.hold("", id))
	if err != nil {
		return out, err
	}
	for _, c := range queue.Revoke(k.leases, k.subject(s.Now()).Desired()) {
		err := s.Control.Revoke(ctx, id, c)
		if errors.Is(err, queue.ErrChanged) {
			continue // it has fewer slots by now, or is gone
		}
		if err != nil {
			return out, err
		}
		out.Slots += c.Before.Usable() - c.After.Slots
	}
	if !k.state.Paused {
		return out, nil
	}
	leases, err := s.Control.Leases(ctx, id)
	if err != nil {
		return out, err
	}
	for _, lease := range leases {
		if lease.Unreadable != nil || lease.Waiting.Empty() {
			continue
		}
		_, returned, err := s.requeue(ctx, lease, lease.Returned(lease.Waiting))
		if err != nil {
			return out, err
		}
		out.Returned += returned.Len()
		if err := s.sweepTasks(ctx, lease.Segment, returned); err != nil {
			return out, err
		}
	}
	return out, nil
}
