package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	flow "github.com/drover-run/drover/shared/core/workflow"
)

// changeSet holds the differences between files and what is applied.
type changeSet struct {
	changes   []change
	unchanged []string // ids
	warnings  []string
}

// change is a labourer or job schema that is new or different.
type change struct {
	name    string
	section string // job_schemas, workflows, activities, plugins; "" for a labourer
	text    string // its stored form
	over    int    // the revision that it was compared with; 0 for a new one
	diff    []document.Change
}

// id returns the name for lists and messages: a labourer's own name, or job_schemas.NAME.
func (c change) id() string {
	if c.section == "" {
		return c.name
	}
	return c.section + "." + c.name
}

func schemaID(name string) string { return "job_schemas." + name }

func (c changeSet) empty() bool { return len(c.changes) == 0 }

func (c changeSet) ids() []string {
	ids := make([]string, len(c.changes))
	for i, one := range c.changes {
		ids[i] = one.id()
	}
	return ids
}

// compare returns the differences between a configuration and what is applied. Labourers and schemas that only the stack has are not differences.
func (s *stack) compare(ctx context.Context, given labourer.Configuration) (changeSet, error) {
	applied, err := s.registry.All(ctx, true)
	if err != nil {
		return changeSet{}, err
	}
	warnings := s.takeTimeouts(ctx, given.Labourers, applied)
	c := difference(given, applied)
	if err := s.check(ctx, given, applied, &c); err != nil {
		return changeSet{}, err
	}
	c.warnings = append(warnings, c.warnings...)
	return c, nil
}

// difference compares a configuration with what is applied. Schemas come first, because jobs of labourers name them.
func difference(given labourer.Configuration, applied dynamo.Applied) changeSet {
	var c changeSet
	for _, name := range slices.Sorted(maps.Keys(given.JobSchemas)) {
		is, was := given.JobSchemas[name], applied.Schemas[name]
		if text := string(is.Stored()); text != was.Text {
			before := labourer.Configuration{JobSchemas: map[string]job.Schema{}}
			if old, err := labourer.DecodeSchema(name, []byte(was.Text)); err == nil && was.Revision > 0 {
				before.JobSchemas[name] = old
			}
			c.changes = append(c.changes, change{name, "job_schemas", text, was.Revision,
				labourer.Diff(before, labourer.Configuration{JobSchemas: map[string]job.Schema{name: is}})})
		} else {
			c.unchanged = append(c.unchanged, schemaID(name))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(given.Labourers)) {
		is, was := given.Labourers[id], applied.Labourers[id]
		if text := string(is.Stored()); text != was.Text {
			var before labourer.Labourer
			if was.Revision > 0 {
				old, err := labourer.Decode(id, []byte(was.Text))
				if err != nil {
					c.warnings = append(c.warnings, fmt.Sprintf("labourers.%s: the applied configuration cannot be read, so apply replaces it: %v", id, err))
				} else {
					before = old
				}
			}
			c.changes = append(c.changes, change{id, "", text, was.Revision, is.Diff(before)})
		} else {
			c.unchanged = append(c.unchanged, id)
		}
	}
	c.addDefinitions(given.Definitions, applied)
	return c
}

// addDefinitions adds what is new or different among workflows, activities and plugins.
func (c *changeSet) addDefinitions(d flow.Definitions, applied dynamo.Applied) {
	for _, name := range slices.Sorted(maps.Keys(d.Activities)) {
		c.addDefinition("activities", name, d.Activities[name].Stored(), applied.Activities[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.Plugins)) {
		c.addDefinition("plugins", name, d.Plugins[name].Stored(), applied.Plugins[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.Workflows)) {
		c.addDefinition("workflows", name, d.Workflows[name].Stored(), applied.Workflows[name])
	}
}

func (c *changeSet) addDefinition(section, name string, stored []byte, was dynamo.Stored) {
	one := change{name: name, section: section, text: string(stored), over: was.Revision}
	if one.text == was.Text {
		c.unchanged = append(c.unchanged, one.id())
		return
	}
	before := map[string]any{}
	if was.Revision > 0 && json.Valid([]byte(was.Text)) {
		before = map[string]any{section: map[string]any{name: json.RawMessage(was.Text)}}
	}
	one.diff = document.Compare(before, map[string]any{section: map[string]any{name: json.RawMessage(stored)}})
	c.changes = append(c.changes, one)
}
