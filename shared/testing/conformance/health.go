package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
)

// RunHealth tests the store of metrics and assessments.
func RunHealth(t *testing.T, open func(*testing.T) Stores) {
	each(t, open, map[string]func(*testing.T, Stores){
		"readings are kept by the key of their query": readingsKept,
		"what was never answered is missing":          readingsMissing,
		"hundreds of readings are read":               readingsMany,
		"a query is asked once in its time":           asksOnce,
		"one of many concurrent askers succeeds":      askRace,
		"an answer does not decide the next asker":    askAfterAnswer,
		"an assessment remembers the last one":        remembers,
		"of two assessments at once one is kept":      rememberRace,
		"an assessment on an old memory is refused":   rememberStale,
		"a history comes back as it was":              rememberHistory,
	})
}

func reading(value float64) ecology.Reading { return ecology.Reading{Value: &value, At: noon} }

func readingsKept(t *testing.T, s Stores) {
	a, b := unique("metric"), unique("metric")
	want := map[string]ecology.Reading{a: reading(42.5), b: {At: noon.Add(time.Second), Error: "CloudWatch refuses the query: why"}}

	require.NoError(t, s.Health.Keep(t.Context(), want))

	got, err := s.Health.Readings(t.Context(), []string{a, b})
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, s.Health.Keep(t.Context(), map[string]ecology.Reading{a: {At: noon.Add(time.Minute)}}))
	got, err = s.Health.Readings(t.Context(), []string{a})
	require.NoError(t, err)
	require.Equal(t, map[string]ecology.Reading{a: {At: noon.Add(time.Minute)}}, got, "no data is an answer too")
	require.NoError(t, s.Health.Keep(t.Context(), nil))
}

func readingsMissing(t *testing.T, s Stores) {
	asked := unique("metric")
	require.NoError(t, s.Health.Ask(t.Context(), asked, noon, noon.Add(-time.Minute)))

	got, err := s.Health.Readings(t.Context(), []string{unique("none"), asked})
	require.NoError(t, err)
	require.Empty(t, got, "asking is no answer")
	got, err = s.Health.Readings(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

func readingsMany(t *testing.T, s Stores) {
	want := map[string]ecology.Reading{}
	var keys []string
	for i := range 120 {
		key := unique(fmt.Sprintf("metric-%d", i))
		keys = append(keys, key)
		want[key] = reading(float64(i))
	}
	require.NoError(t, s.Health.Keep(t.Context(), want))

	got, err := s.Health.Readings(t.Context(), keys)

	require.NoError(t, err)
	require.Equal(t, want, got)
}

func asksOnce(t *testing.T, s Stores) {
	key := unique("metric")
	require.NoError(t, s.Health.Ask(t.Context(), key, noon, noon.Add(-time.Minute)))

	later := noon.Add(time.Minute)
	require.ErrorIs(t, s.Health.Ask(t.Context(), key, later.Add(-time.Millisecond), noon.Add(-time.Millisecond)), errQueue)
	require.NoError(t, s.Health.Ask(t.Context(), key, later, noon))
	require.ErrorIs(t, s.Health.Ask(t.Context(), key, later, noon), errQueue, "it was asked just now")
}

func askRace(t *testing.T, s Stores) {
	key := unique("metric")
	racers := make([]func() error, 8)
	for i := range racers {
		racers[i] = func() error { return s.Health.Ask(t.Context(), key, noon, noon.Add(-time.Minute)) }
	}
	require.Equal(t, 1, race(t, errQueue, racers...))
}

func askAfterAnswer(t *testing.T, s Stores) {
	key := unique("metric")
	require.NoError(t, s.Health.Keep(t.Context(), map[string]ecology.Reading{key: reading(1)}))

	require.NoError(t, s.Health.Ask(t.Context(), key, noon, noon.Add(-time.Minute)), "an answer without a question")

	got, err := s.Health.Readings(t.Context(), []string{key})
	require.NoError(t, err)
	require.Equal(t, map[string]ecology.Reading{key: reading(1)}, got, "asking leaves the last answer")
}

func recall(t *testing.T, s Stores, labourer string) ecology.Remembered {
	t.Helper()
	r, err := s.Health.Recall(t.Context(), labourer)
	require.NoError(t, err)
	return r
}

func remembers(t *testing.T, s Stores) {
	labourer := unique("labourer")
	require.Equal(t, ecology.Remembered{}, recall(t, s, labourer))
	first := ecology.Remembered{Status: ecology.High, Known: true, At: noon}
	require.NoError(t, s.Health.Remember(t.Context(), labourer, ecology.Remembered{}, first))
	require.Equal(t, first, recall(t, s, labourer))
	second := ecology.Remembered{Status: ecology.Bad, Known: true, At: noon.Add(time.Minute)}

	require.NoError(t, s.Health.Remember(t.Context(), labourer, recall(t, s, labourer), second))

	require.Equal(t, second, recall(t, s, labourer))
	state, err := s.Control.State(t.Context(), labourer)
	require.NoError(t, err)
	require.Zero(t, state.Version, "no claim is disturbed by it")
}

func rememberRace(t *testing.T, s Stores) {
	labourer := unique("labourer")
	var before ecology.Remembered
	for range 2 {
		var racers []func() error
		for i := range 6 {
			after := ecology.Remembered{Status: ecology.Good, Known: true, At: noon.Add(time.Duration(i+1) * time.Second)}
			if before.Known {
				after.At = after.At.Add(time.Hour)
			}
			racers = append(racers, func() error { return s.Health.Remember(t.Context(), labourer, before, after) })
		}
		require.Equal(t, 1, race(t, errQueue, racers...))
		before = recall(t, s, labourer)
	}
}

func rememberStale(t *testing.T, s Stores) {
	labourer := unique("labourer")
	first := ecology.Remembered{Status: ecology.High, Known: true, At: noon}
	second := ecology.Remembered{Status: ecology.Bad, Known: true, At: noon.Add(time.Minute)}
	require.ErrorIs(t, s.Health.Remember(t.Context(), labourer, first, second), errQueue, "nothing was known of it")
	require.NoError(t, s.Health.Remember(t.Context(), labourer, ecology.Remembered{}, first))
	require.NoError(t, s.Health.Remember(t.Context(), labourer, first, second))

	require.ErrorIs(t, s.Health.Remember(t.Context(), labourer, first, first), errQueue)
	require.ErrorIs(t, s.Health.Remember(t.Context(), labourer, ecology.Remembered{}, first), errQueue)

	require.Equal(t, second, recall(t, s, labourer))
}

func rememberHistory(t *testing.T, s Stores) {
	labourer := unique("labourer")
	first := ecology.Remembered{Status: ecology.Moderate, Known: true, At: noon, History: ecology.History{
		"cpu":    {Status: ecology.Moderate, Since: map[ecology.Status]time.Time{ecology.Good: noon.Add(time.Nanosecond), ecology.High: noon}},
		"memory": {Status: ecology.High}}}
	require.NoError(t, s.Health.Remember(t.Context(), labourer, ecology.Remembered{}, first))
	read := recall(t, s, labourer)
	require.Equal(t, first, read)

	require.NoError(t, s.Health.Remember(t.Context(), labourer, read, ecology.Remembered{Known: true}), "what was read is what is stored")
}
