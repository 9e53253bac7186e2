package main

import (
	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/view"
)

func newDead(s *shell) *cobra.Command {
	var job, labourer string
	var limit int
	c := &cobra.Command{
		Use:   "dead [--job ID] [--labourer ID]",
		Short: "list the dead: tasks that will not be tried again",
		Example: `  drover dead --labourer shop
  drover --json dead --job nightly-2026-11-22 | jq -r .task_id | xargs drover replay`,
		Args: exactly(),
	}
	c.Flags().StringVar(&job, "job", "", "only tasks of this `job`")
	c.Flags().StringVar(&labourer, "labourer", "", "only tasks of this `labourer`")
	limitFlag(c, &limit)
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		asked := &census{stack: st, now: s.now, job: job, labourer: labourer, status: view.Dead}
		return s.listTasks(c.Context(), asked, s.limit(limit), "no task is dead")
	}
	return c
}
