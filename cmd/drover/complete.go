package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/ledger"
)

// completing returns a function that completes a command's first argument with the ids of labourers and, if jobs is set, of the newest jobs. It
// makes two reads, or three: a shell waits for it. Where the stack cannot be read, it proposes nothing.
func (s *shell) completing(jobs bool) cobra.CompletionFunc {
	return func(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(given) > 0 {
			return nil, none
		}
		st, err := s.stack(c.Context())
		if err != nil {
			return nil, none
		}
		reader := s.reader(st)
		ids, _, err := reader.Registry.Names(c.Context())
		if err != nil {
			return nil, none
		}
		if jobs {
			// The first hundred are enough: a person completes what is under way.
			_ = reader.EachJob(c.Context(), func(records []ledger.Job) (bool, error) {
				for _, j := range records {
					ids = append(ids, j.ID)
				}
				return false, nil
			})
		}
		var out []string
		for _, id := range ids {
			if strings.HasPrefix(id, begun) {
				out = append(out, plain(id))
			}
		}
		return out, none
	}
}
