package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/ecology"
	"github.com/drover-run/drover/shared/labourer"
	"github.com/drover-run/drover/shared/queue"
	"github.com/drover-run/drover/shared/view"
)

// pulse looks at labourers as they are now. What CloudWatch says is taken from what the orchestrator has kept; where that has grown old, as
// nothing was due that would have made it ask, CloudWatch is asked here, and the answer used for as long as answers last. Nothing is stored.
type pulse struct {
	*stack
	now func() time.Time

	mu       sync.Mutex
	answered map[string]ecology.Reading // by the key of the query
}

func newPulse(s *stack, now func() time.Time) *pulse {
	return &pulse{stack: s, now: now, answered: map[string]ecology.Reading{}}
}

// beat is a labourer at one moment.
type beat struct {
	view.Labourer
	configuration labourer.Labourer
	assessment    ecology.Assessment
	leases        []queue.Lease
	entries       []queue.Entry
}

// all looks at all labourers, in the order of their names.
func (p *pulse) all(ctx context.Context) ([]beat, error) {
	labourers, err := p.registry.Labourers(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.ask(ctx, slices.Collect(maps.Values(labourers))); err != nil {
		return nil, err
	}
	beats := make([]beat, len(labourers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, id := range slices.Sorted(maps.Keys(labourers)) {
		g.Go(func() (err error) {
			beats[i], err = p.look(ctx, labourers[id])
			return err
		})
	}
	return beats, g.Wait()
}

// one looks at one labourer; found is false when there is none of this name.
func (p *pulse) one(ctx context.Context, id string) (b beat, found bool, err error) {
	l, found, err := p.registry.Labourer(ctx, id)
	if err != nil || !found {
		return beat{}, false, err
	}
	if err := p.ask(ctx, []labourer.Labourer{l}); err != nil {
		return beat{}, false, err
	}
	b, err = p.look(ctx, l)
	return b, err == nil, err
}

// ask has answers to all the labourers' queries that are as fresh as the orchestrator would have them.
func (p *pulse) ask(ctx context.Context, labourers []labourer.Labourer) error {
	queries := map[string]ecology.Query{}
	for _, l := range labourers {
		for _, m := range l.HealthMetrics {
			queries[m.Key()] = m.Query
		}
	}
	if len(queries) == 0 {
		return nil
	}
	kept, err := p.health.Readings(ctx, slices.Collect(maps.Keys(queries)))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	stale := map[string]ecology.Query{}
	for key, query := range queries {
		if kept[key].At.After(p.answered[key].At) {
			p.answered[key] = kept[key]
		}
		if query.Due(p.answered[key], now) {
			stale[key] = query
		}
	}
	if len(stale) == 0 {
		return nil
	}
	answers, err := p.metrics.Ask(ctx, stale, now)
	maps.Copy(p.answered, answers)
	return err
}

// look looks at a labourer whose metrics are answered. The leases are read before the queue: what is claimed in between counts as due
// still, and not as running beside it.
func (p *pulse) look(ctx context.Context, l labourer.Labourer) (beat, error) {
	b := beat{configuration: l}
	state, err := p.control.State(ctx, l.ID)
	if err != nil {
		return b, err
	}
	if b.leases, err = p.control.Leases(ctx, l.ID); err != nil {
		return b, err
	}
	if b.entries, err = p.control.Queue(ctx, l.ID); err != nil {
		return b, err
	}
	var history ecology.History
	readings := map[string]ecology.Reading{}
	if len(l.HealthMetrics) > 0 {
		remembered, err := p.health.Recall(ctx, l.ID)
		if err != nil {
			return b, err
		}
		history = remembered.History
		p.mu.Lock()
		for name, m := range l.HealthMetrics {
			readings[name] = p.answered[m.Key()]
		}
		p.mu.Unlock()
	}
	now := p.now()
	b.assessment = ecology.Assess(l.Subject(), readings, history, now, queue.Running(b.leases))
	b.Labourer = view.LabourerOf(l.ID, b.assessment, state, b.entries, now)
	return b, nil
}
