package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newTasks(s *shell) *cobra.Command {
	var selection inspect.Selection
	var status string
	var limit int
	c := &cobra.Command{
		Use:   "tasks [--job ID] [--labourer ID] [--status STATUS] [--limit N]",
		Short: "list tasks",
		Long:  `Lists the tasks that are in the table, those of the newest jobs first. To see everything about a task: drover task ID.`,
		Example: `  drover tasks --job nightly-2026-11-22
  drover tasks --labourer shop --status running
  drover --json tasks --job nightly-2026-11-22 | jq -r .status | sort | uniq -c`,
		Args: exactly(),
	}
	c.Flags().StringVar(&selection.Job, "job", "", "only tasks of this `job`")
	c.Flags().StringVar(&selection.Labourer, "labourer", "", "only tasks of this `labourer`")
	c.Flags().StringVar(&status, "status", "", "only tasks with this `status`: queued, waiting, running, completed, dead or cancelled")
	limitFlag(c, &limit)
	c.PreRunE = func(*cobra.Command, []string) error {
		var words []string
		for _, w := range inspect.Statuses {
			words = append(words, string(w))
		}
		return oneOf("--status", status, words...)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		selection.Status = inspect.Status(status)
		return s.listTasks(c.Context(), st, selection, s.limit(limit), "No task matches.")
	}
	return c
}

// taskRow formats a row. Its columns have fixed widths, so that the command can print a list while it reads it.
const taskRow = "%-20s  %-9s  %7s  %-20s  %-20s  %s\n"

// listTasks prints the selected tasks, or the text none if there are none.
func (s *shell) listTasks(ctx context.Context, st *stack, selection inspect.Selection, limit int, none string) error {
	if !s.json {
		fmt.Fprintf(s.out, taskRow, "TASK", "STATUS", "ATTEMPT", "CREATED", "CLOSED", "JOB")
	}
	listed, more := 0, false
	err := s.reader(st).EachTask(ctx, selection, func(one inspect.Sighting) (bool, error) {
		if limit > 0 && listed == limit {
			more = true
			return false, nil
		}
		listed++
		line := one.Line()
		if s.json {
			return true, s.document(line)
		}
		job := line.JobID
		if e := one.Task.LastError(); e != nil && line.Status != inspect.Completed {
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
		fmt.Fprintln(s.out, cut)
	}
	return nil
}
