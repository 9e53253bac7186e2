package emf_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/emf"
)

func TestPointsAreReadUnderEachOfTheirDimensions(t *testing.T) {
	points, err := emf.Read(`{"msg": "no metric"}

{"S": "x", "L": "y", "A": 2, "B": [1, 2.5], "_aws": {"Timestamp": 1, "CloudWatchMetrics": [` +
		`{"Namespace": "N", "Dimensions": [["S"], ["S", "L"]], "Metrics": [{"Name": "A", "Unit": "Count"}]}, ` +
		`{"Namespace": "N", "Dimensions": [["S"]], "Metrics": [{"Name": "B"}]}]}}`)
	require.NoError(t, err)
	require.Len(t, points, 3)
	require.Equal(t, []float64{2}, points.Of("A", "S=x"))
	require.Equal(t, []float64{2}, points.Of("A", "S=x", "L=y"))
	require.Empty(t, points.Of("B", "S=x", "L=y"))
	require.InDelta(t, 3.5, points.Sum("B", "S=x"), 0)
}

func TestALineThatCloudWatchPassesOverIsRefused(t *testing.T) {
	good := `{"S": "x", "A": 2, "_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["S"]], "Metrics": [{"Name": "A"}]}]}}`
	_, err := emf.Read(good)
	require.NoError(t, err)
	for what, change := range map[string][2]string{
		"no JSON":               {`{"S"`, `"S"`},
		"no time":               {`"Timestamp": 1, `, ``},
		"a dimension's value":   {`"S": "x", `, ``},
		"a metric's value":      {`"A": 2`, `"A": "2"`},
		"no value":              {`"A": 2`, `"A": []`},
		"a hundred and one":     {`"A": 2`, `"A": [1` + strings.Repeat(", 1", 100) + `]`},
		"no metrics":            {`[{"Name": "A"}]`, `[]`},
		"a name with a colon":   {`"x"`, `":x"`},
		"a hundred and one too": {`[{"Name": "A"}]`, `[{"Name": "A"}` + strings.Repeat(`, {"Name": "A"}`, 100) + `]`},
	} {
		require.Contains(t, good, change[0])
		_, err := emf.Read(strings.Replace(good, change[0], change[1], 1))
		require.Error(t, err, what)
	}
}
