package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

func newValidate(s *shell) *cobra.Command {
	var paths []string
	c := &cobra.Command{
		Use:   "validate -f FILE...",
		Short: "check files of labourers, job schemas and workflows",
		Long: `Checks files of labourers, job schemas, workflows, activities and plugins, without AWS. Labourers and job schemas may be in sosw's format.

It lists all errors at once, with file, line and field. If there are any, the exit code is 2.`,
		Example: `  drover validate -f labourers.yaml
  drover validate -f labourers.yaml -f schemas.json`,
	}
	files(c, &paths, true)
	c.RunE = func(*cobra.Command, []string) error {
		read, warnings, err := s.configuration(paths)
		if err != nil {
			return err
		}
		labourers, schemas := slices.Sorted(maps.Keys(read.Labourers)), slices.Sorted(maps.Keys(read.JobSchemas))
		d := read.Definitions
		workflows, activities, plugins := slices.Sorted(maps.Keys(d.Workflows)), slices.Sorted(maps.Keys(d.Activities)), slices.Sorted(maps.Keys(d.Plugins))
		refused, doubts := workflow.Check(d, d, func(id string) bool { _, known := read.Labourers[id]; return known })
		for _, one := range append(refused, doubts...) { // what the files lack, the stack may have
			warnings = append(warnings, one.String())
		}
		warnings = append(warnings, sharedFunctions(d, func(id string) (labourer.Labourer, bool) { l, known := read.Labourers[id]; return l, known })...)
		if s.json {
			return s.document(struct {
				Valid      bool     `json:"valid"`
				Labourers  []string `json:"labourers"`
				Schemas    []string `json:"job_schemas"`
				Workflows  []string `json:"workflows"`
				Activities []string `json:"activities"`
				Plugins    []string `json:"plugins"`
				Warnings   []string `json:"warnings"`
			}{true, list(labourers), list(schemas), list(workflows), list(activities), list(plugins), list(warnings)})
		}
		s.warn(warnings...)
		fmt.Fprintf(s.out, "Valid: %s.\n", enumerated([]string{inspect.Count(len(labourers), "labourer"), inspect.Count(len(schemas), "job schema")},
			numbered(len(workflows), "workflow", "workflows"), numbered(len(activities), "activity", "activities"), numbered(len(plugins), "plugin", "plugins")))
		return nil
	}
	return c
}

// numbered returns a number of things in words, "" for none.
func numbered(n int, one, many string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, inspect.Plural(n, one, many))
}

// enumerated joins the parts, and those of more that are not empty: "a, b and c".
func enumerated(parts []string, more ...string) string {
	for _, one := range more {
		if one != "" {
			parts = append(parts, one)
		}
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// list returns a list that JSON writes as [] when it is empty.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}
