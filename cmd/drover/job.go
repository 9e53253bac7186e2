package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newJob(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "job ID",
		Short:   "show a job: its state and its tasks in numbers",
		Long:    `Shows the state of a job and how many of its tasks are completed, dead, cancelled and open. To list the tasks: drover tasks --job ID.`,
		Example: `  drover job nightly-2026-11-22`,
		Args:    exactly("ID"),
		RunE: func(c *cobra.Command, arguments []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			line, err := s.reader(st).Job(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.document(line)
			}
			return s.printJob(line)
		},
	}
}

func (s *shell) printJob(j inspect.Job) error {
	t := newTable(s.out, "JOB", j.JobID)
	t.row("labourer", dash(j.Labourer))
	t.row("state", state(j))
	if j.Error != nil {
		t.row("reason", j.Error.Field+": "+j.Error.Reason)
	}
	t.row("tasks", fmt.Sprintf("%d: %d completed, %d dead, %d cancelled, %d open", j.Total, j.Completed, j.Dead, j.Cancelled, j.Open))
	t.row("submitted", s.moment(&j.SubmittedAt))
	if j.FinishedAt != nil {
		t.row("finished", fmt.Sprintf("%s, after %s", s.moment(j.FinishedAt), j.FinishedAt.Sub(j.SubmittedAt).Round(time.Millisecond)))
	}
	return t.end()
}

// state describes the state of a job.
func state(j inspect.Job) string {
	text := string(j.State)
	if j.Cancelling {
		text += ", being cancelled"
	}
	if j.Generation > 1 {
		text += fmt.Sprintf(" (replayed, generation %d)", j.Generation)
	}
	return text
}
