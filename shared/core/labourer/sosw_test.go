package labourer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
)

func TestTheConfigurationOfSoswsOrchestratorIsReadUnchanged(t *testing.T) {
	c, warnings, errs := labourer.Read("sosw_orchestrator.json", testdata(t, "sosw_orchestrator.json"))
	require.NoError(t, errs.Err())

	want := labourer.New("some_function")
	want.Target.Lambda = "arn:aws:lambda:us-west-2:0000000000:function:some_function"
	want.MaxSimultaneousInvocations = 10
	want.MaxAttempts = 5
	want.MaxDuration, want.MaxDurationGiven = 5*time.Minute, true
	want.Coefficients = ecology.Coefficients{0, 0, 0.25, 0.5, 1}
	want.HealthMetrics = map[string]ecology.Metric{
		"SomeDBCPU": {
			Query: ecology.Query{
				MetricName: "CPUUtilization", Namespace: "AWS/RDS", Statistic: "Average", Period: time.Minute, Window: 5 * time.Minute,
				Dimensions: []ecology.Dimension{{Name: "DBInstanceIdentifier", Value: "YOUR-DB 😀"}},
			},
			Feelings: ecology.Feelings{3: 50, 4: 25}, Operator: ecology.AtMost,
		},
		"Depth": {
			Query:    ecology.Query{MetricName: "Depth", Namespace: "N", Statistic: "Maximum", Period: 2 * time.Minute, Window: 10 * time.Minute},
			Feelings: ecology.Feelings{4: 1000}, Operator: ecology.Under,
		},
	}
	require.Equal(t, want, c.Labourers["some_function"])

	other := labourer.New("other_function")
	other.Target.Lambda = "other_function:live"
	other.MaxSimultaneousInvocations = 0
	other.MaxAttempts = 2
	other.Coefficients = want.Coefficients
	require.Equal(t, other, c.Labourers["other_function"])
	require.Empty(t, c.JobSchemas)

	require.Equal(t, []string{
		"sosw_orchestrator.json:2: init_clients: is not carried over: there is nothing to initialise",
		"sosw_orchestrator.json:5: task_config.dynamo_db_config: is not carried over: the stack has its own tables",
		"sosw_orchestrator.json:6: task_config.sosw_closed_tasks_table: is not carried over: the stack has its own tables",
		"sosw_orchestrator.json:7: task_config.sosw_retry_tasks_table: is not carried over: the stack has its own tables",
		"sosw_orchestrator.json:8: task_config.sosw_retry_tasks_greenfield_index: is not carried over: the stack has its own tables",
		"sosw_orchestrator.json:9: task_config.ecology_config.init_clients: is not carried over: only default_metric_values of ecology_config has a counterpart",
		"sosw_orchestrator.json:12: task_config.max_attempts_gone: is not carried over: there is no labourer gone",
		"sosw_orchestrator.json:19: task_config.labourers.some_function.average_duration: is not carried over: sosw determines it at run time",
		"sosw_orchestrator.json:42: my_own_setting: is not carried over: it has no counterpart",
	}, warnings)
}

func TestTheConfigurationOfSoswsSchedulerIsReadUnchanged(t *testing.T) {
	c, warnings, errs := labourer.Read("sosw_scheduler.json", testdata(t, "sosw_scheduler.json"))
	require.NoError(t, errs.Err())
	require.Equal(t, map[string]job.Schema{"default": {ChunkableAttrs: []string{"topic", "word"}}}, c.JobSchemas)
	require.Equal(t, []string{
		"sosw_scheduler.json:2: dynamo_db_config: is not carried over: the stack has its own tables",
		"sosw_scheduler.json:3: job_schema.comment: is not carried over: a schema has only chunkable_attrs",
		"sosw_scheduler.json:3: job_schema.chunkable_attrs[1][1]: is not carried over: a chunkable attribute has no options",
		"sosw_scheduler.json:4: queue_bucket: is not carried over: the scheduler needs no queue file",
		"sosw_scheduler.json:5: custom_period_patterns: is not carried over: it calls your own Python code; exact ranges ({from, to}) replace it",
	}, warnings)
}

func TestTheSchemasOfSoswsConfiguration(t *testing.T) {
	const topics, words = `{"chunkable_attrs": [["topic", {}]]}`, `{"chunkable_attrs": [["word", {}]]}`
	tests := map[string]struct {
		text string
		want map[string][]string
	}{
		"variants":                            {`{"job_schema_variants": {"default": ` + topics + `, "w": ` + words + `}}`, map[string][]string{"default": {"topic"}, "w": {"word"}}},
		"an empty job_schema beside variants": {`{"job_schema": {}, "job_schema_variants": {"default": ` + topics + `}}`, map[string][]string{"default": {"topic"}}},
		"a job_schema alone":                  {`{"job_schema": ` + topics + `}`, map[string][]string{"default": {"topic"}}},
		"a job_schema beside an empty default": {`{"job_schema": ` + topics + `, "job_schema_variants": {"default": {"chunkable_attrs": []}, "w": ` + words + `}}`,
			map[string][]string{"default": {"topic"}, "w": {"word"}}},
		"a job_schema beside the same default": {`{"job_schema": ` + topics + `, "job_schema_variants": {"default": ` + topics + `}}`, map[string][]string{"default": {"topic"}}},
		"nothing to chunk by":                  {`{"job_schema_variants": {"default": {}}}`, map[string][]string{"default": nil}},
		"Drover's schemas beside it":           {`{"task_config": {}, "job_schemas": {"x": ` + words + `}}`, map[string][]string{"x": {"word"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := map[string][]string{}
			for name, s := range read(t, test.text).JobSchemas {
				got[name] = s.ChunkableAttrs
			}
			require.Equal(t, test.want, got)
		})
	}

	c, warnings, errs := labourer.Read("", []byte(`{"job_schema": `+words+`, "job_schema_variants": {"default": `+topics+`}}`))
	require.NoError(t, errs.Err())
	require.Equal(t, []string{"topic"}, c.JobSchemas["default"].ChunkableAttrs)
	require.Equal(t, []string{"line 1: job_schema: is not carried over: the default of job_schema_variants replaces it, as in sosw"}, warnings)
}

func TestSoswsConfigurationIsRecognised(t *testing.T) {
	for name, text := range map[string]string{
		"task_config":              `{"task_config": {"labourers": {"w": {"arn": "f"}}}}`,
		"TASK_CLIENT_CONFIG":       `{"TASK_CLIENT_CONFIG": {"labourers": {"w": {"arn": "f"}}}}`,
		"a function's":             `{"sosw_orchestrator_config": {"task_config": {"labourers": {"w": {"arn": "f"}}}}}`,
		"the task client's itself": `{"labourers": {"w": {"arn": "f"}}, "max_attempts": 3}`,
		"several functions'":       `{"sosw_orchestrator_config": {"task_config": {"labourers": {"w": {"arn": "f"}}}}, "sosw_scavenger_config": {"task_config": {"labourers": {"w": {"arn": "f"}}}}}`,
		"the essentials' template": `{"labourers": {"w": {"arn": "f"}}}`,
		"a Python dictionary":      "{'task_config': {'labourers': {'w': {'arn': 'f'},}}, # comment\n}",
	} {
		t.Run(name, func(t *testing.T) {
			want := labourer.New("w")
			want.Target.Lambda = "f"
			require.Equal(t, map[string]labourer.Labourer{"w": want}, read(t, text).Labourers)
		})
	}
}

func TestSoswsMetricsKeepTheirWindow(t *testing.T) {
	window := func(details, ecologyConfig string) time.Duration {
		c, _, errs := labourer.Read("", []byte(`{"task_config": {"ecology_config": `+ecologyConfig+`, "labourers": {"w": {"arn": "f", "health_metrics":
			{"m": {"details": {"Name": "M", "Namespace": "N", `+details+`}, "feelings": {"4": 1}, "feeling_comparison_operator": "le"}}}}}}`))
		require.NoError(t, errs.Err())
		return c.Labourers["w"].HealthMetrics["m"].Query.Window
	}
	require.Equal(t, 5*time.Minute, window(`"Period": 60`, `{}`), "sosw's default")
	require.Equal(t, time.Hour, window(`"Period": 3600`, `{}`), "a period that is longer")
	require.Equal(t, 2*time.Minute, window(`"Period": 60`, `{"default_metric_values": {"MetricAggregationTimeSlice": 120}}`))
	require.Equal(t, 10*time.Minute, window(`"MetricAggregationTimeSlice": 600`, `{"default_metric_values": {"MetricAggregationTimeSlice": 120}}`))
	require.Zero(t, window(`"ExtendedStatistics": ["p99"]`, `{"default_metric_values": {"Statistics": ["Maximum"]}}`), "percentiles have no window")
}

func TestErrorsInSoswsConfigurationNameThePath(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"a labourer's typing error":      {`{"task_config": {"labourers": {"w": {"arn": "f", "max_simultanous_invocations": 1}}}}`, "line 1: task_config.labourers.w.max_simultanous_invocations: is unknown; did you mean max_simultaneous_invocations?"},
		"a setting's typing error":       {`{"task_config": {"laborers": {}}}`, "line 1: task_config.laborers: is unknown to sosw; did you mean labourers?"},
		"a labourer without its arn":     {`{"task_config": {"labourers": {"w": {}}}}`, "line 1: task_config.labourers.w: target is missing; want {lambda: arn}, {sqs: url} or {states: arn}"},
		"an arn of something else":       {`{"labourers": {"w": {"arn": "arn:aws:sns:x"}}}`, `line 1: labourers.w.arn: "arn:aws:sns:x" is neither a function's ARN (arn:aws:lambda:<region>:<account>:function:<name>, optionally with :<alias> or :<version>) nor its name`},
		"duration under both names":      {`{"labourers": {"w": {"arn": "f", "duration": 5, "max_duration": 6}}}`, "line 1: labourers.w.duration: is sosw's name for max_duration, but max_duration is set too; want one of them"},
		"labourers in a list":            {`{"task_config": {"labourers": ["w"]}}`, "line 1: task_config.labourers: must be a mapping, not a list"},
		"attempts for all":               {`{"task_config": {"max_attempts": 0, "labourers": {"w": {"arn": "f"}, "x": {"arn": "f"}}}}`, "line 1: task_config.max_attempts: must be between 1 and 1000, not 0"},
		"attempts of one":                {`{"task_config": {"max_attempts_w": "x", "labourers": {"w": {"arn": "f"}}}}`, `line 1: task_config.max_attempts_w: must be a number, not the text "x"`},
		"a cap for all":                  {`{"task_config": {"max_simultaneous_invocations": -1}}`, "line 1: task_config.max_simultaneous_invocations: must be between 0 and 1e+09, not -1"},
		"coefficients":                   {`{"invocation_number_coefficient": {"5": 1}}`, "line 1: invocation_number_coefficient.5: 5 is not a status: 0 (Bad), 1 (Poor), 2 (Moderate), 3 (Good) or 4 (High)"},
		"a schema":                       {`{"job_schema": {"chunkable_attrs": [["topics", {}]]}}`, `line 1: job_schema.chunkable_attrs[0][0]: "topics" must be the singular, without the final s: isolate_… and max_…s_per_batch are named after it`},
		"schemas by name as one":         {`{"labourers": {}, "job_schema": {"default": {"chunkable_attrs": [["section", {}]]}}}`, "line 1: job_schema: contains schemas by name; want one schema, {chunkable_attrs: [...]}, or the name job_schemas (sosw: job_schema_variants)"},
		"a wrapped text":                 {`{"task_config": "{}"}`, `line 1: task_config: must be a mapping, not the text "{}"`},
		"default values of metrics":      {`{"ecology_config": {"default_metric_values": {"period": 60}}}`, "line 1: ecology_config.default_metric_values.period: is unknown; did you mean Period?"},
		"a default window":               {`{"ecology_config": {"default_metric_values": {"MetricAggregationTimeSlice": "x"}}}`, `line 1: ecology_config.default_metric_values.MetricAggregationTimeSlice: must be a duration like "90s" or "15m", or whole seconds, not the text "x"`},
		"two functions that contradict":  {"{\"a\": 1, \"orchestrator_config\": {\"labourers\": {\"w\": {\"arn\": \"f\"}}},\n\"scavenger_config\": {\"labourers\": {\"w\": {\"arn\": \"g\"}}}}", "line 2: scavenger_config.labourers.w: is defined differently as orchestrator_config.labourers.w in line 1"},
		"two settings that contradict":   {"{\"orchestrator_config\": {\"max_attempts\": 3},\n\"scavenger_config\": {\"max_attempts\": 4}}", "line 2: scavenger_config.max_attempts: is set differently as orchestrator_config.max_attempts in line 1"},
		"two mappings that contradict":   {`{"orchestrator_config": {"job_schema": {"a": [1, {"b": 2}]}}, "scavenger_config": {"job_schema": {"a": [1, {"b": 3}]}}}`, "line 1: scavenger_config.job_schema: is set differently as orchestrator_config.job_schema in line 1"},
		"two mappings of other lengths":  {`{"orchestrator_config": {"job_schema": {"a": 1}}, "scavenger_config": {"job_schema": {"a": 1, "b": 2}}}`, "line 1: scavenger_config.job_schema: is set differently as orchestrator_config.job_schema in line 1"},
		"a schema under two names alike": {`{"job_schemas": {"default": {"chunkable_attrs": ["a"]}}, "job_schema_variants": {"default": {"chunkable_attrs": ["b"]}}}`, "line 1: job_schemas.default: is defined differently as job_schema_variants.default in line 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, errs := labourer.Read("", []byte(test.text))
			require.EqualError(t, errs.Err(), test.want)
		})
	}
}

func TestASoswSettingInDroversFileRaisesAWarning(t *testing.T) {
	const mixed = "labourers: {w: {target: {lambda: f}}}\njob_schema: {chunkable_attrs: [[section, {}]]}\n"
	c, warnings, errs := labourer.Read("mine.yaml", []byte(mixed))
	require.NoError(t, errs.Err())
	require.Equal(t, []string{"section"}, c.JobSchemas["default"].ChunkableAttrs)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "mine.yaml:2: job_schema: is a sosw setting, so this file is read as sosw's")

	_, warnings, errs = labourer.Read("", []byte(`{"labourers": {"w": {"arn": "f"}}, "job_schema": {"chunkable_attrs": [["section", {}]]}}`))
	require.NoError(t, errs.Err())
	require.Empty(t, warnings, "a file that is all sosw's raises no warning")
}
