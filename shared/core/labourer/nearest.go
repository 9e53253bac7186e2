package labourer

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/spelling"
)

// nearest returns the known word that the user probably meant: one that differs by a few typing mistakes, otherwise one that contains the word or that the
// word contains. It returns "" if no word is near.
func nearest(word string, known []string) string {
	if near, ok := spelling.Nearest(word, known); ok {
		return near
	}
	for _, candidate := range known {
		if min(len(word), len(candidate)) >= 4 && (strings.Contains(candidate, word) || strings.Contains(word, candidate)) {
			return candidate
		}
	}
	return ""
}

// didYouMean returns the end of a message about an unknown word: a suggestion, or all known words.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "want one of " + strings.Join(sorted, ", ")
}
