package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// interpreter returns the Python that runs the local AWS's Python functions, or any python3 if that one is not installed.
func interpreter(t *testing.T) string {
	installed, err := filepath.Abs("../../.local/venv/bin/python")
	require.NoError(t, err)
	if _, err := os.Stat(installed); err == nil {
		return installed
	}
	found, err := exec.LookPath("python3")
	require.NoError(t, err, "the test needs python3, like the local AWS")
	return found
}

func TestThePythonWorkerPassesItsOwnTests(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	for _, source := range []string{"worker.py", "test_worker.py"} {
		// go test reuses a result until a file that the test opened changes. It does not notice files that Python opens.
		_, err := os.ReadFile(source)
		require.NoError(t, err)
	}
	command := exec.CommandContext(t.Context(), interpreter(t), "-B", "-m", "unittest", "-v", "test_worker")
	report, err := command.CombinedOutput()
	require.NoError(t, err, "%s", report)
}
