package ecology_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
)

func database() ecology.Query {
	return ecology.Query{
		MetricName: "CPUUtilization", Namespace: "AWS/RDS", Statistic: "Average", Period: time.Minute,
		Dimensions: []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "db"}, {Name: "EngineName", Value: "mysql"}},
	}
}

func TestEqualQueriesShareAKey(t *testing.T) {
	same := database()
	same.Dimensions = []ecology.Dimension{same.Dimensions[1], same.Dimensions[0]}
	require.Equal(t, database().Key(), same.Key(), "the order of dimensions")
	require.Equal(t, database().Key(), ecology.Metric{Query: same, Feelings: ecology.Feelings{4: 1}}.Key(), "what is felt")
	require.Equal(t, "EngineName", same.Dimensions[0].Name, "the query itself is unchanged")
	require.Len(t, same.Key(), 32)

	sum := ecology.Query{Expression: "a+b", Metrics: []ecology.Operand{{ID: "a", Query: database()}, {ID: "b", Query: same}}}
	turned := ecology.Query{Expression: "a+b", Metrics: []ecology.Operand{{ID: "b", Query: database()}, {ID: "a", Query: same}}}
	require.Equal(t, sum.Key(), turned.Key(), "the order of operands")
}

func TestDifferentQueriesHaveDifferentKeys(t *testing.T) {
	keys := map[string]string{database().Key(): "the query"}
	for name, change := range map[string]func(*ecology.Query){
		"name":       func(q *ecology.Query) { q.MetricName = "FreeableMemory" },
		"namespace":  func(q *ecology.Query) { q.Namespace = "AWS/EC2" },
		"statistic":  func(q *ecology.Query) { q.Statistic = "p99" },
		"dimensions": func(q *ecology.Query) { q.Dimensions[0].Value = "other" },
		"unit":       func(q *ecology.Query) { q.Unit = "Percent" },
		"period":     func(q *ecology.Query) { q.Period = time.Hour },
		"window":     func(q *ecology.Query) { q.Window = time.Hour },
		"expression": func(q *ecology.Query) { q.Expression = "1" },
		"operands":   func(q *ecology.Query) { q.Metrics = []ecology.Operand{{ID: "a", Query: database()}} },
	} {
		q := database()
		change(&q)
		require.NotContains(t, keys, q.Key(), "another %s", name)
		keys[q.Key()] = name
	}
}

func TestAQueryIsDueWhenItsAnswerIsStale(t *testing.T) {
	short, long := database(), database()
	short.Period, long.Period = 10*time.Second, 5*time.Minute
	require.Equal(t, time.Minute, short.Lasts())
	require.Equal(t, 5*time.Minute, long.Lasts())

	require.True(t, short.Due(ecology.Reading{}, now), "never asked")
	require.False(t, short.Due(ecology.Reading{At: now}, now.Add(time.Minute-1)))
	require.True(t, short.Due(ecology.Reading{At: now}, now.Add(time.Minute)))
	require.False(t, long.Due(ecology.Reading{At: now, Error: "refused"}, now.Add(5*time.Minute-1)), "a failed query is not repeated sooner")
}

func TestLookback(t *testing.T) {
	for want, q := range map[time.Duration]ecology.Query{
		5 * time.Minute:  {Period: time.Minute},
		15 * time.Minute: {Period: 5 * time.Minute},
		2 * time.Minute:  {Period: time.Minute, Window: 2 * time.Minute},
		3 * time.Minute:  {Period: time.Minute, Window: 2 * time.Minute, Statistic: "Sum"}, // the window, and the period in progress after it
		3 * time.Hour:    {Period: time.Minute, Expression: "m", Metrics: []ecology.Operand{{ID: "m", Query: ecology.Query{Period: time.Hour}}}},
	} {
		require.Equal(t, want, q.Lookback())
	}
}

func TestTheValueOfDatapoints(t *testing.T) {
	minutesAgo := func(m int, v float64) ecology.Point {
		return ecology.Point{At: now.Add(-time.Duration(m) * time.Minute), Value: v}
	}
	points := []ecology.Point{minutesAgo(3, 30), minutesAgo(1, 10), minutesAgo(2, 80), minutesAgo(59, 1000)}
	inProgress := append([]ecology.Point{{At: now.Add(-20 * time.Second), Value: 7}}, points...)
	for i := range inProgress[1:] {
		inProgress[i+1].At = inProgress[i+1].At.Add(-20 * time.Second)
	}
	tests := map[string]struct {
		statistic string
		window    time.Duration
		points    []ecology.Point
		want      float64
	}{
		"the newest one, in any order":                {"Average", 0, points, 10},
		"the newest percentile":                       {"p99", 0, points, 10},
		"the mean of averages":                        {"Average", 5 * time.Minute, points, 40},
		"the greatest of maxima":                      {"Maximum", 5 * time.Minute, points, 80},
		"the least of minima":                         {"Minimum", 5 * time.Minute, points, 10},
		"the total of sums":                           {"Sum", 5 * time.Minute, points, 120},
		"the total of counts":                         {"SampleCount", 2 * time.Minute, points, 90},
		"one alone":                                   {"Average", 5 * time.Minute, points[:1], 30},
		"an average of the minute in progress counts": {"Average", 0, inProgress, 7},
		"a sum of it does not":                        {"Sum", 0, inProgress, 10},
		"a count of it does not":                      {"SampleCount", 0, inProgress, 10},
		"a trimmed count of it does not":              {"tc90", 0, inProgress, 10},
		"a trimmed sum of it does not":                {"TS(10%:90%)", 0, inProgress, 10},
		"a percentile of it counts":                   {"p99", 0, inProgress, 7},
		"the total without it":                        {"Sum", 2 * time.Minute, inProgress, 90},
		"the total over whole periods alone":          {"Sum", 3 * time.Minute, inProgress, 120},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := ecology.Query{Statistic: test.statistic, Period: time.Minute, Window: test.window}
			got := q.Value(test.points, now)
			require.NotNil(t, got)
			require.Equal(t, test.want, *got)
		})
	}

	require.Nil(t, ecology.Query{Period: time.Minute}.Value(nil, now), "no datapoints")
	require.Nil(t, ecology.Query{Period: time.Minute}.Value(points[3:], now), "only old datapoints")
	require.Len(t, points, 4)
}

func TestPercentilesDoNotAggregate(t *testing.T) {
	for statistic, want := range map[string]bool{"Average": true, "Maximum": true, "Minimum": true, "Sum": true, "SampleCount": true, "p99": false, "": false} {
		require.Equal(t, want, ecology.Aggregates(statistic), statistic)
	}
}

func TestOperatorsHaveTwoSpellings(t *testing.T) {
	for want, spellings := range map[ecology.Operator][]string{
		ecology.AtMost: {"<=", "le", "__le__"}, ecology.Under: {"<", "lt", "__lt__"},
		ecology.AtLeast: {">=", "ge", "__ge__"}, ecology.Over: {">", "gt", "__gt__"},
	} {
		for _, spelling := range spellings {
			got, ok := ecology.ParseOperator(spelling)
			require.True(t, ok, spelling)
			require.Equal(t, want, got)
		}
	}
	for _, wrong := range []string{"", "~", "=<", "LE", "eq", "__le"} {
		_, ok := ecology.ParseOperator(wrong)
		require.False(t, ok, wrong)
	}
}

func TestStatusesHaveNames(t *testing.T) {
	require.Equal(t, "Bad Poor Moderate Good High Status(5) Status(-1)",
		ecology.Bad.String()+" "+ecology.Poor.String()+" "+ecology.Moderate.String()+" "+ecology.Good.String()+" "+
			ecology.High.String()+" "+ecology.Status(5).String()+" "+ecology.Status(-1).String())
}

func TestTheOrderOfFeelingsFollowsTheOperator(t *testing.T) {
	tests := map[string]struct {
		operator ecology.Operator
		feelings ecology.Feelings
		wrong    string
	}{
		"lower is better, in order":       {ecology.AtMost, ecology.Feelings{4: 25, 3: 50, 1: 90}, ""},
		"lower is better, equal":          {ecology.Under, ecology.Feelings{4: 25, 3: 25}, ""},
		"lower is better, from zero":      {ecology.AtMost, ecology.Feelings{4: 0, 3: 1}, ""},
		"lower is better, turned round":   {ecology.AtMost, ecology.Feelings{4: 50, 3: 25}, `4 (High) must not have a higher target (50) than 3 (Good: 25), as lower values are better with "<="`},
		"higher is better, in order":      {ecology.AtLeast, ecology.Feelings{4: 90, 3: 50, 1: 10}, ""},
		"higher is better, equal":         {ecology.Over, ecology.Feelings{4: 90, 2: 90}, ""},
		"higher is better, below zero":    {ecology.AtLeast, ecology.Feelings{4: -50, 3: -75}, ""},
		"higher is better, turned round":  {ecology.Over, ecology.Feelings{4: 5, 1: 10.5}, `4 (High) must not have a lower target (5) than 1 (Poor: 10.5), as higher values are better with ">"`},
		"one feeling is always in order":  {ecology.AtLeast, ecology.Feelings{2: 7}, ""},
		"no feelings are always in order": {ecology.AtLeast, nil, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.feelings.Check(test.operator)
			if test.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.wrong)
		})
	}
}

// TestASteadyLoadReadsTheSameAtAnySecond: the sum of a minute in progress covers only its seconds so far. It would make an overloaded dependency look
// healthy as long as the answer is valid.
func TestASteadyLoadReadsTheSameAtAnySecond(t *testing.T) {
	for name, q := range map[string]ecology.Query{
		"a sum":                  {Statistic: "Sum", Period: time.Minute},
		"a sum of five minutes":  {Statistic: "Sum", Period: 5 * time.Minute},
		"a sum of seconds":       {Statistic: "Sum", Period: 10 * time.Second},
		"a total":                {Statistic: "Sum", Period: time.Minute, Window: 5 * time.Minute},
		"a total of one period":  {Statistic: "SampleCount", Period: time.Minute, Window: time.Minute},
		"an expression":          {Expression: "m * 2", Period: time.Minute, Metrics: []ecology.Operand{{ID: "m", Query: ecology.Query{Statistic: "Sum", Period: time.Minute}}}},
		"an expression of hours": {Expression: "m * 2", Period: time.Minute, Metrics: []ecology.Operand{{ID: "m", Query: ecology.Query{Statistic: "Sum", Period: time.Hour}}}},
	} {
		t.Run(name, func(t *testing.T) {
			step := q.Period
			for _, operand := range q.Metrics {
				step = max(step, operand.Period)
			}
			begin := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
			want := step.Seconds() * max(1, float64(q.Window/step))
			for second := 6 * 3600; second < 6*3600+601; second++ { // one sample a second for six hours
				at := begin.Add(time.Duration(second) * time.Second)
				var points []ecology.Point
				for p := at.Add(-q.Lookback()).Truncate(step); p.Before(at); p = p.Add(step) {
					points = append(points, ecology.Point{At: p, Value: min(step, at.Sub(p)).Seconds()})
				}

				value := q.Value(points, at)

				require.NotNil(t, value, "at second %d", second)
				require.InDelta(t, want, *value, 1e-9, "at second %d", second)
			}
		})
	}
}

func TestASumOfOnlyAMinuteInProgressIsNoValue(t *testing.T) {
	q := ecology.Query{Statistic: "Sum", Period: time.Minute}

	require.Nil(t, q.Value([]ecology.Point{{At: now.Add(-59 * time.Second), Value: 7}}, now))
	require.NotNil(t, q.Value([]ecology.Point{{At: now.Add(-60 * time.Second), Value: 7}}, now))
}
