package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/drover-run/drover/shared/ledger"
	"github.com/drover-run/drover/shared/view"
)

func newJob(s *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "job ID",
		Short:   "show a job: its state and what has become of its tasks",
		Example: `  drover job nightly-2026-11-22`,
		Args:    exactly("ID"),
		RunE: func(c *cobra.Command, arguments []string) error {
			st, err := s.stack(c.Context())
			if err != nil {
				return err
			}
			line, err := st.job(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.document(line)
			}
			return printJob(s.out, line)
		},
	}
}

func noJob(id string) error { return fmt.Errorf("there is no job %q in this stack", id) }

// job is the line of a job, exact to the last task that was counted.
func (s *stack) job(ctx context.Context, id string) (view.Job, error) {
	record, found, err := s.jobs.Get(ctx, id)
	if err != nil {
		return view.Job{}, err
	}
	if !found {
		return view.Job{}, noJob(id)
	}
	return s.line(ctx, record, -1)
}

// line is the line of a job by its record. The progress of a job that is under way is read when it has no more than so many segments;
// -1: however many.
func (s *stack) line(ctx context.Context, record ledger.Job, segments int) (view.Job, error) {
	line := view.JobOf(record, nil)
	if line.Finished() || segments >= 0 && record.Segments() > segments {
		return line, nil
	}
	progress, err := s.jobs.Progress(ctx, record)
	if err != nil {
		return line, err
	}
	return view.JobOf(record, progress), nil
}

const (
	// readers is how many things of one kind are read at the same time.
	readers = 16
	// exactSegments is up to how many segments a job's progress is read where jobs are listed: 16,384 tasks. Of a larger one those segments
	// count of which every task has ended.
	exactSegments = 64
)

// lines are the lines of jobs, in their order.
func (s *stack) lines(ctx context.Context, records []ledger.Job) ([]view.Job, error) {
	lines := make([]view.Job, len(records))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, record := range records {
		g.Go(func() (err error) {
			lines[i], err = s.line(ctx, record, exactSegments)
			return err
		})
	}
	return lines, g.Wait()
}

func printJob(to io.Writer, j view.Job) error {
	t := newTable(to, "JOB", j.JobID)
	t.row("labourer", dash(j.Labourer))
	t.row("state", state(j))
	if j.Error != nil {
		t.row("refused", j.Error.Field+": "+j.Error.Reason)
	}
	t.row("tasks", fmt.Sprintf("%d: %d completed, %d dead, %d cancelled, %d open", j.Total, j.Completed, j.Dead, j.Cancelled, j.Open))
	t.row("submitted", moment(&j.SubmittedAt))
	if j.FinishedAt != nil {
		t.row("finished", fmt.Sprintf("%s, after %s", moment(j.FinishedAt), j.FinishedAt.Sub(j.SubmittedAt).Round(time.Millisecond)))
	}
	return t.end()
}

// state is the state of a job for people.
func state(j view.Job) string {
	text := string(j.State)
	if j.Cancelling {
		text += ", being cancelled"
	}
	if j.Generation > 1 {
		text += fmt.Sprintf(" (replayed, generation %d)", j.Generation)
	}
	return text
}
