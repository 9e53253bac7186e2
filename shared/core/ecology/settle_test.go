package ecology_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
)

// timeline assesses one metric minute by minute. Between assessments its history goes through JSON.
type timeline struct {
	t       *testing.T
	metric  ecology.Metric
	history ecology.History
	minute  int
}

// next assesses the value a minute later. nil means no data.
func (l *timeline) next(v *float64) ecology.MetricAssessment {
	l.t.Helper()
	at := now.Add(time.Duration(l.minute) * time.Minute)
	l.minute++
	a := assessOne(l.metric, ecology.Reading{Value: v, At: at}, l.history, at)
	text, err := json.Marshal(a.History)
	require.NoError(l.t, err)
	l.history = nil
	require.NoError(l.t, json.Unmarshal(text, &l.history))
	return a.Metrics["m"]
}

func (l *timeline) statuses(values ...float64) []ecology.Status {
	l.t.Helper()
	var s []ecology.Status
	for _, v := range values {
		s = append(s, l.next(&v).Status)
	}
	return s
}

func settling(t *testing.T, d time.Duration) *timeline {
	m := cpu()
	m.Settle = d
	return &timeline{t: t, metric: m}
}

const (
	feltHigh, feltGood, feltModerate, feltPoor, feltBad = 5., 15., 25., 35., 99.
)

func TestWithoutSettlingEachValueCountsAtOnce(t *testing.T) {
	require.Equal(t, []ecology.Status{0, 4, 1, 4}, settling(t, 0).statuses(feltBad, feltHigh, feltPoor, feltHigh))
}

func TestTheFirstStatusCountsAtOnce(t *testing.T) {
	require.Equal(t, []ecology.Status{3}, settling(t, 3*time.Minute).statuses(feltGood))
}

func TestAWorseStatusCountsAtOnce(t *testing.T) {
	require.Equal(t, []ecology.Status{4, 2, 0}, settling(t, 3*time.Minute).statuses(feltHigh, feltModerate, feltBad))
}

func TestABetterStatusCountsAfterTheTimeToSettle(t *testing.T) {
	require.Equal(t, []ecology.Status{0, 0, 0, 0, 4}, settling(t, 3*time.Minute).statuses(feltBad, feltHigh, feltHigh, feltHigh, feltHigh))
}

func TestARelapseStartsTheTimeAgain(t *testing.T) {
	require.Equal(t, []ecology.Status{0, 0, 0, 0, 0, 4},
		settling(t, 2*time.Minute).statuses(feltBad, feltHigh, feltBad, feltHigh, feltHigh, feltHigh))
}

func TestALastingImprovementCountsWhileTheBestStatusComesAndGoes(t *testing.T) {
	require.Equal(t, []ecology.Status{0, 0, 0, 0, 2, 2, 4},
		settling(t, 3*time.Minute).statuses(feltBad, feltHigh, feltModerate, feltHigh, feltHigh, feltHigh, feltHigh))
}

func TestTheReasonNamesAnImprovementThatIsSettling(t *testing.T) {
	l := settling(t, 3*time.Minute)
	l.statuses(feltBad, feltGood)
	high := feltHigh
	require.Equal(t, "5 <= 10, which is High, but better than Bad for only 1m0s of 3m0s", l.next(&high).Reason)
}

func TestBeingIgnoredHasToSettleLikeAnyImprovement(t *testing.T) {
	l := settling(t, 2*time.Minute)
	l.statuses(feltBad)
	first, second, third := l.next(nil), l.next(nil), l.next(nil)
	require.Equal(t, []ecology.Status{0, 0, 4}, []ecology.Status{first.Status, second.Status, third.Status})
	require.Equal(t, []bool{true, true, false}, []bool{first.Counted, second.Counted, third.Counted})
	require.Equal(t, "no data: ignored, which is High, but better than Bad for only 1m0s of 2m0s", second.Reason)
}

func TestKeepingTheLastStatusNeitherCompletesNorInterruptsAnImprovement(t *testing.T) {
	l := settling(t, 3*time.Minute)
	l.metric.Missing = ecology.Last
	require.Equal(t, []ecology.Status{0, 0}, l.statuses(feltBad, feltHigh))
	for range 4 {
		require.Equal(t, ecology.Bad, l.next(nil).Status)
	}
	require.Equal(t, []ecology.Status{4}, l.statuses(feltHigh))
}

func TestAClockThatGoesBackStartsTheTimeAgain(t *testing.T) {
	m := cpu()
	m.Settle = 2 * time.Minute
	ahead := ecology.History{"m": {Status: ecology.Bad, Since: map[ecology.Status]time.Time{1: now.Add(time.Hour), 2: now.Add(time.Hour)}}}
	a := assessOne(m, value(feltModerate), ahead, now)
	require.Equal(t, ecology.Bad, a.Status)
	require.Equal(t, ecology.Past{Status: ecology.Bad, Since: map[ecology.Status]time.Time{1: now, 2: now}}, a.History["m"])
}
