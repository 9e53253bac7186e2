package exact

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Member holds a name in a JSON object, and its value as written.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Members splits an object into its members, in the order written. It checks only the structure of the object, so that a value that is not JSON (NaN, half
// a string, a truncated object) does not affect the others. The caller has to check each value. Members skips a byte order mark before the object. In a
// truncated text the incomplete member comes last, and its value is not JSON. Any error is an [*Error].
func Members(text []byte) ([]Member, error) {
	s := splitter{text: text, at: len(text) - len(bytes.TrimPrefix(text, []byte("\ufeff")))}
	return s.object()
}

type splitter struct {
	text []byte
	at   int
}

func (s *splitter) object() ([]Member, error) {
	if s.space(); s.next() != '{' {
		return nil, s.wrong("is not an object; want {")
	}
	s.at++
	var members []Member
	for {
		s.space()
		switch s.next() {
		case end:
			return members, nil
		case '}':
			s.at++
			if s.space(); s.next() != end {
				return nil, s.wrong("has more text after the object; want nothing there")
			}
			return members, nil
		case ',':
			s.at++
			continue
		}
		m, whole, err := s.member()
		if err != nil || !whole {
			return members, err
		}
		members = append(members, m)
	}
}

// member reads a name and its value. whole is false if the text ends before the first byte of the value.
func (s *splitter) member() (m Member, whole bool, err error) {
	if s.next() == end {
		return m, false, nil
	}
	if s.next() != '"' {
		return m, false, s.wrong("has no name here; want one in double quotes")
	}
	begin := s.at
	if closed := s.skipText(); !closed {
		return m, false, nil
	}
	if json.Unmarshal(s.text[begin:s.at], &m.Name) != nil {
		s.at = begin
		return m, false, s.wrong("has no name here; want one in double quotes")
	}
	switch s.space(); s.next() {
	case ':':
		s.at++
	case end:
		return m, false, nil
	default:
		return m, false, s.wrong("has no colon after the name; want one")
	}
	s.space()
	begin = s.at
	s.skipValue()
	m.Value = bytes.TrimRight(s.text[begin:s.at], spaces)
	return m, true, nil
}

// skipValue moves to the comma or brace that ends a value.
func (s *splitter) skipValue() {
	for depth := 0; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '"':
			s.skipText()
			s.at--
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return
			}
			depth--
		case ',':
			if depth == 0 {
				return
			}
		}
	}
}

// skipText moves past the closing quote of the string that begins here. closed is false if there is none.
func (s *splitter) skipText() (closed bool) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return true
		}
	}
	s.at = len(s.text)
	return false
}

const (
	spaces = " \t\r\n"
	end    = 0
)

func (s *splitter) space() {
	for s.at < len(s.text) && strings.IndexByte(spaces, s.text[s.at]) >= 0 {
		s.at++
	}
}

func (s *splitter) next() byte {
	if s.at >= len(s.text) {
		return end
	}
	return s.text[s.at]
}

func (s *splitter) wrong(reason string) error {
	return &Error{Line: lineOf(s.text, s.at), Column: columnOf(s.text, s.at), Reason: reason}
}
