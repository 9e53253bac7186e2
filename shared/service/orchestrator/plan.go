package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

const (
	// lookPage limits how many items of a labourer Plan reads to see whether it may have something to do.
	lookPage = 50
	// planners limits how many labourers Plan reads at the same time.
	planners = 16
	// planLimit limits how many labourers one execution takes: their branches' outputs share the 256 KB of a state's output.
	planLimit = 40
	// handedOver limits how many labourers one event hands over to another execution. Their ids have up to 140 bytes, so the event, and the
	// input of the execution that it starts, stay below 256 KB.
	handedOver = 1000
)

// PlanInput is an execution's input: empty for the tick, labourers for a wake.
type PlanInput struct {
	Labourers []string `json:"labourers"`
}

// UnmarshalJSON accepts any input, as anything that may put events on the bus may start an execution. An input without readable labourers
// means the same as the tick.
func (p *PlanInput) UnmarshalJSON(text []byte) error {
	var in struct {
		Labourers json.RawMessage `json:"labourers"`
	}
	_ = exact.Decode(text, &in)
	if exact.Decode(in.Labourers, &p.Labourers) != nil {
		p.Labourers = nil
	}
	return nil
}

// Planned lists the labourers that may have something to do.
type Planned struct {
	Labourers []Turn `json:"labourers"`
	Idle      int    `json:"idle"`              // labourers with nothing to do
	Unknown   int    `json:"unknown,omitempty"` // names that are no labourer's
	Others    int    `json:"others,omitempty"`  // labourers left to another execution
	Unread    string `json:"unread,omitempty"`  // why the metrics could not be read together
	Omitted   int    `json:"omitted,omitempty"` // decisions that are logged and do not fit into the output

	made []decision.Record
}

// Turn is one labourer's part of an execution. The turn without a labourer holds the decisions about those for which there is nothing to do,
// although they are not at rest.
type Turn struct {
	Labourer string  `json:"labourer,omitempty"`
	Reap     bool    `json:"reap"` // some leases are past their end, or have no dispatcher
	Decided  Decided `json:"decided"`
}

// turnOf returns the turn of a labourer about which nothing is decided yet.
func turnOf(id string) *Turn {
	return &Turn{Labourer: id, Decided: Decided{Round: 1, Decisions: []decision.Record{}}}
}

// Plan finds the labourers that may have something to do, with one cheap read of each. It reads the metrics of all of them together.
func (s *Service) Plan(ctx context.Context, execution string, in PlanInput) (Planned, error) {
	all, unknown, err := s.labourers(ctx, slices.Compact(slices.Sorted(slices.Values(in.Labourers))))
	if err != nil {
		return Planned{}, err
	}
	out := Planned{Labourers: []Turn{}, Unknown: unknown}
	asked := slices.Sorted(maps.Keys(all))
	turns, waiting, failures := make([]*Turn, len(asked)), make([]*snapshot, len(asked)), make([]error, len(asked))
	var g errgroup.Group
	g.SetLimit(planners)
	for i, id := range asked {
		g.Go(func() error {
			turns[i], waiting[i], failures[i] = s.turn(ctx, execution, all[id], len(in.Labourers) > 0)
			return nil
		})
	}
	_ = g.Wait()
	if err := errors.Join(failures...); err != nil && !slices.Contains(failures, nil) {
		return Planned{}, err // no labourer could be read, so the cause lies elsewhere
	}
	for i, err := range failures {
		if err != nil { // the labourer's own branch reports the error and affects no other
			turns[i] = turnOf(asked[i])
		}
	}
	metrics := map[string]ecology.Metric{}
	var others []string
	for i, t := range turns {
		switch {
		case t == nil && waiting[i] == nil:
			out.Idle++
			continue
		case t != nil && len(out.Labourers) == planLimit:
			others = append(others, asked[i])
			continue
		case t != nil:
			out.Labourers = append(out.Labourers, *t)
		}
		for name, m := range all[asked[i]].HealthMetrics {
			metrics[asked[i]+"/"+name] = m
		}
	}
	// Reading all metrics together only saves calls. Unreadable metrics fail only their labourer's branch.
	readings, err := s.Health.Readings(ctx, metrics)
	if err != nil {
		out.Unread = err.Error()
	}
	s.rest(ctx, &out, waiting, readings)
	if out.Others = len(others); out.Others == 0 {
		return out, nil
	}
	var facts []event.Fact
	for some := range slices.Chunk(others, handedOver) {
		facts = append(facts, event.TasksDue(fmt.Sprintf("%s/%d", execution, len(facts)), some...))
	}
	return out, s.Bus.Publish(ctx, facts...)
}

// restingBytes limits the records of the turn without a labourer: they share the 256 KB of a state's output with the other turns' results.
const restingBytes = 180_000

// rest adds the decisions about labourers for which there is nothing to do. They are made by the same eventually consistent reads as the plan.
func (s *Service) rest(ctx context.Context, out *Planned, waiting []*snapshot, readings map[string]ecology.Reading) {
	records := make([]*decision.Record, len(waiting))
	var g errgroup.Group
	g.SetLimit(planners)
	for i, k := range waiting {
		if k == nil {
			continue
		}
		g.Go(func() error {
			if len(k.labourer.HealthMetrics) > 0 {
				before, err := s.Memory.Recall(ctx, k.labourer.ID)
				if err != nil || out.Unread != "" {
					return nil //nolint:nilerr // without its health nothing can be said of it; the next tick reads it again
				}
				mine := map[string]ecology.Reading{}
				for name := range k.labourer.HealthMetrics {
					mine[name] = readings[k.labourer.ID+"/"+name]
				}
				k.assessment = ecology.Assess(k.labourer.Subject(), mine, before.History, s.Now(), queue.Granted(k.leases))
			}
			r := k.decide(s.Now()).Record
			records[i] = &r
			return nil
		})
	}
	_ = g.Wait()
	for _, r := range records {
		if r != nil {
			out.made = append(out.made, *r)
		}
	}
	if len(out.made) == 0 {
		return
	}
	shown := out.made
	if size(shown) > restingBytes {
		shown = slices.Clone(shown)
		for i := range shown {
			shown[i].Evidence = nil
		}
	}
	for size(shown) > restingBytes {
		shown = shown[:len(shown)*9/10]
	}
	out.Omitted = len(out.made) - len(shown)
	out.Labourers = append(out.Labourers, Turn{Decided: Decided{Decisions: shown}})
}

// size returns how many bytes records take in an output.
func size(records []decision.Record) int {
	text, err := json.Marshal(records)
	if err != nil {
		panic(err) // they hold numbers and texts
	}
	return len(text)
}

// labourers returns the named labourers, or all of them if there are no names. unknown counts the names that are no labourer's. Named ones
// are read one by one: the cost of a wake depends on its names, and not on how many labourers exist.
func (s *Service) labourers(ctx context.Context, named []string) (known map[string]labourer.Labourer, unknown int, err error) {
	if len(named) == 0 {
		known, err = s.Registry.Labourers(ctx)
		return known, 0, err
	}
	known = make(map[string]labourer.Labourer, len(named))
	missing := named
	if len(named) > planLimit { // the list costs less than so many reads
		all, err := s.Registry.Labourers(ctx)
		if err != nil {
			return nil, 0, err
		}
		missing = nil
		for _, id := range named {
			if l, listed := all[id]; listed {
				known[id] = l
			} else {
				missing = append(missing, id) // perhaps applied just now: the list is eventually consistent, and this may be the only wake
			}
		}
	}
	// Events on the bus may name anything, so the number of reads is bounded.
	read := missing[:min(len(missing), planLimit)]
	found := make([]*labourer.Labourer, len(read))
	var g errgroup.Group
	g.SetLimit(planners)
	for i, id := range read {
		g.Go(func() error {
			l, is, err := s.Registry.Labourer(ctx, id)
			if err != nil { // the labourer's own branch reports the error and affects no other
				l, is = labourer.New(id), true
			}
			if is {
				found[i] = &l
			}
			return nil
		})
	}
	_ = g.Wait()
	unknown = len(missing)
	for i, l := range found {
		if l != nil {
			known[read[i]] = *l
			unknown--
		}
	}
	return known, unknown, nil
}

// turn returns the labourer's turn. If there is nothing to do, turn returns nil and, unless the labourer is at rest, what it saw of it.
func (s *Service) turn(ctx context.Context, execution string, l labourer.Labourer, woken bool) (*Turn, *snapshot, error) {
	now := s.Now()
	look, err := s.Control.Look(ctx, l.ID, now, lookPage)
	if err != nil {
		return nil, nil, err
	}
	t := turnOf(l.ID)
	for _, a := range look.Asides {
		t.Reap = t.Reap || a.Unreadable != nil || a.Since.Before(now.Add(-asideTerm))
	}
	for _, lease := range look.Leases {
		t.Reap = t.Reap || overdue(lease, limits(l), now)
	}
	unreadable := slices.ContainsFunc(look.Due, func(e queue.Entry) bool { return e.Unreadable != nil }) // to be set aside
	waits := len(look.Due) > 0 || queue.Waiting(look.Leases)+queue.Ripe(look.Leases, now) > 0
	switch {
	case t.Reap || unreadable:
		return t, nil, nil
	case woken:
		// A wake says that something became due or free just now, which this eventually consistent read may not show yet.
		return t, nil, nil
	case !waits && queue.Running(look.Leases) == 0:
		return nil, nil, nil // at rest
	case (waits || slices.ContainsFunc(look.Leases, queue.Lease.Feeds)) && len(l.HealthMetrics) > 0, l.Adaptive != nil:
		return t, nil, nil // each tick assesses its health and finds its cap: slots may be revoked, or leases fed longer
	}
	state, err := s.Control.State(ctx, l.ID)
	if err != nil {
		return nil, nil, err
	}
	k := &snapshot{hold: s.hold(execution, l.ID), labourer: l, state: state, leases: look.Leases, entries: look.Due,
		more:       len(look.Asides)+len(look.Leases)+len(look.Due) >= lookPage,
		assessment: ecology.Assess(l.Limited(state.Pin, adaptive.Found{}, now), nil, nil, now, queue.Granted(look.Leases))}
	if d := k.decide(now); waits && (d.Start || d.Revoke) {
		return t, nil, nil
	}
	return nil, k, nil
}

// overdue reports whether a lease needs the reaper: it cannot be read, it has lost tasks, or forsaken ones.
func overdue(l queue.Lease, by queue.Limits, now time.Time) bool {
	return l.Unreadable != nil || !l.Lost(by, now).Empty() || !l.Forsaken(now).Empty()
}

func limits(l labourer.Labourer) queue.Limits {
	return queue.Limits{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}
}
