package localstack

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/pattern"
	"github.com/drover-run/drover/shared/testing/patterns"
)

// localErrs are the questions on which docs/referees.md finds the local AWS wrong.
var localErrs = []struct {
	name string
	of   *regexp.Regexp // the pattern and the metadata
}{
	{"numbers that a double cannot hold", regexp.MustCompile(`9007199254740993|18446744073709551615|0\.1234567890123456789|1e40`)},
	{"names with dots", regexp.MustCompile(`"[^"\s]*\.[^"\s]*":`)},
	{"spellings of an address", regexp.MustCompile(`"(0?10\.0|2001:|::ffff)[^ ]* of `)},
	{"IPv4 addresses as IPv6", regexp.MustCompile(`"cidr":"10.* of .*::ffff`)},
	{"the case of letters beyond U+FFFF", regexp.MustCompile(`𐐨`)},
	{"absent fields in lists", regexp.MustCompile(`"exists":false.* of .*\[`)},
}

// TestTheLocalEventBridgeMatchesWhatPatternsMatch asks TestEventPattern of the local AWS.
func TestTheLocalEventBridgeMatchesWhatPatternsMatch(t *testing.T) {
	t.Parallel()
	client := eventbridge.NewFromConfig(start(t, Options{}).Config())
	asked := append(caseQuestions(t), patterns.Questions(100)...)
	for _, one := range patterns.DoubtfulPatterns(100) {
		asked = append(asked, patterns.Question{Pattern: one, Metadata: `{"a":"a","b":1,"$or":"a"}`})
	}

	known := map[string]int{}
	for _, q := range asked {
		theirs, ours := localAnswer(t, client, q), ourAnswer(t, q)
		question := q.Pattern + " of " + q.Metadata
		if theirs != ours {
			for _, one := range localErrs {
				if one.of.MatchString(question) {
					known[one.name]++
					theirs = ours
				}
			}
		}
		assert.Equal(t, theirs, ours, "the local AWS's answer and ours to %s", question)
	}
	for _, one := range localErrs {
		assert.Positive(t, known[one.name], "the local AWS errs no longer on %s", one.name)
	}
	t.Logf("%d questions, wrong: %v", len(asked), known)
}

func caseQuestions(t *testing.T) []patterns.Question {
	t.Helper()
	text, err := os.ReadFile("../shared/core/pattern/testdata/cases.json")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Metadata    json.RawMessage
			Match, Miss []json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	var asked []patterns.Question
	for _, g := range file.Groups {
		for _, one := range append(g.Match, g.Miss...) {
			asked = append(asked, patterns.Question{Pattern: string(one), Metadata: string(g.Metadata)})
		}
	}
	require.NotEmpty(t, asked)
	return asked
}

func ourAnswer(t *testing.T, q patterns.Question) string {
	t.Helper()
	p, errs := pattern.Parse([]byte(q.Pattern))
	if errs != nil {
		return "refused"
	}
	metadata, err := pattern.Read([]byte(q.Metadata))
	require.NoError(t, err)
	if p.Match(metadata).Matches {
		return "true"
	}
	return "false"
}

func localAnswer(t *testing.T, client *eventbridge.Client, q patterns.Question) string {
	t.Helper()
	whole := `{"detail":` + q.Pattern + `}`
	event := `{"id":"e","account":"000000000000","source":"shop","time":"2026-11-22T10:00:00Z","region":"eu-west-1","resources":[],"detail-type":"x","detail":` + q.Metadata + `}`
	answer, err := client.TestEventPattern(t.Context(), &eventbridge.TestEventPatternInput{EventPattern: &whole, Event: &event})
	var invalid *types.InvalidEventPatternException
	switch {
	case err == nil && answer.Result:
		return "true"
	case err == nil:
		return "false"
	}
	require.ErrorAs(t, err, &invalid)
	return "refused"
}
