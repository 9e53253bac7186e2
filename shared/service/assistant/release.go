package assistant

import (
	"context"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/task"
)

// sweep cancels tasks that were queued again while their jobs were being cancelled: the canceller has not seen them in the queue. It also
// sweeps those of redelivered messages, because the assistant that put them back may have died before it swept them.
func (b *batch) sweep(ctx context.Context, back []task.Task) {
	if len(back) == 0 {
		return
	}
	slices.SortFunc(back, func(x, y task.Task) int { return strings.Compare(x.ID.String(), y.ID.String()) })
	if err := b.service.Sweeper.Sweep(ctx, back); err != nil {
		for _, r := range b.reports {
			if slices.ContainsFunc(back, func(t task.Task) bool { return t.ID == r.id }) {
				b.fail(err, r.message)
			}
		}
	}
}

// release frees the slots of ended tasks, with one write per lease, and wakes the orchestrator where something is due, or will be.
func (b *batch) release(ctx context.Context, places map[placeKey]*place) {
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, p := range places {
		g.Go(func() error {
			for _, r := range p.releases {
				if p.err == nil {
					p.err = b.service.Control.Release(ctx, r.lease, r.numbers)
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	freed := map[string][]string{}
	for _, p := range places {
		if len(p.messages) == 0 {
			continue
		}
		if p.err != nil {
			b.fail(p.err, p.messages...)
			continue
		}
		freed[p.labourer] = append(freed[p.labourer], p.messages...)
	}
	for _, labourer := range slices.Sorted(maps.Keys(freed)) {
		if err := b.wake(ctx, labourer); err != nil {
			b.fail(err, freed[labourer]...)
		}
	}
	b.wakeLater(ctx, places)
}

// wakeLater sets a timer for the tasks that could not be started: one execution for all labourers of the batch.
func (b *batch) wakeLater(ctx context.Context, places map[placeKey]*place) {
	labourers := map[string]bool{}
	var messages []string
	for _, p := range places {
		if len(p.restarts) > 0 {
			labourers[p.labourer] = true
			messages = append(messages, p.restarts...)
		}
	}
	if len(messages) == 0 {
		return
	}
	if err := b.service.Timer.WakeAt(ctx, b.restartAt, slices.Sorted(maps.Keys(labourers))...); err != nil {
		b.fail(err, messages...)
	}
}

// wake wakes the orchestrator if a task is waiting for the freed slots. The read of the queue is strongly consistent: an entry that is put
// later has a wake of its own, which finds the slots free.
func (b *batch) wake(ctx context.Context, labourer string) error {
	due, err := b.service.Control.Due(ctx, labourer, b.service.Now(), 1)
	if err != nil || len(due) == 0 {
		return err
	}
	return b.service.Bus.Publish(ctx, event.TasksDue(b.invocation, labourer))
}
