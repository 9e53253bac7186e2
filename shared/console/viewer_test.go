package console

import (
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/inspect"
)

var tags = regexp.MustCompile(`<[^>]*>`)

// FuzzAViewerShowsTextOnly: what a viewer makes of any text has no markup but its own spans, and reads as the text.
func FuzzAViewerShowsTextOnly(f *testing.F) {
	for _, seed := range []string{`{"a": [1e400, 12345678901234567890, "</pre><script>"], "b": null}`, "\"\u2028\\\"", `"<b`, "\xff\x00", `{"&lt;": "&amp;"}`, ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := string(coloured(text))
		for _, tag := range tags.FindAllString(shown, -1) {
			require.Regexp(t, `^</?span( class="(key|string|number|word)")?>$`, tag)
		}
		require.Equal(t, visible(text), html.UnescapeString(tags.ReplaceAllString(shown, "")))
	})
}

func TestAViewerKeepsDigitsAndCutsLongTexts(t *testing.T) {
	v := viewerOf("payload", json.RawMessage(`{"id":12345678901234567890,"price":1.10}`))
	require.Contains(t, string(v.HTML), `<span class="number">12345678901234567890</span>`)
	require.Contains(t, string(v.HTML), `<span class="number">1.10</span>`)
	require.False(t, v.Cut)
	long := viewerOf("payload", json.RawMessage(`"`+strings.Repeat("ü", longestShown)+`"`))
	require.True(t, long.Cut)
	require.NotContains(t, string(long.HTML), "�")
	require.Empty(t, viewerOf("result", nil).HTML)
	require.Empty(t, viewerOf("result", json.RawMessage("null")).HTML)
}

func TestSpansAndRatesAreReadable(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ms", 250 * time.Millisecond: "250 ms", 3200 * time.Millisecond: "3.2 s", 4*time.Minute + 10*time.Second: "4 min 10 s",
		2 * time.Hour: "2 h", 76 * time.Hour: "3 d 4 h", -time.Second: "-1 s"} {
		require.Equal(t, want, span(d))
	}
	for rate, want := range map[float64]string{0: "–", 12.34: "12.3/s", 0.5: "30/min", 0.001: "3.6/h"} {
		require.Equal(t, want, rateWords(rate))
	}
	require.Equal(t, "1\u202f234\u202f567", thousands(1234567))
	require.Equal(t, "-12", thousands(-12))
	for v, want := range map[float64]string{1234567: "1234567", 2.9: "2.9", 81.7222222: "81.722", 1e300: "1e+300"} {
		require.Equal(t, want, number(v))
	}
}

func TestTheEndOfAJobIsExpectedByItsRate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	j := inspect.Job{Total: 100, Open: 40, SubmittedAt: now.Add(-time.Minute), State: "scheduled"}
	rate, end := rateOf(nil, j, now)
	require.InDelta(t, 1, rate, 0.001)
	require.Equal(t, now.Add(40*time.Second), end)
	rate, end = rateOf([]passed{{now.Add(-20 * time.Second), 20}, {now, 60}}, j, now)
	require.InDelta(t, 2, rate, 0.001, "by what was seen last")
	require.Equal(t, now.Add(20*time.Second), end)
	_, end = rateOf(nil, inspect.Job{Total: 9, Open: 9, SubmittedAt: now.Add(-time.Hour)}, now)
	require.True(t, end.IsZero(), "nothing has ended yet")
}
