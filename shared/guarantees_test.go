package shared_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkout leads to the project's top folder: go test runs in the package's.
const checkout = ".."

// guarantees counts the guarantees: G1, G2, and so on.
const guarantees = 10

// tests returns the names of all tests that `make test` runs, each with its file. go list names the files, so build constraints apply. A test without a
// body, or one that always skips itself, does not count.
func tests(t *testing.T) map[string]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=Dir,TestGoFiles,XTestGoFiles", "./...")
	list.Dir = checkout
	out, err := list.Output()
	require.NoError(t, err, "go list")
	found := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct {
			Dir                       string
			TestGoFiles, XTestGoFiles []string
		}
		require.NoError(t, d.Decode(&p))
		for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			path := filepath.Join(p.Dir, name)
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, test := range runnable(t, source) {
				found[test] = path
			}
		}
	}
	require.Greater(t, len(found), 100, "the tests of the project")
	return found
}

// runnable returns the names of the tests in a file that go test runs and that do something.
func runnable(t *testing.T, source []byte) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	require.NoError(t, err)
	var names []string
	for _, d := range parsed.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || len(f.Type.Params.List) != 1 || f.Body == nil || len(f.Body.List) == 0 {
			continue
		}
		if types.ExprString(f.Type.Params.List[0].Type) == "*testing.T" && !slices.ContainsFunc(f.Body.List, skips) {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// skips reports whether a statement always skips its test.
func skips(s ast.Stmt) bool {
	statement, is := s.(*ast.ExprStmt)
	if !is {
		return false
	}
	call, is := statement.X.(*ast.CallExpr)
	return is && slices.Contains([]string{"t.Skip", "t.Skipf", "t.SkipNow"}, types.ExprString(call.Fun))
}

func TestOnlyTestsThatGoTestRunsAndThatDoSomethingCount(t *testing.T) {
	for body, want := range map[string][]string{
		`func TestG1Holds(t *testing.T) { require.True(t, holds()) }`:                               {"TestG1Holds"},
		`func TestG1Holds(t *testing.T) { if testing.Short() { t.Skip() }; require.True(t, ok()) }`: {"TestG1Holds"},
		`func TestG1Holds(t *testing.T) { t.Skip("later"); require.True(t, holds()) }`:              nil,
		`func TestG1Holds(t *testing.T) {}`:                                                         nil,
		`func TestMain(m *testing.M) { os.Exit(m.Run()) }`:                                          nil,
		`func TestG1Holds() bool { return true }`:                                                   nil,
		`func (s suite) TestG1Holds(t *testing.T) { require.True(t, holds()) }`:                     nil,
	} {
		require.Equal(t, want, runnable(t, []byte("package p\n"+body)), body)
	}
}

var guarantee = regexp.MustCompile(`G[1-9][0-9]*`)

// A test that proves a guarantee has the guarantee in its name: TestG3…, TestG1G2…. The simulator's own tests check that it judges each guarantee, and
// that each can fail: TestSeeds and TestEachGuaranteeHasAMutationThatBreaksItAlone.
func TestEveryGuaranteeHasTestsThatRun(t *testing.T) {
	proven := map[string][]string{}
	for name := range tests(t) {
		for _, id := range guarantee.FindAllString(name, -1) {
			proven[id] = append(proven[id], name)
		}
	}
	for n := 1; n <= guarantees; n++ {
		require.NotEmpty(t, proven[fmt.Sprintf("G%d", n)], "no test is named for G%d", n)
	}
	require.Len(t, proven, guarantees, "tests name the guarantees %v; there are %d", slices.Sorted(maps.Keys(proven)), guarantees)
}

// scenarios counts the scenarios that a successor of moe's orchestrator is judged by. A test that plays one has its number in its name, with two digits.
const scenarios = 25

func TestEveryScenarioOfMoeHasATestThatRuns(t *testing.T) {
	played := map[string]bool{}
	for name := range tests(t) {
		if number := scenario.FindStringSubmatch(name); number != nil {
			played[number[1]] = true
		}
	}
	for n := 1; n <= scenarios; n++ {
		require.True(t, played[fmt.Sprintf("%02d", n)], "no test is named TestScenario%02d…", n)
	}
	require.Len(t, played, scenarios)
}

var (
	scenario = regexp.MustCompile(`^TestScenario([0-9]+)[A-Z]`)

	row = regexp.MustCompile("(?m)^\\|[ *`]*(G[0-9]+)[ *`]*\\|.*$")
	// A name may be truncated: `TestG1…` and `TestG1*` mean all names with that beginning.
	mentioned = regexp.MustCompile(`\b(Test\w+)(…|\*|\.\.\.)?`)
)

// begins reports whether a name begins with another one. TestG10… does not begin with TestG1.
func begins(name, with string) bool {
	rest, does := strings.CutPrefix(name, with)
	return does && (rest == "" || rest[0] < '0' || rest[0] > '9')
}

// The README's table has a line for each guarantee. Its tests exist, and at least one of them is named for the guarantee.
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
		require.True(t, named, "the README's line of %s names no test for it", id)
	}
	var all []string
	for n := 1; n <= guarantees; n++ {
		all = append(all, fmt.Sprintf("G%d", n))
	}
	require.Equal(t, all, lines, "the README's table has each guarantee once, in order")
}
