package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newLabourer(s *shell) *cobra.Command {
	var caps, export bool
	var since string
	span := 7 * 24 * time.Hour
	c := &cobra.Command{
		Use:   "labourer ID [--caps | --export-series [--since D]]",
		Short: "show a labourer: its health by metric, its pace, its queue",
		Long: `Shows the health of a labourer by metric, how many of its tasks may run, are running and are waiting, and why no more of them start.

A lease holds tasks that run and tasks that wait for one of its slots. The slots that its tasks may use are granted to it. What is desired and
not granted is free. Due are the tasks that wait in leases and those that are due in the queue.

With --caps it shows the changes of the labourer's cap, by the law that finds it or by a pin, with their reasons: those of a day at least.

With --export-series it prints what was measured and what ran, a line for each minute, as drover assess --series reads it: what would the cap have been?
CloudWatch has the values of 15 days, and takes a fee of about a cent for a thousand metrics read.`,
		Example: `  drover labourer shop
  drover labourer shop --caps
  drover labourer shop --export-series --since 7d > last-week.jsonl
  drover assess -f labourers.yaml shop --series last-week.jsonl`,
		Args: exactly("ID"),
		PreRunE: func(*cobra.Command, []string) (err error) {
			if since == "" {
				return nil
			}
			if span, err = lasting(since); err == nil && (span < time.Minute || span > inspect.SeriesMost) {
				err = fmt.Errorf("--since is %s; want 1m to 15d, as long as CloudWatch keeps values of a minute", since)
			}
			if err == nil && !export {
				err = fmt.Errorf("--since needs --export-series")
			}
			return err
		},
		RunE: func(c *cobra.Command, arguments []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			if caps {
				return s.printCaps(c.Context(), st, arguments[0])
			}
			if export {
				return s.exportSeries(c.Context(), st, arguments[0], span)
			}
			b, err := s.reader(st).Pulse().One(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.document(b.Labourer)
			}
			return s.printLabourer(b, s.whys(st).Advice(b.Record))
		},
	}
	c.Flags().BoolVar(&caps, "caps", false, "show the changes of its cap instead")
	c.Flags().BoolVar(&export, "export-series", false, "print what was recorded of it instead, for drover assess --series")
	c.Flags().StringVar(&since, "since", "", "export the last `duration`, such as 90m, 12h or 7d (default: 7d)")
	c.MarkFlagsMutuallyExclusive("caps", "export-series")
	return c
}

// printCaps prints the changes of a labourer's cap, the oldest first.
func (s *shell) printCaps(ctx context.Context, st *stack, id string) error {
	if err := s.reader(st).Known(ctx, id); err != nil {
		return err
	}
	changes, err := st.health.Noted(ctx, id)
	if err != nil {
		return err
	}
	if s.json {
		for _, n := range changes {
			if err := s.document(n); err != nil {
				return err
			}
		}
		return nil
	}
	if len(changes) == 0 {
		s.say("the cap of labourer %s has not changed", id)
		return nil
	}
	t := s.list("AT", "FROM", "TO", "WHY")
	for _, n := range changes {
		t.row(s.moment(&n.At), strconv.Itoa(n.From), strconv.Itoa(n.To), n.Reason)
	}
	return t.end()
}

func (s *shell) printLabourer(b inspect.Beat, next string) error {
	l := b.Configuration
	t := newTable(s.out, "LABOURER", l.ID)
	t.row("now", b.Reason)
	t.row("next", next)
	t.row("target", l.Target.Kind()+" "+l.Target.Address())
	t.row("pace", fmt.Sprintf("cap %s × %s for health %s: %d desired, %d granted, %d free", number(b.Cap), number(b.Assessment.Coefficient), b.Status,
		b.Desired, b.Granted, b.Free))
	if b.CapReason != "" {
		t.row("cap", b.CapReason)
	}
	if b.CapMax > 0 {
		t.row("bounds", fmt.Sprintf("the cap finds itself, from %d to %d", b.CapMin, b.CapMax))
	}
	t.row("leases", fmt.Sprintf("%d running in %s, %d waiting for a slot", b.Running, inspect.Count(b.Slots, "slot"), b.Waiting))
	t.row("queue", fmt.Sprintf("%d due, %d later", b.Due, b.Later))
	t.row("attempts", fmt.Sprintf("at most %d, each at most %s, with a cooldown of %s", l.MaxAttempts, l.MaxDuration, l.Cooldown))
	if b.Trouble != nil {
		text := fmt.Sprintf("%s: %s", s.moment(&b.Trouble.At), b.Trouble.Error)
		if b.Trouble.Times > 1 {
			text += fmt.Sprintf(" (%d times since %s)", b.Trouble.Times, s.moment(&b.Trouble.Since))
		}
		t.row("trouble", text)
	}
	if err := t.end(); err != nil {
		return err
	}
	return s.metrics(b.Assessment)
}
