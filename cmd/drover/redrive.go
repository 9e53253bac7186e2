package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/event"
	"github.com/drover-run/drover/shared/job"
	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/task"
)

func newRedrive(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "redrive [JOB...]",
		Short: "get jobs on that stand still: those that are named, or all",
		Long: `Gets on jobs that stand still as what they wait for was given up after many tries: ends of tasks that the scavenger could not take in, and jobs
of which no scheduler could create all tasks. Mend first what made them fail; doctor and the functions' logs say what.

Ends are taken in from the tasks table, by the same way as the first time, for as long as tasks are kept there; nothing counts twice. A job
whose tasks are not all created is submitted again under its id, and goes on where it stopped. A finished job that is named is told of
again. The dead letters stay where they are: delete them afterwards.`,
		Example: `  drover redrive
  drover redrive nightly-2026-11-22`,
		RunE: func(c *cobra.Command, names []string) error {
			ctx := c.Context()
			st, err := s.stack(ctx)
			if err != nil {
				return err
			}
			found, err := s.standstills(ctx, st, names)
			if err != nil {
				return err
			}
			result := redriven{Submitted: []string{}}
			for _, one := range found {
				n, err := s.redrive(ctx, st, one)
				result.Tasks += n
				if err != nil {
					return fmt.Errorf("redriving job %s, %w", one.job.ID, err)
				}
				if one.abandoned {
					result.Submitted = append(result.Submitted, one.job.ID)
				}
				s.say("%s", one.why())
			}
			if s.json {
				return s.document(result)
			}
			if len(found) == 0 {
				fmt.Fprintln(s.out, "nothing stands still")
				return nil
			}
			fmt.Fprintf(s.out, "%d tasks are told of again, %d jobs are submitted again\n", result.Tasks, len(result.Submitted))
			return nil
		},
	}
}

// redriven is what was done.
type redriven struct {
	Tasks     int      `json:"tasks"`     // whose ends are told again
	Submitted []string `json:"submitted"` // jobs
}

// redrive gets a job on, and is how many tasks it has told again. Doing it twice at once does no harm.
func (s *shell) redrive(ctx context.Context, st *stack, one standstill) (int, error) {
	if one.abandoned {
		if err := st.submitAgain(ctx, one.job); err != nil {
			return 0, err
		}
	}
	told := make([]bool, len(one.uncounted))
	g, writing := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, t := range one.uncounted {
		g.Go(func() error {
			err := st.tasks.Redrive(writing, t, s.now())
			told[i] = err == nil
			if errors.Is(err, task.ErrStale) {
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	n := 0
	for _, is := range told {
		if is {
			n++
		}
	}
	return n, err
}

// submitAgain puts the command of a job on the bus once more, as it is stored, under the id that it has.
func (s *stack) submitAgain(ctx context.Context, record ledger.Job) error {
	text, err := s.jobs.Text(ctx, record)
	if err != nil {
		return err
	}
	asked, err := job.Parse(text)
	if err != nil {
		return err
	}
	id, err := json.Marshal(record.ID)
	if err != nil {
		return err
	}
	// The canonical text is an object with at least the labourer in it, and without an id.
	detail := bytes.Join([][]byte{[]byte(`{"job_id":`), id, []byte(`,`), asked.Canonical()[1:]}, nil)
	_, err = s.bus.Send(ctx, source, event.SubmitJob, detail)
	return err
}
