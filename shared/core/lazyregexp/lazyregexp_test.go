package lazyregexp_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

func TestAnExpressionIsCompiledWhenItIsUsed(t *testing.T) {
	faulty := lazyregexp.New(`(`)
	require.Panics(t, func() { faulty.MatchString("") })
	r := lazyregexp.New(`^(a+)b$`)
	require.True(t, r.MatchString("aab"))
	require.Equal(t, []string{"aab", "aa"}, r.FindStringSubmatch("aab"))
	require.Nil(t, r.FindStringSubmatch("b"))
}

func TestEachExpressionOfTheProjectCompiles(t *testing.T) {
	found := 0
	for _, folder := range []string{"../../../shared", "../../../cmd"} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is || !isNew(call.Fun) {
					return true
				}
				literal, ok := call.Args[0].(*ast.BasicLit)
				require.True(t, ok, "%s: write the expression as a literal", path)
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				_, err = regexp.Compile(text)
				require.NoError(t, err, path)
				found++
				return true
			})
			return nil
		}))
	}
	require.Positive(t, found)
}

// isNew reports whether an expression is lazyregexp.New.
func isNew(called ast.Expr) bool {
	of, is := called.(*ast.SelectorExpr)
	if !is || of.Sel.Name != "New" {
		return false
	}
	name, is := of.X.(*ast.Ident)
	return is && name.Name == "lazyregexp"
}
