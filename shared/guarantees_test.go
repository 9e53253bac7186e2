package shared_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkout is the project's top folder: go test runs in the package's.
const checkout = ".."

// guarantees is how many there are: G1, G2, and so on.
const guarantees = 10

// tests are the names of all tests of the project, by the files that they are in.
func tests(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(checkout, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != checkout && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			if f, is := d.(*ast.FuncDecl); is && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				found[f.Name.Name] = path
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(found), 100, "the tests of the project")
	return found
}

var guarantee = regexp.MustCompile(`G[1-9][0-9]*`)

// A test that proves a guarantee says so in its name: TestG3…, TestG1G2….
func TestEveryGuaranteeHasTestsThatNameIt(t *testing.T) {
	proven := map[string][]string{}
	for name := range tests(t) {
		for _, id := range guarantee.FindAllString(name, -1) {
			proven[id] = append(proven[id], name)
		}
	}
	for n := 1; n <= guarantees; n++ {
		require.NotEmpty(t, proven[fmt.Sprintf("G%d", n)], "no test is named for G%d", n)
	}
	require.Len(t, proven, guarantees, "%v: these are named, and there are %d", slices.Sorted(maps.Keys(proven)), guarantees)
}

var (
	row = regexp.MustCompile("(?m)^\\|[ *`]*(G[0-9]+)[ *`]*\\|.*$")
	// A name may be cut short: `TestG1…` and `TestG1*` mean all that begin so.
	mentioned = regexp.MustCompile(`\b(Test\w+)(…|\*|\.\.\.)?`)
)

// begins tells whether a name begins so: TestG10… does not begin with TestG1.
func begins(name, with string) bool {
	rest, does := strings.CutPrefix(name, with)
	return does && (rest == "" || rest[0] < '0' || rest[0] > '9')
}

// The README promises what tests prove: its table has a line for each guarantee, with tests that there are, of which one is named for it.
func TestTheReadmesGuaranteesAreThoseThatAreTested(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(checkout, "README.md"))
	require.NoError(t, err)
	known := tests(t)
	var lines []string
	for _, line := range row.FindAllStringSubmatch(string(text), -1) {
		id := line[1]
		lines = append(lines, id)
		named := false
		for _, m := range mentioned.FindAllStringSubmatch(line[0], -1) {
			exists := known[m[1]] != ""
			if m[2] != "" {
				exists = slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(name string) bool { return begins(name, m[1]) })
			}
			require.True(t, exists, "the README's line of %s names %s, which does not exist", id, m[0])
			named = named || slices.Contains(guarantee.FindAllString(m[1], -1), id)
		}
		require.True(t, named, "the README's line of %s names no test of its own", id)
	}
	var all []string
	for n := 1; n <= guarantees; n++ {
		all = append(all, fmt.Sprintf("G%d", n))
	}
	require.Equal(t, all, lines, "the README's table has each guarantee once, in order")
}
