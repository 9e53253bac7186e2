package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

func newCancel(s *shell) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "cancel JOB [--force]",
		Short: "cancel a job: waiting tasks at once, running tasks with --force",
		Long: `Cancels a job. Tasks that are queued or wait for a retry are cancelled. Running tasks run to their end, and their results count. --force
cancels them too; later reports of their workers change nothing. The job's state becomes cancelled once none of its tasks is open.`,
		Example: `  drover cancel nightly-2026-11-22
  drover cancel nightly-2026-11-22 --force`,
		Args: exactly("JOB"),
	}
	c.Flags().BoolVar(&force, "force", false, "cancel running tasks too")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		ctx, id := c.Context(), arguments[0]
		st, err := s.stack(ctx)
		if err != nil {
			return err
		}
		record, found, err := st.jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return inspect.NoJob(id)
		}
		if record.State == ledger.Completed || record.State == ledger.Rejected {
			return fmt.Errorf("job %s is already %s, so there is nothing to cancel", id, record.State)
		}
		if err := st.cancel(ctx, id, force); err != nil {
			return err
		}
		if s.json {
			return s.document(map[string]string{"job_id": id})
		}
		fmt.Fprintf(s.out, "Job %s is being cancelled. To see its state: %s\n", id, st.own("job", id))
		return nil
	}
	return c
}

// cancel puts CancelJob on the bus.
func (s *stack) cancel(ctx context.Context, job string, force bool) error {
	detail, err := json.Marshal(struct {
		JobID string `json:"job_id"`
		Force bool   `json:"force,omitempty"`
	}{job, force})
	if err != nil {
		return err
	}
	return s.send(ctx, event.CancelJob, detail)
}
