package pattern

import (
	"math"
	"net/netip"
	"strings"
)

// kind names the type of a JSON value.
type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindNumber
	kindText
	kindList
	kindObject
)

// String returns the kind as messages show it.
func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// kindOf returns the kind of a JSON value by its first byte.
func kindOf(raw []byte) kind {
	switch raw[0] {
	case '{':
		return kindObject
	case '[':
		return kindList
	case '"':
		return kindText
	case 't', 'f':
		return kindBoolean
	case 'n':
		return kindNull
	}
	return kindNumber
}

// scalar is a value that operators look at: neither a list nor an object.
type scalar struct {
	kind     kind
	text     string  // the content of text, else the value as written
	number   float64 // if compares
	compares bool    // the number is compared by value
}

func numeral(literal string) scalar {
	value, ok := byValue(literal)
	return scalar{kind: kindNumber, text: literal, number: value, compares: ok}
}

func (s scalar) equals(other scalar) bool {
	return s.kind == other.kind && (s.text == other.text || s.compares && other.compares && s.number == other.number)
}

// operator is one value of a field in a pattern.
type operator interface{ holds(s scalar) bool }

type (
	equal    struct{ scalar }
	prefix   string
	suffix   string
	sameFold struct{ folded }
	hasFold  struct{ folded } // at its beginning
	endsFold struct{ folded }
	wildcard []string // the texts between the stars; one text has no star
	within   struct{ netip.Prefix }
	exists   struct{} // a field that is absent has no value to look at; see leaf.absent
	interval struct {
		low, high         float64
		lowOpen, highOpen bool // the bound itself is outside
	}
	// none holds for every value that none of these holds for.
	none []operator
)

func (o equal) holds(s scalar) bool { return o.equals(s) }
func (o prefix) holds(s scalar) bool {
	return s.kind == kindText && strings.HasPrefix(s.text, string(o))
}
func (o suffix) holds(s scalar) bool {
	return s.kind == kindText && strings.HasSuffix(s.text, string(o))
}
func (o sameFold) holds(s scalar) bool { return s.kind == kindText && o.equal(s.text) }
func (o hasFold) holds(s scalar) bool  { return s.kind == kindText && o.begins(s.text) }
func (o endsFold) holds(s scalar) bool { return s.kind == kindText && o.ends(s.text) }
func (o exists) holds(scalar) bool     { return true }

func (o none) holds(s scalar) bool {
	for _, one := range o {
		if one.holds(s) {
			return false
		}
	}
	return true
}

func (o within) holds(s scalar) bool {
	if s.kind != kindText {
		return false
	}
	found, ok := address(s.text)
	return ok && o.Contains(found)
}

func (o interval) holds(s scalar) bool {
	return s.compares && (s.number > o.low || s.number == o.low && !o.lowOpen) && (s.number < o.high || s.number == o.high && !o.highOpen)
}

// empty reports whether no double is in the interval.
func (o interval) empty() bool {
	low, high := o.low, o.high
	if o.lowOpen {
		low = math.Nextafter(low, math.Inf(1))
	}
	if o.highOpen {
		high = math.Nextafter(high, math.Inf(-1))
	}
	return low > high
}

// holds takes the first place for each text between stars: if any place leads to a match, so does the first one. So nothing backtracks.
func (o wildcard) holds(s scalar) bool {
	first, last := o[0], o[len(o)-1]
	if len(o) == 1 {
		return s.kind == kindText && s.text == first
	}
	if s.kind != kindText || len(s.text) < len(first)+len(last) || !strings.HasPrefix(s.text, first) || !strings.HasSuffix(s.text, last) {
		return false
	}
	rest := s.text[len(first) : len(s.text)-len(last)]
	for _, between := range o[1 : len(o)-1] {
		at := strings.Index(rest, between)
		if at < 0 {
			return false
		}
		rest = rest[at+len(between):]
	}
	return true
}

// splitWildcard returns the texts between the stars, or why the text is no wildcard.
func splitWildcard(text string) (wildcard, string) {
	parts := wildcard{""}
	for i := 0; i < len(text); i++ {
		letter := text[i]
		switch {
		case letter == '*' && i > 0 && text[i-1] == '*' && parts[len(parts)-1] == "" && len(parts) > 1:
			return nil, "has two stars in a row; want one"
		case letter == '*':
			parts = append(parts, "")
			continue
		case letter == '\\' && (i+1 == len(text) || text[i+1] != '*' && text[i+1] != '\\'):
			return nil, `has a backslash that escapes neither * nor \; want \\ for a backslash`
		case letter == '\\':
			i++
			letter = text[i]
		}
		parts[len(parts)-1] += string([]byte{letter})
	}
	return parts, ""
}
