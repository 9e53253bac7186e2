package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newValidate(s *shell) *cobra.Command {
	var paths []string
	c := &cobra.Command{
		Use:   "validate -f FILE...",
		Short: "check files of labourers and job schemas",
		Long: `Checks files of labourers and job schemas, in Drover's or sosw's format, without AWS.

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
		if s.json {
			return s.document(struct {
				Valid     bool     `json:"valid"`
				Labourers []string `json:"labourers"`
				Schemas   []string `json:"job_schemas"`
				Warnings  []string `json:"warnings"`
			}{true, list(labourers), list(schemas), list(warnings)})
		}
		s.warn(warnings...)
		fmt.Fprintf(s.out, "Valid: %s and %s.\n", inspect.Count(len(labourers), "labourer"), inspect.Count(len(schemas), "job schema"))
		return nil
	}
	return c
}

// list returns a list that JSON writes as [] when it is empty.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}
