package job_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
)

type soswCase struct {
	ID             int               `json:"id"`
	Name           string            `json:"name"`
	Today          string            `json:"today"`
	ChunkableAttrs []string          `json:"chunkable_attrs"`
	Job            json.RawMessage   `json:"job"`
	JobText        string            `json:"job_text"`
	Tasks          []json.RawMessage `json:"tasks"`
	Refuse         bool              `json:"refuse"`
}

func TestSoswsJobsMakeTheSameTasks(t *testing.T) {
	data, err := os.ReadFile("testdata/sosw.json")
	require.NoError(t, err)
	var cases struct{ Plan []soswCase }
	require.NoError(t, json.Unmarshal(data, &cases))
	require.NotEmpty(t, cases.Plan)
	for _, c := range cases.Plan {
		t.Run(c.Name, func(t *testing.T) {
			text := []byte(c.JobText)
			if c.JobText == "" {
				text = c.Job
			}
			today, err := time.Parse(time.DateOnly, c.Today)
			require.NoError(t, err)
			tasks, err := expand(text, job.Schema{ChunkableAttrs: c.ChunkableAttrs}, today)
			if c.Refuse {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Len(t, tasks, len(c.Tasks))
			for i := range tasks {
				require.JSONEq(t, string(c.Tasks[i]), tasks[i], "task %d", i)
			}
		})
	}
}

// expand returns all tasks of a job.
func expand(text []byte, schema job.Schema, now time.Time) ([]string, error) {
	j, err := job.Parse(text)
	if err != nil {
		return nil, err
	}
	plan, err := j.Plan(schema, now)
	if err != nil {
		return nil, err
	}
	tasks := make([]string, plan.Len())
	for k := range tasks {
		payload, err := plan.Payload(k)
		if err != nil {
			return nil, err
		}
		tasks[k] = string(payload)
	}
	return tasks, nil
}
