package labourer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/spelling"
)

// Adaptive says that Drover finds the cap of a labourer, between two bounds.
type Adaptive struct {
	Min, Max int                // 1 or more
	Toward   map[string]float64 // the values at which health metrics are to be held, by name; above 0
	Shadow   bool               // the cap is Max, and what it would be is only recorded
}

// capOf reads `max_simultaneous_invocations`: a number, or {min, max, toward, shadow}. The labourer's metrics have been read before.
func (r *reader) capOf(v document.Value, l Labourer) Labourer {
	if v.Kind != document.Mapping {
		if n, ok := r.Decimal(v, 0, MaxCap); ok {
			l.MaxSimultaneousInvocations, l.Adaptive = n, nil
		}
		return l
	}
	fields := r.Fields(v, "min", "max", "toward", "shadow")
	a := Adaptive{Min: 1}
	if f, ok := fields["min"]; ok {
		a.Min, _ = r.Whole(f, 1, MaxCap)
	}
	if f, ok := fields["max"]; ok {
		a.Max, _ = r.Whole(f, 1, MaxCap)
		if low := fields["min"]; low.Node != nil && a.Min > a.Max && a.Max > 0 {
			r.Refuse(low, "is %d, more than max (%d)", a.Min, a.Max)
		}
	} else if !v.Has("max") {
		r.Refuse(v, "max is missing; want the highest cap, like {min: 2, max: 200, toward: {SomeDBCPU: 60}}")
	}
	if f, ok := fields["toward"]; ok {
		a.Toward = r.toward(f, l.HealthMetrics)
	} else if !v.Has("toward") {
		r.Refuse(v, "toward is missing; want a health metric and the value to hold it at, like {SomeDBCPU: 60}")
	}
	if f, ok := fields["shadow"]; ok {
		if f.Kind != document.Boolean {
			r.Refuse(f, "must be true or false, not %s", f.Describe())
		}
		a.Shadow = f.Kind == document.Boolean && strings.EqualFold(f.Text, "true")
	}
	l.MaxSimultaneousInvocations, l.Adaptive = float64(a.Max), &a
	return l
}

func (r *reader) toward(v document.Value, metrics map[string]ecology.Metric) map[string]float64 {
	targets := map[string]float64{}
	for name, at := range r.Members(v) {
		n, ok := r.Decimal(at, 0, MaxCap)
		if ok && n == 0 {
			r.Refuse(at, "must be above 0, because loads are fractions of it")
		}
		if _, known := metrics[name]; !known {
			r.Refuse(at, "%s is none of the labourer's health_metrics%s", document.ShownBare(name), nearest(name, metrics))
		}
		targets[name] = n
	}
	if v.Kind == document.Mapping && len(targets) == 0 {
		r.Refuse(v, "must name a health metric and the value to hold it at, like {SomeDBCPU: 60}")
	}
	return targets
}

func nearest(name string, metrics map[string]ecology.Metric) string {
	if near, ok := spelling.Nearest(name, slices.Sorted(maps.Keys(metrics))); ok {
		return "; did you mean " + near + "?"
	}
	return ""
}

// storedCap writes the canonical form of a cap.
type storedCap struct {
	fixed    float64
	adaptive *Adaptive
}

// MarshalJSON returns a number, or {min, max, toward, shadow}.
func (c storedCap) MarshalJSON() ([]byte, error) {
	if c.adaptive == nil {
		return json.Marshal(c.fixed)
	}
	return document.Encode(struct {
		Min    int                `json:"min"`
		Max    int                `json:"max"`
		Toward map[string]float64 `json:"toward"`
		Shadow bool               `json:"shadow,omitempty"`
	}(*c.adaptive)), nil
}

// aimsAt reports whether the labourer's cap is found by a metric.
func (l Labourer) aimsAt(metric string) bool {
	if l.Adaptive == nil {
		return false
	}
	_, aims := l.Adaptive.Toward[metric]
	return aims
}

// Aims returns what the labourer's cap is found by; nil if the cap is fixed.
func (l Labourer) Aims() map[string]adaptive.Aim {
	if l.Adaptive == nil {
		return nil
	}
	aims := make(map[string]adaptive.Aim, len(l.Adaptive.Toward))
	for name, value := range l.Adaptive.Toward {
		m := l.HealthMetrics[name]
		aims[name] = adaptive.Aim{Metric: m.Key(), Target: adaptive.Target{Value: value, Over: !m.Operator.LowerIsBetter()}, Period: m.Query.Covers()}
	}
	return aims
}
