package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/drovertest"
)

const paced = `
labourers:
  shop:
    max_simultaneous_invocations: 10
    health_metrics:
      DatabaseCPU:
        details: {MetricName: CPUUtilization, Namespace: AWS/RDS}
        feelings: {2: 80, 3: 50, 4: 25}
job_schemas:
  default: {chunkable_attrs: [[section, {}], [store, {}]]}
  flat: {chunkable_attrs: []}
`

func TestPlanPrintsOnePayloadALine(t *testing.T) {
	configuration := file(t, "shop.yaml", paced)
	job := file(t, "job.json", `{"labourer": "shop", "period": "last_2_days", "isolate_days": true, "note": "<&>"}`)
	want := `{"note":"<&>","date_list":["2019-01-28"]}` + "\n" + `{"note":"<&>","date_list":["2019-01-29"]}` + "\n"
	got := pure(t, "plan", "-f", configuration, "--today", "2019-01-30", job).ok()
	require.ElementsMatch(t, decoded(t, want), decoded(t, got))
	require.Equal(t, got, pure(t, "--json", "plan", "-f", configuration, "--today", "2019-01-30", job).ok())
	require.Equal(t, got, pure(t, "plan", "--today", "2019-01-30T23:59:59Z", job).ok(), "without -f any labourer counts as known")
	require.Equal(t, "2\n", pure(t, "plan", "--count", job).ok())
}

func decoded(t *testing.T, lines string) []any {
	t.Helper()
	var out []any
	for d := json.NewDecoder(strings.NewReader(lines)); d.More(); {
		var one any
		require.NoError(t, d.Decode(&one))
		out = append(out, one)
	}
	return out
}

func TestPlanReadsADateInTheJobsTimeZone(t *testing.T) {
	for zone, day := range map[string]string{"Asia/Tokyo": "2019-01-29", "America/Los_Angeles": "2019-01-29", "UTC": "2019-01-29"} {
		out := pure(t, "plan", "--today", "2019-01-30", "-", "<", `{"labourer": "shop", "period": "yesterday", "time_zone": "`+zone+`"}`).ok()
		require.Contains(t, out, day, zone)
	}
}

func TestPlanRefusesWithTheFieldAtFault(t *testing.T) {
	configuration := file(t, "shop.yaml", paced)
	for job, words := range map[string][]string{
		`{"labourer": "shop", "period": "sometimes"}`:      {"period", "sometimes"},
		`{"labourer": "shopp"}`:                            {"labourer", "shopp", "shop"},
		`{"labourer": "shop", "job_schema_name": "flatt"}`: {"job_schema_name", "flat"},
		`{"job_id": "a b", "labourer": "shop"}`:            {"job_id", "a b"},
		`{"labourer": "shop", "task_id": 1}`:               {"task_id"},
		`[1]`:                                              {"job"},
		`nonsense`:                                         {"job"},
		`{"labourer": "shop", "sections": {"a": {"stores": []}}, "isolate_stores": true}`:                                                                                    {"sections.a"},
		`{"labourer": "shop", "period": {"from": "2020-01-01", "to": "2029-01-01"}, "isolate_hours": 1, "sections": [1,2,3,4,5,6,7,8,9,10,11,12,13], "isolate_sections": 1}`: {"1000000"},
	} {
		pure(t, "plan", "-f", configuration, "-", "<", job).fails(misuse, words...)
	}
	pure(t, "plan", "--today", "soon", "-", "<", `{"labourer": "shop"}`).fails(misuse, "--today", "soon")
	pure(t, "plan", "--max-tasks", "0", "-", "<", `{"labourer": "shop"}`).fails(misuse, "--max-tasks: is 0; want 1 or more")
	pure(t, "plan", "--max-tasks", "1", "-", "<", `{"labourer": "shop", "period": "last_2_days", "isolate_days": 1}`).fails(misuse, "period", "2 tasks")
}

func TestPlanWarnsOfAMisspelling(t *testing.T) {
	said := pure(t, "plan", "-f", file(t, "shop.yaml", paced), "-", "<", `{"labourer": "shop", "isolate_sectoins": true}`)
	require.Equal(t, `{"isolate_sectoins":true}`+"\n", said.ok())
	require.Contains(t, said.err, "isolate_sections")
}

// TestPlanAndSchedulerAgree: both make the same tasks from a job, or reject it for the same reason.
func TestPlanAndSchedulerAgree(t *testing.T) {
	configuration := strings.Replace(paced, "max_simultaneous", `target: {sqs: "https://sqs/1/shop"}`+"\n    max_simultaneous", 1)
	path := file(t, "shop.yaml", configuration)
	for i, job := range []string{
		`{"labourer": "shop"}`,
		`{"lambda_name": "arn:aws:lambda:us-west-2:000000000000:function:shop:live", "period": "last_3_days", "isolate_days": true}`,
		`{"labourer": "shop", "sections": {"a": {"stores": ["x", "y"]}, "b": null}, "isolate_stores": true}`,
		`{"labourer": "shop", "job_schema_name": "flat", "sections": ["a"], "isolate_sections": true}`,
		`{"labourer": "nobody"}`,
		`{"labourer": "shop", "job_schema_name": "unknown"}`,
		`{"labourer": "shop", "period": "todayXYZ"}`,
		`{"labourer": "shop", "sections": [], "isolate_sections": true}`,
		`{"labourer": "shop", "max_attempts": 0}`,
		`{"labourer": "shop", "period": {"from": "1800-01-01", "to": "2029-01-01"}, "isolate_hours": 1}`,
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			d := drovertest.New()
			require.NoError(t, d.Apply(configuration))
			require.NoError(t, d.Pause("shop"))
			id := d.Submit(job)
			d.RunFor(watchTick)
			record, found, err := d.Job(id)
			require.NoError(t, err)
			require.True(t, found)
			planned := pure(t, "plan", "-f", path, "--today", drovertest.Start.Format("2006-01-02T15:04:05Z"), "-", "<", job)
			if record.State == ledger.Rejected {
				planned.fails(misuse, "drover: "+record.ErrorField+": "+record.ErrorReason+"\n")
				return
			}
			tasks, err := d.Tasks(id)
			require.NoError(t, err)
			var payloads strings.Builder
			for _, one := range tasks {
				payloads.Write(append(one.Payload, '\n'))
			}
			require.Equal(t, payloads.String(), planned.ok())
		})
	}
}

// counter counts lines, and notes how many the first write had.
type counter struct {
	lines, first int
	largest      int
}

func (c *counter) Write(text []byte) (int, error) {
	if c.first == 0 {
		c.first = bytes.Count(text, []byte{'\n'})
	}
	c.lines += bytes.Count(text, []byte{'\n'})
	c.largest = max(c.largest, len(text))
	return len(text), nil
}

func TestPlanStreams(t *testing.T) {
	const tasks = 200_000
	job := fmt.Sprintf(`{"labourer": "shop", "period": {"from": "2000-01-01T00:00:00Z", "to": "2022-10-25T07:00:00Z"}, "isolate_hours": true, "n": %d}`, tasks)
	out := &counter{}
	s := &shell{in: strings.NewReader(job), out: out, err: &bytes.Buffer{}, environment: func(string) string { return "" }}
	require.Equal(t, done, run(t.Context(), s, []string{"plan", "--today", "2026-01-01", "-"}))
	require.Equal(t, tasks, out.lines)
	require.Equal(t, 1, out.first, "the first line is written before the others are made")
	require.LessOrEqual(t, out.largest, 64<<10)
}

// full is a stream that refuses every write.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestPlanFailsWhenItsOutputCannotBeWritten(t *testing.T) {
	for _, arguments := range [][]string{{"plan", "-"}, {"plan", "--count", "-"}} {
		var err bytes.Buffer
		s := &shell{in: strings.NewReader(`{"labourer": "shop"}`), out: full{}, err: &err, now: drovertest.New().World.Now, environment: func(string) string { return "" }}
		require.Equal(t, failed, run(t.Context(), s, arguments))
		require.Equal(t, "drover: no space left\n", err.String())
	}
}

func TestPlanEndsWhenItIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err bytes.Buffer
	s := &shell{in: strings.NewReader(`{"labourer": "shop", "period": "last_9999_days", "isolate_days": true}`), out: &out, err: &err,
		now: drovertest.New().World.Now, environment: func(string) string { return "" }}
	require.Equal(t, failed, run(ctx, s, []string{"plan", "-"}))
	require.Equal(t, "drover: interrupted\n", err.String())
}

func TestAssessSaysHowManyTasksMayRun(t *testing.T) {
	configuration := file(t, "shop.yaml", paced)
	for _, c := range []struct {
		arguments string
		want      string
	}{
		{"--metric DatabaseCPU=20", `{"labourer_id":"shop","status":4,"metrics":{"DatabaseCPU":4},"desired":10,"running":0,"free":10}`},
		{"--metric DatabaseCPU=60 --running 3", `{"labourer_id":"shop","status":2,"metrics":{"DatabaseCPU":2},"desired":5,"running":3,"free":2}`},
		{"--metric DatabaseCPU=99 --running 30", `{"labourer_id":"shop","status":0,"metrics":{"DatabaseCPU":0},"desired":0,"running":30,"free":0}`},
		{"", `{"labourer_id":"shop","status":4,"metrics":{"DatabaseCPU":4},"desired":10,"running":0,"free":10}`},
	} {
		out := pure(t, append([]string{"--json", "assess", "-f", configuration, "shop"}, strings.Fields(c.arguments)...)...).ok()
		require.Equal(t, c.want+"\n", out)
	}
	text := pure(t, "assess", "-f", configuration, "shop", "--metric", "DatabaseCPU=60").ok()
	require.Contains(t, text, "The health of shop is Moderate: 5 tasks may run, 0 running, 5 slots free.")
	require.Contains(t, text, "60 <= 80")
}

func TestAssessNamesAnUnknownLabourerOrMetric(t *testing.T) {
	configuration := file(t, "shop.yaml", paced)
	pure(t, "assess", "-f", configuration, "shopp").fails(failed, "shopp", "did you mean shop?")
	pure(t, "assess", "-f", configuration, "shop", "--metric", "CPU=1").fails(misuse, "CPU", "DatabaseCPU")
	for _, value := range []string{"high", "", "NaN", "Inf"} {
		pure(t, "assess", "-f", configuration, "shop", "--metric", "DatabaseCPU="+value).fails(misuse, "DatabaseCPU", `"`+value+`"`)
	}
	pure(t, "assess", "-f", configuration, "shop", "--metric", "DatabaseCPU").fails(misuse, "NAME=VALUE")
	pure(t, "assess", "-f", configuration, "shop", "--running", "-1").fails(misuse, "--running")
}

func TestValidateListsAllErrorsOfAllFiles(t *testing.T) {
	good := file(t, "good.yaml", shop)
	require.Equal(t, `{"valid":true,"labourers":["shop"],"job_schemas":["default"],"workflows":[],"activities":[],"plugins":[],"warnings":[]}`+"\n", pure(t, "--json", "validate", "-f", good).ok())
	require.Equal(t, "Valid: 1 labourer and 1 job schema.\n", pure(t, "validate", "-f", good).ok())

	bad := file(t, "bad.yaml", "labourers:\n  a: {target: {sqs: \"https://q/1/a\"}, max_attempts: 0}\n  b: {retires: 1}\n")
	worse := file(t, "worse.json", `{"laborers": {}}`)
	pure(t, "validate", "-f", good, "-f", bad, worse).fails(misuse, "bad.yaml:2", "max_attempts", "bad.yaml:3", "retires", "target", "worse.json", "laborers")
}

func TestFilesThatContradictEachOtherAreRefused(t *testing.T) {
	other := file(t, "other.yaml", strings.Replace(shop, "invocations: 3", "invocations: 4", 1))
	pure(t, "validate", "-f", file(t, "shop.yaml", shop), "-f", other).fails(misuse, "other.yaml", "labourers.shop", "defined differently")
}

func TestValidateListsTheSettingsOfSoswThatDroverIgnores(t *testing.T) {
	said := pure(t, "--json", "validate", "-f", "-", "<", `{"task_config": {"labourers": {"w": {"arn": "arn:aws:lambda:us-west-2:000000000000:function:w"}}, "dynamo_db_config": {"table_name": "tasks"}}}`)
	require.Contains(t, fmt.Sprint(said.one()["warnings"]), "dynamo_db_config")
}
