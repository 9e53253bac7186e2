package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

func newJobs(s *shell) *cobra.Command {
	var labourer, state string
	var limit int
	c := &cobra.Command{
		Use:   "jobs [--labourer ID] [--state STATE] [--limit N]",
		Short: "list jobs, the newest first",
		Long: `Lists the jobs that the stack keeps, the newest first. For a job with more than 16,384 tasks the list counts a task only once its whole segment
of 256 tasks has ended; drover job ID counts exactly.`,
		Example: `  drover jobs --state scheduled
  drover --json jobs --labourer shop | jq 'select(.dead > 0).job_id'`,
		Args: exactly(),
	}
	c.Flags().StringVar(&labourer, "labourer", "", "only jobs of this `labourer`")
	c.Flags().StringVar(&state, "state", "", "only jobs in this `state`: scheduling, scheduled, completed, rejected or cancelled")
	limitFlag(c, &limit)
	c.PreRunE = func(*cobra.Command, []string) error {
		return oneOf("--state", state, "scheduling", "scheduled", "completed", "rejected", "cancelled")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		reader := s.reader(st)
		want := func(j ledger.Job) bool {
			return (labourer == "" || j.Labourer == labourer) && (state == "" || string(j.State) == state)
		}
		listed, err := s.listJobs(c.Context(), reader, want, s.limit(limit))
		if err == nil && listed == 0 && labourer != "" {
			err = reader.Known(c.Context(), labourer)
		}
		if err == nil && listed == 0 && !s.json {
			fmt.Fprintln(s.out, "No job matches.")
		}
		return err
	}
	return c
}

// limitFlag adds --limit, which is -1 if it is not given.
func limitFlag(c *cobra.Command, into *int) {
	c.Flags().IntVar(into, "limit", -1, "print at most `n` lines, 0 for no limit (default: 50, with --json no limit)")
	c.Flags().Lookup("limit").DefValue = "0" // hides pflag's own default
}

// readable limits a list for people if no limit is given, in lines.
const readable = 50

// limit returns how many lines to print, or 0 for all.
func (s *shell) limit(given int) int {
	switch {
	case given >= 0:
		return given
	case s.json:
		return 0
	}
	return readable
}

// cut ends a list that was cut at its limit.
const cut = "… and more. To list all: --limit 0"

// oneOf checks a flag that takes one of some words, or nothing.
func oneOf(flag, given string, words ...string) error {
	if given == "" || slices.Contains(words, given) {
		return nil
	}
	return fmt.Errorf("%s is %q%s", flag, given, suggestion(given, words))
}

// listJobs prints the wanted jobs and returns how many it printed.
func (s *shell) listJobs(ctx context.Context, reader *inspect.Reader, want func(ledger.Job) bool, limit int) (listed int, err error) {
	var t *table
	if !s.json {
		t = s.list("JOB", "LABOURER", "STATE", "TASKS", "COMPLETED", "DEAD", "CANCELLED", "OPEN", "SUBMITTED", "")
	}
	more := false
	err = reader.EachJob(ctx, func(records []ledger.Job) (bool, error) {
		var wanted []ledger.Job
		for _, r := range records {
			if want(r) {
				wanted = append(wanted, r)
			}
		}
		if limit > 0 && listed+len(wanted) > limit {
			wanted, more = wanted[:limit-listed], true
		}
		lines, err := reader.JobLines(ctx, wanted)
		if err != nil {
			return false, err
		}
		for _, line := range lines {
			if s.json {
				if err := s.document(line); err != nil {
					return false, err
				}
				continue
			}
			t.row(s.jobCells(line)...)
		}
		listed += len(lines)
		return !more, nil
	})
	if err != nil || s.json {
		return listed, err
	}
	if err := t.end(); err != nil {
		return listed, err
	}
	if more {
		fmt.Fprintln(s.out, cut)
	}
	return listed, nil
}

func (s *shell) jobCells(j inspect.Job) []string {
	why := ""
	if j.Error != nil {
		why = short(j.Error.Field+": "+j.Error.Reason, 80)
	}
	return []string{j.JobID, dash(j.Labourer), state(j), strconv.Itoa(j.Total), strconv.Itoa(j.Completed), strconv.Itoa(j.Dead),
		strconv.Itoa(j.Cancelled), strconv.Itoa(j.Open), s.moment(&j.SubmittedAt), why}
}
