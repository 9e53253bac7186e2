package inspect

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/metric"
)

// History reads past values of metrics.
type History interface {
	Series(ctx context.Context, queries map[string]ecology.Query, from, to time.Time) (map[string][]ecology.Point, error)
}

// Decided reads what was decided about a labourer.
type Decided func(ctx context.Context, labourer string, from, to time.Time) ([]decision.Record, error)

// SeriesMost limits how far a recording goes back: CloudWatch keeps values of a minute for 15 days.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
const SeriesMost = 15 * 24 * time.Hour

// Emitted returns the query for a metric that Drover emits for a labourer.
func Emitted(stack, labourer, name string) ecology.Query {
	dimension, value := metric.Subject{Labourer: labourer}.Dimension()
	return ecology.Query{Namespace: metric.Namespace, MetricName: name, Statistic: "Maximum", Period: time.Minute,
		Dimensions: []ecology.Dimension{{Name: "Stack", Value: stack}, {Name: dimension, Value: value}}}
}

// Recording holds what is known of a labourer in a time.
type Recording struct {
	Labourer          labourer.Labourer
	From, To          time.Time
	Running, Due, Cap []ecology.Point            // each holds until the next
	Metrics           map[string][]ecology.Point // by name, of at least a minute each
}

// Record reads a recording of a labourer: the values of its metrics from CloudWatch, and what ran and was due from the metrics of the stack or, where
// CloudWatch has none of them, from what was logged. To is at most SeriesMost after From.
func Record(ctx context.Context, stack string, l labourer.Labourer, history History, decided Decided, from, to time.Time) (Recording, error) {
	r := Recording{Labourer: l, From: from, To: to, Metrics: map[string][]ecology.Point{}}
	queries := map[string]ecology.Query{"running": Emitted(stack, l.ID, metric.Running), "due": Emitted(stack, l.ID, metric.Due),
		"cap": Emitted(stack, l.ID, metric.Cap)}
	back := time.Duration(0)
	for name, m := range l.HealthMetrics {
		q, _ := m.Query.InMinutes()
		queries["metric "+name], back = q, max(back, q.Lookback())
	}
	begin := from.Add(-back)
	if oldest := to.Add(-SeriesMost); begin.Before(oldest) {
		begin = oldest
	}
	found, err := history.Series(ctx, queries, begin, to)
	if err != nil {
		return r, err
	}
	for name := range l.HealthMetrics {
		r.Metrics[name] = inOrder(found["metric "+name])
	}
	r.Running, r.Due, r.Cap = ended(found["running"]), ended(found["due"]), ended(found["cap"])
	if len(r.Running) > 0 {
		return r, nil
	}
	records, err := decided(ctx, l.ID, from, to)
	for _, d := range records {
		r.Running = append(r.Running, ecology.Point{At: d.At, Value: float64(d.Running)})
		r.Due = append(r.Due, ecology.Point{At: d.At, Value: float64(d.Due)})
		r.Cap = append(r.Cap, ecology.Point{At: d.At, Value: d.Cap})
	}
	return r, err
}

// ended returns the values of whole minutes at the ends of these.
func ended(points []ecology.Point) []ecology.Point {
	out := inOrder(points)
	for i := range out {
		out[i].At = out[i].At.Add(time.Minute)
	}
	return out
}

func inOrder(points []ecology.Point) []ecology.Point {
	return slices.SortedFunc(slices.Values(points), func(a, b ecology.Point) int { return a.At.Compare(b.At) })
}

// Samples yields a sample for each whole minute, from the first at which it is known what ran. A metric has the value that an assessment would have read,
// if CloudWatch has each value once its time has ended.
func (r Recording) Samples() iter.Seq[adaptive.Sample] {
	return func(yield func(adaptive.Sample) bool) {
		for at := r.From.UTC().Truncate(time.Minute).Add(time.Minute); !at.After(r.To); at = at.Add(time.Minute) {
			running, known := lastOf(r.Running, at)
			if !known {
				continue
			}
			due, _ := lastOf(r.Due, at)
			sample := adaptive.Sample{At: at, Running: int(running), Due: int(due), Metrics: map[string]*adaptive.Recorded{}}
			if limit, known := lastOf(r.Cap, at); known {
				sample.Cap = &limit
			}
			for name, m := range r.Labourer.HealthMetrics {
				sample.Metrics[name] = recorded(m.Query, r.Metrics[name], at)
			}
			if !yield(sample) {
				return
			}
		}
	}
}

// before returns how many of the points begin before a time, or at it.
func before(points []ecology.Point, at time.Time) int {
	n, _ := slices.BinarySearchFunc(points, at, func(p ecology.Point, at time.Time) int {
		if p.At.After(at) {
			return 1
		}
		return -1
	})
	return n
}

func lastOf(points []ecology.Point, at time.Time) (value float64, known bool) {
	n := before(points, at)
	if n == 0 {
		return 0, false
	}
	return points[n-1].Value, true
}

// recorded returns the value that the query has at a time by those of the points, of at least a minute each, whose time has ended then; nil without one.
func recorded(q ecology.Query, points []ecology.Point, at time.Time) *adaptive.Recorded {
	q, part := q.InMinutes()
	points = points[before(points, at.Add(-q.Lookback()-time.Nanosecond)):before(points, at.Add(-q.Step()))]
	value := q.Value(points, at)
	if value == nil {
		return nil
	}
	*value *= part
	return &adaptive.Recorded{Value: value, At: q.About(points, at)}
}

// Nothing returns the error that nothing is known of what a labourer did.
func (r Recording) Nothing() error {
	if len(r.Running) > 0 {
		return nil
	}
	return fmt.Errorf("nothing is known of labourer %s since %s: it was at rest, or neither its metrics nor the log of that time are kept", r.Labourer.ID,
		r.From.UTC().Format(time.RFC3339))
}
