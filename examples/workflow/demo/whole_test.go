package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/local/demotest"
)

// TestTheWorkflowsReportIsRight runs everything that make demo-workflow does, on its own local AWS, with the binaries of make build.
func TestTheWorkflowsReportIsRight(t *testing.T) {
	said, err := demotest.Command(t).CombinedOutput()

	require.NoError(t, err, "%s", said)
	for _, part := range []string{"Optional Task Error", "there is no s3://weather-data/beaufort.csv", "- Missing: wind.", "- Wind: 8.8 m/s", "flowchart TB", "both reports are right"} {
		require.Contains(t, string(said), part)
	}
}

func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	demotest.RequireItEndsCleanly(t, demotest.Command(t), "Deploying")
}
