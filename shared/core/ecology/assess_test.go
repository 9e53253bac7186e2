package ecology_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// cpu returns a metric that is High up to 10, Good up to 20, Moderate up to 30, Poor up to 40.
func cpu() ecology.Metric {
	return ecology.Metric{
		Query:    ecology.Query{MetricName: "CPUUtilization", Namespace: "AWS/RDS", Statistic: "Average", Period: time.Minute},
		Feelings: ecology.Feelings{4: 10, 3: 20, 2: 30, 1: 40},
		Operator: ecology.AtMost,
	}
}

func subject(limit float64, metrics map[string]ecology.Metric) ecology.Subject {
	return ecology.Subject{Cap: limit, Coefficients: ecology.DefaultCoefficients(), Metrics: metrics}
}

func value(v float64) ecology.Reading { return ecology.Reading{Value: &v, At: now} }

func assessOne(m ecology.Metric, reading ecology.Reading, previous ecology.History, at time.Time) ecology.Assessment {
	return ecology.Assess(subject(10, map[string]ecology.Metric{"m": m}), map[string]ecology.Reading{"m": reading}, previous, at, 0)
}

func TestWithoutMetricsTheStatusIsHigh(t *testing.T) {
	a := ecology.Assess(subject(10, nil), nil, nil, now, 4)
	require.Equal(t, ecology.Assessment{
		Status: ecology.High, Reason: "no metrics", Metrics: map[string]ecology.MetricAssessment{}, Cap: 10, Coefficient: 1,
		Desired: 10, Running: 4, Free: 6, History: ecology.History{},
	}, a)
}

func TestTheStatusIsTheWorstOfTheMetrics(t *testing.T) {
	metrics := map[string]ecology.Metric{"a": cpu(), "b": cpu(), "c": cpu()}
	a := ecology.Assess(subject(10, metrics), map[string]ecology.Reading{"a": value(15), "b": value(25), "c": value(5)}, nil, now, 2)
	require.Equal(t, ecology.Moderate, a.Status)
	require.Equal(t, "b is Moderate: 25 <= 30", a.Reason)
	require.Equal(t, map[string]ecology.Status{"a": ecology.Good, "b": ecology.Moderate, "c": ecology.High}, a.Statuses())
	require.Equal(t, []any{0.5, 5, 2, 3}, []any{a.Coefficient, a.Desired, a.Running, a.Free})
}

func TestAMetricWithoutFeelingsTakesNoPartInTheStatus(t *testing.T) {
	aim := ecology.Metric{Query: cpu().Query, Operator: ecology.AtMost}
	both := map[string]ecology.Metric{"aim": aim, "felt": cpu()}

	a := ecology.Assess(subject(10, both), map[string]ecology.Reading{"aim": value(1000), "felt": value(15)}, nil, now, 0)
	require.Equal(t, []any{ecology.Good, "felt", ecology.High, false}, []any{a.Status, a.Decisive, a.Metrics["aim"].Status, a.Metrics["aim"].Counted})

	a = assessOne(aim, ecology.Reading{At: now, Error: "CloudWatch refuses the query: no such namespace"}, nil, now)
	require.Equal(t, []any{ecology.High, "", 10}, []any{a.Status, a.Decisive, a.Desired})
	require.Contains(t, a.Metrics["m"].Reason, "CloudWatch refuses the query: no such namespace; no part of the health")
}

func TestAMetricIsComparedByItsOperator(t *testing.T) {
	tests := map[string]struct {
		operator ecology.Operator
		feelings ecology.Feelings
		value    float64
		status   ecology.Status
		reason   string
	}{
		"at most, on the target":             {ecology.AtMost, ecology.Feelings{4: 25, 3: 50}, 25, 4, "25 <= 25"},
		"under, on the target":               {ecology.Under, ecology.Feelings{4: 25, 3: 50}, 25, 3, "25 < 50"},
		"at least, on the target":            {ecology.AtLeast, ecology.Feelings{4: 90, 2: 50}, 90, 4, "90 >= 90"},
		"over, on the target":                {ecology.Over, ecology.Feelings{4: 90, 2: 50}, 90, 2, "90 > 50"},
		"at most, beyond all":                {ecology.AtMost, ecology.Feelings{4: 25, 3: 50}, 51, 0, "51 is not <= 50 (Good) or 25 (High)"},
		"at least, beyond all":               {ecology.AtLeast, ecology.Feelings{4: 90, 2: 50}, 49.5, 0, "49.5 is not >= 50 (Moderate) or 90 (High)"},
		"a zero target where less is better": {ecology.AtMost, ecology.Feelings{4: 0, 3: 5}, 0, 4, "0 <= 0"},
		"negative targets":                   {ecology.AtLeast, ecology.Feelings{4: -50, 3: -75}, -60, 3, "-60 >= -75"},
		"equal targets: the better wins":     {ecology.AtMost, ecology.Feelings{4: 10, 3: 10}, 10, 4, "10 <= 10"},
		"a target for Bad changes nothing":   {ecology.AtMost, ecology.Feelings{4: 10, 0: 99}, 50, 0, "50 <= 99"},
		"infinity is a value":                {ecology.AtMost, ecology.Feelings{4: 10}, math.Inf(1), 0, "+Inf is not <= 10 (High)"},
		"an invalid operator never holds":    {"~", ecology.Feelings{4: 10}, 5, 0, "5 is not ~ 10 (High)"},
		"without feelings nothing counts":    {ecology.AtMost, nil, 5, 4, "5; no part of the health, as it has no feelings"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := ecology.Metric{Operator: test.operator, Feelings: test.feelings}
			got := assessOne(m, value(test.value), nil, now).Metrics["m"]
			require.Equal(t, test.status, got.Status)
			require.Equal(t, test.reason, got.Reason)
		})
	}
}

func TestDesiredIsTheFloorInDecimalArithmetic(t *testing.T) {
	tests := map[string]struct {
		limit, coefficient float64
		desired            int
	}{
		"ten at 0.7":                      {10, 0.7, 7},
		"a hundred at 0.29":               {100, 0.29, 29},
		"three at 0.75":                   {3, 0.75, 2},
		"a fraction of one is none":       {1, 0.75, 0},
		"a fractional cap":                {2.9, 1, 2},
		"almost a whole number is not it": {2.9999, 1, 2},
		"more than the cap":               {10, 1.5, 15},
		"no cap":                          {0, 1, 0},
		"a negative cap":                  {-3, 1, 0},
		"no number":                       {math.NaN(), 1, 0},
		"too large a number":              {1e300, 1e300, math.MaxInt32},
		"a thousandth of very many":       {1e9, 1e-3, 1_000_000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := ecology.Subject{Cap: test.limit, Coefficients: ecology.Coefficients{ecology.High: test.coefficient}}
			require.Equal(t, test.desired, ecology.Assess(l, nil, nil, now, 0).Desired)
		})
	}
}

func TestFreeIsNeverNegative(t *testing.T) {
	require.Equal(t, 0, ecology.Assess(subject(2, nil), nil, nil, now, 5).Free, "a lowered cap drains")
	require.Equal(t, 2, ecology.Assess(subject(2, nil), nil, nil, now, -5).Free, "a negative count is zero")
}

func TestAValueCountsForItsPeriodOrAMinute(t *testing.T) {
	tests := map[string]struct {
		period, age time.Duration
		counts      bool
	}{
		"a short period, a minute old":        {10 * time.Second, time.Minute, true},
		"a short period, over a minute old":   {10 * time.Second, time.Minute + 1, false},
		"five minutes' period, five old":      {5 * time.Minute, 5 * time.Minute, true},
		"five minutes' period, over five old": {5 * time.Minute, 5*time.Minute + 1, false},
		"from a machine whose clock is ahead": {time.Minute, -30 * time.Second, true},
		"no period: it counts for a minute":   {0, time.Minute, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := cpu()
			m.Missing, m.Query.Period = ecology.MissingIsBad, test.period
			got := assessOne(m, value(5), nil, now.Add(test.age)).Metrics["m"]
			require.Equal(t, test.counts, got.Status == ecology.High, got.Reason)
			require.Equal(t, test.counts, got.Value != nil)
			if test.counts {
				require.Equal(t, max(test.age, 0), got.Age)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	var (
		never    = ecology.Reading{}
		noData   = ecology.Reading{At: now}
		noNumber = value(math.NaN())
		stale    = ecology.Reading{Value: new(float64), At: now.Add(-time.Hour)}
		refused  = ecology.Reading{At: now, Error: "CloudWatch said AccessDenied"}
		poor     = ecology.History{"m": {Status: ecology.Poor}}
	)
	tests := map[string]struct {
		policy   ecology.Missing
		reading  ecology.Reading
		previous ecology.History
		status   ecology.Status
		counted  bool
		reason   string
	}{
		"never asked, by default ignored":       {ecology.Unsaid, never, nil, 4, false, "no value yet: ignored"},
		"no data, by default ignored":           {ecology.Unsaid, noData, poor, 4, false, "no data: ignored"},
		"no number, by default ignored":         {ecology.Unsaid, noNumber, nil, 4, false, "the value is not a number: ignored"},
		"stale, by default ignored":             {ecology.Unsaid, stale, nil, 4, false, "the last value is 1h0m0s old and was valid for 1m0s: ignored"},
		"refused, by default bad":               {ecology.Unsaid, refused, poor, 0, true, "CloudWatch said AccessDenied: taken as Bad"},
		"refused, ignored if configured":        {ecology.Ignore, refused, nil, 4, false, "CloudWatch said AccessDenied: ignored"},
		"no data, bad if configured":            {ecology.MissingIsBad, noData, nil, 0, true, "no data: taken as Bad"},
		"no data, the last status":              {ecology.Last, noData, poor, 1, true, "no data: the last status (missing: last)"},
		"refused, the last status":              {ecology.Last, refused, poor, 1, true, "CloudWatch said AccessDenied: the last status (missing: last)"},
		"no data and no last status is ignored": {ecology.Last, noData, nil, 4, false, "no data: ignored"},
		"refused and no last status is bad":     {ecology.Last, refused, nil, 0, true, "CloudWatch said AccessDenied: taken as Bad"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := cpu()
			m.Missing = test.policy
			a := assessOne(m, test.reading, test.previous, now)
			require.Equal(t, ecology.MetricAssessment{Status: test.status, Counted: test.counted, Reason: test.reason}, a.Metrics["m"])
			require.Equal(t, test.status, a.Status)
		})
	}
}

func TestAnIgnoredMetricDoesNotCount(t *testing.T) {
	a := ecology.Assess(subject(10, map[string]ecology.Metric{"a": cpu(), "b": cpu()}), map[string]ecology.Reading{"b": value(15)}, nil, now, 0)
	require.Equal(t, ecology.Good, a.Status)
	require.Equal(t, "b is Good: 15 <= 20", a.Reason)
}

func TestARememberedStatusOutOfRangeIsClamped(t *testing.T) {
	m := cpu()
	m.Missing = ecology.Last
	for remembered, want := range map[ecology.Status]ecology.Status{-7: ecology.Bad, 9: ecology.High} {
		require.Equal(t, want, assessOne(m, ecology.Reading{}, ecology.History{"m": {Status: remembered}}, now).Status)
	}
}

func TestAnAssessmentMarshalsWithItsNumbers(t *testing.T) {
	infinite := cpu()
	metrics := map[string]ecology.Metric{"cpu": cpu(), "infinite": infinite, "quiet": cpu()}
	a := ecology.Assess(subject(10, metrics), map[string]ecology.Reading{"cpu": value(25), "infinite": value(math.Inf(-1))}, nil, now.Add(42500*time.Millisecond), 2)
	text, err := json.Marshal(a)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"status": 2, "reason": "cpu is Moderate: 25 <= 30",
		"metrics": {
			"cpu": {"status": 2, "counted": true, "value": 25, "age_seconds": 42, "reason": "25 <= 30"},
			"infinite": {"status": 4, "counted": true, "age_seconds": 42, "reason": "-Inf <= 10"},
			"quiet": {"status": 4, "counted": false, "reason": "no value yet: ignored"}
		},
		"cap": 10, "coefficient": 0.5, "desired": 5, "running": 2, "free": 3
	}`, string(text))
}
