package job

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// decode reads one JSON value, and accepts nothing after it. It is stricter than encoding/json, which would silently change a payload: it refuses text that
// is not UTF-8, and halves of surrogate pairs. It also refuses a key that appears twice, because some readers use the first value and others the last. It
// still reads such a text, with the first value, so that the job's id is known.
func decode(data []byte) (v value, twice, wrong *Error) {
	d := decoder{data: data}
	v, ok := d.document()
	if !ok {
		return value{}, nil, d.wrong
	}
	return v, d.twice, nil
}

type decoder struct {
	data  []byte
	at    int
	depth int
	root  string // attribute of the outermost object that the decoder is reading
	trail []step // from the outermost value to the one that the decoder is reading
	twice *Error // the first key that appears twice
	wrong *Error
}

// step holds a value's place in its object or list.
type step struct {
	name string
	at   int
	item bool
}

// doubled records that the key at the end of the trail appears a second time in its object.
func (d *decoder) doubled(at int) {
	if d.twice != nil {
		return
	}
	path := ""
	for _, s := range d.trail {
		if s.item {
			path = index(path, s.at)
		} else {
			path = join(path, s.name)
		}
	}
	line, column := d.place(at)
	d.twice = refuse(path, "appears twice, the second time in line %d, column %d; want it once", line, column)
}

func (d *decoder) document() (value, bool) {
	v, ok := d.value()
	if !ok {
		return v, false
	}
	d.space()
	if d.at < len(d.data) {
		return v, d.syntax("want nothing after the end of the job")
	}
	return v, true
}

// syntax records an error at the current position. It always returns false, so that callers can return its result.
func (d *decoder) syntax(want string) bool {
	line, column := d.place(d.at)
	found := "the end"
	if d.at < len(d.data) {
		r, _ := utf8.DecodeRune(d.data[d.at:])
		found = strconv.QuoteRune(r)
	}
	d.wrong = refuse("job", "is not JSON: line %d, column %d: found %s, %s", line, column, found, want)
	return false
}

// place returns the line and column of a position, counted from 1. Columns count bytes.
func (d *decoder) place(at int) (line, column int) {
	before := d.data[:min(at, len(d.data))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

func (d *decoder) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end, because no JSON token begins with 0.
func (d *decoder) peek() byte {
	if d.at < len(d.data) {
		return d.data[d.at]
	}
	return 0
}

func (d *decoder) take(letter byte) bool {
	if d.peek() != letter {
		return false
	}
	d.at++
	return true
}

func (d *decoder) value() (value, bool) {
	d.space()
	switch letter := d.peek(); {
	case letter == '{':
		return d.nested(d.object)
	case letter == '[':
		return d.nested(d.list)
	case letter == '"':
		content, ok := d.text()
		return value{kind: kindText, text: content}, ok
	case letter == '-' || '0' <= letter && letter <= '9':
		return d.number()
	default:
		return d.word()
	}
}

func (d *decoder) word() (value, bool) {
	for _, word := range []string{"null", "true", "false"} {
		if len(d.data)-d.at >= len(word) && string(d.data[d.at:d.at+len(word)]) == word {
			d.at += len(word)
			if word == "null" {
				return value{kind: kindNull}, true
			}
			return value{kind: kindBoolean, text: word}, true
		}
	}
	return value{}, d.syntax("want a JSON value")
}

func (d *decoder) nested(read func() (value, bool)) (value, bool) {
	if d.depth == MaxDepth {
		field := d.root
		if field == "" {
			field = "job"
		}
		d.wrong = refuse(field, "is nested deeper than %d levels", MaxDepth)
		return value{}, false
	}
	d.depth++
	d.at++
	v, ok := read()
	d.depth--
	return v, ok
}

func (d *decoder) list() (value, bool) {
	v := value{kind: kindList}
	d.space()
	if d.take(']') {
		return v, true
	}
	for {
		d.trail = append(d.trail, step{at: len(v.children), item: true})
		element, ok := d.value()
		if !ok {
			return v, false
		}
		d.trail = d.trail[:len(d.trail)-1]
		v.children = append(v.children, element)
		d.space()
		if d.take(']') {
			return v, true
		}
		if !d.take(',') {
			return v, d.syntax(`want "," or "]"`)
		}
	}
}

func (d *decoder) object() (value, bool) {
	v := value{kind: kindObject}
	var places map[string]int
	d.space()
	if d.take('}') {
		return v, true
	}
	for {
		d.space()
		if d.peek() != '"' {
			return v, d.syntax("want a name in double quotes")
		}
		begin := d.at
		name, ok := d.text()
		if !ok {
			return v, false
		}
		d.trail = append(d.trail, step{name: name})
		_, twice := find(v.names, places, name)
		if twice {
			d.doubled(begin)
		}
		if d.depth == 1 {
			d.root = join("", name)
		}
		d.space()
		if !d.take(':') {
			return v, d.syntax(`want ":"`)
		}
		child, ok := d.value()
		if !ok {
			return v, false
		}
		d.trail = d.trail[:len(d.trail)-1]
		if !twice {
			v.names, v.children = append(v.names, name), append(v.children, child)
			places = note(v.names, places)
		}
		d.space()
		if d.take('}') {
			return v, true
		}
		if !d.take(',') {
			return v, d.syntax(`want "," or "}"`)
		}
	}
}

// number keeps the literal text of a number: -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
func (d *decoder) number() (value, bool) {
	start := d.at
	d.take('-')
	if !d.take('0') && !d.digits() {
		return value{}, d.syntax("want a digit")
	}
	if d.take('.') && !d.digits() {
		return value{}, d.syntax("want a digit")
	}
	if d.take('e') || d.take('E') {
		if !d.take('+') {
			d.take('-')
		}
		if !d.digits() {
			return value{}, d.syntax("want a digit")
		}
	}
	return value{kind: kindNumber, text: string(d.data[start:d.at])}, true
}

func (d *decoder) digits() bool {
	start := d.at
	for '0' <= d.peek() && d.peek() <= '9' {
		d.at++
	}
	return d.at > start
}

func (d *decoder) text() (string, bool) {
	d.at++
	start := d.at
	for d.at < len(d.data) && d.data[d.at] != '"' && d.data[d.at] != '\\' && d.data[d.at] >= ' ' && d.data[d.at] < utf8.RuneSelf {
		d.at++
	}
	if d.peek() == '"' { // the common case: no escapes
		d.at++
		return string(d.data[start : d.at-1]), true
	}
	content := append([]byte(nil), d.data[start:d.at]...)
	for {
		if d.at >= len(d.data) {
			return "", d.syntax(`want the closing "`)
		}
		switch letter := d.data[d.at]; {
		case letter == '"':
			d.at++
			return string(content), true
		case letter < ' ':
			return "", d.syntax(`want control characters in text escaped, such as \n`)
		case letter == '\\':
			r, ok := d.escape()
			if !ok {
				return "", false
			}
			content = utf8.AppendRune(content, r)
		default:
			r, size := utf8.DecodeRune(d.data[d.at:])
			if r == utf8.RuneError && size == 1 {
				return "", d.syntax("want UTF-8")
			}
			content = append(content, d.data[d.at:d.at+size]...)
			d.at += size
		}
	}
}

func (d *decoder) escape() (rune, bool) {
	start := d.at
	d.at++
	letter := d.peek()
	d.at++
	switch letter {
	case '"', '\\', '/':
		return rune(letter), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
	default:
		d.at = start
		return 0, d.syntax(`want one of \" \\ \/ \b \f \n \r \t \u0000`)
	}
	first, ok := d.unit()
	if ok && utf16.IsSurrogate(first) && d.take('\\') && d.take('u') {
		var second rune
		second, ok = d.unit()
		first = utf16.DecodeRune(first, second)
		ok = ok && first != utf8.RuneError
	}
	if !ok || utf16.IsSurrogate(first) {
		d.at = start
		return 0, d.syntax(`want four hexadecimal digits after \u, and both halves of a surrogate pair`)
	}
	return first, true
}

// unit reads the four hexadecimal digits of a UTF-16 code unit.
func (d *decoder) unit() (rune, bool) {
	if len(d.data)-d.at < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(d.data[d.at:d.at+4]), 16, 16)
	d.at += 4
	return rune(n), err == nil
}
