package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/aws/cloudformation"
	"github.com/drover-run/drover/shared/inspect"
)

// check holds the result of one check of the doctor.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do; "" if nothing is wrong
}

// fine returns a check that found nothing wrong.
func fine(name, format string, arguments ...any) check {
	return check{Name: name, OK: true, Detail: fmt.Sprintf(format, arguments...)}
}

// wrong returns a check that found something wrong, with what to do.
func wrong(name, fix, format string, arguments ...any) check {
	return check{Name: name, Detail: fmt.Sprintf(format, arguments...), Fix: fix}
}

func newDoctor(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "check the stack and what it depends on, and say what to do",
		Long: `Checks the stack: its parts and the rights to read them, its queues and dead letter queues, how far the scavenger lags behind the stream, each
labourer's target, wiring and metrics, overdue tasks, stalled jobs, and each workflow's parts and runs. It changes nothing. For each failed check it says what to do, and the exit
code is 1.`,
		Example: `  drover doctor
  drover --json doctor | jq '.checks[] | select(.ok | not)'`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			checks, err := s.examine(c.Context())
			if err != nil {
				return err
			}
			bad := 0
			for _, one := range checks {
				if !one.OK {
					bad++
				}
			}
			if s.json {
				err = s.document(struct {
					OK     bool    `json:"ok"`
					Checks []check `json:"checks"`
				}{bad == 0, checks})
			} else {
				err = s.printChecks(checks)
			}
			if err == nil && bad > 0 {
				err = fmt.Errorf("stack %[3]s: %[1]d of %[2]s failed", bad, inspect.Count(len(checks), "check"), s.stackName)
			}
			return err
		},
	}
}

// examine runs all checks. A missing stack is a failed check, not an error.
func (s *shell) examine(ctx context.Context) ([]check, error) {
	st, err := s.open(ctx, s.stackName)
	if cloudformation.IsMissing(err) {
		d := &doctor{stack: st, now: s.now}
		return []check{wrong("stack", "name another stack with --stack or DROVER_STACK, check AWS_REGION and the credentials, or deploy it: "+d.deploy(), "%v", err), d.orphans(ctx)}, nil
	}
	if err != nil {
		return nil, err
	}
	d := &doctor{stack: st, reader: s.reader(st), now: s.now}
	checks := d.parts(ctx)
	if !d.whole() {
		return append(checks, d.orphans(ctx)), nil // the other checks need the outputs
	}
	checks = append(checks, d.messages(ctx)...)
	checks = append(append(checks, d.streams(ctx)...), d.orphans(ctx), d.stalled(ctx))
	return slices.Concat(checks, d.labourers(ctx), d.workflows(ctx)), ctx.Err()
}

func (s *shell) printChecks(checks []check) error {
	t := newTable(s.out, "", "CHECK", "FOUND")
	for _, one := range checks {
		mark := "ok"
		if !one.OK {
			mark = "WRONG"
		}
		t.row(mark, one.Name, one.Detail)
		if one.Fix != "" {
			t.row("", "", "→ "+one.Fix)
		}
	}
	return t.end()
}
