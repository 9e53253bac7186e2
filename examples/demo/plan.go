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

// plan holds the expected outcome of an example's job, computed here by the scheduler's rules.
type plan struct {
	labourer string
	tasks    int
	failing  int               // fail at their first attempt
	poisoned []weather.Request // fail for good
}

// planned reads the labourers and the job of an example.
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
	// The period is given by dates: what day it is today does not matter.
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

// check compares what became of the job with what was to.
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
			wrong = append(wrong, fmt.Errorf("%s: %d %s, should be %d", p.labourer, of.is, of.what, of.shall))
		}
	}
	return errors.Join(wrong...)
}

// ended counts the tasks by their end, and the completed ones that took more than one attempt.
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
