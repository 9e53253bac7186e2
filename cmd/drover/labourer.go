package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLabourer(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "labourer ID",
		Short:   "show a labourer: health by metric, pace, what runs and what waits",
		Example: `  drover labourer shop`,
		Args:    exactly("ID"),
		RunE: func(c *cobra.Command, arguments []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			b, found, err := newPulse(st, s.now).one(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			if !found {
				return noLabourer(arguments[0])
			}
			if s.json {
				return s.document(b.Labourer)
			}
			return s.printLabourer(b)
		},
	}
}

func (s *shell) printLabourer(b beat) error {
	l := b.configuration
	t := newTable(s.out, "LABOURER", l.ID)
	t.row("now", b.Reason)
	t.row("target", l.Target.Kind()+" "+l.Target.Address())
	t.row("pace", fmt.Sprintf("cap %s × %s for health %s: %d desired, %d running, %d free", number(b.Cap), number(b.assessment.Coefficient), b.Status,
		b.Desired, b.Running, b.Free))
	t.row("queue", fmt.Sprintf("%d due, %d later", b.Due, b.Later))
	t.row("attempts", fmt.Sprintf("at most %d, of at most %s and %s of cooldown", l.MaxAttempts, l.MaxDuration, l.Cooldown))
	if b.Trouble != nil {
		text := fmt.Sprintf("%s: %s", moment(&b.Trouble.At), b.Trouble.Error)
		if b.Trouble.Times > 1 {
			text += fmt.Sprintf(" (%d times since %s)", b.Trouble.Times, moment(&b.Trouble.Since))
		}
		t.row("trouble", text)
	}
	if err := t.end(); err != nil {
		return err
	}
	return s.metrics(b.assessment)
}
