package python

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
)

func TestTheJobIsOneTaskForEachYearAndKind(t *testing.T) {
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
	require.Equal(t, 4*5, plan.Len())
	first, err := plan.Payload(0)
	require.NoError(t, err)
	require.JSONEq(t, `{"bucket":"weather-data","key":"seattle-weather.csv","job_schema_name":"weather_kinds","isolate_kinds":true,"years":["2012"],"kinds":["drizzle"]}`, string(first))
}
