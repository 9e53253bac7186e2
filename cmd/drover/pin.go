package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
)

func newPin(s *shell) *cobra.Command {
	var off bool
	var by string
	var lasts time.Duration
	c := &cobra.Command{
		Use:   "pin LABOURER {N [--for DURATION] | --off} [--by NAME]",
		Short: "pin the cap of a labourer for a time",
		Long: `Pins the cap of a labourer to N, whether it is configured or finds itself, from the next claim on. Health, pause and coefficients work on top. A pin
outlives apply. It ends after the time given with --for, or with --off. drover labourer shows the name: the identity of the credentials, or --by.`,
		Example: `  drover pin shop 5 --for 2h --by "Ada, database upgrade"
  drover pin shop --off`,
	}
	c.Flags().BoolVar(&off, "off", false, "take the pin away")
	c.Flags().DurationVar(&lasts, "for", 0, "how long the pin holds, like 2h (default: until --off)")
	byFlag(c, &by)
	c.MarkFlagsMutuallyExclusive("off", "for")
	c.Args = func(c *cobra.Command, arguments []string) error {
		if off {
			return exactly("LABOURER")(c, arguments)
		}
		return exactly("LABOURER", "N")(c, arguments)
	}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		if off {
			return s.pin(c.Context(), arguments[0], nil, by)
		}
		n, err := strconv.Atoi(arguments[1])
		if err != nil || n < 0 || n > labourer.MaxCap {
			return badInput("N: is %s; want a whole number from 0 to %d", arguments[1], int(labourer.MaxCap))
		}
		if c.Flags().Changed("for") && (lasts < time.Second || lasts > labourer.MaxSpan) {
			return badInput("--for: is %s; want 1s to %s", lasts, labourer.MaxSpan)
		}
		now := s.now().UTC().Truncate(time.Millisecond)
		pin := &queue.Pin{Cap: n, At: now}
		if lasts > 0 {
			pin.Until = now.Add(lasts)
		}
		return s.pin(c.Context(), arguments[0], pin, by)
	}
	return c
}

// pin pins the cap of a labourer, or takes its pin away, records that with the name among the changes of the cap, and wakes the orchestrator.
func (s *shell) pin(ctx context.Context, id string, pin *queue.Pin, by string) error {
	st, err := s.stack(ctx)
	if err != nil {
		return err
	}
	reader := s.reader(st)
	if err := reader.Known(ctx, id); err != nil {
		return err
	}
	before, err := reader.Pulse().One(ctx, id)
	if err != nil {
		return err
	}
	by = st.noted(ctx, by)
	if pin != nil {
		pin.By = by
	}
	if err := st.control.SetPin(ctx, id, pin); err != nil {
		return err
	}
	remembered, err := st.health.Recall(ctx, id)
	if err != nil {
		return err
	}
	noted := pinned(before.Configuration, pin, remembered, s.now().UTC().Truncate(time.Millisecond))
	noted.From, noted.By = int(before.Cap), by
	if pin == nil && by != "" {
		noted.Reason += ", by " + by
	}
	if err := st.health.Note(ctx, id, noted); err != nil {
		return err
	}
	if err := st.wake(ctx, []string{id}); err != nil {
		return err
	}
	if s.json {
		return s.document(struct {
			Labourer string     `json:"labourer_id"`
			Cap      int        `json:"cap"`
			Pinned   bool       `json:"pinned"`
			Until    *time.Time `json:"until,omitempty"`
		}{id, noted.To, pin != nil, until(pin)})
	}
	if pin == nil {
		fmt.Fprintf(s.out, "The cap of labourer %s is no longer pinned; it is %d now.\n", id, noted.To)
		return nil
	}
	ends := "To end that: " + st.own("pin", id, "--off")
	if !pin.Until.IsZero() {
		ends = fmt.Sprintf("It ends at %s, or with: %s", s.moment(&pin.Until), st.own("pin", id, "--off"))
	}
	fmt.Fprintf(s.out, "The cap of labourer %s is pinned to %d. %s\n", id, pin.Cap, ends)
	return nil
}

// pinned returns the change of the cap that a pin makes, or taking it away.
func pinned(l labourer.Labourer, pin *queue.Pin, remembered ecology.Remembered, now time.Time) adaptive.Noted {
	limit := l.Limited(pin, remembered.Cap, now)
	noted := adaptive.Noted{At: now, To: int(limit.Cap), Reason: limit.CapReason}
	if pin == nil {
		noted.Reason = "no longer pinned"
	}
	return noted
}

func until(pin *queue.Pin) *time.Time {
	if pin == nil || pin.Until.IsZero() {
		return nil
	}
	return &pin.Until
}
