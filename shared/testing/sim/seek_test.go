package sim

import (
	"context"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/service/orchestrator"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// seekMutations are faults to plant that only worlds with caps that find themselves can show.
var seekMutations = []mutation{
	{"a claim passes over a pin", []string{"G3"}, seekers, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = pinless{s.Orchestrator.Service.Control}
	}}},
	{"a cap that was found is doubled when it is recalled", []string{"G3"}, seekers, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Memory = doubling{s.Orchestrator.Service.Memory}
	}}},
	{"a claimer misses the leases in one lane", []string{"G3"}, lanes, Options{Rewire: func(s *fakeaws.Functions) {
		s.Orchestrator.Service.Control = narrow{s.Orchestrator.Service.Control}
	}}},
}

type pinless struct{ orchestrator.Control }

func (c pinless) State(ctx context.Context, id string) (queue.State, error) {
	state, err := c.Control.State(ctx, id)
	state.Pin = nil
	return state, err
}

// narrow hides leases of a lane, but not those in which anything waits: that would wait for ever.
type narrow struct{ orchestrator.Control }

func (c narrow) Work(ctx context.Context, id string, now time.Time, limit int) ([]queue.Lease, []queue.Entry, error) {
	leases, entries, err := c.Control.Work(ctx, id, now, limit)
	return slices.DeleteFunc(leases, func(l queue.Lease) bool { return l.Segment.Lane() == "b" && l.Waiting.Empty() && len(l.Retries) == 0 }), entries, err
}

type doubling struct{ orchestrator.Memory }

func (m doubling) Recall(ctx context.Context, id string) (ecology.Remembered, error) {
	remembered, err := m.Memory.Recall(ctx, id)
	remembered.Cap.Cap *= 2
	return remembered, err
}

func (m doubling) Remember(ctx context.Context, id string, before, after ecology.Remembered) error {
	before.Cap.Cap /= 2
	return m.Memory.Remember(ctx, id, before, after)
}
