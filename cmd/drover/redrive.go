package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/trace"
	"github.com/drover-run/drover/shared/inspect"
)

func newRedrive(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "redrive [JOB...]",
		Short: "restart stalled jobs: the named ones, or all",
		Long: `Restarts stalled jobs. A job stalls when Drover gives up after many tries: the scavenger could not process the ends of its tasks, or the
scheduler could not create all of its tasks. Fix the cause first: drover doctor and the functions' logs name it.

The command reports the ends of tasks again from the tasks table, as long as it keeps them; no end counts twice. It submits a job whose tasks are
not all created again under its id, and the job continues where it stopped. If you name a finished job, the command reports the job's end again.
The messages in the dead letter queues stay there: delete them afterwards.`,
		Example: `  drover redrive
  drover redrive nightly-2026-11-22`,
		RunE: func(c *cobra.Command, names []string) error {
			ctx := c.Context()
			st, err := s.stack(ctx)
			if err != nil {
				return err
			}
			found, err := s.reader(st).Stalled(ctx, names...)
			if err != nil {
				return err
			}
			result := redriven{Submitted: []string{}}
			for _, one := range found {
				n, err := s.redrive(ctx, st, one)
				result.Tasks += n
				if err != nil {
					return fmt.Errorf("restarting job %s, %w", one.Job.ID, err)
				}
				if one.Abandoned {
					result.Submitted = append(result.Submitted, one.Job.ID)
				}
				s.say("%s", one.Why())
			}
			if s.json {
				return s.document(result)
			}
			if len(found) == 0 {
				fmt.Fprintln(s.out, "No job is stalled.")
				return nil
			}
			fmt.Fprintf(s.out, "Restarted %s: %s reported again, %s submitted again. To follow them: %s\n", inspect.Count(len(found), "job"),
				inspect.Count(result.Tasks, "task"), inspect.Count(len(result.Submitted), "job"), st.own("jobs"))
			return nil
		},
	}
}

// redriven holds the JSON document that redrive prints.
type redriven struct {
	Tasks     int      `json:"tasks"`     // whose ends are reported again
	Submitted []string `json:"submitted"` // jobs
}

// redrive restarts a job and returns the number of tasks whose ends it reports again. Two redrives at the same time do no harm.
func (s *shell) redrive(ctx context.Context, st *stack, one inspect.Stalled) (int, error) {
	if one.Abandoned {
		if err := st.submitAgain(ctx, one.Job); err != nil {
			return 0, err
		}
	}
	const writers = 16
	reported := make([]bool, len(one.Uncounted))
	g, writing := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i, t := range one.Uncounted {
		g.Go(func() error {
			err := st.tasks.Redrive(writing, t, s.now())
			reported[i] = err == nil
			if errors.Is(err, task.ErrStale) {
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	n := 0
	for _, is := range reported {
		if is {
			n++
		}
	}
	return n, err
}

// carried returns a trace context as members of an object, each after a comma.
func carried(c trace.Context) []byte {
	if !c.Traced() {
		return nil
	}
	return fmt.Appendf(nil, `,"traceparent":%s,"tracestate":%s`, document.Encode(c.Parent()), document.Encode(c.State))
}

// submitAgain puts the stored command of a job on the bus again, under the same id.
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
	// The canonical text is an object that holds at least the labourer, no id and no trace context.
	detail := bytes.Join([][]byte{[]byte(`{"job_id":`), id, carried(asked.Trace), []byte(`,`), asked.Canonical()[1:]}, nil)
	_, err = s.bus.Send(ctx, source, event.SubmitJob, detail)
	return err
}
