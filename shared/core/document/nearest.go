package document

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/spelling"
)

// Nearest returns the known word that the user probably meant: one that differs by a few typing mistakes, otherwise one that contains the word or that the
// word contains. It returns "" if no word is near.
func Nearest(word string, known []string) string {
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

// DidYouMean returns the end of a message about an unknown word: a suggestion, or all known words.
func DidYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "want one of " + strings.Join(sorted, ", ")
}
