package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
)

func newLabourers(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "labourers",
		Short: "list labourers: health, pace, what runs and what waits",
		Example: `  drover labourers
  drover --json labourers | jq 'select(.due > 0 and .free > 0)'`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			beats, err := newPulse(st, s.now).all(c.Context())
			if err != nil {
				return err
			}
			if !s.json {
				return printLabourers(s.out, beats)
			}
			for _, b := range beats {
				if err := s.document(b.Labourer); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func printLabourers(to io.Writer, beats []beat) error {
	t := newTable(to, "LABOURER", "HEALTH", "CAP", "DESIRED", "RUNNING", "FREE", "DUE", "LATER", "NOW")
	for _, b := range beats {
		t.row(b.Labourer.Labourer, b.Status.String(), number(b.Cap), strconv.Itoa(b.Desired), strconv.Itoa(b.Running), strconv.Itoa(b.Free),
			strconv.Itoa(b.Due), strconv.Itoa(b.Later), short(b.Reason, 100))
	}
	if err := t.end(); err != nil {
		return err
	}
	if len(beats) == 0 {
		fmt.Fprintln(to, "no labourer is applied; see drover apply --help")
	}
	return nil
}

// number is a number in the fewest digits.
func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
