package main

import (
	"strings"
	"unicode/utf8"
)

// table lays out rows with equal numbers of cells. The first column is aligned to the left, and the others, which hold figures, to the right.
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
