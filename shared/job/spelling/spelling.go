// Package spelling finds the word that somebody probably meant.
//
// Error messages name it beside the word that was not understood; nothing is ever corrected in silence.
package spelling

import "strings"

// Nearest returns the known word that takes the fewest edits (insert, delete, replace a letter, swap two neighbours) to reach
// from word, upper and lower case being the same letter. It returns false when even the nearest is too far to be a slip of the
// keyboard: more than a third of the letters, or more than three. Of equally near words the first wins, so the order of known
// decides and the answer is always the same.
func Nearest(word string, known []string) (string, bool) {
	const longest = 64 // what is longer than any name is no misspelt name; this bounds the work
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

// edits is the optimal string alignment distance. It needs three rows of the usual matrix: a swap looks back two.
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
