package shared_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/drover-run/drover/"

// adapters are the packages that may import the AWS SDK; worker is what users' workers import, and memory stands in for AWS.
var adapters = []string{
	"cloudformation", "cloudwatch", "dynamo", "environment", "eventbridge", "lambda", "memory", "s3", "sns", "sqs", "stepfunctions", "throttling",
	"worker",
}

// testing packages run the rest, and are imported by nothing that is deployed.
var testingPackages = []string{"conformance", "faults", "memory", "sim"}

type listed struct {
	ImportPath, Dir string
	Deps, GoFiles   []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Deps,GoFiles", "./...")
	out, err := cmd.Output()
	require.NoError(t, err, "go list")
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		require.NoError(t, d.Decode(&p))
		all = append(all, p)
	}
	require.Greater(t, len(all), 10, "the packages below this folder")
	return all
}

func inside(p listed, names []string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module+"shared/"), "/")
	return slices.Contains(names, name)
}

func TestTheDecidingPackagesKnowNoAWS(t *testing.T) {
	for _, p := range packages(t) {
		if inside(p, adapters) || inside(p, testingPackages) {
			continue
		}
		for _, d := range p.Deps {
			require.False(t, strings.HasPrefix(d, "github.com/aws/"), "%s imports %s: only adapters may", p.ImportPath, d)
		}
	}
}

func TestNothingThatIsDeployedImportsWhatIsForTests(t *testing.T) {
	for _, p := range packages(t) {
		if inside(p, testingPackages) {
			continue
		}
		for _, d := range p.Deps {
			for _, name := range testingPackages {
				require.NotEqual(t, module+"shared/"+name, d, "%s is for tests, and %s imports it", d, p.ImportPath)
			}
		}
	}
}

// TestTheDecidingPackagesAreHandedTimeAndRandomness: a decision that reads a clock or draws a number can not be replayed from a seed.
func TestTheDecidingPackagesAreHandedTimeAndRandomness(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	for _, p := range packages(t) {
		if inside(p, adapters) || inside(p, testingPackages) {
			continue
		}
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			require.NoError(t, err)
			for _, i := range parsed.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				require.NotContains(t, []string{"math/rand", "math/rand/v2", "crypto/rand"}, path, "%s/%s draws randomness: let it be handed in", p.ImportPath, file)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil {
						require.NotContains(t, clock, s.Sel.Name, "%s/%s reads the clock by time.%s: let the time be handed in", p.ImportPath, file, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ParseComments|parser.PackageClauseOnly)
			require.NoError(t, err)
			documented = documented || parsed.Doc != nil
		}
		require.True(t, documented, "package %s has no doc comment", p.ImportPath)
	}
}
