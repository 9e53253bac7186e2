package labourer

import (
	"slices"
	"strings"
)

// nearest is the known word that was probably meant: the one a few slips of the fingers away, else one that the word is a
// part of or has as a part. "" when nothing is near.
func nearest(word string, known []string) string {
	best, least := "", 0
	for _, candidate := range known {
		slips := distance(strings.ToLower(word), strings.ToLower(candidate))
		if slips > max(1, min(len(word), len(candidate))/3) {
			continue
		}
		if best == "" || slips < least {
			best, least = candidate, slips
		}
	}
	if best != "" {
		return best
	}
	for _, candidate := range known {
		if min(len(word), len(candidate)) >= 4 && (strings.Contains(candidate, word) || strings.Contains(word, candidate)) {
			return candidate
		}
	}
	return ""
}

// longestWord bounds the work of distance, which is the product of the lengths.
const longestWord = 64

// distance is the number of letters to add, leave out, replace or swap with their neighbour to make one word the other
// (optimal string alignment).
func distance(a, b string) int {
	if len(a) > longestWord || len(b) > longestWord {
		return longestWord
	}
	// Three rows of the matrix are enough: this one, the one before, and for a swap the one before that.
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, replaced)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// didYouMean is the end of a message about an unknown word: the near one, else all that are known.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "known are " + strings.Join(sorted, ", ")
}
