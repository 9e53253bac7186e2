package main

import "github.com/spf13/cobra"

func newResume(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "resume LABOURER",
		Short:   "resume a paused labourer: start its tasks again",
		Long:    `Resumes a paused labourer: its tasks start again at once. A labourer that is not paused does not change.`,
		Example: `  drover resume shop`,
		Args:    exactly("LABOURER"),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.setPaused(c.Context(), arguments[0], false, "")
		},
	}
}
