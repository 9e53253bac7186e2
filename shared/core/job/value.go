package job

import (
	"slices"
	"strings"
)

// value holds a JSON value. Unlike Go's maps and floats it keeps the order of keys, which is the order of tasks, and the literal text of numbers, which the
// worker gets as written.
type value struct {
	kind     kind
	text     string   // a string's content, or a number's literal
	names    []string // an object's keys, in the order of their first appearance
	children []value  // a list's values, or an object's values, parallel to names

	// The position at which the encoder wrote the value. For an object's value, member is the beginning of its name.
	member, from, to int32
}

type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindNumber
	kindText
	kindList
	kindObject
)

// String returns the kind in the words of error messages.
func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// many limits how many names are searched linearly. For more names a map of their indexes is faster.
const many = 16

// note adds the last of the names to the map of their indexes. The map is nil while there are few names.
func note(names []string, places map[string]int) map[string]int {
	switch {
	case len(names) <= many:
		return nil
	case places == nil:
		places = make(map[string]int, 2*many)
		for i, name := range names {
			places[name] = i
		}
	default:
		places[names[len(names)-1]] = len(names) - 1
	}
	return places
}

func find(names []string, places map[string]int, name string) (int, bool) {
	if places == nil {
		i := slices.Index(names, name)
		return i, i >= 0
	}
	i, ok := places[name]
	return i, ok
}

// get returns an object's value with that name, or nil if it has none.
func (v *value) get(name string) *value {
	for i := range v.names {
		if v.names[i] == name {
			return &v.children[i]
		}
	}
	return nil
}

// textOf returns the text of an object's value, or "" if it is missing or no text.
func (v *value) textOf(name string) string {
	if own := v.get(name); own != nil && own.kind == kindText {
		return own.text
	}
	return ""
}

// given returns the first of the names for which the object has a value other than null.
func (v *value) given(names ...string) (string, *value) {
	for _, name := range names {
		if child := v.get(name); child != nil && child.kind != kindNull {
			return name, child
		}
	}
	return "", nil
}

// empty reports whether Python would treat the value as false: false, 0, "", null, an empty list or object. The text "False" is not empty. sosw reads flags
// in this way.
func (v *value) empty() bool {
	switch v.kind {
	case kindNull:
		return true
	case kindBoolean:
		return v.text == "false"
	case kindNumber:
		mantissa, _, _ := strings.Cut(strings.ToLower(v.text), "e")
		return strings.Trim(mantissa, "-0.") == ""
	case kindText:
		return v.text == ""
	default:
		return len(v.children) == 0
	}
}

// flat reports whether the value can be an element of a list to be cut: text, a number, true or false.
func (v *value) flat() bool {
	return v.kind == kindText || v.kind == kindNumber || v.kind == kindBoolean
}

func all(values []value, holds func(*value) bool) bool {
	for i := range values {
		if !holds(&values[i]) {
			return false
		}
	}
	return true
}

func isNull(v *value) bool   { return v.kind == kindNull }
func isObject(v *value) bool { return v.kind == kindObject }
func isFlat(v *value) bool   { return v.flat() }
