//go:build referees

package pattern

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/patterns"
)

// drawn counts the questions that are drawn for the referee, of each sort.
const drawn = 10_000

// TestRefereeEventRulerAnswersAsMatch asks the library that EventBridge matches with.
func TestRefereeEventRulerAnswersAsMatch(t *testing.T) {
	asked := patterns.Questions(drawn)

	counts := requireRuled(t, asked)

	require.Greater(t, counts["true"], drawn/20)
	require.Greater(t, counts["false"], drawn/20)
}

// TestRefereeEventRulerRefusesAsParse asks it of patterns that are often wrong, or hardly right.
func TestRefereeEventRulerRefusesAsParse(t *testing.T) {
	asked := make([]patterns.Question, drawn)
	for i, one := range patterns.DoubtfulPatterns(drawn) {
		asked[i] = patterns.Question{Pattern: one, Metadata: `{"a":"a","b":1,"$or":"a"}`}
	}

	counts := requireRuled(t, asked)

	for _, one := range []string{"true", "false", "refused"} {
		require.Greater(t, counts[one], drawn/50, one)
	}
}

func TestRefereeEventRulerAnswersTheCases(t *testing.T) {
	var asked []patterns.Question
	for _, g := range groups(t) {
		for _, one := range append(g.Match, g.Miss...) {
			asked = append(asked, patterns.Question{Pattern: string(one), Metadata: string(g.Metadata)})
		}
	}
	requireRuled(t, asked)
}

// TestRefereeEventRulerStillDisagrees holds the table in docs/referees.md against event-ruler.
func TestRefereeEventRulerStillDisagrees(t *testing.T) {
	asked := make([]patterns.Question, len(disagreements))
	for i, one := range disagreements {
		asked[i] = patterns.Question{Pattern: one.pattern, Metadata: one.metadata}
	}

	for i, theirs := range ruled(t, asked) {
		assert.Equal(t, disagreements[i].theirs, theirs, "event-ruler's answer to %s of %s", asked[i].Pattern, asked[i].Metadata)
	}
}

// requireRuled requires event-ruler's answers to be ours, and counts them.
func requireRuled(t *testing.T, asked []patterns.Question) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for i, theirs := range ruled(t, asked) {
		ours := answer(t, asked[i].Pattern, asked[i].Metadata)
		counts[ours]++
		assert.Equal(t, theirs, ours, "event-ruler's answer and ours to %s of %s", asked[i].Pattern, asked[i].Metadata)
	}
	t.Log(counts)
	return counts
}

// ruled returns event-ruler's answers: true, false, refused.
func ruled(t *testing.T, asked []patterns.Question) []string {
	t.Helper()
	folder := os.Getenv("DROVER_REFEREES")
	require.NotEmpty(t, folder, "DROVER_REFEREES names no folder: make referees sets it")
	var in, out, said bytes.Buffer
	for _, one := range asked {
		line, err := json.Marshal(map[string]string{"pattern": one.Pattern, "event": one.Metadata})
		require.NoError(t, err)
		in.Write(append(line, '\n'))
	}
	began := time.Now()
	java := exec.CommandContext(t.Context(), "java", "-cp", filepath.Join(folder, "event-ruler-2.1.0", "*"), "../../../infra/testdata/referee/Patterns.java")
	java.Stdin, java.Stdout, java.Stderr = &in, &out, &said
	require.NoError(t, java.Run(), "%s", said.String())
	answers := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, answers, len(asked))
	for i, one := range answers {
		if strings.HasPrefix(one, "refused") {
			answers[i] = "refused"
		}
	}
	t.Logf("%d questions in %s", len(asked), time.Since(began).Round(time.Millisecond))
	return answers
}
