package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newLabourers(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "labourers",
		Short: "list labourers: their health, pace and queue",
		Long:  `Lists the applied labourers: their health, how many of their tasks may run, are running and are waiting, and why no more of them start.`,
		Example: `  drover labourers
  drover --json labourers | jq 'select(.due > 0 and .free > 0)'`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			beats, err := s.reader(st).Pulse().All(c.Context())
			if err != nil {
				return err
			}
			var lines []inspect.Labourer
			for _, b := range beats {
				lines = append(lines, b.Labourer)
			}
			if !s.json {
				return s.printLabourers(lines)
			}
			for _, line := range lines {
				if err := s.document(line); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (s *shell) printLabourers(labourers []inspect.Labourer) error {
	t := s.list("LABOURER", "HEALTH", "CAP", "DESIRED", "GRANTED", "FREE", "RUNNING", "DUE", "LATER", "NOW")
	for _, l := range labourers {
		t.row(l.Labourer, l.Status.String(), number(l.Cap), strconv.Itoa(l.Desired), strconv.Itoa(l.Granted), strconv.Itoa(l.Free),
			strconv.Itoa(l.Running), strconv.Itoa(l.Due), strconv.Itoa(l.Later), short(l.Reason, 100))
	}
	if err := t.end(); err != nil {
		return err
	}
	if len(labourers) == 0 {
		fmt.Fprintln(s.out, "No labourer is applied. To apply one: drover apply -f FILE")
	}
	return nil
}

// number returns a number in the fewest digits.
func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
