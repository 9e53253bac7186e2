package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/inspect"
)

func newWhy(s *shell) *cobra.Command {
	var at, since, date string
	var where inspect.Search
	c := &cobra.Command{
		Use:   "why LABOURER|JOB|TASK|RUN [--at TIME | --since D] [--labourer ID] [--date DATE]",
		Short: "say why something does not start or end, and what to do",
		Long: `Says what a labourer, job, task or run waits for, step by step to the decision about its labourer: what binds it (its cap and the holders of its slots,
its health and which metric, a pause, its target), and what to do. Where several have the id, the order is labourer, job, task, run.

--at and --since read what was decided about a labourer in the past from the orchestrator function's log, as long as the stack keeps it. --labourer
and --date narrow the search for a task that has left the table.`,
		Example: `  drover why shop
  drover why nightly-2026-11-22
  drover why 2jxtsgokhmkcw7cc.17
  drover why shop --at 2026-11-22T03:10:00Z
  drover --json why shop --since 2h | jq -r '[.at, .binding, .due, .started] | @tsv'`,
		Args: exactly("LABOURER, JOB, TASK or RUN"),
	}
	c.Flags().StringVar(&at, "at", "", "show the decision about a labourer that held at a `time`, such as 2026-11-22T03:10:00Z")
	c.Flags().StringVar(&since, "since", "", "show the decisions about a labourer of the last `duration`, such as 90m, 12h or 2d")
	c.Flags().StringVar(&where.Labourer, "labourer", "", "search the archive of this `labourer` for the task")
	c.Flags().StringVar(&date, "date", "", "search the archive of this `day` (UTC), on which the task ended")
	c.MarkFlagsMutuallyExclusive("at", "since")
	var moment time.Time
	var span time.Duration
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		if date != "" {
			if where.Day, err = time.Parse(time.DateOnly, date); err != nil {
				return fmt.Errorf("--date is %q; want a day such as 2026-03-14", date)
			}
		}
		if at != "" {
			if moment, err = instant(at); err != nil {
				return err
			}
		}
		if since != "" {
			if span, err = lasting(since); err != nil {
				return err
			}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		id := arguments[0]
		switch {
		case at != "":
			return s.decided(c.Context(), st, id, moment)
		case since != "":
			return s.decisions(c.Context(), st, id, span)
		}
		where.Long = func() { s.say("Searching the archive. To narrow the search: --labourer and --date") }
		why, err := s.whys(st).Of(c.Context(), id, where)
		if err != nil {
			return err
		}
		if s.json {
			return s.document(why)
		}
		return s.printWhy(why)
	}
	return c
}

// instant reads a time: RFC 3339, or without seconds or zone, which is UTC then.
func instant(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime,
		"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--at is %q; want a time such as 2026-11-22T03:10:00Z", text)
}

// lasting reads a duration, also in days.
func lasting(text string) (time.Duration, error) {
	if days, is := strings.CutSuffix(text, "d"); is {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n > 0 && n < 10_000 {
			return time.Duration(n * float64(24*time.Hour)), nil
		}
	}
	if span, err := time.ParseDuration(text); err == nil && span > 0 {
		return span, nil
	}
	return 0, fmt.Errorf("--since is %q; want a duration such as 90m, 12h or 2d", text)
}

func (s *shell) whys(st *stack) inspect.Whys {
	w := inspect.Whys{Reader: s.reader(st), Command: st.own}
	if st.Outputs["RunsTableName"] != "" {
		w.Runs = st.runReader()
	}
	return w
}

// printWhy prints the state and the next action, and then how it comes to that.
func (s *shell) printWhy(y inspect.Why) error {
	t := newTable(s.out, strings.ToUpper(y.Kind), y.ID)
	status := fmt.Sprint(y.Status)
	if y.Record != nil {
		status = fmt.Sprintf("bound by %s, health %s", y.Binding, status)
	}
	t.row("status", status)
	if y.WaitingFor != "" {
		t.row("waiting for", y.WaitingFor)
	}
	t.row("next", y.Next)
	if err := t.end(); err != nil {
		return err
	}
	if y.Kind != "labourer" && len(y.Path) > 1 {
		t = newTable(s.out, "STEP", "ID", "STATUS", "WAITING FOR")
		for _, l := range y.Path {
			t.row(l.Kind, l.ID, l.Status, dash(l.WaitingFor))
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	for _, r := range y.Chain {
		if err := s.printRecord(r); err != nil {
			return err
		}
	}
	return nil
}

// printRecord prints the numbers of a decision and its evidence.
func (s *shell) printRecord(r decision.Record) error {
	t := newTable(s.out, "DECISION", r.Labourer)
	t.row("at", s.moment(&r.At))
	t.row("bound by", string(r.Binding)+": "+r.Reason)
	t.row("slots", fmt.Sprintf("cap %s, %d desired for health %s, %d running, %d free", number(r.Cap), r.Desired, r.Status, r.Running, r.Free))
	due := strconv.Itoa(r.Due)
	if r.OldestDue != nil {
		due += ", the first since " + s.moment(r.OldestDue)
	}
	t.row("due", due)
	if r.Started > 0 {
		t.row("started", strconv.Itoa(r.Started))
	}
	if err := t.end(); err != nil || r.Evidence == nil {
		return err
	}
	if m := r.Evidence.Metric; m != nil {
		t = newTable(s.out, "METRIC", "STATUS", "VALUE", "AGE", "FOR BETTER", "WHY")
		value, age, better := "-", "-", "-"
		if m.Value != nil {
			value = number(*m.Value)
		}
		if m.AgeSeconds != nil {
			age = (time.Duration(*m.AgeSeconds) * time.Second).String()
		}
		if m.Threshold != nil {
			better = string(m.Operator) + " " + number(*m.Threshold)
		}
		t.row(m.Name, m.Status.String(), value, age, better, m.Reason)
		if err := t.end(); err != nil {
			return err
		}
	}
	if len(r.Evidence.Holders) == 0 {
		return nil
	}
	t = newTable(s.out, "SLOT HELD BY", "JOB", "ATTEMPT", "SINCE")
	for _, h := range r.Evidence.Holders {
		t.row(h.Task, dash(h.Job), strconv.Itoa(h.Attempt), s.moment(&h.Since))
	}
	return t.end()
}

// lookedBack bounds how long before a time the last decision is looked for. The tick decides each minute about a labourer that is not at rest.
const lookedBack = time.Hour

// decided prints the decision about a labourer that held at a time.
func (s *shell) decided(ctx context.Context, st *stack, id string, at time.Time) error {
	for _, back := range []time.Duration{5 * time.Minute, lookedBack} {
		found, err := s.logged(ctx, st, id, at.Add(-back), at)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		last := found[len(found)-1]
		if s.json {
			return s.document(last)
		}
		return s.printRecord(last)
	}
	if at.After(s.now()) {
		return fmt.Errorf("--at is %s, which is in the future", at.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("nothing was decided about labourer %s in the hour before %s: it was at rest, or the log of that time is not kept", id, at.UTC().Format(time.RFC3339))
}

// decisions prints the decisions about a labourer of a time that ends now.
func (s *shell) decisions(ctx context.Context, st *stack, id string, span time.Duration) error {
	now := s.now()
	found, err := s.logged(ctx, st, id, now.Add(-span), now)
	if err != nil {
		return err
	}
	if s.json {
		for _, r := range found {
			if err := s.document(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		s.say("Nothing was decided about labourer %s in this time: it was at rest, or the log is not kept.", id)
		return nil
	}
	t := s.list("AT", "BOUND BY", "DESIRED", "RUNNING", "FREE", "DUE", "STARTED", "WHY")
	for _, r := range found {
		t.row(s.moment(&r.At), string(r.Binding), strconv.Itoa(r.Desired), strconv.Itoa(r.Running), strconv.Itoa(r.Free), strconv.Itoa(r.Due),
			strconv.Itoa(r.Started), short(r.Reason, 100))
	}
	return t.end()
}

// logged reads the decisions about a labourer. A labourer that is no longer applied has its lines still.
func (s *shell) logged(ctx context.Context, st *stack, id string, from, to time.Time) ([]decision.Record, error) {
	log := st.decisions
	if log.Group == "" {
		parts, err := cloudformation.Resources(ctx, st.formations, st.Name)
		if err != nil {
			return nil, err
		}
		log.Group = parts["OrchestratorLogs"]
		if log.Group == "" {
			return nil, errors.New("the stack has no OrchestratorLogs: deploy it again with this version of drover")
		}
		st.decisions.Group = log.Group
	}
	found, err := log.Between(ctx, id, from, to)
	if kindOf(err) == absent { // nothing was logged yet
		err = nil
	}
	if err != nil || len(found) > 0 {
		return found, err
	}
	return nil, s.reader(st).Known(ctx, id)
}
