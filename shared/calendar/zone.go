package calendar

import (
	"strings"
	"time"
	_ "time/tzdata" // the Lambda runtime of Go programs brings no zone files of its own
)

// Zone returns the time zone of an IANA name such as "Europe/Berlin"; the empty name is UTC.
// "Local" is refused: what a job means must not depend on the machine that reads it.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "Local" {
		return zone, nil
	}
	for _, spelling := range []string{capitalised(name), strings.ToUpper(name)} {
		if _, err := time.LoadLocation(spelling); err == nil && spelling != "Local" {
			return nil, refuse("", "%s is not a time zone; did you mean %q?", quote(name), spelling)
		}
	}
	return nil, refuse("", "%s is not a time zone; want a name of the IANA database, such as UTC, Europe/Berlin or America/New_York", quote(name))
}

// capitalised turns "america/new york" into "America/New_York".
func capitalised(name string) string {
	letters := []byte(strings.ReplaceAll(strings.ToLower(name), " ", "_"))
	for i, letter := range letters {
		if (i == 0 || letters[i-1] == '/' || letters[i-1] == '_') && 'a' <= letter && letter <= 'z' {
			letters[i] = letter - 'a' + 'A'
		}
	}
	return string(letters)
}
