package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/spelling"
	"github.com/drover-run/drover/shared/inspect"
)

func newAssess(s *shell) *cobra.Command {
	var paths, metrics []string
	var running int
	var series string
	c := &cobra.Command{
		Use:   "assess -f FILE... LABOURER {[--metric NAME=VALUE]... [--running N] | --series FILE}",
		Short: "show how many tasks of a labourer may run at given metrics",
		Long: `Shows how many tasks of a labourer may run if its health metrics have the given values. It needs no AWS.

A metric that is not given has no value; then the metric's policy "missing" applies. The orchestrator runs the same code.

With --series it replays recorded values through the law that finds the cap of a labourer with {min, max, toward}, and prints the cap at each line. A line
is a JSON object: {"at": "2026-01-31T12:00:00Z", "running": 5, "due": 20, "metrics": {"DatabaseCPU": 41.5}}. A metric without a value is null; a value whose
own time is known is {"value": 41.5, "at": "2026-01-31T11:58:00Z"}. With the cap that held, "cap": 5, other numbers of tasks run in the replay than ran then,
and the values are taken in proportion to them. drover labourer --export-series writes such lines.`,
		Example: `  drover assess -f labourers.yaml shop --metric DatabaseCPU=62.5 --running 3
  drover assess -f labourers.yaml shop --series last-week.jsonl`,
		Args: exactly("LABOURER"),
	}
	files(c, &paths, false)
	c.Flags().StringArrayVar(&metrics, "metric", nil, "a metric and its value, `NAME=VALUE`; may be repeated")
	c.Flags().IntVar(&running, "running", 0, "`n` tasks are already running")
	c.Flags().StringVar(&series, "series", "", "a `file` of recorded values, or - for standard input")
	c.MarkFlagsMutuallyExclusive("series", "metric")
	c.MarkFlagsMutuallyExclusive("series", "running")
	c.PreRunE = func(*cobra.Command, []string) error {
		if len(paths) == 0 {
			return fmt.Errorf("-f FILE is missing")
		}
		if running < 0 {
			return fmt.Errorf("--running is %d; want 0 or more", running)
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		known, warnings, err := s.configuration(paths, labourer.TargetOptional())
		if err != nil {
			return err
		}
		s.warn(warnings...)
		id := arguments[0]
		l, found := known.Labourers[id]
		if !found {
			return fmt.Errorf("there is no labourer %q in these files%s", id, suggestion(id, slices.Sorted(maps.Keys(known.Labourers))))
		}
		if c.Flags().Changed("series") {
			return s.replaySeries(l, series)
		}
		now := s.now()
		readings, err := readingsOf(l, metrics, now)
		if err != nil {
			return err
		}
		a := ecology.Assess(l.Subject(), readings, nil, now, running)
		if s.json {
			return s.document(inspect.PaceOf(id, a))
		}
		fmt.Fprintf(s.out, "The health of %s is %s: %s may run, %d running, %s free.\n", id, a.Status, inspect.Count(a.Desired, "task"), a.Running, inspect.Count(a.Free, "slot"))
		return s.metrics(a)
	}
	return c
}

// metrics prints the metrics of an assessment.
func (s *shell) metrics(a ecology.Assessment) error {
	if len(a.Metrics) == 0 {
		return nil
	}
	t := newTable(s.out, "METRIC", "STATUS", "WHY")
	for _, name := range slices.Sorted(maps.Keys(a.Metrics)) {
		m := a.Metrics[name]
		t.row(name, m.Status.String(), m.Reason)
	}
	return t.end()
}

// readingsOf returns the given values as readings of this moment.
func readingsOf(l labourer.Labourer, given []string, now time.Time) (map[string]ecology.Reading, error) {
	readings := map[string]ecology.Reading{}
	for _, one := range given {
		cut := strings.LastIndex(one, "=")
		if cut < 0 {
			return nil, badInput("--metric %q is not of the form NAME=VALUE", one)
		}
		name, text := one[:cut], one[cut+1:]
		if _, known := l.HealthMetrics[name]; !known {
			return nil, badInput("--metric %s: labourer %s has no such metric%s", name, l.ID, suggestion(name, slices.Sorted(maps.Keys(l.HealthMetrics))))
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, badInput("--metric %s: the value is %q; want a number", name, text)
		}
		readings[name] = ecology.Reading{Value: &value, At: now}
	}
	return readings, nil
}

// suggestion returns the known name that is nearest to a name. If none is near, it returns all known names, up to ten.
func suggestion(name string, known []string) string {
	if nearest, ok := spelling.Nearest(name, known); ok {
		return fmt.Sprintf("; did you mean %s?", nearest)
	}
	if len(known) == 0 || len(known) > 10 {
		return ""
	}
	return "; want one of " + strings.Join(known, ", ")
}
