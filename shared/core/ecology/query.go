package ecology

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

// DefaultPeriod applies when a query gives no length of a datapoint, as in sosw.
const DefaultPeriod = time.Minute

// DefaultStatistic applies when a query gives none, as in sosw.
const DefaultStatistic = "Average"

// minimalLookback covers the delay of a few minutes with which the metrics of AWS services arrive.
const minimalLookback = 5 * time.Minute

// Query asks CloudWatch for one metric's statistic, or for an expression over several metrics. Its fields have CloudWatch's names, also in the stored
// form.
type Query struct {
	MetricName string
	Namespace  string
	Statistic  string // Average, Sum, Minimum, Maximum, SampleCount, a percentile (p99, p99.9) or trimmed (tm90, TM(10%:90%)) one
	Dimensions []Dimension
	Unit       string        // "" for any unit
	Period     time.Duration // length of one datapoint: 1, 5, 10, 20, 30 s or whole minutes

	// Window spans the datapoints that make the value, up to the newest; 0 takes only the newest datapoint. For sums and counts it ends when the period
	// in progress begins. It is sosw's MetricAggregationTimeSlice, and valid only for statistics that Aggregates accepts.
	Window time.Duration

	// Expression has metric math over Metrics, or a SEARCH or Metrics Insights query that needs no Metrics. With an Expression, MetricName, Namespace,
	// Statistic, Dimensions, Unit and Window are empty.
	Expression string
	Metrics    []Operand // the operands of Expression, by ID
}

// Dimension is a name and value that distinguish a metric from others with the same name.
type Dimension struct {
	Name, Value string
}

// Operand is a query that an Expression refers to by its ID: [a-z][A-Za-z0-9_]*. It cannot have operands.
type Operand struct {
	ID string
	Query
}

// Key returns 32 hexadecimal digits. They are equal for equal queries, in any order of dimensions and operands. Labourers with the same key share one
// answer.
func (q Query) Key() string {
	text, err := json.Marshal(q.ordered())
	if err != nil {
		panic("ecology: a query of text and numbers does not marshal: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// ordered returns the query with its dimensions and operands in a fixed order.
func (q Query) ordered() Query {
	q.Dimensions = slices.Clone(q.Dimensions)
	slices.SortFunc(q.Dimensions, func(a, b Dimension) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value)) })
	q.Metrics = slices.Clone(q.Metrics)
	for i := range q.Metrics {
		q.Metrics[i].Query = q.Metrics[i].ordered()
	}
	slices.SortFunc(q.Metrics, func(a, b Operand) int { return cmp.Compare(a.ID, b.ID) })
	return q
}

// Lasts returns how long an answer is valid, and not requested again: the period, but at least a minute.
func (q Query) Lasts() time.Duration {
	return max(q.Period, time.Minute)
}

// Due reports whether the query has to be repeated at now. The zero Reading is always due.
func (q Query) Due(reading Reading, now time.Time) bool {
	return reading.At.IsZero() || now.Sub(reading.At) >= q.Lasts()
}

// Lookback returns how far back from now a request must reach to return the datapoints that Value needs.
func (q Query) Lookback() time.Duration {
	switch {
	case q.Window == 0:
		return max(3*q.Step(), minimalLookback)
	case q.whole():
		return q.Window + q.Step() // the window ends when the period in progress begins
	}
	return q.Window
}

// Step returns the length of a datapoint. For an expression it is the length of the longest operand's datapoints.
func (q Query) Step() time.Duration {
	step := q.Period
	for _, operand := range q.Metrics {
		step = max(step, operand.Period)
	}
	return step
}

// Covers returns the length of the time that a value is about.
func (q Query) Covers() time.Duration { return max(q.Step(), q.Window) }

// InMinutes returns the query with datapoints of at least a minute, as CloudWatch keeps shorter ones for three hours; a window then has whole datapoints.
// A sum or count grows with the time that it covers: part of its value, in (0, 1], belongs to the time that the query itself covers. For an expression the
// part is 1, as only its author knows whether its operands grow.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
func (q Query) InMinutes() (in Query, part float64) {
	in, part = q, 1
	in.Period = max(q.Period, time.Minute)
	in.Metrics = slices.Clone(q.Metrics)
	for i := range in.Metrics {
		in.Metrics[i].Period = max(in.Metrics[i].Period, time.Minute)
	}
	if in.Period == q.Period {
		return in, part
	}
	in.Window = (q.Window + in.Period - 1).Truncate(in.Period)
	if sums.MatchString(q.Statistic) {
		part = float64(max(q.Period, q.Window.Truncate(q.Period))) / float64(in.Covers())
	}
	return in, part
}

// whole reports whether a datapoint counts only after the end of its period. A sum or count of a period in progress covers only its first seconds, so it
// is too low, whatever the load. An expression is treated in the same way, because it may use sums.
func (q Query) whole() bool {
	return q.Expression != "" || sums.MatchString(q.Statistic)
}

// sums matches the statistics that grow during their period: the sum, the count, and their trimmed forms.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
var sums = lazyregexp.New(`^(Sum|SampleCount|(tc|ts)[0-9].*|(TC|TS)\(.*)$`)

// Point holds one datapoint. At is the beginning of its period.
type Point struct {
	At    time.Time
	Value float64
}

// Value returns the single number that CloudWatch's datapoints, in any order, stand for. It is the newest one or, over the Window, the mean of averages,
// the greatest of maxima, the least of minima, or the total of sums and counts (unweighted, as in sosw). Sums, counts and expressions end with the last
// complete period. Value returns nil if there is none within Lookback.
func (q Query) Value(points []Point, now time.Time) *float64 {
	recent := q.recent(points, now)
	if len(recent) == 0 {
		return nil
	}
	if q.Window == 0 {
		newest := slices.MaxFunc(recent, func(a, b Point) int { return a.At.Compare(b.At) })
		return &newest.Value
	}

	value := recent[0].Value
	for _, p := range recent[1:] {
		switch q.Statistic {
		case "Maximum":
			value = max(value, p.Value)
		case "Minimum":
			value = min(value, p.Value)
		default:
			value += p.Value
		}
	}
	if q.Statistic == "Average" {
		value /= float64(len(recent))
	}
	return &value
}

// recent returns the datapoints that make the value.
func (q Query) recent(points []Point, now time.Time) []Point {
	recent := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return now.Sub(p.At) > q.Lookback() })
	if q.whole() {
		recent = slices.DeleteFunc(recent, func(p Point) bool { return now.Sub(p.At) < q.Step() })
	}
	if q.whole() && q.Window > 0 && len(recent) > 0 {
		end := now.Add(-(now.Sub(recent[0].At) % q.Step())) // the end of the last complete period: all begin a whole number of periods apart
		recent = slices.DeleteFunc(recent, func(p Point) bool { return end.Sub(p.At) > q.Window })
	}
	return recent
}

// About returns the end of the time that the value of these datapoints is about, at most now; the zero time without one.
func (q Query) About(points []Point, now time.Time) time.Time {
	recent := q.recent(points, now)
	if len(recent) == 0 {
		return time.Time{}
	}
	newest := slices.MaxFunc(recent, func(a, b Point) int { return a.At.Compare(b.At) })
	if end := newest.At.Add(q.Step()); end.Before(now) {
		return end.UTC()
	}
	return now.UTC()
}

// Aggregates reports whether datapoints of the statistic can be combined over a Window. A percentile of percentiles would be meaningless.
func Aggregates(statistic string) bool {
	switch statistic {
	case "Average", "Maximum", "Minimum", "Sum", "SampleCount":
		return true
	}
	return false
}
