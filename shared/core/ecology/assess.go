package ecology

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// Subject holds the properties of a labourer that determine its pace.
type Subject struct {
	Cap          float64 // max_simultaneous_invocations; 2.9 is legal
	CapReason    string  // why the cap is not just the configured one; "" if it is
	Coefficients Coefficients
	Metrics      map[string]Metric // by name
}

// Reading holds CloudWatch's answer to a query, and the time of the query.
type Reading struct {
	Value *float64  `json:"value,omitempty"` // nil if there is no data
	At    time.Time `json:"at"`
	About time.Time `json:"about,omitzero"`  // the end of the time that the value is about; zero: not known
	Error string    `json:"error,omitempty"` // why there is no value, if CloudWatch could not be read or refused the query
}

// Assessment holds how many tasks of a labourer may run, with the numbers behind that.
type Assessment struct {
	Status      Status                      `json:"status"`
	Decisive    string                      `json:"-"`      // the metric that decided; empty without metrics
	Reason      string                      `json:"reason"` // how it decided
	Metrics     map[string]MetricAssessment `json:"metrics"`
	Cap         float64                     `json:"cap"`
	CapReason   string                      `json:"cap_reason,omitempty"`
	Coefficient float64                     `json:"coefficient"`
	Desired     int                         `json:"desired"`
	Running     int                         `json:"running"`
	Free        int                         `json:"free"`

	// History is passed to the next assessment.
	History History `json:"-"`
}

// MetricAssessment holds the status of one metric, and its basis.
type MetricAssessment struct {
	Status  Status
	Counted bool          // false if the metric does not count for the labourer; then Status is High
	Value   *float64      // nil without a usable value
	Age     time.Duration // time since the query for the value, or 0 without one
	// The value has to meet Threshold, by Operator, for the next better status. Threshold is nil without a value, or if there is no better status.
	Threshold *float64
	Operator  Operator
	Reason    string
}

// MarshalJSON writes the age in whole seconds, and only beside a value.
func (m MetricAssessment) MarshalJSON() ([]byte, error) {
	shown := struct {
		Status     Status   `json:"status"`
		Counted    bool     `json:"counted"`
		Value      *float64 `json:"value,omitempty"`
		AgeSeconds *int64   `json:"age_seconds,omitempty"`
		Reason     string   `json:"reason"`
	}{m.Status, m.Counted, m.Finite(), m.AgeSeconds(), m.Reason}
	return json.Marshal(shown)
}

// Finite returns the value, or nil if JSON cannot represent it.
func (m MetricAssessment) Finite() *float64 { return finite(m.Value) }

// AgeSeconds returns the age in whole seconds, or nil without a value.
func (m MetricAssessment) AgeSeconds() *int64 {
	if m.Value == nil {
		return nil
	}
	seconds := int64(m.Age / time.Second)
	return &seconds
}

// Whole returns how many tasks may run by the cap alone.
func (a Assessment) Whole() int { return share(a.Cap, 1) }

// Lowered reports whether health lowers how many tasks may run.
func (a Assessment) Lowered() bool { return a.Desired < a.Whole() }

// Statuses returns the status of each metric.
func (a Assessment) Statuses() map[string]Status {
	statuses := make(map[string]Status, len(a.Metrics))
	for name, m := range a.Metrics {
		statuses[name] = m.Status
	}
	return statuses
}

// Assess decides a labourer's pace. Its status is the worst of its metrics' statuses, High without any:
//
//	desired = floor(cap × coefficient[status])
//	free    = max(desired − running, 0)
//
// readings are by metric name. Without a reading, CloudWatch was never asked. A value counts for the time of Query.Lasts, and is missing after that.
// running counts the tasks in leases; previous comes from the last assessment.
func Assess(l Subject, readings map[string]Reading, previous History, now time.Time, running int) Assessment {
	a := Assessment{
		Status:  High,
		Reason:  "no metrics",
		Metrics: make(map[string]MetricAssessment, len(l.Metrics)),
		Cap:     l.Cap, CapReason: l.CapReason,
		Running: max(running, 0),
		History: make(History, len(l.Metrics)),
	}

	for _, name := range slices.Sorted(maps.Keys(l.Metrics)) {
		metric, past := l.Metrics[name], previous.of(name)
		assessed, next := metric.assess(readings[name], past, now)
		a.Metrics[name] = assessed
		if next != nil {
			a.History[name] = *next
		}
		if !metric.Felt() {
			continue
		}
		if a.Decisive == "" || assessed.Status < a.Status {
			a.Status, a.Decisive = assessed.Status, name
			a.Reason = fmt.Sprintf("%s is %s: %s", name, assessed.Status, assessed.Reason)
		}
	}

	a.Coefficient = l.Coefficients[a.Status]
	a.Desired = share(l.Cap, a.Coefficient)
	a.Free = max(a.Desired-a.Running, 0)
	return a
}

func (h History) of(name string) *Past {
	past, ok := h[name]
	if !ok {
		return nil
	}
	// A stored status may be older or newer than this code.
	past.Status = min(max(past.Status, Bad), High)
	return &past
}

// assess returns the status of the metric, and what to remember of it, or nil if nothing is known yet.
func (m Metric) assess(reading Reading, past *Past, now time.Time) (MetricAssessment, *Past) {
	value, age, missing := m.usable(reading, now)
	switch {
	case !m.Felt() && value == nil:
		return MetricAssessment{Status: High, Reason: missing + "; " + unfelt}, nil
	case !m.Felt():
		return MetricAssessment{Status: High, Value: value, Age: age, Reason: decimal(*value) + "; " + unfelt}, nil
	case value == nil:
		return m.assessMissing(missing, reading.Error != "", past, now)
	}

	felt, reason := m.feel(*value)
	next := past.settle(felt, m.Settle, now)
	out := MetricAssessment{Status: next.Status, Counted: true, Value: value, Age: age, Reason: m.settling(reason, felt, next, now)}
	if target, found := m.Feelings.better(felt); found {
		out.Threshold, out.Operator = &target, m.Operator
	}
	return out, &next
}

const unfelt = "no part of the health, as it has no feelings"

// usable returns the value and its age, or the reason why there is none.
func (m Metric) usable(reading Reading, now time.Time) (*float64, time.Duration, string) {
	// A reading may come from a machine whose clock is ahead of this one.
	age := max(now.Sub(reading.At), 0)
	switch {
	case reading.Value != nil && math.IsNaN(*reading.Value):
		return nil, 0, "the value is not a number"
	case reading.Value != nil && age > m.Query.Lasts():
		return nil, 0, fmt.Sprintf("the last value is %s old and was valid for %s", seconds(age), seconds(m.Query.Lasts()))
	case reading.Value != nil:
		return reading.Value, age, ""
	case reading.Error != "":
		return nil, 0, reading.Error
	case reading.At.IsZero():
		return nil, 0, "no value yet"
	}
	return nil, 0, "no data"
}

// assessMissing applies the policy for a metric without a value.
func (m Metric) assessMissing(why string, failed bool, past *Past, now time.Time) (MetricAssessment, *Past) {
	policy := m.Missing
	if policy == Last && past != nil {
		// The times of an improvement in progress stay unchanged: missing data neither completes nor interrupts it.
		return MetricAssessment{Status: past.Status, Counted: true, Reason: fmt.Sprintf("%s: the last status (missing: last)", why)}, past
	}
	if policy == Last || policy == Unsaid {
		policy = Ignore
		if failed {
			policy = MissingIsBad
		}
	}
	if policy == MissingIsBad {
		next := past.settle(Bad, m.Settle, now)
		return MetricAssessment{Status: Bad, Counted: true, Reason: fmt.Sprintf("%s: taken as Bad", why)}, &next
	}

	// Being ignored is an improvement like any other: it must not bypass the time to settle.
	if past == nil {
		return MetricAssessment{Status: High, Reason: fmt.Sprintf("%s: ignored", why)}, nil
	}
	next := past.settle(High, m.Settle, now)
	counted := next.Status < High
	return MetricAssessment{Status: next.Status, Counted: counted, Reason: m.settling(why+": ignored", High, next, now)}, &next
}

// settling adds the better status that is still settling to the reason.
func (m Metric) settling(reason string, felt Status, next Past, now time.Time) string {
	if felt <= next.Status {
		return reason
	}
	return fmt.Sprintf("%s, which is %s, but better than %s for only %s of %s",
		reason, felt, next.Status, seconds(now.Sub(next.Since[next.Status+1])), seconds(m.Settle))
}

// closeness is far above the relative error of products of decimal fractions in binary arithmetic: 100 × 0.29 is 28.999999999999996, and means 29.
const closeness = 1e-9

// share returns floor(cap × coefficient) in decimal arithmetic, at least 0 and at most the greatest int32.
func share(limit, coefficient float64) int {
	product := limit * coefficient
	if near := math.Round(product); math.Abs(product-near) <= closeness*max(near, 1) {
		product = near
	}
	if !(product > 0) {
		return 0
	}
	return int(min(math.Floor(product), math.MaxInt32))
}

// decimal formats a number with as few digits as identify it.
func decimal(f float64) string {
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// seconds formats a duration, rounded down to seconds.
func seconds(d time.Duration) string {
	return d.Truncate(time.Second).String()
}

// finite returns the number, or nil if JSON cannot represent it.
func finite(f *float64) *float64 {
	if f == nil || math.IsInf(*f, 0) || math.IsNaN(*f) {
		return nil
	}
	return f
}
