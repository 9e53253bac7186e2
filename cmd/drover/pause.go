package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/queue"
)

func newPause(s *shell) *cobra.Command {
	var by string
	c := &cobra.Command{
		Use:   "pause LABOURER [--by NAME]",
		Short: "pause a labourer: start no more of its tasks",
		Long: `Pauses a labourer: within seconds none of its tasks starts any more. Tasks that wait in leases return to the queue, and running tasks run to
their end. The stack still accepts the labourer's jobs; they wait. drover why shows the name: the identity of the credentials, or --by.`,
		Example: `  drover pause shop
  drover pause shop --by "Ada, database upgrade"`,
		Args: exactly("LABOURER"),
	}
	byFlag(c, &by)
	c.RunE = func(c *cobra.Command, arguments []string) error {
		return s.setPaused(c.Context(), arguments[0], true, by)
	}
	return c
}

func byFlag(c *cobra.Command, by *string) {
	c.Flags().StringVar(by, "by", "", "note this `name` instead of the identity of the credentials")
}

// setPaused pauses or resumes a labourer, and records a pause under by or, if that is empty, the identity of the credentials. It wakes the
// orchestrator, which revokes the slots of leases, or starts tasks.
func (s *stack) setPaused(ctx context.Context, id string, paused bool, by string, now time.Time) error {
	var err error
	if paused {
		err = s.control.Pause(ctx, id, queue.Pause{By: s.noted(ctx, by), At: now.UTC().Truncate(time.Second)})
	} else {
		err = s.control.SetPaused(ctx, id, false)
	}
	if err != nil {
		return err
	}
	return s.wake(ctx, []string{id})
}

// noted returns the name that a command notes: by or, if that is empty, the identity of the credentials.
func (s *stack) noted(ctx context.Context, by string) string {
	if by == "" {
		by = s.caller(ctx)
	}
	return short(plain(by), noteMost)
}

// noteMost limits the letters of a note: each read of the labourer's state reads it too.
const noteMost = 200

func (s *shell) setPaused(ctx context.Context, id string, paused bool, by string) error {
	st, err := s.stack(ctx)
	if err != nil {
		return err
	}
	if err := s.reader(st).Known(ctx, id); err != nil {
		return err
	}
	if err := st.setPaused(ctx, id, paused, by, s.now()); err != nil {
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
