package health_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/service/health"
)

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	errOff = errors.New("the table is unreachable")
)

// desk stores readings and answers queries. A call whose name is in fails fails.
type desk struct {
	now   time.Time
	kept  map[string]ecology.Reading
	asked map[string]time.Time
	calls []int // the number of queries in each call
	fails string
	value float64
	waits int
	wait  func() // runs while the service waits
}

func newDesk() *desk {
	return &desk{now: noon, kept: map[string]ecology.Reading{}, asked: map[string]time.Time{}, value: 7}
}

func (d *desk) fail(name string) error {
	if d.fails == name {
		return errOff
	}
	return nil
}

func (d *desk) Readings(_ context.Context, keys []string) (map[string]ecology.Reading, error) {
	out := map[string]ecology.Reading{}
	for _, key := range keys {
		if r, ok := d.kept[key]; ok {
			out[key] = r
		}
	}
	return out, d.fail("Readings")
}

func (d *desk) Ask(_ context.Context, key string, now, since time.Time) error {
	if at, known := d.asked[key]; known && at.After(since) {
		return queue.ErrChanged
	}
	d.asked[key] = now
	return d.fail("Ask")
}

func (d *desk) Keep(_ context.Context, readings map[string]ecology.Reading) error {
	if err := d.fail("Keep"); err != nil {
		return err
	}
	maps.Copy(d.kept, readings)
	return nil
}

type source struct{ *desk }

func (s source) Ask(_ context.Context, queries map[string]ecology.Query, now time.Time) (map[string]ecology.Reading, error) {
	s.calls = append(s.calls, len(queries))
	out := map[string]ecology.Reading{}
	for key := range queries {
		value := s.value
		out[key] = ecology.Reading{Value: &value, At: now}
	}
	return out, s.fail("Source")
}

func (d *desk) service() health.Service {
	return health.Service{Store: d, Source: source{d}, Now: func() time.Time { return d.now }, Wait: func(context.Context) error {
		d.waits++
		d.now = d.now.Add(150 * time.Millisecond)
		if d.wait != nil {
			d.wait()
		}
		return d.fail("Wait")
	}}
}

func metric(name string, period time.Duration) ecology.Metric {
	return ecology.Metric{Query: ecology.Query{MetricName: name, Namespace: "AWS/RDS", Statistic: "Average", Period: period}}
}

func read(t *testing.T, d *desk, metrics map[string]ecology.Metric) map[string]ecology.Reading {
	out, err := d.service().Readings(context.Background(), metrics)
	require.NoError(t, err)
	require.Len(t, out, len(metrics))
	return out
}

func TestAMetricIsReadOnceInItsPeriodAndAtMostOnceAMinute(t *testing.T) {
	for period, lasts := range map[time.Duration]time.Duration{10 * time.Second: time.Minute, time.Minute: time.Minute, 5 * time.Minute: 5 * time.Minute} {
		d := newDesk()
		metrics := map[string]ecology.Metric{"CPU": metric("CPU", period)}
		for d.now = noon; d.now.Before(noon.Add(lasts)); d.now = d.now.Add(time.Second) {
			require.InDelta(t, 7, *read(t, d, metrics)["CPU"].Value, 0)
		}
		require.Equal(t, []int{1}, d.calls)

		d.value = 8
		require.InDelta(t, 8, *read(t, d, metrics)["CPU"].Value, 0)
		require.Equal(t, []int{1, 1}, d.calls)
	}
}

func TestMetricsWithEqualQueriesShareAnAnswerAndACall(t *testing.T) {
	d := newDesk()
	strict := metric("CPU", time.Minute)
	strict.Missing = ecology.MissingIsBad

	out := read(t, d, map[string]ecology.Metric{"f/CPU": metric("CPU", time.Minute), "g/CPU": strict, "g/Load": metric("Load", time.Minute)})

	require.Equal(t, []int{2}, d.calls)
	require.Equal(t, out["f/CPU"], out["g/CPU"])
}

func TestWithoutMetricsThereIsNoCall(t *testing.T) {
	d := newDesk()
	d.fails = "Readings"
	out, err := d.service().Readings(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, out)
}

func TestASecondReaderWaitsForTheFirstOnesAnswer(t *testing.T) {
	d := newDesk()
	m := metric("CPU", time.Minute)
	d.asked[m.Key()] = noon
	d.wait = func() {
		if d.waits == 3 {
			value := 9.0
			d.kept[m.Key()] = ecology.Reading{Value: &value, At: noon}
		}
	}

	out := read(t, d, map[string]ecology.Metric{"CPU": m})

	require.InDelta(t, 9, *out["CPU"].Value, 0)
	require.Empty(t, d.calls)
	require.Equal(t, 3, d.waits)
}

// TestG8AReaderThatDiesDelaysTheOthersOnlyBriefly: others ask again when patience is exhausted.
func TestG8AReaderThatDiesDelaysTheOthersOnlyBriefly(t *testing.T) {
	d := newDesk()
	m := metric("CPU", time.Minute)
	d.asked[m.Key()] = noon

	out := read(t, d, map[string]ecology.Metric{"CPU": m})

	require.InDelta(t, 7, *out["CPU"].Value, 0)
	require.Equal(t, []int{1}, d.calls)
	require.Less(t, d.now.Sub(noon), 5*time.Second)
}

func TestAMissingAnswerIsNotMistakenForAMetricWithoutData(t *testing.T) {
	d := newDesk()
	m := metric("CPU", time.Minute)
	d.wait = func() { d.asked[m.Key()] = d.now } // others keep asking, and store nothing
	d.asked[m.Key()] = noon

	out := read(t, d, map[string]ecology.Metric{"CPU": m})

	require.Nil(t, out["CPU"].Value)
	require.NotEmpty(t, out["CPU"].Error)
}

// TestG8AnUnreachableCloudWatchIsTheReasonOfEachMetric holds as long as an answer would be valid: not every wake calls CloudWatch again.
func TestG8AnUnreachableCloudWatchIsTheReasonOfEachMetric(t *testing.T) {
	d := newDesk()
	d.fails = "Source"
	metrics := map[string]ecology.Metric{"CPU": metric("CPU", time.Minute), "Load": metric("Load", time.Minute)}

	for range 3 {
		for name, r := range read(t, d, metrics) {
			require.Equal(t, "CloudWatch could not be read: the table is unreachable", r.Error, name)
		}
	}

	require.Equal(t, []int{2}, d.calls)
}

func TestAnUnreachableTableIsAnError(t *testing.T) {
	m := metric("CPU", time.Minute)
	for _, call := range []string{"Readings", "Ask", "Keep", "Wait"} {
		d := newDesk()
		d.fails = call
		if call == "Wait" {
			d.asked[m.Key()] = noon
		}
		_, err := d.service().Readings(context.Background(), map[string]ecology.Metric{"CPU": m})
		require.ErrorIs(t, err, errOff, call)
	}
}
