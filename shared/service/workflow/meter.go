package workflow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/drover-run/drover/shared/core/metric"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Each of a run's counts follows the one conditional write that makes it true. So a redelivery counts nothing twice. A count is lost if the service
// dies between the two.

func (s *Service) meterStart(ctx context.Context, r flow.Record) {
	s.Meter(ctx, r.Workflow, metric.Runs{Started: 1})
}

func (s *Service) meterOverdue(ctx context.Context, r flow.Record) {
	s.Meter(ctx, r.Workflow, metric.Runs{Overdue: 1})
}

// meterEnd counts a run that ended. A cancelled one neither completed nor failed.
func (s *Service) meterEnd(ctx context.Context, r flow.Record) {
	took := r.Head.FinishedAt.Sub(r.Head.StartedAt)
	switch {
	case r.Head.State.Good():
		s.Meter(ctx, r.Workflow, metric.Runs{Completed: 1, Duration: took})
	case r.Head.State == flow.Error || r.Head.State == flow.TimedOut:
		s.Meter(ctx, r.Workflow, metric.Runs{Failed: 1, Duration: took})
	}
}

// gauge publishes how many runs of each workflow are active. A workflow whose last run has ended gets one zero: a metric without further values
// would show its last one for as long as people look back.
func (s *Service) gauge(ctx context.Context, active map[string]int) error {
	before, err := s.Gauges.Gauged(ctx)
	if err != nil {
		return fmt.Errorf("reading which workflows had active runs, %w", err)
	}
	now := slices.Sorted(maps.Keys(active))
	for _, workflow := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(before, now)))) {
		n := active[workflow]
		s.Meter(ctx, workflow, metric.Runs{Active: &n})
	}
	if slices.Equal(before, now) {
		return nil
	}
	return s.Gauges.SetGauged(ctx, now)
}
