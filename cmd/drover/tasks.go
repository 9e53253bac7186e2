package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/view"
)

func newTasks(s *shell) *cobra.Command {
	var job, labourer, status string
	var limit int
	c := &cobra.Command{
		Use:   "tasks [--job ID] [--labourer ID] [--status STATUS]",
		Short: "list tasks",
		Example: `  drover tasks --job nightly-2026-11-22
  drover tasks --labourer shop --status running
  drover --json tasks --job nightly-2026-11-22 | jq -r .status | sort | uniq -c`,
		Args: exactly(),
	}
	c.Flags().StringVar(&job, "job", "", "only tasks of this `job`")
	c.Flags().StringVar(&labourer, "labourer", "", "only tasks of this `labourer`")
	c.Flags().StringVar(&status, "status", "", "only tasks with this `status`: queued, waiting, running, completed, dead, cancelled")
	limitFlag(c, &limit)
	c.PreRunE = func(*cobra.Command, []string) error {
		var words []string
		for _, w := range view.Statuses {
			words = append(words, string(w))
		}
		return oneOf("--status", status, words...)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		asked := &census{stack: st, now: s.now, job: job, labourer: labourer, status: view.Status(status)}
		return s.listTasks(c.Context(), asked, s.limit(limit), "no such task")
	}
	return c
}

// taskRow holds the columns of a list of tasks, whose widths are known, so that it can be printed while it is read.
const taskRow = "%-20s  %-9s  %7s  %-20s  %-20s  %s\n"

func (s *shell) listTasks(ctx context.Context, asked *census, limit int, none string) error {
	if !s.json {
		fmt.Fprintf(s.out, taskRow, "TASK", "STATUS", "ATTEMPT", "CREATED", "CLOSED", "JOB")
	}
	listed, more := 0, false
	err := asked.each(ctx, func(one sight) (bool, error) {
		if limit > 0 && listed == limit {
			more = true
			return false, nil
		}
		listed++
		line := one.line()
		if s.json {
			return true, s.document(line)
		}
		job := line.JobID
		if e := one.task.LastError(); e != nil && line.Status != view.Completed {
			job += "  " + short(e.Type+": "+e.Message, 80)
		}
		_, err := fmt.Fprintf(s.out, taskRow, line.TaskID, line.Status, strconv.Itoa(line.Attempt), moment(&line.CreatedAt), moment(line.ClosedAt), plain(job))
		return true, err
	})
	if err != nil || s.json {
		return err
	}
	switch {
	case listed == 0:
		fmt.Fprintln(s.out, none)
	case more:
		fmt.Fprintln(s.out, "… and more: --limit 0 lists all")
	}
	return nil
}
