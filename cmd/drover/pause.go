package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newPause(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "pause LABOURER",
		Short: "hand out no more tasks of a labourer",
		Long: `Hands out no more tasks of a labourer, from the next claim on; what was claimed before may still be handed out within seconds, and
what has begun may end. Jobs are taken in as ever, and wait.`,
		Example: `  drover pause shop`,
		Args:    exactly("LABOURER"),
		RunE:    func(c *cobra.Command, arguments []string) error { return s.setPaused(c.Context(), arguments[0], true) },
	}
}

// setPaused pauses or resumes a labourer. The orchestrator looks at once at who is resumed.
func (s *shell) setPaused(ctx context.Context, id string, paused bool) error {
	st, err := s.stack(ctx)
	if err != nil {
		return err
	}
	if err := st.known(ctx, id); err != nil {
		return err
	}
	if err := st.control.SetPaused(ctx, id, paused); err != nil {
		return err
	}
	if !paused {
		if err := st.wake(ctx, []string{id}); err != nil {
			return err
		}
	}
	if s.json {
		return s.document(struct {
			Labourer string `json:"labourer_id"`
			Paused   bool   `json:"paused"`
		}{id, paused})
	}
	word := "resumed"
	if paused {
		word = "paused"
	}
	fmt.Fprintf(s.out, "%s is %s\n", id, word)
	return nil
}

// known is an error when there is no such labourer.
func (s *stack) known(ctx context.Context, id string) error {
	all, err := s.registry.All(ctx, true)
	if err != nil {
		return err
	}
	if _, found := all.Labourers[id]; !found {
		return noLabourer(id)
	}
	return nil
}
