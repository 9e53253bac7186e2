package job

import "strconv"

// join adds an attribute's name to the path of what it lies in: sections.a. A name that would read as something else is put in quotes:
// sections["a.b"].
func join(path, name string) string {
	if !plain(name) {
		return path + "[" + strconv.Quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// index adds the position in a list, counted from 0: sections[1].
func index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

func plain(name string) bool {
	for _, letter := range name {
		switch {
		case letter <= ' ', letter == '.', letter == '[', letter == ']', letter == '"', letter == 0x7f:
			return false
		}
	}
	return name != ""
}
