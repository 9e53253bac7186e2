package inspect

import "strconv"

// Count returns a number of things in words: "1 task", "3 tasks".
func Count(n int, thing string) string { return strconv.Itoa(n) + " " + thing + Plural(n, "", "s") }

// Plural returns the singular or the plural form for a number of things.
func Plural(n int, singular, plural string) string {
	if n == 1 {
		return singular
	}
	return plural
}
