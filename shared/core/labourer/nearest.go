package labourer

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/spelling"
)

// nearest is the known word that was probably meant: the one a few slips of the fingers away, else one that the word is a
// part of or has as a part. "" when nothing is near.
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

// didYouMean is the end of a message about an unknown word: the near one, else all that are known.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "known are " + strings.Join(sorted, ", ")
}
