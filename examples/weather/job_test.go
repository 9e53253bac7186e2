package weather_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
)

// requests returns the tasks that Drover makes from the example's job, as the worker decodes them.
func requests(t *testing.T) []weather.Request {
	configuration, err := os.ReadFile("labourers.yaml")
	require.NoError(t, err)
	applied, warnings, problems := labourer.Read("labourers.yaml", configuration)
	require.Empty(t, problems)
	require.Empty(t, warnings)
	text, err := os.ReadFile("job.json")
	require.NoError(t, err)
	submitted, err := job.Parse(text)
	require.NoError(t, err)
	require.Contains(t, applied.Labourers, submitted.Labourer)
	require.Contains(t, applied.JobSchemas, submitted.Schema)
	plan, err := submitted.Plan(job.Schema{ChunkableAttrs: applied.JobSchemas[submitted.Schema].ChunkableAttrs}, time.Now())
	require.NoError(t, err)
	requests := make([]weather.Request, plan.Len())
	for i := range requests {
		payload, err := plan.Payload(i)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(payload, &requests[i]))
		require.NoError(t, requests[i].Check())
	}
	return requests
}

func TestTheJobIsOneTaskForEachMonthAndMeasure(t *testing.T) {
	requests := requests(t)

	require.Len(t, requests, 4*12*3)
	failing, poisoned := 0, 0
	for _, request := range requests {
		require.Len(t, request.Measures, 1)
		require.GreaterOrEqual(t, len(request.Dates), 28)
		require.Equal(t, request.Dates[0][:7], request.Dates[len(request.Dates)-1][:7], "days of one month")
		if request.Named(request.FailFirst) {
			failing++
		}
		if request.Named(request.Poison) {
			poisoned++
		}
	}
	require.Equal(t, 5, failing)
	require.Equal(t, 1, poisoned)
}

func TestTheTasksAnswersCombineToTheWhole(t *testing.T) {
	days := seattle(t)
	combined := weather.Answer{}
	for _, request := range requests(t) {
		answer, err := request.Answer(days)
		require.NoError(t, err)
		for measure, summary := range answer {
			combined[measure] = weather.Combine(combined[measure], summary)
		}
	}
	whole, err := weather.Request{Dates: between(t, "2012-01-01", "2015-12-31"), Measures: []string{"temp_max", "temp_min", "precipitation"}}.Answer(days)
	require.NoError(t, err)
	require.Equal(t, whole, combined)
}
