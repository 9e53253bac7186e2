package ecology_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/ecology"
)

var (
	policies  = []ecology.Missing{ecology.Unsaid, ecology.Ignore, ecology.MissingIsBad, ecology.Last}
	operators = []ecology.Operator{ecology.AtMost, ecology.Under, ecology.AtLeast, ecology.Over}
)

// metrics draws metrics whose feelings are in order.
func metrics() *rapid.Generator[ecology.Metric] {
	return rapid.Custom(func(t *rapid.T) ecology.Metric {
		operator := rapid.SampledFrom(operators).Draw(t, "operator")
		statuses := rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 1, 5, rapid.ID).Draw(t, "statuses")
		targets := rapid.SliceOfN(rapid.Float64Range(-100, 100), len(statuses), len(statuses)).Draw(t, "targets")
		slices.Sort(statuses)
		slices.Sort(targets)
		if operator == ecology.AtMost || operator == ecology.Under {
			slices.Reverse(targets)
		}
		feelings := ecology.Feelings{}
		for i, s := range statuses {
			feelings[ecology.Status(s)] = targets[i]
		}
		return ecology.Metric{
			Query:    ecology.Query{Period: time.Minute},
			Feelings: feelings,
			Operator: operator,
			Missing:  rapid.SampledFrom(policies).Draw(t, "missing"),
			Settle:   rapid.SampledFrom([]time.Duration{0, time.Minute, 3 * time.Minute}).Draw(t, "settle"),
		}
	})
}

func readings() *rapid.Generator[ecology.Reading] {
	return rapid.Custom(func(t *rapid.T) ecology.Reading {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return ecology.Reading{}
		case 1:
			return ecology.Reading{At: now, Error: "refused"}
		case 2:
			return ecology.Reading{At: now}
		}
		v := rapid.Float64Range(-120, 120).Draw(t, "value")
		return ecology.Reading{Value: &v, At: now.Add(-time.Duration(rapid.IntRange(0, 90).Draw(t, "age")) * time.Second)}
	})
}

func subjects() *rapid.Generator[ecology.Subject] {
	return rapid.Custom(func(t *rapid.T) ecology.Subject {
		coefficients := rapid.SliceOfN(rapid.Float64Range(0, 2), 5, 5).Draw(t, "coefficients")
		slices.Sort(coefficients)
		return ecology.Subject{
			Cap:          rapid.Float64Range(0, 10_000).Draw(t, "cap"),
			Coefficients: ecology.Coefficients(coefficients),
			Metrics:      rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), metrics(), 1, 3).Draw(t, "metrics"),
		}
	})
}

func TestFeelingsInOrderPassTheCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := metrics().Draw(t, "metric")
		require.NoError(t, m.Feelings.Check(m.Operator))
	})
}

// TestG3NeverMoreThanTheCapAllows: desired never exceeds cap × coefficient, except by the rounding error of binary fractions.
func TestG3NeverMoreThanTheCapAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := subjects().Draw(t, "labourer")
		running := rapid.IntRange(0, 20_000).Draw(t, "running")
		a := ecology.Assess(l, map[string]ecology.Reading{"a": readings().Draw(t, "a"), "b": readings().Draw(t, "b")}, nil, now, running)
		require.LessOrEqual(t, float64(a.Desired), l.Cap*l.Coefficients[a.Status]*(1+1e-9)+1e-9)
		require.LessOrEqual(t, a.Free+a.Running, max(a.Desired, a.Running))
		for name, m := range a.Metrics {
			require.LessOrEqual(t, a.Status, m.Status, "the labourer is better than %s", name)
			require.NotEmpty(t, m.Reason)
		}
	})
}

func TestAWorseValueNeverGivesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := subjects().Draw(t, "labourer")
		values := map[string]ecology.Reading{"a": readings().Draw(t, "a"), "b": readings().Draw(t, "b"), "c": readings().Draw(t, "c")}
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(l.Metrics))).Draw(t, "name")
		better, by := rapid.Float64Range(-120, 120).Draw(t, "better"), rapid.Float64Range(0, 100).Draw(t, "by")
		worse := better + by
		if o := l.Metrics[name].Operator; o == ecology.AtLeast || o == ecology.Over {
			worse = better - by
		}
		previous := ecology.History{name: {Status: ecology.Status(rapid.IntRange(0, 4).Draw(t, "previous"))}}
		free := func(v float64) int {
			values[name] = value(v)
			return ecology.Assess(l, values, previous, now, 0).Free
		}
		require.LessOrEqual(t, free(worse), free(better))
	})
}

func TestSettlingNeverShowsABetterStatusThanFelt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := metrics().Draw(t, "metric")
		eager := m
		eager.Settle = 0
		var history, eagerHistory ecology.History
		for i, v := range rapid.SliceOfN(rapid.Float64Range(-120, 120), 1, 20).Draw(t, "values") {
			at := now.Add(time.Duration(i) * 20 * time.Second)
			reading := ecology.Reading{Value: &v, At: at}
			settled, felt := assessOne(m, reading, history, at), assessOne(eager, reading, eagerHistory, at)
			require.LessOrEqual(t, settled.Status, felt.Status)
			history, eagerHistory = settled.History, felt.History
		}
	})
}
