package weather_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/weather"
)

func TestTenthsAreReadAndWrittenExactly(t *testing.T) {
	for text, want := range map[string]weather.Tenths{
		"0.0": 0, "12.8": 128, "-0.5": -5, "-7.1": -71, "5": 50, "-3": -30, "007.0": 70,
	} {
		got, err := weather.ParseTenths(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := weather.ParseTenths(got.String())
		require.NoError(t, err, text)
		require.Equal(t, want, again, text)
	}
}

func TestOtherTextsThanTenthsAreRefused(t *testing.T) {
	for _, text := range []string{"", "-", ".", ".5", "5.", "1.25", "1,5", "+1.0", "--1.0", "1e3", "1.-5", " 1.0", "NaN", "99999999999999999999.0"} {
		_, err := weather.ParseTenths(text)
		require.Error(t, err, "%q", text)
		require.Error(t, new(weather.Tenths).UnmarshalJSON([]byte(text)), "%q", text)
	}
}

func FuzzParseTenths(f *testing.F) {
	f.Add("12.8")
	f.Add("-0.5")
	f.Fuzz(func(t *testing.T, text string) {
		tenths, err := weather.ParseTenths(text)
		if err != nil {
			return
		}
		encoded, err := json.Marshal(tenths)
		require.NoError(t, err)
		var back weather.Tenths
		require.NoError(t, json.Unmarshal(encoded, &back))
		require.Equal(t, tenths, back)
	})
}
