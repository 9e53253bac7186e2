package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/inspect"
)

func newWatch(s *shell) *cobra.Command {
	var lines bool
	c := &cobra.Command{
		Use:   "watch [--plain]",
		Short: "watch all labourers and jobs, live",
		Long: `Shows all labourers, the open jobs and the last ten jobs, and their deaths, once a second.

At a terminal you can select a line, see why a labourer starts no more, filter the lines, and pause, resume, cancel and replay: ? shows the keys. Each
action asks first. While AWS does not answer, the screen says so and the command tries again until you quit.

With --plain, or where the output is no terminal, it prints the lists once a second until you interrupt it. Then, while AWS does not answer, it says
so and tries again; after five minutes it ends with exit code 3.

With --json each line is {"at", "labourers": [...], "jobs": [...]}, with entries like those of drover labourers and drover jobs.`,
		Example: `  drover watch
  drover watch --plain | tee watch.txt
  drover --json watch | jq -c '[.at, .labourers[0].running]'`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			if !lines && !s.json && terminal(s.out) && terminal(s.in) && s.environment("TERM") != "dumb" {
				return s.dashboard(c.Context(), st)
			}
			if err = s.watch(c.Context(), st); c.Context().Err() != nil {
				err = nil // an interrupt is the normal end
			}
			return err
		},
	}
	c.Flags().BoolVar(&lines, "plain", false, "print lines, also at a terminal")
	return c
}

// watchTick separates two snapshots.
const watchTick = time.Second

func (s *shell) watch(ctx context.Context, st *stack) error {
	w, err := s.reader(st).Watch(ctx)
	if err != nil {
		return err
	}
	patient := s.following("the stack continues")
	for next := s.now(); ; {
		shot, err := w.Snapshot(ctx)
		if err != nil {
			if err := patient.bear(ctx, err); err != nil {
				return err
			}
			continue
		}
		patient.answered()
		if s.json {
			err = s.document(shot)
		} else {
			err = s.draw(st, shot)
		}
		if err != nil {
			return err
		}
		// After a snapshot that took longer than a tick the next one follows at once. Missed ticks are skipped.
		if next = next.Add(watchTick); next.Before(s.now()) {
			next = s.now()
		}
		if err := s.wait(ctx, next.Sub(s.now())); err != nil {
			return err
		}
	}
}

// draw prints a snapshot for people. At a terminal it replaces the last one.
func (s *shell) draw(st *stack, shot inspect.Snapshot) error {
	if terminal(s.out) {
		fmt.Fprint(s.out, "\033[H\033[2J")
	}
	fmt.Fprintf(s.out, "stack %s, %s\n\n", st.Name, s.moment(&shot.At))
	if err := s.printLabourers(shot.Labourers); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	t := s.list("JOB", "LABOURER", "STATE", "", "TASKS", "COMPLETED", "DEAD", "CANCELLED", "OPEN", "SUBMITTED")
	for _, j := range shot.Jobs {
		cells := s.jobCells(j)
		t.row(slices.Concat(cells[:3], []string{bar(j)}, cells[3:9])...)
	}
	if err := t.end(); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	return nil
}
