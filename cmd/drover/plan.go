package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/calendar"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/service/scheduler"
)

// defaultMaxTasks repeats the default of the stack's parameter MaxTasksPerJob.
const defaultMaxTasks = 1_000_000

func newPlan(s *shell) *cobra.Command {
	var paths []string
	var today string
	var count bool
	var most int
	c := &cobra.Command{
		Use:   "plan [-f FILE...] [--today DATE] [--count] [--max-tasks N] JOB.json|-",
		Short: "show the tasks that a job would become",
		Long: `Prints the tasks that a job would become, one payload a line, in the order of their creation. It needs no AWS.

The scheduler runs the same code. A job that it would reject ends here with exit code 2 and an error that names the field. Without -f the command
accepts any labourer, and the default schema chunks by the period alone.`,
		Example: `  drover plan -f labourers.yaml nightly.json
  drover plan -f labourers.yaml --today 2026-01-31 --count nightly.json
  echo '{"labourer": "shop", "period": "last_3_days", "isolate_days": true}' | drover plan -`,
		Args: exactly("JOB.json"),
	}
	files(c, &paths, false)
	c.Flags().StringVar(&today, "today", "", "the `date`, or date and time, of the submission (default: now)")
	c.Flags().BoolVar(&count, "count", false, "print only the number of tasks")
	c.Flags().IntVar(&most, "max-tasks", defaultMaxTasks, "allow a job at most `n` tasks, like the stack's parameter MaxTasksPerJob")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		if most < 1 {
			return badInput("--max-tasks: is %d; want 1 or more", most)
		}
		known, warnings, err := s.configuration(paths, labourer.TargetOptional())
		if err != nil {
			return err
		}
		s.warn(warnings...)
		_, text, err := s.read(arguments[0])
		if err != nil {
			return err
		}
		asked, err := job.Parse(text)
		if err != nil {
			return inputError{err}
		}
		at, err := submission(today, asked, s.now)
		if err != nil {
			return err
		}
		schema, err := resolve(known, len(paths) > 0, asked)
		if err != nil {
			return inputError{err}
		}
		for _, doubt := range asked.Doubts(schema) {
			s.warn(doubt.Error())
		}
		if err := asked.CheckStart(at); err != nil {
			return inputError{err}
		}
		plan, err := asked.Plan(schema, at)
		if err == nil {
			err = plan.Within(most)
		}
		if err != nil {
			return inputError{err}
		}
		if count {
			_, err := fmt.Fprintln(s.out, plan.Len())
			return err
		}
		return s.payloads(c.Context(), plan)
	}
	return c
}

// submission returns the time of submission that the plan assumes. A date stands for its beginning in the job's time zone.
func submission(today string, asked job.Job, now func() time.Time) (time.Time, error) {
	if today == "" {
		return now(), nil
	}
	at, err := calendar.Instant(today, asked.Zone())
	if err != nil {
		return at, badInput("--today: %w", err)
	}
	return at, nil
}

// resolve finds the job's labourer and schema in the files, as the scheduler finds them among those that are applied. Without files, it accepts any
// labourer and knows only the default schema.
func resolve(known labourer.Configuration, given bool, asked job.Job) (job.Schema, error) {
	_, plain := known.Labourers[asked.Labourer]
	_, qualified := known.Labourers[asked.Labourer+":"+asked.Qualifier]
	if given && !plain && !qualified {
		return job.Schema{}, scheduler.UnknownLabourer(asked.Labourer, slices.Sorted(maps.Keys(known.Labourers)))
	}
	name := cmp.Or(asked.Schema, scheduler.DefaultSchema)
	schema, found := known.JobSchemas[name]
	if !found && name != scheduler.DefaultSchema {
		return job.Schema{}, asked.UnknownSchema(slices.Sorted(maps.Keys(known.JobSchemas)))
	}
	return schema, nil
}

// linesUnchecked sets after how many lines a long output checks for an interrupt.
const linesUnchecked = 1024

func (s *shell) payloads(ctx context.Context, plan *job.Plan) error {
	out := bufio.NewWriterSize(s.out, 64<<10)
	for k := range plan.Len() {
		payload, err := plan.Payload(k)
		if err != nil {
			return inputError{err}
		}
		if _, err := out.Write(append(payload, '\n')); err != nil {
			return err
		}
		if k == 0 { // the first line shows at once that a long plan has begun
			if err := out.Flush(); err != nil {
				return err
			}
		}
		if k%linesUnchecked == 0 && ctx.Err() != nil {
			return errors.Join(ctx.Err(), out.Flush())
		}
	}
	return out.Flush()
}
