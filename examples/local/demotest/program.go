// Package demotest runs the demos as programs, in tests.
package demotest

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Command builds the demo in the test's folder, and returns its program, to be run in the project's folder with these arguments. With -short it skips
// the test.
func Command(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a local AWS")
	}
	binary := filepath.Join(t.TempDir(), "demo")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	require.NoError(t, err)
	demo := exec.CommandContext(t.Context(), binary, arguments...)
	demo.Dir = strings.TrimSpace(string(module))
	return demo
}

// RequireItEndsCleanly interrupts a demo once it has printed a text, and requires that it ends without leaving anything behind.
func RequireItEndsCleanly(t *testing.T, demo *exec.Cmd, once string) {
	t.Helper()
	out, err := demo.StdoutPipe()
	require.NoError(t, err)
	var troubles bytes.Buffer
	demo.Stderr = &troubles
	require.NoError(t, demo.Start())
	letters := bufio.NewReader(out)
	for shown := ""; !strings.HasSuffix(shown, once); {
		letter, err := letters.ReadByte()
		require.NoError(t, err, "%s%s", shown, &troubles)
		shown += string(letter)
	}

	require.NoError(t, demo.Process.Signal(os.Interrupt))

	_, _ = io.Copy(io.Discard, letters)
	require.Error(t, demo.Wait())
	require.Equal(t, 130, demo.ProcessState.ExitCode(), "%s", &troubles)
	require.Contains(t, troubles.String(), ": interrupted; nothing is left behind\n")
}
