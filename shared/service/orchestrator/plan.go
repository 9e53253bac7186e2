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
}

// Turn is one labourer's part of an execution.
type Turn struct {
	Labourer string `json:"labourer"`
	Round    int    `json:"round"`
	Reap     bool   `json:"reap"` // some leases are past their end, or have no dispatcher
}

// Plan finds the labourers that may have something to do, with one cheap read of each. It reads the metrics of all of them together.
func (s *Service) Plan(ctx context.Context, execution string, in PlanInput) (Planned, error) {
	all, unknown, err := s.labourers(ctx, slices.Compact(slices.Sorted(slices.Values(in.Labourers))))
	if err != nil {
		return Planned{}, err
	}
	out := Planned{Labourers: []Turn{}, Unknown: unknown}
	asked := slices.Sorted(maps.Keys(all))
	turns, failures := make([]*Turn, len(asked)), make([]error, len(asked))
	var g errgroup.Group
	g.SetLimit(planners)
	for i, id := range asked {
		g.Go(func() error {
			turns[i], failures[i] = s.turn(ctx, execution, all[id], len(in.Labourers) > 0)
			return nil
		})
	}
	_ = g.Wait()
	if err := errors.Join(failures...); err != nil && !slices.Contains(failures, nil) {
		return Planned{}, err // no labourer could be read, so the cause lies elsewhere
	}
	for i, err := range failures {
		if err != nil { // the labourer's own branch reports the error and affects no other
			turns[i] = &Turn{Labourer: asked[i]}
		}
	}
	metrics := map[string]ecology.Metric{}
	var others []string
	for i, t := range turns {
		if t == nil {
			out.Idle++
			continue
		}
		if len(out.Labourers) == planLimit {
			others = append(others, asked[i])
			continue
		}
		out.Labourers = append(out.Labourers, *t)
		for name, m := range all[asked[i]].HealthMetrics {
			metrics[asked[i]+"/"+name] = m
		}
	}
	// Reading all metrics together only saves calls. Unreadable metrics fail only their labourer's branch.
	if _, err := s.Health.Readings(ctx, metrics); err != nil {
		out.Unread = err.Error()
	}
	if out.Others = len(others); out.Others == 0 {
		return out, nil
	}
	var facts []event.Fact
	for some := range slices.Chunk(others, handedOver) {
		facts = append(facts, event.TasksDue(fmt.Sprintf("%s/%d", execution, len(facts)), some...))
	}
	return out, s.Bus.Publish(ctx, facts...)
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

// turn returns the labourer's turn, or nil if it has nothing to do.
func (s *Service) turn(ctx context.Context, execution string, l labourer.Labourer, woken bool) (*Turn, error) {
	now := s.Now()
	look, err := s.Control.Look(ctx, l.ID, now, lookPage)
	if err != nil {
		return nil, err
	}
	t := &Turn{Labourer: l.ID}
	for _, a := range look.Asides {
		t.Reap = t.Reap || a.Unreadable != nil || a.Since.Before(now.Add(-asideTerm))
	}
	for _, lease := range look.Leases {
		t.Reap = t.Reap || overdue(lease, limits(l), now)
	}
	unreadable := slices.ContainsFunc(look.Due, func(e queue.Entry) bool { return e.Unreadable != nil }) // to be set aside
	waits := len(look.Due) > 0 || queue.Waiting(look.Leases) > 0
	switch {
	case t.Reap || unreadable:
		return t, nil
	case woken:
		// A wake says that something became due or free just now, which this eventually consistent read may not show yet.
		return t, nil
	case !waits:
		return nil, nil
	case len(l.HealthMetrics) > 0:
		return t, nil // each tick assesses its health: slots may be revoked, or leases fed longer
	}
	state, err := s.Control.State(ctx, l.ID)
	if err != nil {
		return nil, err
	}
	if d := s.surmise(execution, l, state, look).decide(now); !d.Start && !d.Revoke {
		return nil, nil
	}
	return t, nil
}

// surmise returns what a look shows of a labourer without metrics.
func (s *Service) surmise(execution string, l labourer.Labourer, state queue.State, look queue.Look) snapshot {
	k := snapshot{hold: s.hold(execution, l.ID), labourer: l, state: state, leases: look.Leases, entries: look.Due,
		assessment: ecology.Assess(l.Subject(), nil, nil, s.Now(), queue.Granted(look.Leases))}
	for _, e := range look.Due {
		k.due += e.Tasks.Len()
	}
	return k
}

// overdue reports whether a lease needs the reaper: it cannot be read, it has lost tasks, or forsaken ones.
func overdue(l queue.Lease, by queue.Limits, now time.Time) bool {
	return l.Unreadable != nil || !l.Lost(by, now).Empty() || !l.Forsaken(now).Empty()
}

func limits(l labourer.Labourer) queue.Limits {
	return queue.Limits{MaxDuration: l.MaxDuration, Cooldown: l.Cooldown, Heartbeat: l.Heartbeat}
}
