package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/worker"
)

func turnText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/turn.json")
	require.NoError(t, err)
	return text
}

// turn returns the event of a plugin's turn, with some of its text replaced.
func turn(t *testing.T, replaced ...string) []byte {
	t.Helper()
	text := turnText(t)
	for i := 0; i < len(replaced); i += 2 {
		require.Contains(t, string(text), replaced[i])
	}
	return []byte(strings.NewReplacer(replaced...).Replace(string(text)))
}

func TestATaskCarriesItsTurn(t *testing.T) {
	task, err := worker.ParseTask(turn(t))

	require.NoError(t, err)
	require.Equal(t, worker.Turn{
		Workflow: "order intake", UID: "order-7", Run: 2, RunID: "run-abcdefghijklmnopqrst", Activity: "ship", Stage: "parallel", Plugin: "label",
		Metadata: json.RawMessage(`{"country": "AT", "total": 12345678901234567890}`),
		Results:  worker.Results{"validate": {"check_stock": json.RawMessage(`{"left": 3}`), "audit": json.RawMessage(`null`)}},
	}, task.Turn)
	require.Equal(t, "printer", task.LabourerID)
	var payload map[string]any
	require.NoError(t, task.Decode(&payload))
	require.Equal(t, "label", payload["plugin"], "the payload has what the event has")

	var metadata struct{ Country string }
	require.NoError(t, task.DecodeMetadata(&metadata))
	require.Equal(t, "AT", metadata.Country)
}

func TestATaskOfAJobHasNoTurn(t *testing.T) {
	for name, replaced := range map[string][]string{
		"its job is not the run":         {`"job_id": "run-abcdefghijklmnopqrst"`, `"job_id": "nightly"`},
		"its plugin is no text":          {`"plugin": "label"`, `"plugin": 7`},
		"its plugin is missing":          {`"plugin": "label",`, ``},
		"its results are those of a job": {`"results": {"validate": {"check_stock": {"left": 3}, "audit": null}}`, `"results": [1]`},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := worker.ParseTask(turn(t, replaced...))

			require.NoError(t, err)
			require.Equal(t, worker.Turn{}, task.Turn)
			require.Contains(t, string(task.Payload), `"uid"`)
		})
	}
}

func TestAResultIsFoundByActivityAndPlugin(t *testing.T) {
	task, err := worker.ParseTask(turn(t))
	require.NoError(t, err)
	var stock struct{ Left int }

	found, err := task.Results.Decode("validate", "check_stock", &stock)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 3, stock.Left)

	for _, missing := range [][]string{{"validate", "check_risk"}, {"ship", "check_stock"}} {
		found, err = task.Results.Decode(missing[0], missing[1], &stock)
		require.NoError(t, err)
		require.False(t, found, "%v", missing)
	}
	found, err = task.Results.Decode("validate", "audit", &stock)
	require.NoError(t, err)
	require.True(t, found, "a plugin that returned nothing was Complete all the same")
}

func TestMetadataAndResultsOfAnotherShapeAreBadInput(t *testing.T) {
	function := func(_ context.Context, task worker.Task) (any, error) {
		var wrong []string
		_, err := task.Results.Decode("validate", "check_stock", &wrong)
		require.ErrorContains(t, err, "result of plugin check_stock in activity validate: ")
		return nil, task.DecodeMetadata(&wrong)
	}
	queue := newFakeSQS()

	_, err := invoke(t.Context(), queue, strings.Replace(string(turn(t)), "2026-11", "2999-11", 1), function)

	require.NoError(t, err)
	failed := queue.completions("failed")
	require.Len(t, failed, 1)
	require.Equal(t, "BadInput", failed[0].Error.Type)
	require.Contains(t, failed[0].Error.Message, "metadata of run run-abcdefghijklmnopqrst: ")
	require.False(t, *failed[0].Retryable)
}

// bucket holds objects by their bucket and key.
type bucket map[string]string

func (b bucket) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	text, has := b[*in.Bucket+"/"+*in.Key]
	if !has {
		return nil, errors.New("NoSuchKey")
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader([]byte(text)))}, nil
}

func TestResultsTooLargeForTheEventAreReadFromS3(t *testing.T) {
	const inPlace = `"results": {"validate": {"check_stock": {"left": 3}, "audit": null}}`
	stored := bucket{"archive/runs/run-abcdefghijklmnopqrst/000#1.json": `{"validate": {"check_stock": {"left": 4}}}`, "archive/torn": `{"validate": `}
	for name, c := range map[string]struct{ results, want, err string }{
		"in the event":   {inPlace, `{"validate": {"audit": null, "check_stock": {"left": 3}}}`, ""},
		"in S3":          {`"results_url": "s3://archive/runs/run-abcdefghijklmnopqrst/000#1.json"`, `{"validate": {"check_stock": {"left": 4}}}`, ""},
		"gone":           {`"results_url": "s3://archive/gone"`, "", "reading the results at s3://archive/gone: NoSuchKey"},
		"torn":           {`"results_url": "s3://archive/torn"`, "", "reading the results at s3://archive/torn: unexpected end of JSON input"},
		"no address":     {`"results_url": "archive"`, "", `results_url is "archive"; want s3://bucket/key`},
		"another scheme": {`"results_url": "https://archive/key"`, "", `results_url is "https://archive/key"; want s3://bucket/key`},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := worker.ParseTask(turn(t, inPlace, c.results))
			require.NoError(t, err)

			results, err := task.LoadResults(t.Context(), stored)

			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			text, err := json.Marshal(results)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(text))
		})
	}
}

func TestOneProgramServesSeveralPlugins(t *testing.T) {
	says := func(what string) worker.Func {
		return func(context.Context, worker.Task) (any, error) { return what, nil }
	}
	function := worker.Plugins(map[string]worker.Func{"label": says("label"), "invoice": says("invoice"), "": says("job")})
	for plugin, want := range map[string]string{"label": "label", "invoice": "invoice", "": "job"} {
		got, err := function(t.Context(), worker.Task{Turn: worker.Turn{Plugin: plugin}})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	_, err := function(t.Context(), worker.Task{Turn: worker.Turn{Plugin: "labels"}})
	require.EqualError(t, err, `plugin "labels": this worker runs the plugins invoice, label`)
}

func TestAPluginThatAProgramDoesNotServeFailsForGood(t *testing.T) {
	function := worker.Plugins(map[string]worker.Func{"invoice": func(context.Context, worker.Task) (any, error) { return nil, nil }})
	for name, c := range map[string]struct{ event, message string }{
		"another plugin": {strings.Replace(string(turn(t)), "2026-11", "2999-11", 1), `plugin "label": this worker runs the plugins invoice`},
		"a job's task":   {inAnHour(""), "a task of a job, which has no plugin: this worker runs the plugins invoice"},
	} {
		t.Run(name, func(t *testing.T) {
			queue := newFakeSQS()

			_, err := invoke(t.Context(), queue, c.event, function)

			require.NoError(t, err)
			failed := queue.completions("failed")
			require.Len(t, failed, 1)
			require.Equal(t, "UnknownPlugin", failed[0].Error.Type)
			require.Equal(t, c.message, failed[0].Error.Message)
			require.False(t, *failed[0].Retryable)
		})
	}
}
