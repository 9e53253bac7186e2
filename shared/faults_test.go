package shared_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cited matches the name of a test, perhaps with that of a subtest: TestA, TestA/a_case.
var cited = regexp.MustCompile("\\b(Test[A-Z]\\w*)(?:/([^`\\s]+))?")

// uncited returns what is wrong with the tests that docs/faults.md names. Known are the files of all tests.
func uncited(t *testing.T, page string, known map[string]string) []string {
	t.Helper()
	var wrong []string
	rows := 0
	for n, line := range strings.Split(page, "\n") {
		names := cited.FindAllStringSubmatch(line, -1)
		for _, m := range names {
			if known[m[1]] == "" {
				wrong = append(wrong, fmt.Sprintf("line %d: %s does not exist", n+1, m[1]))
			} else if m[2] != "" {
				source, err := os.ReadFile(known[m[1]])
				require.NoError(t, err)
				if !strings.Contains(string(source), `"`+strings.ReplaceAll(m[2], "_", " ")+`"`) {
					wrong = append(wrong, fmt.Sprintf("line %d: %s has no case %s", n+1, m[1], m[2]))
				}
			}
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasSuffix(line, "| tests |") {
			continue
		}
		if rows++; len(names) == 0 {
			wrong = append(wrong, fmt.Sprintf("line %d: no test", n+1))
		}
	}
	require.NotZero(t, rows, "the page has tables")
	return wrong
}

// Each row of docs/faults.md names tests that go test runs.
func TestTheFaultsThatWereFoundHaveTestsThatRun(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(checkout, "docs", "faults.md"))
	require.NoError(t, err)
	require.Empty(t, uncited(t, string(page), tests(t)))
}

func TestAFaultWithoutATestIsFound(t *testing.T) {
	known := map[string]string{"TestAFaultWithoutATestIsFound": "faults_test.go"}
	require.Empty(t, uncited(t, "| what | now | tests |\n| --- | --- | --- |\n| a | b | `TestAFaultWithoutATestIsFound/a_case` |", known), `it has "a case"`)
	page := "| a | b | `TestAFault` |\n| a | b | `TestAFaultWithoutATestIsFound/another_case` |\n| a | b | none |\n"
	require.Equal(t, []string{"line 1: TestAFault does not exist", "line 2: TestAFaultWithoutATestIsFound has no case another_case", "line 3: no test"}, uncited(t, page, known))
}
