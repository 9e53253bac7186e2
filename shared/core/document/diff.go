package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Change holds one field in which two documents differ. A new field has no From, and a removed one no To.
type Change struct {
	Path string          `json:"path"`
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// String returns the change as a line for people.
func (c Change) String() string {
	switch {
	case c.From == nil:
		return fmt.Sprintf("+ %s: %s", c.Path, c.To)
	case c.To == nil:
		return fmt.Sprintf("- %s: %s", c.Path, c.From)
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, c.From, c.To)
}

// Compare returns the differences of two values that marshal to JSON objects, in the order of their paths. There are none if both have
// the same meaning.
// A part that only one of them has is listed field by field. Lists are compared as a whole.
func Compare(before, after any) []Change { return compare("", generic(before), generic(after)) }

// generic returns a value as generic JSON, with numbers as written.
func generic(v any) any {
	decoder := json.NewDecoder(bytes.NewReader(Encode(v)))
	decoder.UseNumber()
	var out any
	if err := decoder.Decode(&out); err != nil {
		panic("document: what was marshalled does not unmarshal: " + err.Error())
	}
	return out
}

// compare compares two trees. nil stands for an absent value.
func compare(path string, before, after any) []Change {
	was, wasMapping := before.(map[string]any)
	is, isMapping := after.(map[string]any)
	if (wasMapping || before == nil) && (isMapping || after == nil) && len(was)+len(is) > 0 {
		names := maps.Clone(was)
		if names == nil {
			names = map[string]any{}
		}
		maps.Copy(names, is)
		var changes []Change
		for _, name := range slices.Sorted(maps.Keys(names)) {
			changes = append(changes, compare(Join(path, name), was[name], is[name])...)
		}
		return changes
	}

	from, to := written(before), written(after)
	if bytes.Equal(from, to) {
		return nil
	}
	return []Change{{path, from, to}}
}

func written(generic any) json.RawMessage {
	if generic == nil {
		return nil
	}
	return Encode(generic)
}

// Encode returns JSON that people can read, with < and > as they are. It is for what always marshals: texts, finite numbers, and maps and
// lists of them.
func Encode(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("document: a value does not marshal: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
