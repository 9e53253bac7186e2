package labourer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Change holds one field in which two configurations differ. A new field has no From, and a removed one no To.
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

// Diff returns the differences, in the order of their paths. There are none if both configurations have the same meaning. A labourer or schema that only
// one of them has is listed field by field. Lists are compared as a whole.
func Diff(before, after Configuration) []Change {
	return compare("", tree(before), tree(after))
}

// Diff returns how l differs from its previous definition. The zero Labourer stands for none.
func (l Labourer) Diff(before Labourer) []Change {
	was, is := Configuration{Labourers: map[string]Labourer{}}, Configuration{Labourers: map[string]Labourer{l.ID: l}}
	if before.ID != "" {
		was.Labourers[l.ID] = before
	}
	return Diff(was, is)
}

// tree returns the configuration as generic JSON, with numbers as written.
func tree(c Configuration) any {
	sections := map[string]any{}
	if len(c.Labourers) > 0 {
		sections["labourers"] = c.Labourers
	}
	if len(c.JobSchemas) > 0 {
		sections["job_schemas"] = c.JobSchemas
	}
	decoder := json.NewDecoder(bytes.NewReader(encode(sections)))
	decoder.UseNumber()
	var generic any
	if err := decoder.Decode(&generic); err != nil {
		panic("labourer: what was marshalled does not unmarshal: " + err.Error())
	}
	return generic
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
			changes = append(changes, compare(join(path, name), was[name], is[name])...)
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
	return encode(generic)
}
