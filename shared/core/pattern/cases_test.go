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
