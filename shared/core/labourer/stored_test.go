package labourer_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
)

func TestTheStoredFormIsFixed(t *testing.T) {
	golden(t, "labourers.stored.json", string(sample().Stored())+"\n")
}

func TestEqualLabourersHaveTheSameStoredForm(t *testing.T) {
	spelled := one(t, `"max_attempts": 3, "cooldown": 300, "retry": {"rate": 2.0, "max": "60m"}, "not_retryable": ["B", "A"], "coefficients": {"4": 1},
		"health_metrics": {"m": {"details": {"Name": "M", "Namespace": "N", "Period": 60, "Statistics": ["Average"], "Dimensions": [{"Name": "B", "Value": "1"}, {"Name": "A", "Value": "2"}]},
			"feelings": {"4": 1}, "feeling_comparison_operator": "__le__"}}`)
	short := one(t, `not_retryable: [A, B],
		health_metrics: {m: {details: {MetricName: M, Namespace: N, Dimensions: [{Name: A, Value: "2"}, {Name: B, Value: "1"}]}, feelings: {4: 1e0}}}`)
	require.Equal(t, string(short.Stored()), string(spelled.Stored()))
	require.Equal(t, short, spelled)
}

func TestALabourerMarshalsToItsStoredForm(t *testing.T) {
	text, err := json.Marshal(sample())
	require.NoError(t, err)
	require.JSONEq(t, string(sample().Stored()), string(text))

	text, err = json.Marshal(job.Schema{ChunkableAttrs: []string{"section", "store"}})
	require.NoError(t, err)
	require.Equal(t, `{"chunkable_attrs":[["section",{}],["store",{}]]}`, string(text))
}

func TestTheStoredFormIsDecoded(t *testing.T) {
	l, err := labourer.Decode("some_function", sample().Stored())
	require.NoError(t, err)
	require.Equal(t, sample(), l)

	for _, attrs := range [][]string{nil, {"a"}, {"section", "store"}} {
		s, err := labourer.DecodeSchema("s", job.Schema{ChunkableAttrs: attrs}.Stored())
		require.NoError(t, err)
		require.Equal(t, job.Schema{ChunkableAttrs: attrs}, s)
	}
}

func TestTheStoredFormOfALaterVersionIsDecodedWithoutItsNewFields(t *testing.T) {
	l, err := labourer.Decode("w", []byte(`{"target": {"lambda": "f"}, "lanes": 4, "retry": {"budget": 0.1}, "health_metrics": {"m": {"mood": 1, "details": {"MetricName": "M", "Namespace": "N", "AccountId": "0"}, "feelings": {"4": 1}}}}`))
	require.NoError(t, err)
	require.Equal(t, "f", l.Target.Lambda)
	require.Contains(t, l.HealthMetrics, "m")

	s, err := labourer.DecodeSchema("s", []byte(`{"version": 2, "chunkable_attrs": [["a", {"size": 1}]]}`))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, s.ChunkableAttrs)
}

func TestABrokenStoredFormIsAnErrorThatNamesTheLabourer(t *testing.T) {
	for text, want := range map[string]string{
		``:                    `reading the stored labourer "w": line 1: the text is not JSON: unexpected end of JSON input`,
		`[]`:                  `reading the stored labourer "w": line 1: must be a mapping, not a list`,
		`{"max_attempts": 0}`: `reading the stored labourer "w": line 1: max_attempts: must be between 1 and 1000, not 0`,
	} {
		_, err := labourer.Decode("w", []byte(text))
		require.EqualError(t, err, want)
	}
	for text, want := range map[string]string{
		`{`:                         `reading the stored job schema "s": line 1: the text is not JSON: unexpected end of JSON input`,
		`{"chunkable_attrs": "as"}`: `reading the stored job schema "s": line 1: chunkable_attrs: must be a list like [[section, {}], [store, {}]], not the text "as"`,
	} {
		_, err := labourer.DecodeSchema("s", []byte(text))
		require.EqualError(t, err, want)
	}
}
