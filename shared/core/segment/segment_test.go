package segment_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/segment"
)

func TestTheSegmentsOfAJobAlwaysHaveTheSameIDs(t *testing.T) {
	require.Equal(t, segment.ID("2jxtsgokhmkcw7cc"), segment.IDOf("nightly", 0))
	require.NotEqual(t, segment.IDOf("nightly", 0), segment.IDOf("nightly", 1))
	require.NotEqual(t, segment.IDOf("nightly", 11), segment.IDOf("nightly\x001", 1))
	require.True(t, segment.IDOf("x", 3).Valid())
	require.False(t, segment.ID("short").Valid())
	require.False(t, segment.ID("ABCDEFGHIJKLMNOP").Valid())
}

func TestNumbersAreWrittenAsRanges(t *testing.T) {
	for text, set := range map[string]segment.Numbers{
		"":                  {},
		"0":                 segment.Of(0),
		"0-255":             segment.Range(0, 255),
		"3,7,9-12":          segment.Of(3, 7, 9, 10, 11, 12),
		"63-64,127-128,255": segment.Of(63, 64, 127, 128, 255),
	} {
		require.Equal(t, text, set.String())
		read, err := segment.ParseNumbers(text)
		require.NoError(t, err)
		require.Equal(t, set, read)
	}
}

func TestAnInvalidSetOfNumbersIsRefused(t *testing.T) {
	for _, text := range []string{"a", "1-", "-1", "5-3", "256", "0-256", "1,,2", "1;2", " 1"} {
		_, err := segment.ParseNumbers(text)
		require.Error(t, err, text)
	}
}

func TestNumbersBehaveLikeASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (segment.Numbers, map[int]bool) {
			ns := rapid.SliceOf(rapid.IntRange(0, segment.Size-1)).Draw(t, label)
			m := map[int]bool{}
			for _, n := range ns {
				m[n] = true
			}
			return segment.Of(ns...), m
		}
		a, ma := draw("a")
		b, mb := draw("b")
		require.Equal(t, len(ma), a.Len())
		lowest, highest := -1, -1
		for n := range segment.Size {
			require.Equal(t, ma[n], a.Contains(n))
			require.Equal(t, ma[n] || mb[n], a.Union(b).Contains(n))
			require.Equal(t, ma[n] && !mb[n], a.Minus(b).Contains(n))
			require.Equal(t, ma[n] && mb[n], a.Intersect(b).Contains(n))
			if ma[n] {
				if lowest < 0 {
					lowest = n
				}
				highest = n
			}
		}
		require.Equal(t, lowest, a.Min())
		require.Equal(t, highest, a.Max())
		require.Equal(t, len(ma) == 0, a.Empty())
		k := rapid.IntRange(0, 300).Draw(t, "k")
		first := a.First(k)
		require.Equal(t, min(k, a.Len()), first.Len())
		require.True(t, first.Minus(a).Empty())
		if rest := a.Minus(first); !rest.Empty() && !first.Empty() {
			require.Greater(t, rest.Min(), first.Max())
		}
		again, err := segment.ParseNumbers(a.String())
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}

func FuzzParseNumbers(f *testing.F) {
	f.Add("0-4,7")
	f.Add("255")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := segment.ParseNumbers(text); err == nil {
			again, err := segment.ParseNumbers(s.String())
			require.NoError(t, err)
			require.Equal(t, s, again)
		}
	})
}

func TestALaneIsTheLastLetterOfASegment(t *testing.T) {
	id := segment.IDOf("nightly", 0)
	require.Empty(t, id.Lane())
	for i, letter := range segment.LanesOf(100) {
		in := id.InLane(i)
		require.Equal(t, letter, in.Lane())
		require.True(t, in.Valid())
		require.Equal(t, id+segment.ID(letter), in)
	}
	require.Len(t, segment.LanesOf(100), segment.Lanes)
	require.Equal(t, []string{"a", "b"}, segment.LanesOf(2))
	require.Empty(t, segment.LanesOf(-1))
	require.False(t, (id + "q").Valid(), "there are lanes a to p")
	require.False(t, (id + "ab").Valid())
}
