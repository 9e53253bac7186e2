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

// TestRefereeEventRulerStillDisagrees holds the table in docs/referees.md against both.
func TestRefereeEventRulerStillDisagrees(t *testing.T) {
	known := []struct{ pattern, metadata, theirs, ours string }{
		{`{"a":[{"prefix":"ab\""}]}`, `{"a":"ab"}`, "true", "false"},
		{`{"a":[{"suffix":"\"ab"}]}`, `{"a":"ab"}`, "true", "false"},
		{`{"a":[{"cidr":"::/0"}]}`, `{"a":"80.1.1.1"}`, "true", "false"},
		{`{"a":[{"cidr":"32.1.13.0/24"}]}`, `{"a":"2001:db8::1"}`, "true", "false"},
		{`{"a":["32.1.13.184"]}`, `{"a":"2001:db8::1"}`, "true", "false"},
		{`{"a":[{"cidr":"0.0.0.0/0"}]}`, `{"a":10}`, "true", "false"},
		{`{"$or":[{"a":["x"]},{"a":["x",{"exists":false}]}],"b":["y"]}`, `{"b":"y"}`, "false", "true"},
		{`{"a":[{"cidr":"10.0.0.0/32"}]}`, `{"a":"10.0.0.0"}`, "refused", "true"},
		{`{"a":[{"cidr":"::1/128"}]}`, `{"a":"::1"}`, "refused", "true"},
		{`{"a":[{"cidr":"10.0.0.0/+8"}]}`, `{"a":"10.0.0.1"}`, "true", "refused"},
		{`{"a":[{"cidr":"10.0.0.0/8/"}]}`, `{"a":"10.0.0.1"}`, "true", "refused"},
		{`{"a":[{"equals-ignore-case":"𐐨"}]}`, `{"a":"𐐨"}`, "false", "true"},
		{`{"a":{"":["x"]}}`, `{"a":{"":"x"}}`, "false", "true"},
		{`{"a":["x"],"a":["y"]}`, `{"a":"y"}`, "true", "refused"},
		{`{"a.b":["x"],"a":{"b":["y"]}}`, `{"a":{"b":"y"}}`, "true", "refused"},
		{`{"a":["first"]}`, `{"a":"first","a":"last"}`, "true", "false"},
		{`{"a":{"b":["x"]}}`, `{"a.b":"x","a":{"b":"y"}}`, "true", "false"},
		{`{"a":[{"numeric":["=",4.9e-324]}]}`, `{"a":4.9e-324}`, "true", "refused"},
	}
	asked := make([]patterns.Question, len(known))
	for i, one := range known {
		asked[i] = patterns.Question{Pattern: one.pattern, Metadata: one.metadata}
	}

	answers := ruled(t, asked)

	for i, one := range known {
		assert.Equal(t, one.theirs, answers[i], "event-ruler's answer to %s of %s", one.pattern, one.metadata)
		assert.Equal(t, one.ours, answer(t, asked[i]), "our answer to %s of %s", one.pattern, one.metadata)
	}
}

// requireRuled requires event-ruler's answers to be ours, and counts them.
func requireRuled(t *testing.T, asked []patterns.Question) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for i, theirs := range ruled(t, asked) {
		ours := answer(t, asked[i])
		counts[ours]++
		assert.Equal(t, theirs, ours, "event-ruler's answer and ours to %s of %s", asked[i].Pattern, asked[i].Metadata)
	}
	t.Log(counts)
	return counts
}

// answer returns what Match says, or "refused".
func answer(t *testing.T, q patterns.Question) string {
	t.Helper()
	p, errs := Parse([]byte(q.Pattern))
	if errs != nil {
		return "refused"
	}
	metadata, err := Read([]byte(q.Metadata))
	require.NoError(t, err)
	if p.Match(metadata).Matches {
		return "true"
	}
	return "false"
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
