package main

import "github.com/spf13/cobra"

func newResume(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "resume LABOURER",
		Short:   "hand out tasks of a labourer again",
		Example: `  drover resume shop`,
		Args:    exactly("LABOURER"),
		RunE:    func(c *cobra.Command, arguments []string) error { return s.setPaused(c.Context(), arguments[0], false) },
	}
}
