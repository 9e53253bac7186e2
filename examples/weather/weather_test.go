package weather_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/examples/weather/data"
)

func seattle(t require.TestingT) weather.Days {
	days, err := weather.Read(bytes.NewReader(data.CSV))
	require.NoError(t, err)
	return days
}

// between returns the dates from the first to the last, both included.
func between(t require.TestingT, first, last string) []string {
	from, err := time.Parse(time.DateOnly, first)
	require.NoError(t, err)
	to, err := time.Parse(time.DateOnly, last)
	require.NoError(t, err)
	var dates []string
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		dates = append(dates, day.Format(time.DateOnly))
	}
	return dates
}

func TestTheDataSetHasEachDayOfFourYears(t *testing.T) {
	days := seattle(t)

	require.Len(t, days, 366+3*365)
	for _, date := range between(t, "2012-01-01", "2015-12-31") {
		require.Contains(t, days, date)
	}
	require.Equal(t, weather.Day{Precipitation: 109, TempMax: 106, TempMin: 28, Wind: 45, Weather: "rain"}, days["2012-01-02"])
}

func TestSummariesAreThoseComputedByHand(t *testing.T) {
	days := seattle(t)
	for name, c := range map[string]struct {
		measure, first, last string
		want                 weather.Summary
	}{
		// 12.8 + 10.6 + 11.7 + 12.2 + 8.9 + 4.4 + 7.2
		"a week's maxima": {"temp_max", "2012-01-01", "2012-01-07", weather.Summary{
			Days: 7, Min: 44, MinOn: "2012-01-06", Max: 128, MaxOn: "2012-01-01", Sum: 678, Mean: 9.686}},
		// 0 + 10.9 + 0.8 + 20.3 + 1.3 + 2.5 + 0; the first of two dry days
		"a week's rain": {"precipitation", "2012-01-01", "2012-01-07", weather.Summary{
			Days: 7, Min: 0, MinOn: "2012-01-01", Max: 203, MaxOn: "2012-01-04", Sum: 358, Mean: 5.114}},
		"a single day": {"wind", "2012-01-03", "2012-01-03", weather.Summary{
			Days: 1, Min: 23, MinOn: "2012-01-03", Max: 23, MaxOn: "2012-01-03", Sum: 23, Mean: 2.3}},
		// Below and above zero, a leap day, and a maximum that three days share.
		"a month's minima": {"temp_min", "2012-02-01", "2012-02-29", weather.Summary{
			Days: 29, Min: -22, MinOn: "2012-02-27", Max: 78, MaxOn: "2012-02-07", Sum: 929, Mean: 3.203}},
		// The four years, computed once with Python's decimals.
		"all maxima": {"temp_max", "2012-01-01", "2015-12-31", weather.Summary{
			Days: 1461, Min: -16, MinOn: "2014-02-06", Max: 356, MaxOn: "2014-08-11", Sum: 240175, Mean: 16.439}},
		"all minima": {"temp_min", "2012-01-01", "2015-12-31", weather.Summary{
			Days: 1461, Min: -71, MinOn: "2013-12-07", Max: 183, MaxOn: "2012-08-16", Sum: 120310, Mean: 8.235}},
		"all rain": {"precipitation", "2012-01-01", "2015-12-31", weather.Summary{
			Days: 1461, Min: 0, MinOn: "2012-01-01", Max: 559, MaxOn: "2015-03-15", Sum: 44260, Mean: 3.029}},
		"all wind": {"wind", "2012-01-01", "2015-12-31", weather.Summary{
			Days: 1461, Min: 4, MinOn: "2013-10-23", Max: 95, MaxOn: "2012-12-17", Sum: 47353, Mean: 3.241}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := weather.Summarise(days, c.measure, between(t, c.first, c.last))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestASummaryReadsAsPeopleWriteNumbers(t *testing.T) {
	summary, err := weather.Summarise(seattle(t), "temp_min", between(t, "2012-02-01", "2012-02-29"))
	require.NoError(t, err)

	text, err := json.Marshal(summary)

	require.NoError(t, err)
	require.Equal(t, `{"days":29,"min":-2.2,"min_on":"2012-02-27","max":7.8,"max_on":"2012-02-07","sum":92.9,"mean":3.203}`, string(text))
	var back weather.Summary
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, summary, back)
}

func TestSummariseRefusesDatesAndMeasuresWithoutData(t *testing.T) {
	days := seattle(t)
	for name, c := range map[string]struct {
		measure string
		dates   []string
		want    string
	}{
		"no dates":           {"wind", nil, "there is no date to sum up"},
		"a day not recorded": {"wind", []string{"2012-01-01", "2016-01-01"}, `there is no record of "2016-01-01"`},
		"no such measure":    {"snow", []string{"2012-01-01"}, `measure is "snow"; want one of precipitation, temp_max, temp_min, wind`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := weather.Summarise(days, c.measure, c.dates)
			require.EqualError(t, err, c.want)
		})
	}
}

// The demo relies on this: the answers combine to the whole, whatever way the days are cut into tasks and whatever order the answers have.
func TestPartsCombineToTheWhole(t *testing.T) {
	days := seattle(t)
	all := between(t, "2012-01-01", "2015-12-31")
	rapid.Check(t, func(t *rapid.T) {
		measure := rapid.SampledFrom(weather.Measures).Draw(t, "measure")
		whole, err := weather.Summarise(days, measure, all)
		require.NoError(t, err)
		var parts []weather.Summary
		for rest := all; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "days in the part")
			part, err := weather.Summarise(days, measure, rest[:n])
			require.NoError(t, err)
			parts, rest = append(parts, part), rest[n:]
		}
		var combined weather.Summary
		for _, part := range rapid.Permutation(parts).Draw(t, "order") {
			combined = weather.Combine(combined, part)
		}
		require.Equal(t, whole, combined)
		require.Equal(t, whole, weather.Combine(combined, weather.Summary{}))
	})
}

func TestReadRefusesOtherTexts(t *testing.T) {
	const header = "date,precipitation,temp_max,temp_min,wind,weather\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":              {"", "reading the header: EOF"},
		"another table":        {"a,b\n1,2\n", `header is "a,b"; want "date,precipitation,temp_max,temp_min,wind,weather"`},
		"too few columns":      {header + "2012/01/01,0.0\n", "reading the records: record on line 2: wrong number of fields"},
		"no date":              {header + "soon,0.0,1.0,1.0,1.0,sun\n", `record of "soon": want a date such as 2012/01/31`},
		"a day that never was": {header + "2013/02/29,0.0,1.0,1.0,1.0,sun\n", `record of "2013/02/29": want a date such as 2012/01/31`},
		"no number":            {header + "2012/01/01,0.0,warm,1.0,1.0,sun\n", `record of "2012/01/01": "warm" is not a number with at most one decimal, such as -1.5`},
		"a day twice":          {header + strings.Repeat("2012/01/01,0.0,1.0,1.0,1.0,sun\n", 2), `record of "2012/01/01": the day occurs twice`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := weather.Read(strings.NewReader(c.text))
			require.EqualError(t, err, c.want)
		})
	}
}
