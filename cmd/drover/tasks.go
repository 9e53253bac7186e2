package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

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

// taskRow returns a function that prints a row of a list of tasks. The columns have fixed widths, so that the command can print a list while it reads
// it. At a terminal the last one has what the others leave.
func (s *shell) taskRow() func(cells ...string) error {
	moment := 20
	if s.local() != time.UTC {
		moment = 25
	}
	widths := []int{20, 9, 7, moment, moment, 30}
	if room := s.columns(); room > 0 {
		var like []string
		for _, w := range widths {
			like = append(like, strings.Repeat("x", w))
			room -= w + gap
		}
		widths = fitting([][]string{like}, s.columns())
		widths[5] += max(room+gap, 0)
	}
	return func(cells ...string) error {
		var row strings.Builder
		for i, c := range cells {
			if c = plain(c); s.columns() > 0 {
				c = short(c, widths[i])
			}
			fmt.Fprintf(&row, "%-*s", widths[i]+gap, c)
		}
		_, err := fmt.Fprintln(s.out, strings.TrimRight(row.String(), " "))
		return err
	}
}

// listTasks prints the selected tasks, or the text none if there are none.
func (s *shell) listTasks(ctx context.Context, st *stack, selection inspect.Selection, limit int, none string) error {
	row := s.taskRow()
	if !s.json {
		if err := row("TASK", "STATUS", "ATTEMPT", "CREATED", "CLOSED", "JOB"); err != nil {
			return err
		}
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
		return true, row(line.TaskID, string(line.Status), strconv.Itoa(line.Attempt), s.moment(&line.CreatedAt), s.moment(line.ClosedAt), job)
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
