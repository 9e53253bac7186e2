package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/view"
)

func newJobs(s *shell) *cobra.Command {
	var labourer, state string
	var limit int
	c := &cobra.Command{
		Use:   "jobs [--labourer ID] [--state STATE]",
		Short: "list jobs, the newest first",
		Example: `  drover jobs --state scheduled
  drover --json jobs --labourer shop | jq 'select(.dead > 0).job_id'`,
		Args: exactly(),
	}
	c.Flags().StringVar(&labourer, "labourer", "", "only jobs of this `labourer`")
	c.Flags().StringVar(&state, "state", "", "only jobs in this `state`: scheduling, scheduled, completed, rejected, cancelled")
	limitFlag(c, &limit)
	c.PreRunE = func(*cobra.Command, []string) error {
		return oneOf("--state", state, "scheduling", "scheduled", "completed", "rejected", "cancelled")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		want := func(j ledger.Job) bool {
			return (labourer == "" || j.Labourer == labourer) && (state == "" || string(j.State) == state)
		}
		listed, err := s.listJobs(c.Context(), st, want, s.limit(limit))
		if err == nil && listed == 0 && labourer != "" {
			err = st.known(c.Context(), labourer)
		}
		if err == nil && listed == 0 && !s.json {
			fmt.Fprintln(s.out, "no such job")
		}
		return err
	}
	return c
}

// limitFlag adds --limit.
func limitFlag(c *cobra.Command, into *int) {
	c.Flags().IntVar(into, "limit", -1, "at most so many lines; 0: all (the default with --json), else 50")
}

// readable is how many lines a person gets who did not say how many.
const readable = 50

// limit is how many lines are printed; 0: all.
func (s *shell) limit(given int) int {
	switch {
	case given >= 0:
		return given
	case s.json:
		return 0
	}
	return readable
}

// oneOf checks a flag that takes one of some words, or nothing.
func oneOf(flag, given string, words ...string) error {
	if given == "" || slices.Contains(words, given) {
		return nil
	}
	return fmt.Errorf("%s is %q%s", flag, given, suggestion(given, words))
}

// listJobs prints the jobs that are wanted and is how many there were.
func (s *shell) listJobs(ctx context.Context, st *stack, want func(ledger.Job) bool, limit int) (listed int, err error) {
	t := table{}
	if !s.json {
		t = newTable(s.out, "JOB", "LABOURER", "STATE", "TASKS", "COMPLETED", "DEAD", "CANCELLED", "OPEN", "SUBMITTED", "")
	}
	more := false
	err = st.eachJob(ctx, s.now(), func(records []ledger.Job) (bool, error) {
		var wanted []ledger.Job
		for _, r := range records {
			if want(r) {
				wanted = append(wanted, r)
			}
		}
		if limit > 0 && listed+len(wanted) > limit {
			wanted, more = wanted[:limit-listed], true
		}
		lines, err := st.lines(ctx, wanted)
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
			t.row(jobCells(line)...)
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
		fmt.Fprintln(s.out, "… and more: --limit 0 lists all")
	}
	return listed, nil
}

func jobCells(j view.Job) []string {
	why := ""
	if j.Error != nil {
		why = short(j.Error.Field+": "+j.Error.Reason, 80)
	}
	return []string{j.JobID, dash(j.Labourer), state(j), strconv.Itoa(j.Total), strconv.Itoa(j.Completed), strconv.Itoa(j.Dead),
		strconv.Itoa(j.Cancelled), strconv.Itoa(j.Open), moment(&j.SubmittedAt), why}
}

// portion is how many jobs are read at a time.
const portion = 100

// eachJob goes through all jobs that are kept, the newest first, in portions, until visit has enough or fails. No job is older than
// the stack; the month to come is looked at as well, for clocks differ.
func (s *stack) eachJob(ctx context.Context, now time.Time, visit func([]ledger.Job) (more bool, err error)) error {
	oldest := monthOf(now).AddDate(0, -1, 0)
	if created := monthOf(s.CreatedAt); !s.CreatedAt.IsZero() && created.Before(oldest) {
		oldest = created
	}
	for month := monthOf(now).AddDate(0, 1, 0); !month.Before(oldest); month = month.AddDate(0, -1, 0) {
		ids, err := s.jobs.Month(ctx, month)
		if err != nil {
			return err
		}
		for first := 0; first < len(ids); first += portion {
			records, err := s.jobs.GetAll(ctx, ids[first:min(first+portion, len(ids))])
			if err != nil {
				return err
			}
			if more, err := visit(records); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
