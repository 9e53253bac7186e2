package shared_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/drover-run/drover/"

// floors lists the lower folders of shared/, from the ground up. All other folders are above them.
var floors = []string{"core", "service", "aws", "wiring"}

// listed holds the answer of `go list` for a package.
type listed struct {
	ImportPath, Dir        string
	Imports, Deps, GoFiles []string
}

// place returns the package's folder within the module: "shared/core/job".
func (p listed) place() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages lists the whole module, wherever a test runs.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,Deps,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err, "go list")
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		require.NoError(t, d.Decode(&p))
		all = append(all, p)
	}
	for _, part := range []string{"shared/core/", "shared/service/", "shared/aws/", "shared/wiring", "shared/testing/", "functions/", "cmd/"} {
		require.True(t, slices.ContainsFunc(all, func(p listed) bool { return strings.HasPrefix(p.place(), part) }), "no package below %s", part)
	}
	return all
}

// floor returns the floor of a package: the index of its folder in floors, or their number for all packages above them.
func floor(place string) int {
	for i, name := range floors {
		if below(place, "shared/"+name) {
			return i
		}
	}
	return len(floors)
}

func below(place, folder string) bool { return place == folder || strings.HasPrefix(place, folder+"/") }

// pure reports whether a package decides, or acts through ports: then it uses no AWS SDK, no clock and no randomness of its own.
func pure(place string) bool { return floor(place) <= slices.Index(floors, "service") }

// forTests reports whether a package is for tests: the project's own or users'.
func forTests(place string) bool {
	return below(place, "shared/testing") || below(place, "shared/drovertest") || below(place, "localstack")
}

// upward returns the imports of a package that lead to a higher floor.
func upward(p listed) []string {
	return slices.DeleteFunc(slices.Clone(p.Imports), func(path string) bool {
		place, ours := strings.CutPrefix(path, module)
		return !ours || floor(place) <= floor(p.place())
	})
}

// forbidden returns the forbidden dependencies of a package: test code in deployed packages, and the AWS SDK in deciding ones.
func forbidden(p listed) []string {
	var found []string
	for _, d := range p.Deps {
		place, ours := strings.CutPrefix(d, module)
		switch {
		case ours && forTests(place) && deployed(p.place()):
			found = append(found, d)
		case pure(p.place()) && strings.HasPrefix(d, "github.com/aws/"):
			found = append(found, d)
		}
	}
	return found
}

// deployed reports whether a package is part of a function, of the CLI or of users' workers.
func deployed(place string) bool {
	return !forTests(place) && !below(place, "examples") && !below(place, "infra") && !below(place, "statemachines")
}

func TestImportsOnlyGoDown(t *testing.T) {
	for _, p := range packages(t) {
		require.Empty(t, upward(p), "%s imports from a higher floor", p.place())
	}
}

func TestTheDecidingPackagesKnowNoAWSAndNothingDeployedImportsTestCode(t *testing.T) {
	for _, p := range packages(t) {
		require.Empty(t, forbidden(p), "%s must not depend on these", p.place())
	}
}

// TestAPlantedImportIsFound plants an import that each rule refuses, in each part of the project that the rule covers.
func TestAPlantedImportIsFound(t *testing.T) {
	for _, planted := range []struct{ place, imports string }{
		{"shared/core/job", "shared/service/scheduler"}, {"shared/service/scheduler", "shared/aws/dynamo"},
		{"shared/aws/dynamo", "shared/wiring"}, {"shared/wiring", "shared/inspect"},
	} {
		p := listed{ImportPath: module + planted.place, Imports: []string{"fmt", module + planted.imports}}
		require.NotEmpty(t, upward(p), "%s may import %s", planted.place, planted.imports)
	}
	for _, planted := range []struct{ place, imports string }{
		{"functions/scheduler", module + "shared/testing/fakeaws"}, {"cmd/drover", module + "shared/testing/faults"},
		{"shared/wiring", module + "shared/testing/sim"}, {"shared/worker", module + "shared/drovertest"},
		{"shared/core/task", "github.com/aws/aws-sdk-go-v2/aws"}, {"shared/service/replay", "github.com/aws/aws-lambda-go/events"},
	} {
		p := listed{ImportPath: module + planted.place, Deps: []string{"fmt", planted.imports}}
		require.NotEmpty(t, forbidden(p), "%s may depend on %s", planted.place, planted.imports)
	}
}

// TestTheDecidingPackagesAreHandedTimeAndRandomness: a decision that reads a clock or draws a number cannot be replayed from a seed.
func TestTheDecidingPackagesAreHandedTimeAndRandomness(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	for _, p := range packages(t) {
		if !pure(p.place()) {
			continue
		}
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			require.NoError(t, err)
			for _, i := range parsed.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				require.NotContains(t, []string{"math/rand", "math/rand/v2", "crypto/rand"}, path, "%s/%s draws randomness: make it a parameter", p.place(), file)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil {
						require.NotContains(t, clock, s.Sel.Name, "%s/%s reads the clock with time.%s: make the time a parameter", p.place(), file, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		documented := false
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ParseComments|parser.PackageClauseOnly)
			require.NoError(t, err)
			documented = documented || parsed.Doc != nil
		}
		require.True(t, documented, "package %s has no doc comment", p.place())
	}
}

// TestTheFloorsAreTheFolders refuses folders below shared/ that the design does not describe.
func TestTheFloorsAreTheFolders(t *testing.T) {
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	var folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	require.Equal(t, []string{"aws", "console", "core", "drovertest", "inspect", "service", "testing", "wiring", "worker"}, folders)
}
