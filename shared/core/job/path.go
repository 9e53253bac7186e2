package job

import "strconv"

// join adds an attribute's name to a path: sections.a. A name that could be misread is quoted: sections["a.b"].
func join(path, name string) string {
	if !plain(name) {
		return path + "[" + strconv.Quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// index adds a position in a list, counted from 0, to a path: sections[1].
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
