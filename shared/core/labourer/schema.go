package labourer

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/job"
)

// maxChunkableAttrs limits the nesting of a job.
const maxChunkableAttrs = 32

func (r *reader) schema(v value) job.Schema {
	attrs, ok := r.schemaFields(v)["chunkable_attrs"]
	switch {
	case !ok:
		if v.kind == mapping && !v.has("chunkable_attrs") && r.sosw == nil {
			r.refuse(v, "chunkable_attrs is missing; want a list, or [] to cut jobs only by their period")
		}
		return job.Schema{}
	case attrs.kind != list:
		r.refuse(attrs, "must be a list like [[section, {}], [store, {}]], not %s", attrs.describe())
		return job.Schema{}
	case len(attrs.items) > maxChunkableAttrs:
		r.refuse(attrs, "has %d attributes; want at most %d", len(attrs.items), maxChunkableAttrs)
		return job.Schema{}
	}

	var s job.Schema
	for i := range attrs.items {
		at := attrs.item(i)
		name, ok := r.chunkableAttr(at)
		if ok && slices.Contains(s.ChunkableAttrs, name) {
			r.refuse(at, "%s appears twice", shown(name))
			continue
		}
		if ok {
			s.ChunkableAttrs = append(s.ChunkableAttrs, name)
		}
	}
	return s
}

// chunkableAttr reads [name, {}], [name] or name. The mapping is for options, but neither Drover nor sosw has any.
func (r *reader) chunkableAttr(v value) (string, bool) {
	at := v
	if v.kind == list {
		if len(v.items) == 0 || len(v.items) > 2 {
			r.refuse(v, "must be a name and its options, like [section, {}], not a list of %d", len(v.items))
			return "", false
		}
		at = v.item(0)
		if len(v.items) == 2 {
			r.noOptions(v.item(1))
		}
	}

	name, ok := r.words(at, 128)
	switch {
	case !ok:
	case !job.Chunkable(name):
		r.refuse(at, "jobs cannot be cut by %s: it, or its plural, already has a meaning in a job", shown(name))
	case strings.HasSuffix(name, "s"):
		r.refuse(at, "%s must be the singular, without the final s: isolate_… and max_…s_per_batch are named after it", shown(name))
	default:
		return name, true
	}
	return "", false
}

// schemaFields returns chunkable_attrs. It warns of other fields in sosw's schemas, which sosw never read, and refuses them in Drover's own.
func (r *reader) schemaFields(v value) map[string]value {
	if r.sosw == nil {
		return r.fields(v, "chunkable_attrs")
	}
	fields := map[string]value{}
	for name, at := range r.members(v) {
		if name != "chunkable_attrs" {
			r.notCarriedOver(at, "a schema has only chunkable_attrs")
			continue
		}
		fields[name] = at
	}
	return fields
}

func (r *reader) noOptions(v value) {
	if r.sosw != nil {
		r.notCarriedOver(v, "a chunkable attribute has no options")
		return
	}
	for _, at := range r.members(v) {
		if !r.unknownIgnored {
			r.refuse(at, "is unknown: a chunkable attribute has no options")
		}
	}
}
