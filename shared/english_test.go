package shared_test

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// odd are the turns of phrase that the project does not use, each with what to write in its place. See CONTRIBUTING.md.
var odd = []struct{ pattern, instead string }{
	{`(?i)\bcan not\b`, `cannot`},
	{`(?i)\b(he|him|his|himself|who|whom|whoever|somebody|nobody)\b`, `the name of the component that acts`},
	{`^// [A-Za-z]\w* is (the|what|whether|how|when|who|which) .*`, `a verb: "returns", "reports", "holds"`},
}

// excused are lines that stand as they are: names and quotations that come from elsewhere.
var excused = regexp.MustCompile(`nolint|english: quoted`)

// prose returns the lines of a file that people read, by their numbers: comments of Go, the command line's source, and all of Markdown outside its code
// blocks.
func prose(t *testing.T, path string) map[int]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	out := map[int]string{}
	fenced := false
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch filepath.Ext(path) {
		case ".go":
			shown := strings.HasPrefix(path, "../cmd/") && !strings.HasSuffix(path, "_test.go") // its strings are what users read
			if shown || strings.Contains(strings.ToLower(line), "can not ") {
				out[n] = strings.TrimSpace(line)
			} else if at := strings.Index(line, "// "); at >= 0 && !strings.Contains(line[:at], `"`) && !strings.Contains(line[:at], "`") {
				out[n] = line[at:]
			}
		case ".md":
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			} else if !fenced {
				out[n] = line
			}
		case ".yaml", ".yml", ".py", "":
			if at := strings.Index(line, "# "); at >= 0 {
				out[n] = line[at:]
			}
		}
	}
	require.NoError(t, lines.Err())
	return out
}

// TestProseIsPlainEnglish refuses the mechanical part of what makes prose hard to read.
func TestProseIsPlainEnglish(t *testing.T) {
	patterns := make([]*regexp.Regexp, len(odd))
	for i, o := range odd {
		patterns[i] = regexp.MustCompile(o.pattern)
	}
	lines := 0
	require.NoError(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		read := slices.Contains([]string{".go", ".md", ".yaml", ".yml", ".py"}, filepath.Ext(path)) || d.Name() == "Makefile"
		if d.IsDir() || filepath.Base(path) == "english_test.go" || !read {
			return nil
		}
		for n, line := range prose(t, path) {
			lines++
			for i, p := range patterns {
				if p.MatchString(line) && !excused.MatchString(line) {
					t.Errorf("%s:%d: %q: write %s", strings.TrimPrefix(path, "../"), n, strings.TrimSpace(line), odd[i].instead)
				}
			}
		}
		return nil
	}))
	require.Greater(t, lines, 5000, "lines of prose")
}

func TestOddEnglishIsFound(t *testing.T) {
	for _, line := range []string{
		"// Payload is the k-th task's payload.", "// A lease that can not be read.", "// Nobody gives way to himself.", "// who has claimed looks again after dispatching", "// The people who use it.",
	} {
		found := false
		for _, o := range odd {
			found = found || regexp.MustCompile(o.pattern).MatchString(line)
		}
		require.True(t, found, line)
	}
	for _, line := range []string{"// Payload returns the k-th task's payload.", "// Status is a labourer's health."} {
		for _, o := range odd {
			require.NotRegexp(t, o.pattern, line)
		}
	}
}
