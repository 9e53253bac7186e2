// Package exact decodes JSON from outside: messages, events, calls, files and stored items.
//
// encoding/json treats names that differ only by case as equal, and uses the last of two equal names. So one attribute of a payload could be mistaken for
// another, or for Drover's own part of an event. This package matches names exactly, and refuses names that appear twice.
package exact

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// Error reports what cannot be decoded, and where. It quotes no value, so that it may be logged.
type Error struct {
	Path         string // the path of the value, like tasks[1]; "" for the whole
	Line, Column int    // the place of text that is not JSON, from 1; 0 for other errors. Columns count characters
	Reason       string
}

func (e *Error) Error() string {
	switch {
	case e.Line > 0:
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
	case e.Path != "":
		return e.Path + ": " + e.Reason
	}
	return e.Reason
}

// Decode stores the JSON value in the value that v points to, like json.Unmarshal, with three differences: a member goes only to the field with exactly
// its name; no name may appear twice in an object that becomes a struct or a map; and the first value that does not fit stops the decoding. Types that
// decode themselves (json.Unmarshaler, json.RawMessage) do so here too. Any error is an [*Error].
func Decode(text []byte, v any) error {
	if err := Check(text); err != nil {
		return err
	}
	if err := decode(text, reflect.ValueOf(v).Elem(), ""); err != nil {
		return err
	}
	return nil
}

// Text returns the content of a JSON string. ok is false if the value is not a string, or not JSON.
func Text(value json.RawMessage) (text string, ok bool) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return text, json.Unmarshal(value, &text) == nil
}

// MaxDepth limits the nesting of lists and objects. Parsers of other languages give up near a thousand levels.
const MaxDepth = 500

// Check returns nil for one JSON value with at most MaxDepth levels, and otherwise what is wrong and where.
func Check(text []byte) error {
	if at := tooDeep(text); at >= 0 {
		return &Error{Line: lineOf(text, at), Column: columnOf(text, at), Reason: fmt.Sprintf("is nested deeper than %d levels", MaxDepth)}
	}
	if json.Valid(text) {
		return nil
	}
	var ignored json.RawMessage
	err := json.Unmarshal(text, &ignored)
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return &Error{Reason: "is not JSON"}
	}
	at := max(int(syntax.Offset)-1, 0) // the last byte that was read
	if strings.HasPrefix(syntax.Error(), "unexpected end") {
		return &Error{Line: lineOf(text, len(text)), Column: columnOf(text, len(text)), Reason: "is not JSON: it ends too early"}
	}
	word := bytes.TrimPrefix(text[at:], []byte("-"))
	for _, known := range []string{"NaN", "Infinity"} {
		if bytes.HasPrefix(word, []byte(known)) {
			return &Error{Line: lineOf(text, at), Column: columnOf(text, at), Reason: "is not JSON: it has no number " + known}
		}
	}
	return &Error{Line: lineOf(text, at), Column: columnOf(text, at), Reason: "is not JSON"}
}

// tooDeep returns the position at which a text is nested deeper than MaxDepth, or -1.
func tooDeep(text []byte) int {
	s, depth := splitter{text: text}, 0
	for s.at < len(text) {
		switch text[s.at] {
		case '"':
			s.skipText()
			continue
		case '{', '[':
			if depth++; depth > MaxDepth {
				return s.at
			}
		case '}', ']':
			depth--
		}
		s.at++
	}
	return -1
}

func lineOf(text []byte, at int) int {
	return 1 + bytes.Count(text[:min(at, len(text))], []byte("\n"))
}

func columnOf(text []byte, at int) int {
	before := text[:min(at, len(text))]
	return 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func decode(text []byte, v reflect.Value, path string) *Error {
	pointer := v.Addr()
	if pointer.Type().Implements(unmarshaler) || pointer.Type().Implements(textUnmarshaler) {
		return leaf(text, v, path)
	}
	text = bytes.TrimSpace(text)
	kind := v.Kind()
	if bytes.Equal(text, []byte("null")) {
		switch kind {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			v.SetZero()
		}
		return nil
	}
	switch {
	case kind == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return decode(text, v.Elem(), path)
	case kind == reflect.Struct:
		return structure(text, v, path)
	case kind == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return mapping(text, v, path)
	case kind == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		return list(text, v, path)
	}
	return leaf(text, v, path)
}

func leaf(text []byte, v reflect.Value, path string) *Error {
	err := json.Unmarshal(text, v.Addr().Interface())
	if err == nil {
		return nil
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		return &Error{Path: path + inner.Path, Reason: inner.Reason}
	}
	return misfit(text, v, path)
}

func misfit(text []byte, v reflect.Value, path string) *Error {
	return &Error{Path: path, Reason: fmt.Sprintf("is %s; want %s", kindOf(text), wanted(v.Type()))}
}

func structure(text []byte, v reflect.Value, path string) *Error {
	members, err := once(text, v, path)
	if err != nil {
		return err
	}
	fields := fieldsOf(v.Type())
	for _, m := range members {
		index, known := fields[m.Name]
		if !known {
			continue
		}
		if err := decode(m.Value, v.FieldByIndex(index), join(path, m.Name)); err != nil {
			return err
		}
	}
	return nil
}

func mapping(text []byte, v reflect.Value, path string) *Error {
	members, err := once(text, v, path)
	if err != nil {
		return err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(members)))
	for _, m := range members {
		one := reflect.New(v.Type().Elem()).Elem()
		if err := decode(m.Value, one, join(path, m.Name)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(m.Name).Convert(v.Type().Key()), one)
	}
	return nil
}

func list(text []byte, v reflect.Value, path string) *Error {
	if text[0] != '[' {
		return misfit(text, v, path)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return misfit(text, v, path)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := decode(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

// once returns the members of an object, and refuses a name that appears twice.
func once(text []byte, v reflect.Value, path string) ([]Member, *Error) {
	if text[0] != '{' {
		return nil, misfit(text, v, path)
	}
	members, err := Members(text)
	if err != nil {
		return nil, misfit(text, v, path)
	}
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if seen[m.Name] {
			return nil, &Error{Path: join(path, m.Name), Reason: "appears twice"}
		}
		seen[m.Name] = true
	}
	return members, nil
}

const longestName = 80 // bytes of a name in a path; the rest is cut

func join(path, name string) string {
	if len(name) > longestName {
		name = strings.ToValidUTF8(name[:longestName], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// fields caches the results of fieldsOf, by type.
var fields sync.Map

// fieldsOf returns the field for each member of an object, by name. Structs that are embedded without a JSON name are part of the object around them.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fields.Load(t); ok {
		return known.(map[string][]int) //nolint:forcetypeassert // nothing else is stored
	}
	found := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() || f.Anonymous && name == "":
			continue
		case name == "":
			name = f.Name
		}
		found[name] = f.Index
	}
	fields.Store(t, found)
	return found
}

func kindOf(text []byte) string {
	switch text[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		if reflect.PointerTo(t).Implements(textUnmarshaler) {
			return "the text of a " + strings.ToLower(t.Name())
		}
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number in range"
	case reflect.Float32, reflect.Float64:
		return "a number in range"
	}
	return t.String()
}
