package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newPause(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "pause LABOURER",
		Short: "pause a labourer: start no more of its tasks",
		Long: `Pauses a labourer: within seconds none of its tasks starts any more. Tasks that wait in leases return to the queue, and running tasks run to
their end. The stack still accepts the labourer's jobs; they wait.`,
		Example: `  drover pause shop`,
		Args:    exactly("LABOURER"),
		RunE:    func(c *cobra.Command, arguments []string) error { return s.setPaused(c.Context(), arguments[0], true) },
	}
}

// setPaused pauses or resumes a labourer. It wakes the orchestrator, which revokes the slots of leases, or starts tasks.
func (s *stack) setPaused(ctx context.Context, id string, paused bool) error {
	if err := s.control.SetPaused(ctx, id, paused); err != nil {
		return err
	}
	return s.wake(ctx, []string{id})
}

func (s *shell) setPaused(ctx context.Context, id string, paused bool) error {
	st, err := s.stack(ctx)
	if err != nil {
		return err
	}
	if err := s.reader(st).Known(ctx, id); err != nil {
		return err
	}
	if err := st.setPaused(ctx, id, paused); err != nil {
		return err
	}
	if s.json {
		return s.document(struct {
			Labourer string `json:"labourer_id"`
			Paused   bool   `json:"paused"`
		}{id, paused})
	}
	if paused {
		fmt.Fprintf(s.out, "Labourer %s is paused. To resume it: %s\n", id, st.own("resume", id))
	} else {
		fmt.Fprintf(s.out, "Labourer %s is resumed. To see its tasks start: %s\n", id, st.own("labourer", id))
	}
	return nil
}
