package labourer

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/workflow"
)

// Configuration holds the content of one file, or of several merged files.
type Configuration struct {
	Labourers  map[string]Labourer
	JobSchemas map[string]job.Schema
	// Definitions are the workflows, activities and plugins.
	Definitions workflow.Definitions

	// origins has the place of each path's definition, for the error if another file defines it differently.
	origins map[string]document.Error
}

// Option changes what Read accepts.
type Option func(*reader)

// TargetOptional accepts labourers without a target, because the pace (assess) and the tasks of a job (plan) do not depend on it. Read still checks a
// given target.
func TargetOptional() Option { return func(r *reader) { r.targetOptional = true } }

// Read reads one YAML or JSON document, in Drover's or in sosw's format; isSosw distinguishes them. file is its name in messages. A file with the extension
// .json must be JSON.
//
// Read returns all errors at once. Then the Configuration has the readable parts, for display only. The warnings list the settings that were not carried
// over, each with its place.
func Read(file string, data []byte, options ...Option) (Configuration, []string, document.Errors) {
	r := &reader{Reader: document.Reader{File: file}}
	for _, option := range options {
		option(r)
	}
	root, err := document.Parse(file, data)
	if err != nil {
		return Configuration{}, nil, r.unreadable(err)
	}
	c := r.configuration(document.Value{Node: root})
	return c, r.Warnings.InOrder().Lines(), r.Errors.InOrder()
}

func (r *reader) unreadable(err error) document.Errors {
	var one document.Error
	if !errors.As(err, &one) {
		one.Reason = err.Error()
	}
	one.File = r.File
	return document.Errors{one}
}

func nothingDefined() Configuration {
	return Configuration{Labourers: map[string]Labourer{}, JobSchemas: map[string]job.Schema{}, Definitions: workflow.NewDefinitions(), origins: map[string]document.Error{}}
}

// sections are the top-level fields of Drover's own configuration.
var sections = append([]string{"labourers", "job_schemas"}, workflow.Sections...)

func (r *reader) configuration(root document.Value) Configuration {
	r.CheckNames(root)
	c := nothingDefined()
	mark, sosw := "", false
	if root.Kind == document.Mapping {
		mark, sosw = isSosw(root)
	}
	switch {
	case root.Kind == document.Nothing:
		r.Refuse(root, "the file is empty; want labourers or job_schemas")
	case root.Kind != document.Mapping:
		r.Refuse(root, "is %s; want a mapping with labourers or job_schemas", root.Describe())
	case len(root.Node.Members) == 0:
		r.Refuse(root, "the file has no content; want labourers or job_schemas")
	case sosw:
		r.warnMixed(root, mark)
		r.readSosw(root, &c)
	default:
		fields := r.Fields(root, sections...)
		if v, ok := fields["labourers"]; ok {
			for id, at := range r.named(v) {
				r.addLabourer(&c, at, r.labourer(at, New(id)))
			}
		}
		if v, ok := fields["job_schemas"]; ok {
			for name, at := range r.named(v) {
				r.addSchema(&c, at, name, r.schema(at))
			}
		}
		c.Definitions = workflow.Read(&r.Reader, fields)
		for _, section := range workflow.Sections {
			if v, ok := fields[section]; ok && v.Kind == document.Mapping {
				for name, at := range r.Members(v) {
					c.origins[document.Join(section, name)] = document.Error{File: r.File, Line: at.Line, Path: at.Path}
				}
			}
		}
	}
	return c
}

// named yields the members of a mapping from names to definitions.
func (r *reader) named(v document.Value) func(yield func(string, document.Value) bool) {
	return func(yield func(string, document.Value) bool) {
		for name, at := range r.Members(v) {
			if !ValidID(name) {
				r.Refuse(at, "the name %s must be 1 to 128 of the characters A-Z a-z 0-9 _ . : -", document.Shown(name))
				continue
			}
			if !yield(name, at) {
				return
			}
		}
	}
}

func (r *reader) addLabourer(c *Configuration, at document.Value, l Labourer) {
	if r.once(c, document.Join("labourers", l.ID), at, c.Labourers[l.ID], l) {
		c.Labourers[l.ID] = l
	}
}

func (r *reader) addSchema(c *Configuration, at document.Value, name string, s job.Schema) {
	if r.once(c, document.Join("job_schemas", name), at, c.JobSchemas[name], s) {
		c.JobSchemas[name] = s
	}
}

// once reports whether the path is defined for the first time. It refuses a second definition that differs.
func (r *reader) once(c *Configuration, path string, at document.Value, before, now any) bool {
	first, twice := c.origins[path]
	if !twice {
		c.origins[path] = document.Error{File: r.File, Line: at.Line, Path: at.Path}
		return true
	}
	if !reflect.DeepEqual(before, now) {
		r.Refuse(at, "is defined differently as %s in line %d", first.Path, first.Line)
	}
	return false
}

// Merge merges the configurations of several files. If two files define the same labourer or schema, the definitions must be equal.
func Merge(configurations ...Configuration) (Configuration, document.Errors) {
	merged := nothingDefined()
	var wrong document.Errors
	for _, c := range configurations {
		for _, id := range slices.Sorted(maps.Keys(c.Labourers)) {
			path := document.Join("labourers", id)
			before, twice := merged.Labourers[id]
			if twice && !reflect.DeepEqual(before, c.Labourers[id]) {
				wrong = append(wrong, c.otherwise(path, merged.origins[path]))
				continue
			}
			merged.Labourers[id], merged.origins[path] = c.Labourers[id], c.origins[path]
		}
		for _, name := range slices.Sorted(maps.Keys(c.JobSchemas)) {
			path := document.Join("job_schemas", name)
			before, twice := merged.JobSchemas[name]
			if twice && !reflect.DeepEqual(before, c.JobSchemas[name]) {
				wrong = append(wrong, c.otherwise(path, merged.origins[path]))
				continue
			}
			merged.JobSchemas[name], merged.origins[path] = c.JobSchemas[name], c.origins[path]
		}
		definitions, differ := workflow.Merge(merged.Definitions, c.Definitions)
		for _, path := range differ {
			wrong = append(wrong, c.otherwise(path, merged.origins[path]))
		}
		merged.Definitions = definitions
		for path, origin := range c.origins {
			if _, known := merged.origins[path]; !known {
				merged.origins[path] = origin
			}
		}
	}
	return merged, wrong
}

func (c Configuration) otherwise(path string, first document.Error) document.Error {
	here := c.origins[path]
	here.Path = path
	here.Reason = "is defined differently in " + document.Error{File: first.File, Line: first.Line, Reason: first.Path}.Error()
	return here
}

// Defines reports whether the configuration has what an id names: a labourer, or plugins.NAME, activities.NAME or workflows.NAME.
func (c Configuration) Defines(id string) bool {
	section, name, _ := strings.Cut(id, ".")
	defined := false
	switch section {
	case "plugins":
		_, defined = c.Definitions.Plugins[name]
	case "activities":
		_, defined = c.Definitions.Activities[name]
	case "workflows":
		_, defined = c.Definitions.Workflows[name]
	}
	_, is := c.Labourers[id]
	return defined || is
}
