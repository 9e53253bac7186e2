package node

import (
	"encoding/json"
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

// TestTheTypesOfTheNodeSDKAreRight compiles what users may write, and the README's worker. localstack/typescript installs the compiler.
func TestTheTypesOfTheNodeSDKAreRight(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Node")
	}
	compiler, err := filepath.Abs("../../../.local/typescript/node_modules/.bin/tsc")
	require.NoError(t, err)
	if _, err := os.Stat(compiler); err != nil {
		require.Empty(t, os.Getenv("CI"), "TypeScript is missing, and tests in CI need it; to install it: localstack/typescript")
		t.Skip("not judged: TypeScript is missing; to install it: localstack/typescript")
	}
	types, err := filepath.Abs("src/index.d.ts")
	require.NoError(t, err)
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	uses, err := os.ReadFile("test/types.ts")
	require.NoError(t, err)
	write("types.ts", string(uses))
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```js\n")
	require.True(t, found)
	example, _, _ := strings.Cut(rest, "```")
	write("readme.ts", example+"\ndeclare function load(store: unknown, options: { signal: AbortSignal }): Promise<unknown[] | undefined>;\n")
	configuration, err := json.Marshal(map[string]any{"files": []string{"types.ts", "readme.ts"}, "compilerOptions": map[string]any{"noEmit": true, "strict": true,
		"noUncheckedIndexedAccess": true, "module": "nodenext", "target": "es2022", "lib": []string{"es2022", "dom"}, "types": []string{},
		"paths": map[string]any{"drover-worker": []string{types}}}})
	require.NoError(t, err)
	write("tsconfig.json", string(configuration))
	write("package.json", `{"type": "module"}`)

	report, err := exec.CommandContext(t.Context(), compiler, "--project", folder).CombinedOutput()

	require.NoError(t, err, "%s", report)
	write("types.ts", string(uses)+"\nconst attempt: string = (null as unknown as Task).attempt;\n")
	report, err = exec.CommandContext(t.Context(), compiler, "--project", folder).CombinedOutput()
	require.Error(t, err, "a wrong use compiles")
	require.Contains(t, string(report), "Type 'number' is not assignable to type 'string'")
}
