package ecology

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"time"
)

// DefaultPeriod is the length of one datapoint where a query names none, as in sosw.
const DefaultPeriod = time.Minute

// DefaultStatistic is what a datapoint is of the samples in its period where a query names none, as in sosw.
const DefaultStatistic = "Average"

// minimalLookback covers the minutes by which the metrics of AWS' own services arrive late.
const minimalLookback = 5 * time.Minute

// Query is what is asked of CloudWatch: one metric's statistic, or an expression over some of them.
// The field names are CloudWatch's own, in the stored form as well.
type Query struct {
	MetricName string
	Namespace  string
	Statistic  string // Average, Sum, Minimum, Maximum, SampleCount, a percentile (p99, p99.9) or trimmed (tm90, TM(10%:90%)) one
	Dimensions []Dimension
	Unit       string        // "" = whatever unit it was put with
	Period     time.Duration // length of one datapoint: 1, 5, 10, 20, 30 s or whole minutes

	// Window is the time over whose datapoints the value is taken, newest included; 0 takes the newest datapoint alone.
	// Of sums and counts it ends where the period in progress begins.
	// It is sosw's MetricAggregationTimeSlice, and only for the statistics that Aggregates tells.
	Window time.Duration

	// Expression is metric math over Metrics, or a SEARCH or Metrics Insights query that needs none; then
	// MetricName, Namespace, Statistic, Dimensions, Unit and Window are empty.
	Expression string
	Metrics    []Operand // the names in Expression, by ID
}

// Dimension is one name and value of those that tell a metric from its namesakes.
type Dimension struct {
	Name, Value string
}

// Operand is a query that an Expression calls by its ID: [a-z][A-Za-z0-9_]*. It has no operands of its own.
type Operand struct {
	ID string
	Query
}

// Key is the same for queries that ask the same, in whatever order their dimensions and operands stand: labourers with the same
// key share one answer. It is 32 hexadecimal digits.
func (q Query) Key() string {
	text, err := json.Marshal(q.ordered())
	if err != nil {
		panic("ecology: a query of text and numbers does not marshal: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// ordered is the query with what is a set to CloudWatch in one order.
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

// Lasts is how long an answer is used and not asked for again: the period, and a minute at least.
func (q Query) Lasts() time.Duration {
	return max(q.Period, time.Minute)
}

// Due tells whether the query is to be asked again at now, after the reading; the zero Reading is always due.
func (q Query) Due(reading Reading, now time.Time) bool {
	return reading.At.IsZero() || now.Sub(reading.At) >= q.Lasts()
}

// Lookback is how far back from now CloudWatch has to be asked to have the datapoints that Value needs.
func (q Query) Lookback() time.Duration {
	switch {
	case q.Window == 0:
		return max(3*q.step(), minimalLookback)
	case q.whole():
		return q.Window + q.step() // the window ends where the period in progress begins
	}
	return q.Window
}

// step is the length of a datapoint: of an expression, that of its longest operand.
func (q Query) step() time.Duration {
	step := q.Period
	for _, operand := range q.Metrics {
		step = max(step, operand.Period)
	}
	return step
}

// whole tells whether a datapoint counts only once its period is over. A sum or a count of a period in progress is that of its first seconds: it
// reads low, whatever the load. What an expression makes of its operands is not known here, so it is taken for such.
func (q Query) whole() bool {
	return q.Expression != "" || sums.MatchString(q.Statistic)
}

// sums matches the statistics that grow while their period lasts: the sum, the count, and both of them trimmed.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
var sums = regexp.MustCompile(`^(Sum|SampleCount|(tc|ts)[0-9].*|(TC|TS)\(.*)$`)

// Point is one datapoint; At is the beginning of its period.
type Point struct {
	At    time.Time
	Value float64
}

// Value takes the one number out of CloudWatch's datapoints, in whatever order they come: the newest one, or over the Window
// the mean of averages, the greatest of maxima, the least of minima, the total of sums and counts (unweighted, as in sosw).
// Sums, counts and expressions end with the last period that is over. Nil when there is none within Lookback.
func (q Query) Value(points []Point, now time.Time) *float64 {
	recent := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return now.Sub(p.At) > q.Lookback() })
	if q.whole() {
		recent = slices.DeleteFunc(recent, func(p Point) bool { return now.Sub(p.At) < q.step() })
	}
	if q.whole() && q.Window > 0 && len(recent) > 0 {
		end := now.Add(-(now.Sub(recent[0].At) % q.step())) // of the last period that is over: all begin a whole number of periods apart
		recent = slices.DeleteFunc(recent, func(p Point) bool { return end.Sub(p.At) > q.Window })
	}
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

// Aggregates tells whether datapoints of the statistic can be made one over a Window. The percentile of percentiles means nothing.
func Aggregates(statistic string) bool {
	switch statistic {
	case "Average", "Maximum", "Minimum", "Sum", "SampleCount":
		return true
	}
	return false
}
