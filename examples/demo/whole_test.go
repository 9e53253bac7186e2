package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheDemoComesToItsAnswer runs everything that make demo does, on its own local AWS, with the binaries of make build.
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
	for _, part := range []string{"20/20 completed", "the 143 completed tasks of weather", "Every result is right"} {
		require.Contains(t, string(said), part)
	}
}
