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
	"cloudformation", "cloudwatch", "dynamo", "environment", "eventbridge", "lambda", "memory", "s3", "sns", "sqs", "stepfunctions", "throttling", "wiring",
	"worker",
}

// testing packages run the rest, and are imported by nothing that is deployed.
var testingPackages = []string{"conformance", "faults", "memory", "sim"}

type listed struct {
	ImportPath, Dir string
	Deps, GoFiles   []string
}

func packages(t *testing.T, patterns ...string) []listed {
	t.Helper()
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Deps,GoFiles"}, patterns...)...)
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

// decoders may use encoding/json to decode, and why. All other code leaves that to package exact, by which a name means only itself.
var decoders = map[string]string{
	"shared/job/identify.go":      "it reads tokens of a text that breaks off, and compares names itself",
	"shared/exact/exact.go":       "it is the decoder",
	"shared/exact/members.go":     "it is the decoder",
	"shared/worker/task.go":       "the payload goes into a type of the worker's own, which expects encoding/json",
	"shared/labourer/document.go": "it reads tokens, and compares names itself",
	"shared/labourer/diff.go":     "it reads what it has written itself",
	"shared/archive/archive.go":   "it splits lines, and leaves each to package exact",
}

// TestG9WhatComesFromOutsideIsDecodedExactly: encoding/json takes "Drover" for "drover", and the last of two names that are the same.
func TestG9WhatComesFromOutsideIsDecodedExactly(t *testing.T) {
	decoding, seen := []string{"Unmarshal", "NewDecoder", "UnmarshalRead", "UnmarshalDecode"}, map[string]bool{}
	for _, p := range packages(t, "./...", "../cmd/...", "../functions/...") {
		if inside(p, testingPackages) {
			continue
		}
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			require.NoError(t, err)
			name := strings.TrimPrefix(p.ImportPath, module) + "/" + file
			ast.Inspect(parsed, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "json" && x.Obj == nil && slices.Contains(decoding, s.Sel.Name) {
					seen[name] = true
					require.Contains(t, decoders, name, "%s decodes by json.%s: use package exact", name, s.Sel.Name)
				}
				return true
			})
		}
	}
	for name := range decoders {
		require.True(t, seen[name], "%s decodes nothing by encoding/json any more: take it off the list", name)
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
