package labourer_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/labourer"
)

func lines(changes []document.Change) []string {
	var l []string
	for _, c := range changes {
		l = append(l, c.String())
	}
	return l
}

func TestEqualConfigurationsHaveNoDifferences(t *testing.T) {
	c := read(t, string(testdata(t, "labourers.yaml")))
	require.Empty(t, labourer.Diff(c, c))
	require.Empty(t, labourer.Diff(labourer.Configuration{}, labourer.Configuration{Labourers: map[string]labourer.Labourer{}}))
	require.Empty(t, sample().Diff(sample()))
}

func TestADifferenceIsListedFieldByField(t *testing.T) {
	before := read(t, `
labourers:
  gone: {target: {lambda: f}}
  stays: {target: {lambda: f}, max_attempts: 2, heartbeat: 1m, not_retryable: [A], health_metrics: {load: {details: {MetricName: M, Namespace: N}, feelings: {4: 1}}}}
job_schemas:
  default: {chunkable_attrs: [a]}
`)
	after := read(t, `
labourers:
  stays: {target: {sqs: "https://host/q"}, max_attempts: 3, group_key: k, not_retryable: [A, B], health_metrics: {load: {details: {MetricName: M, Namespace: N}, feelings: {4: 1}, feeling_comparison_operator: "<"}}}
job_schemas:
  default: {chunkable_attrs: [a, b]}
  "x.y": {chunkable_attrs: []}
`)
	changes := lines(labourer.Diff(before, after))
	require.Equal(t, []string{
		`~ job_schemas.default.chunkable_attrs: [["a",{}]] -> [["a",{}],["b",{}]]`,
		`+ job_schemas["x.y"].chunkable_attrs: []`,
	}, changes[:2])
	require.Contains(t, changes, `- labourers.gone.target.lambda: "f"`)
	require.Equal(t, []string{
		`+ labourers.stays.group_key: "k"`,
		`~ labourers.stays.health_metrics.load.feeling_comparison_operator: "<=" -> "<"`,
		`- labourers.stays.heartbeat: "1m"`,
		`~ labourers.stays.max_attempts: 2 -> 3`,
		`~ labourers.stays.not_retryable: ["A"] -> ["A","B"]`,
		`- labourers.stays.target.lambda: "f"`,
		`+ labourers.stays.target.sqs: "https://host/q"`,
	}, changes[len(changes)-7:])
}

func TestEveryFieldOfANewLabourerIsListed(t *testing.T) {
	changes := labourer.New("w").Diff(labourer.Labourer{})
	require.Equal(t, "+ labourers.w.coefficients.0: 0", changes[0].String())
	for _, c := range changes {
		require.Nil(t, c.From)
	}
}

func TestAChangeShowsTheValuesThatExist(t *testing.T) {
	after := sample()
	after.MaxAttempts, after.Heartbeat = 9, 0
	text, err := json.Marshal(after.Diff(sample()))
	require.NoError(t, err)
	require.Equal(t, `[{"path":"labourers.some_function.heartbeat","from":"1m"},{"path":"labourers.some_function.max_attempts","from":3,"to":9}]`, string(text))
}

func ExampleDiff() {
	before, _, _ := labourer.Read("before.yaml", []byte("labourers: {w: {target: {lambda: f}}}"))
	after, _, _ := labourer.Read("after.yaml", []byte("labourers: {w: {target: {lambda: f}, max_simultaneous_invocations: 20}}"))
	for _, change := range labourer.Diff(before, after) {
		fmt.Println(change)
	}
	// Output: ~ labourers.w.max_simultaneous_invocations: 1 -> 20
}
