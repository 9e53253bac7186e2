package labourer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/job"
)

// stored has the canonical form. Its fields have the names that Read accepts, in the order of the documentation.
type stored struct {
	Target       *Target                 `json:"target,omitempty"`
	Cap          storedCap               `json:"max_simultaneous_invocations"`
	MaxAttempts  int                     `json:"max_attempts"`
	MaxDuration  span                    `json:"max_duration,omitempty"`
	Cooldown     span                    `json:"cooldown"`
	Retry        storedRetry             `json:"retry"`
	Heartbeat    span                    `json:"heartbeat,omitempty"`
	NotRetryable []string                `json:"not_retryable,omitempty"`
	GroupKey     string                  `json:"group_key,omitempty"`
	Metrics      map[string]storedMetric `json:"health_metrics,omitempty"`
	Coefficients map[string]float64      `json:"coefficients"`
}

type storedRetry struct {
	Min     span    `json:"min"`
	Initial span    `json:"initial"`
	Rate    float64 `json:"rate"`
	Max     span    `json:"max"`
}

type storedMetric struct {
	Details  storedQuery        `json:"details"`
	Feelings map[string]float64 `json:"feelings,omitempty"`
	Operator ecology.Operator   `json:"feeling_comparison_operator"`
	Missing  ecology.Missing    `json:"missing,omitempty"`
	Settle   span               `json:"settle,omitempty"`
}

type storedQuery struct {
	MetricName string                 `json:"MetricName,omitempty"`
	Namespace  string                 `json:"Namespace,omitempty"`
	Expression string                 `json:"Expression,omitempty"`
	Period     int                    `json:"Period"`
	Statistics []string               `json:"Statistics,omitempty"`
	Dimensions []ecology.Dimension    `json:"Dimensions,omitempty"`
	Unit       string                 `json:"Unit,omitempty"`
	Window     int                    `json:"MetricAggregationTimeSlice,omitempty"`
	Metrics    map[string]storedQuery `json:"Metrics,omitempty"`
}

// span is a duration whose JSON is a text.
type span time.Duration

func (s span) MarshalJSON() ([]byte, error) {
	return document.Encode(document.Brief(time.Duration(s))), nil
}

// MarshalJSON returns the same as Stored.
func (l Labourer) MarshalJSON() ([]byte, error) { return l.Stored(), nil }

// Stored returns the labourer without its ID as canonical JSON: labourers with the same meaning have the same text. It contains all defaults, except a
// max_duration that was not given.
func (l Labourer) Stored() []byte {
	s := stored{
		Cap:          storedCap{l.MaxSimultaneousInvocations, l.Adaptive},
		MaxAttempts:  l.MaxAttempts,
		Cooldown:     span(l.Cooldown),
		Retry:        storedRetry{span(l.Retry.Min), span(l.Retry.Initial), l.Retry.Rate, span(l.Retry.Max)},
		Heartbeat:    span(l.Heartbeat),
		NotRetryable: l.NotRetryable,
		GroupKey:     l.GroupKey,
		Metrics:      make(map[string]storedMetric, len(l.HealthMetrics)),
		Coefficients: make(map[string]float64, len(l.Coefficients)),
	}
	if l.Target != (Target{}) {
		s.Target = &l.Target
	}
	if l.MaxDurationGiven {
		s.MaxDuration = span(l.MaxDuration)
	}
	for name, m := range l.HealthMetrics {
		s.Metrics[name] = storedMetric{
			Details:  storedDetails(m.Query),
			Feelings: byNumber(m.Feelings),
			Operator: m.Operator,
			Missing:  m.Missing,
			Settle:   span(m.Settle),
		}
	}
	for status, coefficient := range l.Coefficients {
		s.Coefficients[strconv.Itoa(status)] = coefficient
	}
	return document.Encode(s)
}

func storedDetails(q ecology.Query) storedQuery {
	s := storedQuery{
		MetricName: q.MetricName,
		Namespace:  q.Namespace,
		Expression: q.Expression,
		Period:     int(q.Period / time.Second),
		Dimensions: q.Dimensions,
		Unit:       q.Unit,
		Window:     int(q.Window / time.Second),
	}
	if q.Statistic != "" {
		s.Statistics = []string{q.Statistic}
	}
	if len(q.Metrics) > 0 {
		s.Metrics = make(map[string]storedQuery, len(q.Metrics))
	}
	for _, operand := range q.Metrics {
		s.Metrics[operand.ID] = storedDetails(operand.Query)
	}
	return s
}

func byNumber(feelings ecology.Feelings) map[string]float64 {
	numbers := make(map[string]float64, len(feelings))
	for status, target := range feelings {
		numbers[strconv.Itoa(int(status))] = target
	}
	return numbers
}

// Decode reads the output of Stored. It ignores unknown fields, so that a version that is being replaced can read the labourers of its successor. Any other
// fault is an error that names the labourer.
func Decode(id string, stored []byte) (Labourer, error) {
	r := &reader{Reader: document.Reader{UnknownIgnored: true}, targetOptional: true}
	var l Labourer
	err := r.decode(stored, func(root document.Value) { l = r.labourer(root, New(id)) })
	if err != nil {
		return Labourer{}, fmt.Errorf("reading the stored labourer %s: %w", document.Shown(id), err)
	}
	return l, nil
}

func (r *reader) decode(stored []byte, read func(document.Value)) error {
	root, err := document.ParseJSON(stored)
	if err != nil {
		return err
	}
	r.CheckNames(document.Value{Node: root})
	read(document.Value{Node: root})
	return r.Errors.InOrder().Err()
}

// DecodeSchema reads the output of [job.Schema.Stored]. Like [Decode], it ignores unknown fields.
func DecodeSchema(name string, stored []byte) (job.Schema, error) {
	r := &reader{Reader: document.Reader{UnknownIgnored: true}}
	var s job.Schema
	err := r.decode(stored, func(root document.Value) { s = r.schema(root) })
	if err != nil {
		return job.Schema{}, fmt.Errorf("reading the stored job schema %s: %w", document.Shown(name), err)
	}
	return s, nil
}
