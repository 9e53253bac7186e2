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

func (s *Service) meterStart(r flow.Record) {
	s.Tally.Count(metric.Subject{Workflow: r.Workflow}, metric.StartedRuns, 1)
}

func (s *Service) meterOverdue(r flow.Record) {
	s.Tally.Count(metric.Subject{Workflow: r.Workflow}, metric.OverdueRuns, 1)
}

// meterEnd counts a run that ended. A cancelled one neither completed nor failed.
func (s *Service) meterEnd(r flow.Record) {
	of := metric.Subject{Workflow: r.Workflow}
	switch {
	case r.Head.State.Good():
		s.Tally.Count(of, metric.CompletedRuns, 1)
	case r.Head.State == flow.Error || r.Head.State == flow.TimedOut:
		s.Tally.Count(of, metric.FailedRuns, 1)
	default:
		return
	}
	s.Tally.Observe(of, metric.RunDuration, r.Head.FinishedAt.Sub(r.Head.StartedAt), 1)
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
		s.Tally.Gauge(metric.Subject{Workflow: workflow}, metric.ActiveRuns, float64(active[workflow]))
	}
	if slices.Equal(before, now) {
		return nil
	}
	return s.Gauges.SetGauged(ctx, now)
}
