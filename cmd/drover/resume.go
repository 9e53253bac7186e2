package main

import "github.com/spf13/cobra"

func newResume(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "resume LABOURER",
		Short:   "start tasks of a paused labourer again",
		Long:    `Starts tasks of a paused labourer again, at once. A labourer that is not paused stays as it is.`,
		Example: `  drover resume shop`,
		Args:    exactly("LABOURER"),
		RunE:    func(c *cobra.Command, arguments []string) error { return s.setPaused(c.Context(), arguments[0], false) },
	}
}
