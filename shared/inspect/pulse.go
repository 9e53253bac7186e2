package inspect

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

// Pulse reads labourers as they are now, again and again. It uses the answers of CloudWatch that the orchestrator has kept. Where nothing was
// due for a while, these are old: then the Pulse asks CloudWatch itself and uses the answer for as long as answers are valid. It stores nothing.
type Pulse struct {
	*Reader
	mu       sync.Mutex
	answered map[string]ecology.Reading // by the key of the query
}

// Pulse returns a Pulse without answers.
func (r *Reader) Pulse() *Pulse { return &Pulse{Reader: r, answered: map[string]ecology.Reading{}} }

// Beat is a labourer at one moment, with what its line is made of.
type Beat struct {
	Labourer
	Configuration labourer.Labourer
	Assessment    ecology.Assessment
	Leases        []queue.Lease
	Entries       []queue.Entry
}

// All reads all labourers, in the order of their names.
func (p *Pulse) All(ctx context.Context) ([]Beat, error) {
	labourers, err := p.Registry.Labourers(ctx)
	if err != nil {
		return nil, err
	}
	var all []labourer.Labourer
	for _, id := range slices.Sorted(maps.Keys(labourers)) {
		all = append(all, labourers[id])
	}
	return p.Some(ctx, all)
}

// Some reads labourers by their configurations, in this order.
func (p *Pulse) Some(ctx context.Context, labourers []labourer.Labourer) ([]Beat, error) {
	if err := p.ask(ctx, labourers); err != nil {
		return nil, err
	}
	beats := make([]Beat, len(labourers))
	err := each(ctx, len(labourers), func(ctx context.Context, i int) (err error) {
		beats[i], err = p.read(ctx, labourers[i])
		return err
	})
	return beats, err
}

// One reads one labourer, or returns a [NotFoundError].
func (p *Pulse) One(ctx context.Context, id string) (Beat, error) {
	l, found, err := p.Registry.Labourer(ctx, id)
	if err != nil {
		return Beat{}, err
	}
	if !found {
		return Beat{}, NoLabourer(id)
	}
	return p.Of(ctx, l)
}

// Of reads a labourer by its configuration.
func (p *Pulse) Of(ctx context.Context, l labourer.Labourer) (Beat, error) {
	if err := p.ask(ctx, []labourer.Labourer{l}); err != nil {
		return Beat{}, err
	}
	return p.read(ctx, l)
}

// ask gets answers to the labourers' queries that are as fresh as the orchestrator would have them.
func (p *Pulse) ask(ctx context.Context, labourers []labourer.Labourer) error {
	queries := map[string]ecology.Query{}
	for _, l := range labourers {
		for _, m := range l.HealthMetrics {
			queries[m.Key()] = m.Query
		}
	}
	if len(queries) == 0 {
		return nil
	}
	kept, err := p.Health.Readings(ctx, slices.Collect(maps.Keys(queries)))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
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
	answers, err := p.Metrics.Ask(ctx, stale, now)
	maps.Copy(p.answered, answers)
	return err
}

// read reads a labourer whose metrics are answered. It reads the leases before the queue: a task that is granted in between then counts in
// neither, and not twice.
func (p *Pulse) read(ctx context.Context, l labourer.Labourer) (Beat, error) {
	b := Beat{Configuration: l}
	state, err := p.Control.State(ctx, l.ID)
	if err != nil {
		return b, err
	}
	if b.Leases, err = p.Control.Leases(ctx, l.ID); err != nil {
		return b, err
	}
	if b.Entries, err = p.Control.Queue(ctx, l.ID); err != nil {
		return b, err
	}
	var remembered ecology.Remembered
	readings := map[string]ecology.Reading{}
	if len(l.HealthMetrics) > 0 {
		if remembered, err = p.Health.Recall(ctx, l.ID); err != nil {
			return b, err
		}
		p.mu.Lock()
		for name, m := range l.HealthMetrics {
			readings[name] = p.answered[m.Key()]
		}
		p.mu.Unlock()
	}
	now := p.Now()
	b.Assessment = ecology.Assess(l.Limited(state.Pin, remembered.Cap, now), readings, remembered.History, now, queue.Granted(b.Leases))
	b.Labourer = LabourerOf(l.ID, b.Assessment, state, b.Leases, b.Entries, now).capped(l, b.Assessment, state.Pin, remembered.Cap, now)
	return b, nil
}
