package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// command returns the demo's program, to be run in the project's folder.
func command(t *testing.T) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a local AWS")
	}
	binary := t.TempDir() + "/demo-workflow"
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)
	demo := exec.CommandContext(t.Context(), binary)
	demo.Dir = "../../.."
	return demo
}

// TestTheWorkflowsReportIsRight runs everything that make demo-workflow does, on its own local AWS, with the binaries of make build.
func TestTheWorkflowsReportIsRight(t *testing.T) {
	said, err := command(t).CombinedOutput()

	require.NoError(t, err, "%s", said)
	for _, part := range []string{"Optional Task Error", "there is no s3://weather-data/beaufort.csv", "- Missing: wind.", "- Wind: 8.8 m/s", "flowchart TB", "both reports are right"} {
		require.Contains(t, string(said), part)
	}
}

func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	demo := command(t)
	out, err := demo.StdoutPipe()
	require.NoError(t, err)
	var troubles bytes.Buffer
	demo.Stderr = &troubles
	require.NoError(t, demo.Start())
	lines := bufio.NewReader(out)
	for shown := ""; !strings.HasSuffix(shown, "Deploying"); {
		letter, err := lines.ReadByte()
		require.NoError(t, err, shown)
		shown += string(letter)
	}

	require.NoError(t, demo.Process.Signal(os.Interrupt))

	_, _ = io.Copy(io.Discard, lines)
	require.Error(t, demo.Wait())
	require.Equal(t, 130, demo.ProcessState.ExitCode(), "%s", &troubles)
	require.Contains(t, troubles.String(), "demo-workflow: interrupted; nothing is left behind\n")
}
