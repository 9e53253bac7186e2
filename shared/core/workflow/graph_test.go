package workflow_test

import (
	"encoding/xml"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/workflow"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestAWorkflowAndItsRunsAreDrawn(t *testing.T) {
	s := subject(t, order, "order", `{"country": "FR", "total": 300}`)
	none, err := s.Tree(workflow.Head{State: workflow.NotStarted}, nil)
	require.NoError(t, err)
	golden(t, "testdata/order.mmd", workflow.Mermaid("order", none, false))

	r := start(t, s)
	for _, plugin := range []string{"z", "a", "b"} {
		r.end(plugin, true)
	}
	r.end("risky", false)
	golden(t, "testdata/order.run.mmd", workflow.Mermaid("order", r.tree(), true))
	golden(t, "testdata/order.run.svg", workflow.SVG("order", r.tree(), true))
	require.NoError(t, xml.Unmarshal([]byte(workflow.SVG(`a<b&"c"`, r.tree(), true)), new(struct{ XMLName xml.Name })))
}

func TestAHostileNameDoesNotLeaveItsLabel(t *testing.T) {
	s := subject(t, `{workflows: {w: {activities: [empty]}}}`, "w", `{}`)
	none, err := s.Tree(workflow.Head{State: workflow.NotStarted}, nil)
	require.NoError(t, err)
	require.Contains(t, workflow.Mermaid(`"]<script>`, none, false), `begin(["#quot;]#lt;script#gt;"])`)
}
