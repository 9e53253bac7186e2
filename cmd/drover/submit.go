package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/inspect"
)

// source marks the command line's events on the bus.
const source = "drover.cli"

func newSubmit(s *shell) *cobra.Command {
	var follow, check bool
	c := &cobra.Command{
		Use:   "submit FILE|- [--wait] [--check]",
		Short: "submit a job",
		Long: `Puts a job on the stack's bus and prints its id: the job_id in the file, else the event's id. The scheduler accepts or rejects the job when it
reads the event; to see which: drover job ID. --check first checks the job against the applied labourers and job schemas: a job that the scheduler
would reject is not sent, and the exit code is 2.

--wait follows the job until all its tasks have ended, and prints the job's line. The exit code is 1 if a task died or the job was rejected or
cancelled. It is 3 if AWS stayed out of reach for five minutes or the command was interrupted; then the job continues.`,
		Example: `  drover submit nightly.json --wait
  echo '{"labourer": "shop", "period": "yesterday"}' | drover submit -`,
		Args: exactly("FILE"),
	}
	c.Flags().BoolVar(&follow, "wait", false, "follow the job to its end")
	c.Flags().BoolVar(&check, "check", false, "refuse at once what the scheduler would reject")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		_, text, err := s.read(arguments[0])
		if err != nil {
			return err
		}
		asked, err := job.Parse(text)
		if err != nil {
			return inputError{err}
		}
		detail, err := detailOf(text)
		if err != nil {
			return inputError{err}
		}
		st, err := s.stack(c.Context())
		if err != nil {
			return err
		}
		if check {
			if err := s.acceptable(c.Context(), st, asked); err != nil {
				return err
			}
		}
		if warning, err := st.unwiredQualifier(c.Context(), asked); err != nil {
			return err
		} else if warning != "" {
			s.warn(warning)
		}
		return s.submit(c.Context(), st, asked, detail, follow)
	}
	return c
}

// acceptable returns the error with which the scheduler would reject a job now.
func (s *shell) acceptable(ctx context.Context, st *stack, asked job.Job) error {
	applied, err := st.registry.All(ctx, true)
	if err != nil {
		return err
	}
	known := labourer.Configuration{Labourers: map[string]labourer.Labourer{}, JobSchemas: map[string]job.Schema{}}
	for id := range applied.Labourers {
		known.Labourers[id] = labourer.New(id)
	}
	for name, stored := range applied.Schemas {
		schema, err := labourer.DecodeSchema(name, []byte(stored.Text))
		if err != nil {
			return fmt.Errorf("the applied job schema %s: %w", name, err)
		}
		known.JobSchemas[name] = schema
	}
	schema, err := resolve(known, true, asked)
	if err != nil {
		return inputError{err}
	}
	for _, doubt := range asked.Doubts(schema) {
		s.warn(doubt.Error())
	}
	plan, err := asked.Plan(schema, s.now())
	if err == nil {
		most, unset := strconv.Atoi(st.Parameters["MaxTasksPerJob"])
		if unset != nil {
			most = defaultMaxTasks
		}
		err = plan.Within(most)
	}
	if err != nil {
		return inputError{err}
	}
	return nil
}

// unwiredQualifier returns a warning for a job that asks for an alias or version of a function that apply --wire has not wired. Each alias and
// version has its own asynchronous settings, and apply knows only those that labourers name.
func (s *stack) unwiredQualifier(ctx context.Context, asked job.Job) (string, error) {
	if asked.Qualifier == "" {
		return "", nil
	}
	if _, whole, err := s.registry.Labourer(ctx, asked.Labourer+":"+asked.Qualifier); whole || err != nil {
		return "", err // the qualifier is a part of the labourer's name
	}
	l, found, err := s.registry.Labourer(ctx, asked.Labourer)
	if err != nil || !found || l.Target.Kind() != "lambda" {
		return "", err
	}
	f := functionOf(l.Target)
	f.qualifier = &asked.Qualifier
	is, err := s.wired(ctx, f)
	lacks := is.lacks(s.Outputs["CompletionsQueueArn"], l)
	if err != nil {
		lacks = "its wiring cannot be read: " + reason(err)
	}
	if lacks == "" {
		return "", nil
	}
	return fmt.Sprintf("the job asks for %s:%s, which apply --wire has not wired: %s; to wire it, apply a labourer whose target names it", f.name, asked.Qualifier, lacks), nil
}

// detailOf returns the job as the detail of an event, which has to be a JSON object. It wraps a job that is a JSON string.
func detailOf(text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '"' {
		return append(append([]byte(`{"job":`), text...), '}'), nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	return compact.Bytes(), nil
}

func (s *shell) submit(ctx context.Context, st *stack, asked job.Job, detail []byte, follow bool) error {
	var before ledger.Job
	if asked.ID != "" && follow {
		var err error
		if before, _, err = st.jobs.Get(ctx, asked.ID); err != nil {
			return err
		}
	}
	id, err := st.bus.Send(ctx, source, event.SubmitJob, detail)
	if err != nil {
		return err
	}
	if asked.ID != "" {
		id = asked.ID
	}
	if !follow {
		if s.json {
			return s.document(map[string]string{"job_id": id})
		}
		fmt.Fprintln(s.out, id)
		s.say("Submitted job %s. To see whether the scheduler accepts it: %s", id, st.own("job", id))
		return nil
	}
	line, err := s.follow(ctx, st, id, asked, before)
	if err != nil {
		return err
	}
	if s.json {
		err = s.document(line)
	} else {
		err = s.printJob(line)
	}
	return errors.Join(err, verdict(line))
}

// verdict returns the error with which the command fails, by how the job finished.
func verdict(line inspect.Job) error {
	switch {
	case line.State == ledger.Rejected:
		return fmt.Errorf("job %s was rejected: %s: %s", line.JobID, line.Error.Field, line.Error.Reason)
	case line.State == ledger.Cancelled:
		return fmt.Errorf("job %s was cancelled", line.JobID)
	case line.Dead > 0:
		return fmt.Errorf("job %[3]s: %[1]d of %[2]s died; to list them: drover dead --job %[3]s", line.Dead, inspect.Count(line.Total, "task"), line.JobID)
	}
	return nil
}

const (
	// followPause separates two reads of a followed job.
	followPause = 500 * time.Millisecond
	// silence limits how long the command waits for a record of the job before it says that there is none.
	silence = 30 * time.Second
)

// follow reads a job until it is finished. before is the earlier record under its id. It returns an unknownError if the command ends before the
// job does.
func (s *shell) follow(ctx context.Context, st *stack, id string, asked job.Job, before ledger.Job) (inspect.Job, error) {
	f := follower{shell: s, stack: st, reader: s.reader(st), id: id, asked: asked, before: before, bar: newProgress(s.err, s.now), began: s.now()}
	defer f.bar.end()
	patient := s.following(fmt.Sprintf("job %s continues; to see its state: drover job %s", id, id))
	patient.say = f.bar.note
	for {
		line, over, err := f.look(ctx)
		if err == nil {
			patient.answered()
			if over {
				return line, nil
			}
			if err = s.wait(ctx, followPause); err == nil {
				continue
			}
		}
		if _, another := errors.AsType[*anotherJobError](err); another {
			return line, err
		}
		if err := patient.bear(ctx, err); err != nil {
			return line, err
		}
	}
}

// follower follows a job.
type follower struct {
	*shell
	*stack
	reader *inspect.Reader
	id     string
	asked  job.Job
	before ledger.Job
	bar    *progress
	began  time.Time
	told   bool // the user was told that there is no record
	known  bool // the record is this job's
}

// anotherJobError reports that a job's id belongs to another job.
type anotherJobError struct {
	id string
	at time.Time
}

func (e *anotherJobError) Error() string {
	return fmt.Sprintf("job_id: %q is the id of another job, submitted at %s", e.id, e.at.UTC().Format(time.RFC3339))
}

// look reads the job once and reports whether it is finished.
func (f *follower) look(ctx context.Context) (line inspect.Job, over bool, err error) {
	record, found, err := f.jobs.Get(ctx, f.id)
	if err != nil {
		return line, false, err
	}
	if found && !f.known && record.State != ledger.Rejected {
		if f.known, err = f.same(ctx, record, f.asked); err != nil {
			return line, false, err
		}
		if !f.known {
			return line, false, &anotherJobError{f.id, record.SubmittedAt}
		}
	}
	if !found || stale(record, f.before) {
		if !f.told && f.now().Sub(f.began) > silence {
			f.told = true
			f.bar.note(fmt.Sprintf("job %s is not known yet; to find out why: %s", f.id, f.own("doctor")))
		}
		return line, false, nil
	}
	if line, err = f.reader.JobLine(ctx, record); err != nil || line.Finished() {
		return line, err == nil, err
	}
	f.bar.show(bar(line), describe(line))
	return line, false, nil
}

// stale reports whether a record is of an earlier submission that was rejected, so that the answer to this one is still to come.
func stale(record, before ledger.Job) bool {
	return record.State == ledger.Rejected && before.State == ledger.Rejected &&
		record.SubmittedAt.Equal(before.SubmittedAt) && record.FinishedAt.Equal(before.FinishedAt)
}

// same reports whether a record is of this job, and not of another job with the same id.
func (s *stack) same(ctx context.Context, record ledger.Job, asked job.Job) (bool, error) {
	text, err := s.jobs.Text(ctx, record)
	if err != nil {
		return false, err
	}
	stored, err := job.Parse(text)
	return err == nil && bytes.Equal(stored.Canonical(), asked.Canonical()), nil
}
