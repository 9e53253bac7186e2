package pattern

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/drover-run/drover/shared/core/exact"
)

// Metadata holds the JSON object that patterns are matched against. It never changes, so several goroutines may match it. The zero Metadata
// is the empty object.
type Metadata struct{ root value }

// value is a JSON value. An object has children by name, a list has them by position.
type value struct {
	scalar   // of the kinds below a list
	names    []string
	children []value
	places   map[string]int // of the names, if there are many
}

// Read decodes metadata: a JSON object of at most [exact.MaxDepth] levels. If a name appears twice, its last value counts. The error is an
// [*exact.Error], which quotes no value.
func Read(text []byte) (Metadata, error) {
	if err := exact.Check(text); err != nil {
		return Metadata{}, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	root, err := readValue(decoder)
	if err != nil {
		return Metadata{}, &exact.Error{Reason: "is not JSON"}
	}
	if root.kind != kindObject {
		return Metadata{}, &exact.Error{Reason: "is " + root.kind.String() + "; want an object"}
	}
	return Metadata{root}, nil
}

func readValue(decoder *json.Decoder) (value, error) {
	token, err := decoder.Token()
	if err != nil {
		return value{}, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return readList(decoder)
		}
		return readObject(decoder)
	case string:
		return value{scalar: scalar{kind: kindText, text: token}}, nil
	case json.Number:
		return value{scalar: numeral(token.String())}, nil
	case bool:
		return value{scalar: truth(token)}, nil
	}
	return value{scalar: scalar{kind: kindNull, text: "null"}}, nil
}

func truth(holds bool) scalar {
	if holds {
		return scalar{kind: kindBoolean, text: "true"}
	}
	return scalar{kind: kindBoolean, text: "false"}
}

func readList(decoder *json.Decoder) (value, error) {
	v := value{scalar: scalar{kind: kindList}}
	for decoder.More() {
		item, err := readValue(decoder)
		if err != nil {
			return v, err
		}
		v.children = append(v.children, item)
	}
	_, err := decoder.Token()
	return v, err
}

func readObject(decoder *json.Decoder) (value, error) {
	written := value{scalar: scalar{kind: kindObject}}
	dotted := false
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return written, err
		}
		child, err := readValue(decoder)
		if err != nil {
			return written, err
		}
		name, _ := token.(string)
		dotted = dotted || splits(name)
		*written.at(name) = child
	}
	if _, err := decoder.Token(); err != nil || !dotted {
		return written, err
	}
	v := value{scalar: scalar{kind: kindObject}}
	for i, name := range written.names {
		path := []string{name}
		if splits(name) {
			path = strings.Split(name, ".")
		}
		v.put(path, written.children[i])
	}
	return v, nil
}

// splits reports whether a name is the same as nested ones. A name with more dots than a pattern has room for is left alone.
func splits(name string) bool {
	dots := strings.Count(name, ".")
	return 0 < dots && dots <= MaxSize
}

// at returns the object's child of that name, which it adds if there is none.
func (v *value) at(name string) *value {
	const many = 16 // with more names a map is faster
	if v.places != nil {
		if i, ok := v.places[name]; ok {
			return &v.children[i]
		}
	} else {
		for i := range v.names {
			if v.names[i] == name {
				return &v.children[i]
			}
		}
	}
	v.names, v.children = append(v.names, name), append(v.children, value{})
	switch {
	case v.places != nil:
		v.places[name] = len(v.names) - 1
	case len(v.names) > many:
		v.places = make(map[string]int, 2*many)
		for i, one := range v.names {
			v.places[one] = i
		}
	}
	return &v.children[len(v.children)-1]
}

// put stores a child at the end of a path of names. Two objects become one; else the later value counts.
func (v *value) put(path []string, child value) {
	place := v.at(path[0])
	switch {
	case len(path) > 1:
		if place.kind != kindObject {
			*place = value{scalar: scalar{kind: kindObject}}
		}
		place.put(path[1:], child)
	case place.kind == kindObject && child.kind == kindObject:
		for i, name := range child.names {
			place.put([]string{name}, child.children[i])
		}
	default:
		*place = child
	}
}

// brief returns the value as messages show it, without the contents of lists and objects.
func (v *value) brief() string {
	switch v.kind {
	case kindText:
		text, err := json.Marshal(shorten(v.text))
		if err != nil {
			return "text"
		}
		return string(text)
	case kindList:
		if len(v.children) == 0 {
			return "[]"
		}
		return "[…]"
	case kindObject:
		if len(v.children) == 0 {
			return "{}"
		}
		return "{…}"
	}
	return shorten(v.text)
}
