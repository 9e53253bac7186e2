package adaptive_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/adaptive"
)

func TestTheCapIsDividedByWeightAndNeed(t *testing.T) {
	tests := map[string]struct {
		cap     float64
		members map[string]adaptive.Member
		shares  map[string]int
	}{
		"by weight, as both need all": {30, map[string]adaptive.Member{"a": {Min: 1, Max: 20, Due: 99}, "b": {Min: 1, Max: 10, Due: 99}}, map[string]int{"a": 20, "b": 10}},
		"by need":                     {30, map[string]adaptive.Member{"a": {Min: 1, Max: 50, Due: 5}, "b": {Min: 1, Max: 50, Due: 99}}, map[string]int{"a": 5, "b": 25}},
		"what none needs, by weight":  {30, map[string]adaptive.Member{"a": {Min: 1, Max: 20}, "b": {Min: 1, Max: 10}}, map[string]int{"a": 20, "b": 10}},
		"no more than others leave":   {30, map[string]adaptive.Member{"a": {Min: 1, Max: 30, Due: 99}, "b": {Min: 1, Max: 30, Running: 25}}, map[string]int{"a": 5}},
		"at least the minimum":        {4, map[string]adaptive.Member{"a": {Min: 2, Max: 30, Due: 99}, "b": {Min: 2, Max: 30, Running: 25}}, map[string]int{"a": 2, "b": 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := adaptive.Controller{Cap: test.cap, Members: test.members}
			for id, share := range test.shares {
				require.Equal(t, share, c.Share(id), id)
			}
		})
	}
}

func TestTheSharesAreWithinTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := adaptive.Controller{Members: map[string]adaptive.Member{}}
		floor, ceiling := 0, 0
		for _, id := range []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "members")] {
			least := rapid.IntRange(1, 5).Draw(t, "min")
			most := least + rapid.IntRange(0, 50).Draw(t, "more")
			c.Members[id] = adaptive.Member{Min: float64(least), Max: float64(most), Due: float64(rapid.IntRange(0, 100).Draw(t, "due"))}
			floor, ceiling = floor+least, ceiling+most
		}
		c.Cap = float64(rapid.IntRange(floor, ceiling).Draw(t, "cap"))
		sum := 0
		for id, m := range c.Members {
			share := c.Share(id)
			require.True(t, share >= int(m.Min) && share <= int(m.Max))
			sum += share
		}
		require.LessOrEqual(t, sum, int(c.Cap))
		require.Greater(t, sum, int(c.Cap)-len(c.Members))
	})
}

func TestAMemberWithoutWorkLeaves(t *testing.T) {
	c, _, _ := adaptive.Controller{}.Step(adaptive.Input{Now: noon, Member: "a", Need: adaptive.Member{Min: 1, Max: 10}})
	c, _, _ = c.Step(adaptive.Input{Now: noon.Add(time.Minute), Member: "b", Need: adaptive.Member{Min: 1, Max: 10}})
	require.Len(t, c.Members, 2)
	c, _, _ = c.Step(adaptive.Input{Now: noon.Add(11 * time.Minute), Member: "b", Need: adaptive.Member{Min: 1, Max: 10}})
	require.Len(t, c.Members, 1)
}
