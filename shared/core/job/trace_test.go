package job_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestATraceContextIsKeptAndLeavesThePayload(t *testing.T) {
	for name, c := range map[string]struct{ job, parent, state string }{
		"in the job":         {`{"labourer": "f", "traceparent": "` + traceparent + `", "tracestate": "a=1", "store": 7}`, traceparent, "a=1"},
		"beside the wrapper": {`{"traceparent": "` + traceparent + `", "tracestate": "a=1", "job": {"labourer": "f", "store": 7}}`, traceparent, "a=1"},
		"in both": {`{"traceparent": "00-00000000000000000000000000000001-0000000000000001-01", "job": {"labourer": "f", "traceparent": "` + traceparent + `", "store": 7}}`,
			traceparent, ""},
		"as text":             {`{"job": "{\"labourer\": \"f\", \"traceparent\": \"` + traceparent + `\", \"store\": 7}"}`, traceparent, ""},
		"unreadable":          {`{"labourer": "f", "traceparent": "00-", "tracestate": "a=1", "store": 7}`, "", ""},
		"no text":             {`{"labourer": "f", "traceparent": {"store": 8}, "tracestate": [1], "store": 7}`, "", ""},
		"a tracestate alone":  {`{"labourer": "f", "tracestate": "a=1", "store": 7}`, "", ""},
		"no text, and beside": {`{"traceparent": 1, "job": {"labourer": "f", "store": 7}}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked, err := job.Parse([]byte(c.job))
			require.NoError(t, err)
			require.Equal(t, c.parent, asked.Trace.Parent())
			require.Equal(t, c.state, asked.Trace.State)

			plan, err := asked.Plan(job.Schema{}, noon)
			require.NoError(t, err)
			payload, err := plan.Payload(0)
			require.NoError(t, err)
			require.JSONEq(t, `{"store": 7}`, string(payload))
			require.Empty(t, asked.Doubts(job.Schema{}))
		})
	}
}

func TestAJobIsTheSameInAnotherTrace(t *testing.T) {
	one, err := job.Parse([]byte(`{"labourer": "f", "store": 7}`))
	require.NoError(t, err)
	other, err := job.Parse([]byte(`{"labourer": "f", "traceparent": "` + traceparent + `", "store": 7}`))
	require.NoError(t, err)

	require.Equal(t, string(one.Canonical()), string(other.Canonical()))
}

func TestNoAttributeOfASchemaIsATraceContext(t *testing.T) {
	require.False(t, job.Chunkable("traceparent"))
	require.False(t, job.Chunkable("tracestate"))
}
