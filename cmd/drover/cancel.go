package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/ledger"
)

func newCancel(s *shell) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "cancel JOB [--force]",
		Short: "take a job back: what has not begun is cancelled, what runs may end",
		Long: `Takes a job back. Its tasks that are queued or wait for another attempt are cancelled; those that run may end, and count; with --force
they are cancelled as well, and what their workers tell later changes nothing. The job ends as cancelled when all of that is through.`,
		Example: `  drover cancel nightly-2026-11-22
  drover cancel nightly-2026-11-22 --force`,
		Args: exactly("JOB"),
	}
	c.Flags().BoolVar(&force, "force", false, "do not wait for the tasks that run")
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
			return noJob(id)
		}
		if record.State == ledger.Completed || record.State == ledger.Rejected {
			return fmt.Errorf("job %s is %s already; there is nothing to take back", id, record.State)
		}
		detail, err := json.Marshal(struct {
			JobID string `json:"job_id"`
			Force bool   `json:"force,omitempty"`
		}{id, force})
		if err != nil {
			return err
		}
		if _, err := st.bus.Send(ctx, source, event.CancelJob, detail); err != nil {
			return err
		}
		if s.json {
			return s.document(map[string]string{"job_id": id})
		}
		fmt.Fprintf(s.out, "job %s is being cancelled\n", id)
		return nil
	}
	return c
}
