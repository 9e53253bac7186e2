package main

import (
	"strings"
	"unicode/utf8"
)

// table lays out rows of as many cells each: the first column to the left, what follows to the right, as figures are.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				text.WriteString(cell + pad)
			} else {
				text.WriteString("   " + pad + cell)
			}
		}
		text.WriteByte('\n')
	}
	return text.String()
}
