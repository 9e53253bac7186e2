package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/document"
)

func newDiff(s *shell) *cobra.Command {
	var paths []string
	c := &cobra.Command{
		Use:   "diff -f FILE...",
		Short: "show what apply would change",
		Long:  `Shows what apply would change, without changing anything. The exit code is 0 with or without a difference.`,
		Example: `  drover diff -f labourers.yaml
  drover --json diff -f labourers.yaml`,
	}
	files(c, &paths, true)
	c.RunE = func(c *cobra.Command, _ []string) error {
		given, warnings, err := s.configuration(paths)
		if err != nil {
			return err
		}
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		changes, err := st.compare(c.Context(), given)
		if err != nil {
			return err
		}
		warnings = append(warnings, changes.warnings...)
		if s.json {
			fields := []document.Change{}
			for _, one := range changes.changes {
				fields = append(fields, one.diff...)
			}
			return s.document(struct {
				applied
				Changes []document.Change `json:"changes"`
			}{applied{Applied: list(changes.ids()), Unchanged: list(changes.unchanged), Warnings: list(warnings)}, fields})
		}
		s.warn(warnings...)
		s.show(changes, wiring{}, nil)
		if changes.empty() {
			fmt.Fprintln(s.out, "No difference: apply would change nothing.")
		}
		return nil
	}
	return c
}
