package labourer

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/drover-run/drover/shared/core/job"
)

// Configuration holds the content of one file, or of several merged files.
type Configuration struct {
	Labourers  map[string]Labourer
	JobSchemas map[string]job.Schema

	// origins has the place of each path's definition, for the error if another file defines it differently.
	origins map[string]Error
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
func Read(file string, data []byte, options ...Option) (Configuration, []string, Errors) {
	r := &reader{file: file}
	for _, option := range options {
		option(r)
	}
	root, err := parse(file, data)
	if err != nil {
		return Configuration{}, nil, r.unreadable(err)
	}
	c := r.configuration(value{root, ""})
	return c, r.warnings.inOrder().lines(), r.errors.inOrder()
}

func (r *reader) unreadable(err error) Errors {
	var one Error
	if !errors.As(err, &one) {
		one.Reason = err.Error()
	}
	one.File = r.file
	return Errors{one}
}

func (r *reader) configuration(root value) Configuration {
	r.checkNames(root)
	c := Configuration{Labourers: map[string]Labourer{}, JobSchemas: map[string]job.Schema{}, origins: map[string]Error{}}
	mark, sosw := "", false
	if root.kind == mapping {
		mark, sosw = isSosw(root)
	}
	switch {
	case root.kind == nothing:
		r.refuse(root, "the file is empty; want labourers or job_schemas")
	case root.kind != mapping:
		r.refuse(root, "is %s; want a mapping with labourers or job_schemas", root.describe())
	case len(root.node.members) == 0:
		r.refuse(root, "the file has no content; want labourers or job_schemas")
	case sosw:
		r.warnMixed(root, mark)
		r.readSosw(root, &c)
	default:
		fields := r.fields(root, "labourers", "job_schemas")
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
	}
	return c
}

// named yields the members of a mapping from names to definitions.
func (r *reader) named(v value) func(yield func(string, value) bool) {
	return func(yield func(string, value) bool) {
		for name, at := range r.members(v) {
			if !idPattern.MatchString(name) {
				r.refuse(at, "the name %s must be 1 to 128 of the characters A-Z a-z 0-9 _ . : -", shown(name))
				continue
			}
			if !yield(name, at) {
				return
			}
		}
	}
}

func (r *reader) addLabourer(c *Configuration, at value, l Labourer) {
	if r.once(c, join("labourers", l.ID), at, c.Labourers[l.ID], l) {
		c.Labourers[l.ID] = l
	}
}

func (r *reader) addSchema(c *Configuration, at value, name string, s job.Schema) {
	if r.once(c, join("job_schemas", name), at, c.JobSchemas[name], s) {
		c.JobSchemas[name] = s
	}
}

// once reports whether the path is defined for the first time. It refuses a second definition that differs.
func (r *reader) once(c *Configuration, path string, at value, before, now any) bool {
	first, twice := c.origins[path]
	if !twice {
		c.origins[path] = Error{File: r.file, Line: at.line, Path: at.path}
		return true
	}
	if !reflect.DeepEqual(before, now) {
		r.refuse(at, "is defined differently as %s in line %d", first.Path, first.Line)
	}
	return false
}

// Merge merges the configurations of several files. If two files define the same labourer or schema, the definitions must be equal.
func Merge(configurations ...Configuration) (Configuration, Errors) {
	merged := Configuration{Labourers: map[string]Labourer{}, JobSchemas: map[string]job.Schema{}, origins: map[string]Error{}}
	var wrong Errors
	for _, c := range configurations {
		for _, id := range slices.Sorted(maps.Keys(c.Labourers)) {
			path := join("labourers", id)
			before, twice := merged.Labourers[id]
			if twice && !reflect.DeepEqual(before, c.Labourers[id]) {
				wrong = append(wrong, c.otherwise(path, merged.origins[path]))
				continue
			}
			merged.Labourers[id], merged.origins[path] = c.Labourers[id], c.origins[path]
		}
		for _, name := range slices.Sorted(maps.Keys(c.JobSchemas)) {
			path := join("job_schemas", name)
			before, twice := merged.JobSchemas[name]
			if twice && !reflect.DeepEqual(before, c.JobSchemas[name]) {
				wrong = append(wrong, c.otherwise(path, merged.origins[path]))
				continue
			}
			merged.JobSchemas[name], merged.origins[path] = c.JobSchemas[name], c.origins[path]
		}
	}
	return merged, wrong
}

func (c Configuration) otherwise(path string, first Error) Error {
	here := c.origins[path]
	here.Path = path
	here.Reason = "is defined differently in " + Error{File: first.File, Line: first.Line, Reason: first.Path}.Error()
	return here
}
