package labourer

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/drover-run/drover/shared/core/job"
)

// Configuration is what a file, or several merged, say.
type Configuration struct {
	Labourers  map[string]Labourer
	JobSchemas map[string]job.Schema

	// origins tells where each path was defined, for the message when another file defines it otherwise.
	origins map[string]Error
}

// Option changes what Read accepts.
type Option func(*reader)

// TargetOptional lets labourers without a target pass: the pace (assess) and the tasks of a job (plan) do not depend on where
// tasks go. A target that is there is read as ever.
func TargetOptional() Option { return func(r *reader) { r.targetOptional = true } }

// Read takes one YAML or JSON document: Drover's own, or sosw's (see readSosw for what decides). file is its name for messages; one that
// ends in .json is held to be JSON.
//
// All that is wrong comes back at once; the Configuration then holds what could be read, for looking at only. The warnings list
// what was not taken over, each with its place.
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
		r.refuse(root, "the file is empty; labourers or job_schemas are expected")
	case root.kind != mapping:
		r.refuse(root, "a mapping with labourers or job_schemas is expected, not %s", root.describe())
	case len(root.node.members) == 0:
		r.refuse(root, "the file says nothing; labourers or job_schemas are expected")
	case sosw:
		r.sayMixed(root, mark)
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

// named goes through a mapping of names to definitions.
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

// once tells whether the path is defined for the first time; a second definition must say the same.
func (r *reader) once(c *Configuration, path string, at value, before, now any) bool {
	first, twice := c.origins[path]
	if !twice {
		c.origins[path] = Error{File: r.file, Line: at.line, Path: at.path}
		return true
	}
	if !reflect.DeepEqual(before, now) {
		r.refuse(at, "is defined otherwise as %s in line %d", first.Path, first.Line)
	}
	return false
}

// Merge makes one configuration of several files'. What two of them define must be the same in both.
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
	here.Reason = "is defined otherwise in " + Error{File: first.File, Line: first.Line, Reason: first.Path}.Error()
	return here
}
