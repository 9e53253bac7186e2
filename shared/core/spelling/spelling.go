// Package spelling finds the known word that is nearest to a misspelt one.
//
// Error messages suggest the word. Nothing is ever corrected silently.
package spelling

import "strings"

// Nearest returns the known word that takes the fewest edits from word. An edit inserts, deletes or replaces a letter, or swaps two neighbours. Case is
// ignored. Nearest returns false if the nearest word is too far away for a typing mistake: more than three edits, or more than a third of the letters. Of
// equally near words it returns the first in known, so the answer is deterministic.
func Nearest(word string, known []string) (string, bool) {
	const longest = 64 // longer than any known word; limits the work
	if word == "" || len(word) > longest {
		return "", false
	}
	typed := []rune(strings.ToLower(word))
	allowed := min(3, max(1, len(typed)/3))
	best, found := allowed+1, ""
	for _, candidate := range known {
		if distance := edits(typed, []rune(strings.ToLower(candidate))); distance < best {
			best, found = distance, candidate
		}
	}
	return found, best <= allowed
}

// edits returns the optimal string alignment distance. It keeps three rows of the usual matrix, because a swap looks back two rows.
func edits(from, to []rune) int {
	before, above, row := make([]int, len(to)+1), make([]int, len(to)+1), make([]int, len(to)+1)
	for column := range above {
		above[column] = column
	}
	for i := 1; i <= len(from); i++ {
		row[0] = i
		for j := 1; j <= len(to); j++ {
			replace := above[j-1]
			if from[i-1] != to[j-1] {
				replace++
			}
			row[j] = min(replace, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(to)]
}
