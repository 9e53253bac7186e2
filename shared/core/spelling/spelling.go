// Package spelling finds the known word nearest to a misspelt one.
//
// Error messages suggest it. Nothing is ever corrected silently.
package spelling

import "strings"

// Nearest returns the known word that takes the fewest edits to reach from word: insert, delete or replace a letter, or swap two
// neighbours. It ignores case. It returns false when the nearest word is too far away to be a typing mistake: more than three edits, or
// more than a third of the letters. Of equally near words the first one in known wins, so the answer is deterministic.
func Nearest(word string, known []string) (string, bool) {
	const longest = 64 // longer than any known word; this bounds the work
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

// edits returns the optimal string alignment distance. It keeps three rows of the usual matrix, as a swap looks back two.
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
