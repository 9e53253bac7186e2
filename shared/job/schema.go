package job

import (
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/job/spelling"
)

// Schema says which attributes of a job can be cut into tasks.
type Schema struct {
	// ChunkableAttrs are the attributes' names in singular, outermost first. None ends in s, none is there twice.
	ChunkableAttrs []string
}

// Validate returns what is wrong with the schema, all of it.
func (s Schema) Validate() []error {
	var wrong []error
	for i, name := range s.ChunkableAttrs {
		field := index("chunkable_attrs", i)
		switch {
		case name == "":
			wrong = append(wrong, refuse(field, "is empty; want the name of an attribute in singular"))
		case strings.HasSuffix(name, "s"):
			wrong = append(wrong, refuse(field, "%q ends in s; want the singular, for jobs use it and add the s themselves", name))
		case slices.Contains(s.ChunkableAttrs[:i], name):
			wrong = append(wrong, refuse(field, "%q is there already; want each attribute once", name))
		case name == dateList:
			wrong = append(wrong, refuse(field, "%q is what a period becomes; cut it with isolate_days", name))
		case steers(name + "s"):
			wrong = append(wrong, refuse(field, "the plural of %q steers Drover itself and can not be cut; want another name", name))
		}
	}
	return wrong
}

// attribute is a chunkable attribute in the words that a job may use for it.
type attribute struct {
	singular, plural string
	set              []string // the flags that ask for cutting it
	size             string   // the one of them that also gives the size of a batch
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

// UnknownSchema is the error for a job whose job_schema_name is none of those known.
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
