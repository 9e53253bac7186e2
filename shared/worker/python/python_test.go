package python

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestThePythonSDKPassesItsOwnTests needs pytest, which make test installs. Without it the test is skipped, unless CI is set.
func TestThePythonSDKPassesItsOwnTests(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	interpreter, err := filepath.Abs("../../../.local/venv/bin/python")
	require.NoError(t, err)
	if out, err := exec.CommandContext(t.Context(), interpreter, "-c", "import pytest").CombinedOutput(); err != nil {
		require.Empty(t, os.Getenv("CI"), "pytest is not installed: %s", out)
		t.Skip("pytest is not installed; make test installs it")
	}
	// go test reuses a result until a file that the test opened changes. It does not notice files that Python opens.
	for _, folder := range []string{"src", "tests", "../protocol"} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			_, err = os.ReadFile(path)
			return err
		}))
	}
	command := exec.CommandContext(t.Context(), interpreter, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
	command.Env = append(os.Environ(), "PYTHONPATH=src")
	report, err := command.CombinedOutput()
	require.NoError(t, err, "%s", report)
	require.True(t, bytes.Contains(report, []byte(" passed")), "%s", report)
}
