package pattern

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// group is metadata with patterns that match it and patterns that do not.
type group struct {
	Name     string            `json:"name"`
	Metadata json.RawMessage   `json:"metadata"`
	Match    []json.RawMessage `json:"match"`
	Miss     []json.RawMessage `json:"miss"`
}

func groups(t testing.TB) []group {
	t.Helper()
	text, err := os.ReadFile("testdata/cases.json")
	require.NoError(t, err)
	var file struct {
		Groups []group `json:"groups"`
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.NotEmpty(t, file.Groups)
	return file.Groups
}

func TestPatternsMatchWhatEventBridgeMatches(t *testing.T) {
	for _, g := range groups(t) {
		t.Run(g.Name, func(t *testing.T) {
			metadata, err := Read(g.Metadata)
			require.NoError(t, err)
			for _, one := range g.Match {
				p, errs := Parse(one)
				require.NoError(t, errs.Err(), "%s", one)
				v := p.Match(metadata)
				assert.True(t, v.Matches, "%s: %s", one, v.Reason())
				assert.Empty(t, v.Misses, "%s", one)
			}
			for _, one := range g.Miss {
				p, errs := Parse(one)
				require.NoError(t, errs.Err(), "%s", one)
				v := p.Match(metadata)
				assert.False(t, v.Matches, "%s", one)
				assert.NotEmpty(t, v.Misses, "%s", one)
			}
		})
	}
}

// disagreements holds the questions that event-ruler answers differently. docs/referees.md says for each which side is right, and why.
var disagreements = []struct{ pattern, metadata, theirs, ours string }{
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

func TestDisagreementsWithEventRulerAreOnPurpose(t *testing.T) {
	for _, one := range disagreements {
		assert.NotEqual(t, one.theirs, one.ours)
		assert.Equal(t, one.ours, answer(t, one.pattern, one.metadata), "%s of %s", one.pattern, one.metadata)
	}
}

// answer returns what Match says, or "refused".
func answer(t *testing.T, pattern, metadata string) string {
	t.Helper()
	p, errs := Parse([]byte(pattern))
	if errs != nil {
		return "refused"
	}
	m, err := Read([]byte(metadata))
	require.NoError(t, err)
	if p.Match(m).Matches {
		return "true"
	}
	return "false"
}
