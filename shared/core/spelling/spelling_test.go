package spelling_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/spelling"
)

func TestNearestFindsTheMisspeltWord(t *testing.T) {
	known := []string{"isolate_sections", "isolate_stores", "period", "max_sections_per_batch"}
	for typed, want := range map[string]string{
		"isolate_sectoins":       "isolate_sections", // two letters swapped
		"isolate_section":        "isolate_sections",
		"ISOLATE_SECTIONS":       "isolate_sections",
		"peroid":                 "period",
		"max_section_per_batchs": "max_sections_per_batch",
		"isolate_store":          "isolate_stores",
		"isolate_stoers":         "isolate_stores",
	} {
		got, ok := spelling.Nearest(typed, known)
		require.True(t, ok, typed)
		require.Equal(t, want, got, typed)
	}
}

func TestNearestFindsNothingForAnUnrelatedWord(t *testing.T) {
	for _, typed := range []string{"", "payload", "perpetual", "x", strings.Repeat("period", 100)} {
		got, ok := spelling.Nearest(typed, []string{"period", "isolate_days"})
		require.False(t, ok, "%q was taken for %q", typed, got)
	}
	_, ok := spelling.Nearest("period", nil)
	require.False(t, ok)
}

func TestNearestPrefersTheFirstOfEquallyNearWords(t *testing.T) {
	got, ok := spelling.Nearest("store", []string{"stored", "stores"})
	require.True(t, ok)
	require.Equal(t, "stored", got)
}
