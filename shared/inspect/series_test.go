package inspect_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/inspect"
)

// sampled returns the value of a labourer's metric at the end of each of these minutes; -1 for none.
func sampled(q ecology.Query, minutes ...float64) []float64 {
	from := now.Truncate(time.Minute)
	r := inspect.Recording{Labourer: labourer.Labourer{HealthMetrics: map[string]ecology.Metric{"load": {Query: q}}},
		From: from, To: from.Add(time.Duration(len(minutes)) * time.Minute), Running: []ecology.Point{{At: from, Value: 1}}, Metrics: map[string][]ecology.Point{}}
	for i, value := range minutes {
		r.Metrics["load"] = append(r.Metrics["load"], ecology.Point{At: from.Add(time.Duration(i) * time.Minute), Value: value})
	}
	var values []float64
	for sample := range r.Samples() {
		if is := sample.Metrics["load"]; is != nil {
			values = append(values, *is.Value)
			continue
		}
		values = append(values, -1)
	}
	return values
}

func TestARecordedMetricOfLessThanAMinuteHasTheScaleOfAnAssessment(t *testing.T) {
	for name, c := range map[string]struct {
		query ecology.Query
		want  []float64
	}{
		"an average":                     {ecology.Query{Statistic: "Average", Period: 10 * time.Second}, []float64{60, 120}},
		"an average over half a minute":  {ecology.Query{Statistic: "Average", Period: 10 * time.Second, Window: 30 * time.Second}, []float64{60, 120}},
		"an average over 90 s":           {ecology.Query{Statistic: "Average", Period: 10 * time.Second, Window: 90 * time.Second}, []float64{60, 90}},
		"a sum of ten seconds":           {ecology.Query{Statistic: "Sum", Period: 10 * time.Second}, []float64{10, 20}},
		"a sum over half a minute":       {ecology.Query{Statistic: "Sum", Period: 10 * time.Second, Window: 30 * time.Second}, []float64{30, 60}},
		"two periods fit into 25 s":      {ecology.Query{Statistic: "Sum", Period: 10 * time.Second, Window: 25 * time.Second}, []float64{20, 40}},
		"a count of half a minute":       {ecology.Query{Statistic: "SampleCount", Period: 30 * time.Second}, []float64{30, 60}},
		"a trimmed sum of half a minute": {ecology.Query{Statistic: "ts90", Period: 30 * time.Second}, []float64{30, 60}},
		"a sum of a minute":              {ecology.Query{Statistic: "Sum", Period: time.Minute}, []float64{60, 120}},
		"a sum over two minutes":         {ecology.Query{Statistic: "Sum", Period: time.Minute, Window: 2 * time.Minute}, []float64{60, 180}},
	} {
		t.Run(name, func(t *testing.T) {
			require.InDeltaSlice(t, c.want, sampled(c.query, 60, 120), 1e-9)
		})
	}
}
