package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/drover-run/drover/examples/weather"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/job"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/task"
)

// plan holds the expected outcome of an example's job, computed with the scheduler's own code.
type plan struct {
	labourer string
	tasks    int
	failing  int               // tasks whose first attempt fails
	poisoned []weather.Request // tasks that fail permanently
}

// planned reads the labourers and the job of an example, and returns its plan.
func planned(folder string) (plan, error) {
	file := filepath.Join(folder, "labourers.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return plan{}, err
	}
	configuration, _, wrong := labourer.Read(file, text)
	if len(wrong) > 0 {
		return plan{}, wrong
	}
	file = filepath.Join(folder, "job.json")
	if text, err = os.ReadFile(file); err != nil {
		return plan{}, err
	}
	submitted, err := job.Parse(text)
	if err != nil {
		return plan{}, fmt.Errorf("%s: %w", file, err)
	}
	// The period has fixed dates, so the current date does not matter.
	tasks, err := submitted.Plan(job.Schema{ChunkableAttrs: configuration.JobSchemas[submitted.Schema].ChunkableAttrs}, time.Time{})
	if err != nil {
		return plan{}, fmt.Errorf("%s: %w", file, err)
	}
	p := plan{labourer: submitted.Labourer, tasks: tasks.Len()}
	for i := range tasks.Len() {
		payload, err := tasks.Payload(i)
		if err != nil {
			return plan{}, fmt.Errorf("%s: %w", file, err)
		}
		var request weather.Request
		if err := json.Unmarshal(payload, &request); err != nil {
			return plan{}, fmt.Errorf("%s: %w", file, err)
		}
		if request.Named(request.Poison) {
			p.poisoned = append(p.poisoned, request)
		} else if request.Named(request.FailFirst) {
			p.failing++
		}
	}
	return p, nil
}

// check compares the outcome of a job with its plan.
func (p plan) check(got performance) error {
	is := ends(got.records)
	var wrong []error
	for _, of := range []struct {
		what      string
		is, shall int
	}{
		{"tasks in the job's record", got.job.Total, p.tasks},
		{"completed tasks in the job's record", got.job.Counts.Completed, p.tasks - len(p.poisoned)},
		{"dead tasks in the job's record", got.job.Counts.Dead, len(p.poisoned)},
		{"completed tasks in the archive", is.completed, p.tasks - len(p.poisoned)},
		{"dead tasks in the archive", is.dead, len(p.poisoned)},
		{"tasks that were retried", is.retried, p.failing},
	} {
		if of.is != of.shall {
			wrong = append(wrong, fmt.Errorf("%s: %d %s; want %d", p.labourer, of.is, of.what, of.shall))
		}
	}
	return errors.Join(wrong...)
}

// ended counts tasks by their end. retried counts the completed tasks that took more than one attempt.
type ended struct{ completed, retried, dead int }

func ends(records []archive.Record) ended {
	var e ended
	for _, r := range records {
		switch r.Status {
		case task.Completed:
			e.completed++
			if len(r.Attempts) > 1 {
				e.retried++
			}
		case task.Dead:
			e.dead++
		}
	}
	return e
}
