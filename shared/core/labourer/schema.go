package labourer

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/job"
)

// maxChunkableAttrs limits the nesting of a job.
const maxChunkableAttrs = 32

func (r *reader) schema(v document.Value) job.Schema {
	attrs, ok := r.schemaFields(v)["chunkable_attrs"]
	switch {
	case !ok:
		if v.Kind == document.Mapping && !v.Has("chunkable_attrs") && r.sosw == nil {
			r.Refuse(v, "chunkable_attrs is missing; want a list, or [] to cut jobs only by their period")
		}
		return job.Schema{}
	case attrs.Kind != document.List:
		r.Refuse(attrs, "must be a list like [[section, {}], [store, {}]], not %s", attrs.Describe())
		return job.Schema{}
	case len(attrs.Items) > maxChunkableAttrs:
		r.Refuse(attrs, "has %d attributes; want at most %d", len(attrs.Items), maxChunkableAttrs)
		return job.Schema{}
	}

	var s job.Schema
	for i := range attrs.Items {
		at := attrs.Item(i)
		name, ok := r.chunkableAttr(at)
		if ok && slices.Contains(s.ChunkableAttrs, name) {
			r.Refuse(at, "%s appears twice", document.Shown(name))
			continue
		}
		if ok {
			s.ChunkableAttrs = append(s.ChunkableAttrs, name)
		}
	}
	return s
}

// chunkableAttr reads [name, {}], [name] or name. The mapping is for options, but neither Drover nor sosw has any.
func (r *reader) chunkableAttr(v document.Value) (string, bool) {
	at := v
	if v.Kind == document.List {
		if len(v.Items) == 0 || len(v.Items) > 2 {
			r.Refuse(v, "must be a name and its options, like [section, {}], not a list of %d", len(v.Items))
			return "", false
		}
		at = v.Item(0)
		if len(v.Items) == 2 {
			r.noOptions(v.Item(1))
		}
	}

	name, ok := r.Words(at, 128)
	switch {
	case !ok:
	case !job.Chunkable(name):
		r.Refuse(at, "jobs cannot be cut by %s: it, or its plural, already has a meaning in a job", document.Shown(name))
	case strings.HasSuffix(name, "s"):
		r.Refuse(at, "%s must be the singular, without the final s: isolate_… and max_…s_per_batch are named after it", document.Shown(name))
	default:
		return name, true
	}
	return "", false
}

// schemaFields returns chunkable_attrs. It warns of other fields in sosw's schemas, which sosw never read, and refuses them in Drover's own.
func (r *reader) schemaFields(v document.Value) map[string]document.Value {
	if r.sosw == nil {
		return r.Fields(v, "chunkable_attrs")
	}
	fields := map[string]document.Value{}
	for name, at := range r.Members(v) {
		if name != "chunkable_attrs" {
			r.notCarriedOver(at, "a schema has only chunkable_attrs")
			continue
		}
		fields[name] = at
	}
	return fields
}

func (r *reader) noOptions(v document.Value) {
	if r.sosw != nil {
		r.notCarriedOver(v, "a chunkable attribute has no options")
		return
	}
	for _, at := range r.Members(v) {
		if !r.UnknownIgnored {
			r.Refuse(at, "is unknown: a chunkable attribute has no options")
		}
	}
}
