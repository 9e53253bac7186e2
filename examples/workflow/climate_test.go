package workflow_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/examples/workflow"
)

func seattle(t *testing.T) weather.Days {
	t.Helper()
	days, err := weather.Read(bytes.NewReader(data.CSV))
	require.NoError(t, err)
	return days
}

// beaufort returns the example's scale of wind forces.
func beaufort(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(workflow.Scale)
	require.NoError(t, err)
	return text
}

// found computes all statistics directly.
func found(t *testing.T, order workflow.Order) workflow.Findings {
	t.Helper()
	days := seattle(t)
	scale, err := workflow.ReadScale(bytes.NewReader(beaufort(t)))
	require.NoError(t, err)
	f, err := order.Findings(days, scale)
	require.NoError(t, err)
	return f
}

// The figures were computed once with Python's decimals.
func TestTheReportHasTheFiguresOfItsYear(t *testing.T) {
	for _, c := range []struct {
		order workflow.Order
		want  string
	}{
		{workflow.Order{Key: "seattle-weather.csv", Year: 2012, Sections: []string{"temperature", "rain", "wind", "snow"}}, `# The weather of 2012

366 days, from seattle-weather.csv.

- Temperature: from -3.3 °C on 2012-01-15 to 34.4 °C on 2012-08-16.
- Rain: 1226.0 mm on 148 wet days, most of it on 2012-11-19 (54.1 mm).
- Wind: 9.5 m/s at most, on 2012-12-17; light breeze on 186 days, gentle breeze on 123 days, moderate breeze on 33 days, light air on 20 days, fresh breeze on 4 days.
- Snow: on 21 days.
`},
		{workflow.Order{Key: "seattle-weather.csv", Year: 2014, Sections: []string{"rain", "wind"}}, `# The weather of 2014

365 days, from seattle-weather.csv.

- Rain: 1232.8 mm on 123 wet days, most of it on 2014-03-05 (46.7 mm).
- Wind: 8.8 m/s at most, on 2014-01-11; light breeze on 182 days, gentle breeze on 126 days, moderate breeze on 31 days, light air on 24 days, fresh breeze on 2 days.
`},
	} {
		require.Equal(t, c.want, c.order.Report(found(t, c.order)))
	}
}

func TestTheReportNamesWhatIsMissing(t *testing.T) {
	order := workflow.Order{Year: 2014, Sections: []string{"snow", "wind"}}
	f := found(t, order)
	f.Wind = nil

	require.Equal(t, []string{"wind"}, order.Missing(f))
	require.Contains(t, order.Report(f), "\n- Snow: on 0 days.\n- Missing: wind.\n")
}

func TestAYearThatIsNotWhollyAndPlausiblyRecordedIsNotValid(t *testing.T) {
	day := weather.Day{TempMax: 100, TempMin: 50, Wind: 10, Weather: "sun"}
	for name, c := range map[string]struct {
		change func(weather.Days)
		want   string
	}{
		"a day is missing":           {func(d weather.Days) { delete(d, "2014-03-01") }, "there is no record of 2014-03-01"},
		"it is warmest at its least": {func(d weather.Days) { day.TempMin = 101; d["2014-03-01"] = day }, "record of 2014-03-01: the lowest temperature, 10.1 °C, is above the highest, 10.0 °C"},
		"it rains upwards":           {func(d weather.Days) { day.TempMin, day.Precipitation = 0, -1; d["2014-03-01"] = day }, "record of 2014-03-01: precipitation -0.1 mm and wind 1.0 m/s; want no negative value"},
	} {
		t.Run(name, func(t *testing.T) {
			days := seattle(t)
			c.change(days)

			_, err := workflow.Order{Year: 2014}.Validate(days)

			require.EqualError(t, err, c.want)
		})
	}
}

func TestOtherScalesThanRisingOnesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "want the header from,name and one line or more",
		"from,name\n":                        "want the header from,name and one line or more",
		"name,from\ncalm,0.0\n":              "want the header from,name and one line or more",
		"from,name\nsome,calm\n":             `"some" is not a number with at most one decimal, such as -1.5`,
		"from,name\n0.3,light air\n":         `the force "light air" begins at 0.3; want the first at 0.0, and each further one above the last`,
		"from,name\n0.0,calm\n0.0,also calm": `the force "also calm" begins at 0.0; want the first at 0.0, and each further one above the last`,
	} {
		_, err := workflow.ReadScale(strings.NewReader(text))
		require.EqualError(t, err, want, text)
	}
}
