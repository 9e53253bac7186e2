package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/examples/local/demotest"
)

// TestTheDemoComesToItsAnswer runs everything that make demo does, on its own local AWS, with the binaries of make build.
func TestTheDemoComesToItsAnswer(t *testing.T) {
	said, err := demotest.Command(t).CombinedOutput()

	require.NoError(t, err, "%s", said)
	for _, part := range []string{"20/20 completed", "the 143 completed tasks of weather", "Every result is right"} {
		require.Contains(t, string(said), part)
	}
}
