package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheDemoComesToItsAnswer runs all that make demo does, on a local AWS of its own, with the binaries that make build leaves.
func TestTheDemoComesToItsAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a local AWS")
	}
	binary := t.TempDir() + "/demo"
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)
	demo := exec.CommandContext(t.Context(), binary)
	demo.Dir = "../.."

	said, err := demo.CombinedOutput()

	require.NoError(t, err, "%s", said)
	for _, part := range []string{"20/20 completed", "the 143 completed tasks of weather", "All is as it should be"} {
		require.Contains(t, string(said), part)
	}
}
