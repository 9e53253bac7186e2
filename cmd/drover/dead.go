package main

import (
	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newDead(s *shell) *cobra.Command {
	selection := inspect.Selection{Status: inspect.Dead}
	var limit int
	c := &cobra.Command{
		Use:   "dead [--job ID] [--labourer ID] [--limit N]",
		Short: "list dead tasks: those that are no longer retried",
		Long:  `Lists dead tasks: those that failed permanently, or in all their attempts. To give them new attempts: drover replay.`,
		Example: `  drover dead --labourer shop
  drover --json dead --job nightly-2026-11-22 | jq -r .task_id | xargs drover replay`,
		Args: exactly(),
	}
	c.Flags().StringVar(&selection.Job, "job", "", "only tasks of this `job`")
	c.Flags().StringVar(&selection.Labourer, "labourer", "", "only tasks of this `labourer`")
	limitFlag(c, &limit)
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		return s.listTasks(c.Context(), st, selection, s.limit(limit), "No task is dead.")
	}
	return c
}
