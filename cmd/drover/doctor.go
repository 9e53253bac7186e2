package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/cloudformation"
)

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do; only where something is wrong
}

// fine is a check that found nothing wrong.
func fine(name, format string, arguments ...any) check {
	return check{Name: name, OK: true, Detail: fmt.Sprintf(format, arguments...)}
}

// wrong is a check that found something, and what to do about it.
func wrong(name, fix, format string, arguments ...any) check {
	return check{Name: name, Detail: fmt.Sprintf(format, arguments...), Fix: fix}
}

func newDoctor(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "check the stack and all that it depends on, and say what to do",
		Long: `Checks the stack: its parts, what may be read of them, queues and dead letters, how far the stream is behind, each labourer's target and
wiring, and tasks that are stuck. It changes nothing. What is wrong comes with what to do; then the exit code is 1.`,
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
				err = fmt.Errorf("%d of %d checks found something wrong with stack %s", bad, len(checks), s.stackName)
			}
			return err
		},
	}
}

// examine carries out all checks. A stack that does not exist is a finding like any other.
func (s *shell) examine(ctx context.Context) ([]check, error) {
	st, err := s.open(ctx, s.stackName)
	if cloudformation.IsMissing(err) {
		d := &doctor{stack: st, now: s.now}
		return []check{wrong("stack", "name the right one with --stack or DROVER_STACK, look at AWS_REGION and the credentials, or make deploy", "%v", err), d.orphans(ctx)}, nil
	}
	if err != nil {
		return nil, err
	}
	d := &doctor{stack: st, now: s.now}
	checks := d.parts(ctx)
	if !d.whole() {
		return append(checks, d.orphans(ctx)), nil // nothing else can be looked at
	}
	checks = append(checks, d.messages(ctx)...)
	checks = append(checks, d.stream(ctx), d.orphans(ctx), s.jobsCheck(ctx, st))
	return append(checks, d.labourers(ctx)...), ctx.Err()
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
