package main

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/inspect"
)

func newArchive(s *shell) *cobra.Command {
	c := &cobra.Command{
		Use:   "archive COMMAND",
		Short: "search the archive of ended tasks",
		Long: `Searches the archive, which keeps a record of each task's end: payload, result, and times and errors of its attempts.
infra/athena.sql makes the same records a table for SQL.`,
		Example: `  drover archive query --job nightly-2026-11-22 --status dead`,
	}
	c.AddCommand(starting(s, newArchiveQuery(s)))
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

func newArchiveQuery(s *shell) *cobra.Command {
	var q inspect.Query
	var status string
	var days struct{ date, from, to string }
	var limit int
	c := &cobra.Command{
		Use:   "query [--job ID] [--labourer ID] [--status STATUS] [--date DATE | --from DATE --to DATE] [--limit N]",
		Short: "print the archived records of tasks as JSON lines",
		Long: `Prints the records of ended tasks as JSON lines while it reads them: labourer by labourer, and of each the older days first. A task that was replayed has
a record for each life.

Without --labourer it searches all labourers, also those that are no longer applied. Without days it searches those of the job, if --job names one that the
stack still knows, else the last seven. A day is one in UTC on which tasks ended. A job named by --job may also be a run of a workflow.

It reads the files of the selected labourers and days, and keeps little in memory. The window that it has searched is on standard error.`,
		Example: `  drover archive query --job nightly-2026-11-22 --status dead | jq -r .task_id
  drover archive query --labourer shop --from 2026-10-01 --to 2026-10-31 > october.jsonl
  drover archive query --labourer shop --date 2026-11-22 | jq -s 'map(.attempts | length) | add'`,
		Args: exactly(),
	}
	c.Flags().StringVar(&q.Job, "job", "", "only tasks of this `job` or run")
	c.Flags().StringVar(&q.Labourer, "labourer", "", "only tasks of this `labourer`")
	c.Flags().StringVar(&status, "status", "", "only tasks with this `status`: completed, dead or cancelled")
	c.Flags().StringVar(&days.date, "date", "", "only tasks that ended on this `day`, such as 2026-11-22")
	c.Flags().StringVar(&days.from, "from", "", "only tasks that ended on this `day` or later")
	c.Flags().StringVar(&days.to, "to", "", "only tasks that ended on this `day` or earlier")
	c.Flags().IntVar(&limit, "limit", 0, "print at most `n` records (default: no limit)")
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		if days.date != "" && days.from+days.to != "" {
			return fmt.Errorf("--date is one day; want either --date, or --from and --to")
		}
		if days.date != "" {
			days.from, days.to = days.date, days.date
		}
		for _, flag := range []struct {
			name, text string
			into       *time.Time
		}{{"--from", days.from, &q.From}, {"--to", days.to, &q.To}} {
			name := flag.name
			if days.date != "" {
				name = "--date"
			}
			if *flag.into, err = day(name, flag.text); err != nil {
				return err
			}
		}
		if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
			return fmt.Errorf("--from is %s, after --to, which is %s", days.from, days.to)
		}
		if limit < 0 {
			return fmt.Errorf("--limit is %d; want 0 or more", limit)
		}
		return oneOf("--status", status, string(inspect.Completed), string(inspect.Dead), string(inspect.Cancelled))
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		reader := s.reader(st)
		q.Status = inspect.Status(status)
		window, err := reader.Settled(c.Context(), q)
		if err != nil {
			return err
		}
		out := *s
		buffer := bufio.NewWriterSize(s.out, 64<<10)
		out.out = buffer
		printed, more := 0, false
		err = reader.EachArchived(c.Context(), window, func(r archive.Record) (bool, error) {
			if more = limit > 0 && printed == limit; more {
				return false, nil
			}
			printed++
			return true, out.document(r)
		})
		if flushed := buffer.Flush(); err == nil {
			err = flushed
		}
		if err == nil && printed == 0 && q.Job != "" {
			err = s.unarchived(c.Context(), st, window)
		}
		if err != nil {
			return err
		}
		s.say("%s that ended from %s to %s (UTC)%s", inspect.Count(printed, "record"), window.From.Format(time.DateOnly), window.To.Format(time.DateOnly),
			map[bool]string{true: "; more match, see --limit", false: ""}[more])
		return nil
	}
	return c
}

// unarchived returns an error if a query found nothing of a job because there is no such job, or it ended before the days that were searched.
func (s *shell) unarchived(ctx context.Context, st *stack, q inspect.Query) error {
	_, found, err := st.jobs.Get(ctx, q.Job)
	if err != nil || found {
		return err
	}
	return fmt.Errorf("the stack does not know job %q, and none of its tasks was archived from %s to %s; to search other days: --from and --to",
		q.Job, q.From.Format(time.DateOnly), q.To.Format(time.DateOnly))
}

// day reads the value of a flag that names a day; the zero time for none.
func day(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fmt.Errorf("%s is %q; want a day such as 2026-03-14", flag, text)
	}
	return t, nil
}
