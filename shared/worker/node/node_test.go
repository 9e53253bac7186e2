package node

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// oldest holds the oldest Node on which the tests of the SDK run.
const oldest = 20

// TestTheNodeSDKPassesItsOwnTests runs where Node is at hand, and needs nothing else. The project's tests do not assume Node, so without it this
// test is skipped, in CI too.
func TestTheNodeSDKPassesItsOwnTests(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Node")
	}
	said, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Skip("node is not at hand: the Node SDK is NOT tested")
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(said)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		t.Skipf("node is %s, the Node SDK needs %d or later and is NOT tested", strings.TrimSpace(string(said)), oldest)
	}
	// go test reuses a result until a file that the test opened changes. It does not notice files that Node opens.
	for _, folder := range []string{"src", "test", "../protocol"} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			_, err = os.ReadFile(path)
			return err
		}))
	}
	report, err := exec.CommandContext(t.Context(), "node", "--test", "test/").CombinedOutput()
	require.NoError(t, err, "%s", report)
	require.NotContains(t, string(report), "# pass 0\n")
}
