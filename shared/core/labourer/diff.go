package labourer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Change is one field that two configurations have different. An absent From is a field that is new, an absent To one that is gone.
type Change struct {
	Path string          `json:"path"`
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// String is the change in a line for people.
func (c Change) String() string {
	switch {
	case c.From == nil:
		return fmt.Sprintf("+ %s: %s", c.Path, c.To)
	case c.To == nil:
		return fmt.Sprintf("- %s: %s", c.Path, c.From)
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, c.From, c.To)
}

// Diff lists what is different, in the order of the paths; nothing when the two mean the same. A labourer or schema that only one of
// them has is listed field by field. Lists are compared as a whole.
func Diff(before, after Configuration) []Change {
	return compare("", tree(before), tree(after))
}

// Diff lists what is different in l from what it was before; the zero Labourer is one that was not there.
func (l Labourer) Diff(before Labourer) []Change {
	was, is := Configuration{Labourers: map[string]Labourer{}}, Configuration{Labourers: map[string]Labourer{l.ID: l}}
	if before.ID != "" {
		was.Labourers[l.ID] = before
	}
	return Diff(was, is)
}

// tree is the configuration as generic JSON, with numbers as they are written.
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

// compare walks two trees; nil is what is not there.
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
