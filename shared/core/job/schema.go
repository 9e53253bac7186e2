package job

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/spelling"
)

// Schema lists the attributes of a job that can be cut into tasks.
type Schema struct {
	// ChunkableAttrs has the singular names of the attributes, outermost first. None ends in s, and none appears twice.
	ChunkableAttrs []string
}

// MarshalJSON returns the same as Stored.
func (s Schema) MarshalJSON() ([]byte, error) { return s.Stored(), nil }

// Stored returns the schema as canonical JSON, in sosw's form: {"chunkable_attrs":[["section",{}],["store",{}]]}.
func (s Schema) Stored() []byte {
	stored := []byte(`{"chunkable_attrs":[`)
	for i, name := range s.ChunkableAttrs {
		if i > 0 {
			stored = append(stored, ',')
		}
		stored = append(appendText(append(stored, '['), name), `,{}]`...)
	}
	return append(stored, `]}`...)
}

// Validate returns everything that is wrong with the schema.
func (s Schema) Validate() []error {
	var wrong []error
	for i, name := range s.ChunkableAttrs {
		field := index("chunkable_attrs", i)
		switch {
		case name == "":
			wrong = append(wrong, refuse(field, "is empty; want the name of an attribute in singular"))
		case strings.HasSuffix(name, "s"):
			wrong = append(wrong, refuse(field, "%q ends in s; want the singular, because jobs add the s", name))
		case slices.Contains(s.ChunkableAttrs[:i], name):
			wrong = append(wrong, refuse(field, "%q appears twice; want each attribute once", name))
		case !Chunkable(name):
			wrong = append(wrong, refuse(field, "%q, or its plural, already has a meaning in a job; want another name", name))
		}
	}
	return wrong
}

// Chunkable reports whether jobs can be cut by an attribute with this singular name: neither it nor its plural may steer Drover or be reserved.
func Chunkable(name string) bool {
	own := slices.Concat(steering, tracing, reserved, []string{dateList, "job_schema_name"})
	for _, unit := range isolations {
		own = append(own, "isolate_"+unit.String())
	}
	return !slices.Contains(own, name) && !slices.Contains(own, name+"s")
}

// attribute holds a chunkable attribute with all the words that a job may use for it.
type attribute struct {
	singular, plural string
	set              []string // the flags that ask to cut it
	size             string   // the flag that also gives the size of a batch
}

func (s Schema) attributes() []attribute {
	attributes := make([]attribute, len(s.ChunkableAttrs))
	for i, name := range s.ChunkableAttrs {
		plural := name + "s"
		size := "max_" + plural + "_per_batch"
		attributes[i] = attribute{
			singular: name,
			plural:   plural,
			set:      []string{"isolate_" + name, "isolate_" + plural, "max_" + name + "_per_batch", size},
			size:     size,
		}
	}
	return attributes
}

// UnknownSchema returns the error for a job whose job_schema_name is not among the known ones.
func (j Job) UnknownSchema(known []string) error {
	name := j.Schema
	if name == "" {
		name = "default"
	}
	if nearest, ok := spelling.Nearest(name, known); ok {
		return refuse("job_schema_name", "there is no schema %q; did you mean %q?", shorten(name), nearest)
	}
	if len(known) == 0 {
		return refuse("job_schema_name", "there is no schema %q; none has been applied", shorten(name))
	}
	known = slices.Sorted(slices.Values(known))
	return refuse("job_schema_name", "there is no schema %q; want one of %s", shorten(name), shorten(strings.Join(known, ", ")))
}
