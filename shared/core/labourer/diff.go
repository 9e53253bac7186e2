package labourer

import "github.com/drover-run/drover/shared/core/document"

// Diff returns the differences, in the order of their paths. There are none if both configurations have the same meaning. A labourer or schema that only
// one of them has is listed field by field. Lists are compared as a whole.
func Diff(before, after Configuration) []document.Change {
	return document.Compare(tree(before), tree(after))
}

// Diff returns how l differs from its previous definition. The zero Labourer stands for none.
func (l Labourer) Diff(before Labourer) []document.Change {
	was, is := Configuration{Labourers: map[string]Labourer{}}, Configuration{Labourers: map[string]Labourer{l.ID: l}}
	if before.ID != "" {
		was.Labourers[l.ID] = before
	}
	return Diff(was, is)
}

// tree returns the sections of the configuration that have content.
func tree(c Configuration) map[string]any {
	sections := map[string]any{}
	if len(c.Labourers) > 0 {
		sections["labourers"] = c.Labourers
	}
	if len(c.JobSchemas) > 0 {
		sections["job_schemas"] = c.JobSchemas
	}
	if len(c.Definitions.Workflows) > 0 {
		sections["workflows"] = c.Definitions.Workflows
	}
	if len(c.Definitions.Activities) > 0 {
		sections["activities"] = c.Definitions.Activities
	}
	if len(c.Definitions.Plugins) > 0 {
		sections["plugins"] = c.Definitions.Plugins
	}
	return sections
}
