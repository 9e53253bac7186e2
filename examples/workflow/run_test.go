package workflow_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/weather/data"
	"github.com/drover-run/drover/examples/workflow"
	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/drovertest"
	"github.com/drover-run/drover/shared/inspect"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// world is a Drover with the example's workflow, and the bucket that its plugins read.
type world struct {
	*drovertest.Drover
	objects *fakeaws.S3
}

const bucket = "weather-data"

func newWorld(t *testing.T) world {
	t.Helper()
	definitions, err := os.ReadFile("climate.yaml")
	require.NoError(t, err)
	w := world{drovertest.New(), fakeaws.NewS3(bucket)}
	require.NoError(t, w.Apply(string(definitions)))
	require.NoError(t, w.Worker("climate", time.Second, workflow.Plugins(w.objects)))
	w.put(t, "seattle-weather.csv", data.CSV)
	return w
}

func (w world) put(t *testing.T, key string, body []byte) {
	t.Helper()
	_, err := w.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)})
	require.NoError(t, err)
}

func (w world) report(t *testing.T, uid string) string {
	t.Helper()
	object, err := w.objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("reports/" + uid + ".md")})
	require.NoError(t, err)
	text, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	return string(text)
}

// run starts a run and waits until it has ended.
func (w world) run(t *testing.T, uid string, metadata []byte) inspect.RunTree {
	t.Helper()
	id := w.StartWorkflow(map[string]any{"workflow": "climate report", "uid": uid, "metadata": json.RawMessage(metadata)})
	require.NoError(t, w.Run())
	tree, err := w.Workflow(id)
	require.NoError(t, err)
	return tree
}

// asked returns the example's metadata, with some of its text replaced.
func asked(t *testing.T, replaced ...string) []byte {
	t.Helper()
	text, err := os.ReadFile("metadata.json")
	require.NoError(t, err)
	return []byte(strings.NewReplacer(replaced...).Replace(string(text)))
}

// states returns the states of a run's plugins, of optional ones with a mark.
func states(tree inspect.RunTree) map[string]flow.State {
	out := map[string]flow.State{}
	for _, a := range tree.Activities {
		for _, stage := range []inspect.RunStage{a.Pre, a.Parallel, a.Post} {
			for name, p := range stage.Mandatory {
				out[name] = p.State
			}
			for name, p := range stage.Optional {
				out[name+" (optional)"] = p.State
			}
		}
	}
	return out
}

func TestAReRunAddsWhatWasMissingInTheFirst(t *testing.T) {
	w := newWorld(t)
	var order workflow.Order
	require.NoError(t, json.Unmarshal(asked(t), &order))
	all := found(t, order)

	first := w.run(t, "seattle-2014", asked(t)) // the scale of wind forces is not in the bucket

	require.Equal(t, flow.OptionalTaskError, first.State)
	require.Equal(t, map[string]flow.State{"validate": "Complete", "temperature": "Complete", "rain": "Complete", "wind (optional)": "Error", "snow": "Skipped", "report": "Complete"}, states(first))
	wind := first.Activities[0].Parallel.Optional["wind"]
	require.Equal(t, 1, wind.Attempts, "NoSuchKey is not retried")
	require.Equal(t, "NoSuchKey: there is no s3://weather-data/beaufort.csv", wind.Message)
	require.Contains(t, first.Activities[0].Parallel.Mandatory["snow"].Message, "sections")
	require.JSONEq(t, `{"url": "s3://weather-data/reports/seattle-2014.md", "missing": ["wind"]}`, string(first.Activities[1].Parallel.Mandatory["report"].Result))
	without := all
	without.Wind = nil
	require.Equal(t, order.Report(without), w.report(t, "seattle-2014"))

	w.put(t, workflow.Scale, beaufort(t))
	second := w.run(t, "seattle-2014", nil) // with the metadata of the first

	require.Equal(t, flow.Complete, second.State)
	require.Equal(t, 2, second.Run.Run)
	require.Equal(t, map[string]flow.State{"validate": "Complete", "temperature": "Complete", "rain": "Complete", "wind (optional)": "Complete", "snow": "Skipped", "report": "Complete"}, states(second))
	require.Equal(t, order.Report(all), w.report(t, "seattle-2014"))
	require.Equal(t, first.Activities[0].Parallel.Mandatory["rain"].TaskID, second.Activities[0].Parallel.Mandatory["rain"].TaskID, "what was Complete did not run again")
	require.NotEqual(t, first.Activities[1].Parallel.Mandatory["report"].TaskID, second.Activities[1].Parallel.Mandatory["report"].TaskID)

	graph, err := w.Graph(second.RunID)
	require.NoError(t, err)
	require.Contains(t, graph, "climate report")
	for name := range states(second) {
		require.Contains(t, graph, strings.TrimSuffix(name, " (optional)"))
	}
}

func TestNoReportIsWrittenAboutAYearThatIsNotValid(t *testing.T) {
	w := newWorld(t)

	tree := w.run(t, "seattle-2016", asked(t, "2014", "2016"))

	require.Equal(t, flow.Error, tree.State)
	require.Contains(t, tree.Message, "there is no record of 2016-01-01")
	require.Equal(t, map[string]flow.State{"validate": "Error", "temperature": "Not Started", "rain": "Not Started", "wind (optional)": "Not Started", "snow": "Not Started", "report": "Not Started"}, states(tree))
}

func TestAnUnknownSectionIsRefusedByTheSchema(t *testing.T) {
	w := newWorld(t)

	w.StartWorkflow(map[string]any{"workflow": "climate report", "uid": "u", "metadata": json.RawMessage(asked(t, "rain", "fog"))})
	require.NoError(t, w.Run())

	rejected := w.Facts("WorkflowRejected")
	require.Len(t, rejected, 1)
	var detail struct {
		Error struct{ Field, Reason string }
	}
	require.NoError(t, json.Unmarshal(rejected[0].Detail, &detail))
	require.Equal(t, "metadata.sections[1]", detail.Error.Field)
}
