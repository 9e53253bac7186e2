package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/ledger"
	"github.com/drover-run/drover/shared/core/queue"

	"github.com/drover-run/drover/examples/local"
	"github.com/drover-run/drover/localstack"
)

// demo is one run of the demo, from an empty machine to the answer.
type demo struct {
	screen  *screen
	calls   bool
	started time.Time

	meter    *localstack.Meter
	emulator *localstack.Emulator
	stack    *stack
}

func (d *demo) run(ctx context.Context) error {
	for _, built := range []string{local.CommandLine, goWorker} {
		if _, err := os.Stat(built); err != nil {
			return fmt.Errorf("%w; run make demo in the project's folder, which builds it", err)
		}
	}
	weather, err := planned("examples/weather")
	if err != nil {
		return err
	}
	kinds, err := planned("examples/python")
	if err != nil {
		return err
	}

	d.screen.Say("Drover on a local AWS: what was the weather of Seattle, 2012 to 2015?\n")
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"Starting a local AWS", d.start},
		{"Deploying infra/template.yaml as stack " + local.StackName, d.deploy},
		{"Uploading the data, creating two workers (Go, Python)", d.createWorkers},
	} {
		if err := d.screen.Step(step.what, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	if err := d.apply(ctx, "examples/weather/labourers.yaml", "examples/python/labourers.yaml"); err != nil {
		return err
	}

	// The jobs run one after the other, so that the meter counts each alone.
	first, err := d.perform(ctx, "examples/weather/job.json", weather)
	if err != nil {
		return err
	}
	second, err := d.perform(ctx, "examples/python/job.json", kinds)
	if err != nil {
		return err
	}

	d.screen.Say("")
	answer, wrong := checkWeather(weather, first.records)
	d.screen.Say("%s", answer)
	counted, wrongKinds := checkKinds(second.records)
	d.screen.Say("%s", counted)
	d.screen.Say("%s", strings.TrimSuffix(costs(first, d.calls), "\n"))
	if err := errors.Join(wrong, wrongKinds, weather.check(first), kinds.check(second)); err != nil {
		return err
	}
	return d.next(ctx, first)
}

// end stops everything that was started.
func (d *demo) end() error {
	var errs []error
	if d.emulator != nil {
		errs = append(errs, d.emulator.Stop())
	}
	if d.meter != nil {
		errs = append(errs, d.meter.Stop())
	}
	d.screen.Settle()
	return errors.Join(errs...)
}

func (d *demo) start(ctx context.Context) (err error) {
	if d.meter, err = localstack.StartMeter(); err != nil {
		return err
	}
	if d.emulator, err = localstack.Start(ctx, localstack.Options{FunctionEndpoint: d.meter.Endpoint}); err != nil {
		return err
	}
	return d.meter.Forward(d.emulator.Endpoint)
}

func (d *demo) deploy(ctx context.Context) (err error) {
	if d.stack, err = deploy(ctx, d.emulator); err != nil {
		return err
	}
	return d.stack.nameCallers(ctx, d.emulator)
}

func (d *demo) createWorkers(ctx context.Context) error {
	return d.stack.createWorkers(ctx, d.emulator)
}

// drover shows a command, runs it, and returns its output.
func (d *demo) drover(ctx context.Context, arguments ...string) (string, error) {
	d.screen.Say("\n$ drover %s", strings.Join(arguments, " "))
	return local.Drover(ctx, d.emulator, arguments...)
}

// apply applies the labourers to the stack, and makes Lambda report workers that crash.
func (d *demo) apply(ctx context.Context, files ...string) error {
	arguments := []string{"apply", "--wire"}
	for _, file := range files {
		arguments = append(arguments, "-f", file)
	}
	said, err := d.drover(ctx, arguments...)
	if err != nil {
		return err
	}
	// On a new stack everything changes, so only the last line of the output is shown, which sums it up.
	d.screen.Say("%s", said[strings.LastIndexByte(said, '\n')+1:])
	return nil
}

// performance holds a job that has ended.
type performance struct {
	job     ledger.Job
	records []archive.Record // the archived records of its tasks
	spent   spent
}

// perform submits a job, shows its progress, and reads its records when it has ended.
func (d *demo) perform(ctx context.Context, file string, of plan) (performance, error) {
	before, err := d.atRest(ctx)
	if err != nil {
		return performance{}, err
	}
	id, err := d.drover(ctx, "submit", file)
	if err != nil {
		return performance{}, err
	}
	d.screen.Say("%s", id)
	job, err := d.follow(ctx, id, of)
	if err != nil {
		return performance{}, err
	}
	after, err := d.atRest(ctx)
	if err != nil {
		return performance{}, err
	}
	records, err := d.stack.records(ctx, job)
	if err != nil {
		return performance{}, err
	}
	return performance{job, records, after.since(before)}, nil
}

const (
	// look separates two reads of the tables. The demo reads from the emulator directly, so that its reads do not count.
	look = 200 * time.Millisecond
	// stuck sets after how long without any change the demo gives up.
	stuck = 60 * time.Second
)

// follow shows the progress of a job until all its tasks have ended.
func (d *demo) follow(ctx context.Context, id string, of plan) (ledger.Job, error) {
	var last counts
	changed := time.Now()
	for {
		job, found, err := d.stack.jobs.Get(ctx, id)
		if err != nil {
			return job, err
		}
		if found && job.State == ledger.Rejected {
			return job, fmt.Errorf("job %s was rejected: %s: %s", id, job.ErrorField, job.ErrorReason)
		}
		c, err := d.stack.count(ctx, job, of)
		if err != nil {
			return job, err
		}
		finished := found && job.State == ledger.Completed
		d.screen.progress(c, time.Now(), finished)
		if finished {
			return job, nil
		}
		if c != last {
			last, changed = c, time.Now()
		} else if time.Since(changed) > stuck {
			return job, fmt.Errorf("job %s has made no progress for %s: %s%s", id, stuck, c, d.stack.troubles(ctx, d.emulator))
		}
		if err := pause(ctx, look); err != nil {
			return job, err
		}
	}
}

// count counts a job's tasks by their states: all are queued if the job has no record yet. The job has to be the only one of its labourer.
func (s *stack) count(ctx context.Context, job ledger.Job, of plan) (counts, error) {
	c := counts{total: of.tasks}
	if job.ID == "" {
		return c, nil
	}
	progress, err := s.jobs.Progress(ctx, job)
	if err != nil {
		return c, err
	}
	for _, p := range progress {
		c.completed, c.dead = c.completed+p.Counts().Completed, c.dead+p.Counts().Dead
	}
	entries, err := s.control.Queue(ctx, of.labourer)
	if err != nil {
		return c, err
	}
	for _, e := range entries {
		if e.Attempt > 1 {
			c.waiting += e.Tasks.Len()
		}
	}
	leases, err := s.control.Leases(ctx, of.labourer)
	if err != nil {
		return c, err
	}
	// Tasks that ended between the two reads are already counted.
	c.running = min(queue.Running(leases), c.queued())
	return c, nil
}

// records reads the records of a job's tasks from the archive, without duplicates.
func (s *stack) records(ctx context.Context, job ledger.Job) ([]archive.Record, error) {
	keys, err := s.archive.List(ctx, "labourer="+job.Labourer+"/")
	if err != nil {
		return nil, err
	}
	found := map[string]archive.Record{}
	for _, key := range keys {
		body, err := s.archive.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		records, err := archive.Read(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		for _, r := range records {
			if r.JobID == job.ID {
				found[r.TaskID] = r
			}
		}
	}
	records := make([]archive.Record, 0, len(found))
	for _, r := range found {
		records = append(records, r)
	}
	return records, nil
}

// next shows what a user may do about dead tasks.
func (d *demo) next(ctx context.Context, p performance) error {
	dead, err := d.drover(ctx, "dead", "--job", p.job.ID)
	if err != nil {
		return err
	}
	d.screen.Say("%s", dead)
	d.screen.Say(`
The job itself poisoned that task. What to do about dead tasks, once their cause is fixed:
  drover task TASK       its payload, and the errors of its attempts
  drover replay TASK     gives it new attempts; for all of a job: drover replay --job JOB
For a stack that stays: eval "$(make -s up)", make deploy, then the same commands. To end it: make down.

Every result is right, after %s. The demo now ends the local AWS and deletes its files.`, local.Seconds(time.Since(d.started)))
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
