package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// capLine is a line: the cap at a time.
type capLine struct {
	At     time.Time `json:"at"`
	Cap    int       `json:"cap"`
	Reason string    `json:"reason"`
}

// replaySeries prints the cap that a labourer would have had, for each line of recorded values.
func (s *shell) replaySeries(l labourer.Labourer, path string) error {
	if l.Adaptive == nil {
		return badInput("labourer %s has a fixed cap; want max_simultaneous_invocations: {min, max, toward}", l.ID)
	}
	name, text, err := s.read(path)
	if err != nil {
		return err
	}
	replay := adaptive.Replay{Aims: l.Aims(), Min: l.Adaptive.Min, Max: l.Adaptive.Max}
	shown, number := 0, 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var sample adaptive.Sample
		if err := exact.Decode(line, &sample); err != nil {
			return badInput("%s:%d: %w", name, number, err)
		}
		for metric := range maps.Keys(sample.Metrics) {
			if _, known := l.HealthMetrics[metric]; !known {
				return badInput("%s:%d: metrics: labourer %s has no such metric %q%s", name, number, l.ID, metric, suggestion(metric, slices.Sorted(maps.Keys(l.HealthMetrics))))
			}
		}
		found, reason, err := replay.Next(sample)
		if err != nil {
			return badInput("%s:%d: %w", name, number, err)
		}
		if err := s.printCapLine(capLine{sample.At, found.Cap, reason}); err != nil {
			return err
		}
		shown++
	}
	if shown == 0 {
		return badInput("%s: there are no values; want lines like %s", name, `{"at": "2026-01-31T12:00:00Z", "running": 5, "due": 20, "metrics": {"SomeDBCPU": 41.5}}`)
	}
	return nil
}

// exportSeries prints what is known of a labourer in a time that ends now, as replaySeries reads it.
func (s *shell) exportSeries(ctx context.Context, st *stack, id string, span time.Duration) error {
	l, found, err := st.registry.Labourer(ctx, id)
	if err != nil {
		return err
	}
	if !found {
		return inspect.NoLabourer(id)
	}
	logged := func(ctx context.Context, id string, from, to time.Time) ([]decision.Record, error) {
		return s.logged(ctx, st, id, from, to)
	}
	now := s.now()
	recording, err := inspect.Record(ctx, st.Name, l, st.metrics, logged, now.Add(-span), now)
	if err != nil {
		return err
	}
	if err := recording.Nothing(); err != nil {
		return err
	}
	for sample := range recording.Samples() {
		if err := s.document(sample); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(recording.Metrics)) {
		if len(recording.Metrics[name]) == 0 {
			s.say("CloudWatch has no values of the metric %s", name)
		}
	}
	return nil
}

func (s *shell) printCapLine(line capLine) error {
	if s.json {
		return s.document(line)
	}
	_, err := fmt.Fprintf(s.out, "%s  %5d  %s\n", line.At.Format(time.RFC3339), line.Cap, line.Reason)
	return err
}
