package wiring

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Environment holds the names of the stack's parts, as its template sets them.
type Environment struct {
	Stack                        string // its name
	Tasks, Control, Jobs, Runs   string // tables
	Bus                          string
	JobsQueue, JobsDead          string // URLs
	Completions, CompletionsDead string // URLs
	StreamFailures               string // URL
	Archive                      string // bucket
	Backoff                      string // ARN of the backoff machine
	RunsQueue, RunsDead          string // URLs
	Workflow                     string // ARN of the workflow machine
	AlarmTopic                   string // ARN
	Statuses                     string // table of the states of moe's plugins; "": the stack has none
	Orchestrator                 string // name of the orchestrator function, for those that grant directly; "": the others
	CompletionsReceives          int    // how often the completions queue delivers a message before it gives it up
	MaxTasks                     int
	StackMetrics                 bool // only metrics of the whole stack are reported, none of each labourer and workflow
	Retention                    time.Duration
}

// Load reads the environment. The error names every variable that is missing or wrong.
func Load() (Environment, error) {
	var e Environment
	var errs []error
	for name, into := range map[string]*string{
		"STACK": &e.Stack, "TASKS_TABLE": &e.Tasks, "CONTROL_TABLE": &e.Control, "JOBS_TABLE": &e.Jobs, "RUNS_TABLE": &e.Runs, "EVENT_BUS": &e.Bus,
		"JOBS_QUEUE_URL": &e.JobsQueue, "JOBS_DEAD_LETTER_QUEUE_URL": &e.JobsDead,
		"COMPLETIONS_QUEUE_URL": &e.Completions, "COMPLETIONS_DEAD_LETTER_QUEUE_URL": &e.CompletionsDead,
		"STREAM_FAILURES_QUEUE_URL": &e.StreamFailures, "ARCHIVE_BUCKET": &e.Archive, "BACKOFF_STATE_MACHINE": &e.Backoff,
		"ALARM_TOPIC": &e.AlarmTopic, "RUNS_QUEUE_URL": &e.RunsQueue, "RUNS_DEAD_LETTER_QUEUE_URL": &e.RunsDead,
		"WORKFLOW_STATE_MACHINE": &e.Workflow, "MOE_STATUS_TABLE": &e.Statuses, "ORCHESTRATOR_FUNCTION": &e.Orchestrator,
	} {
		if *into = os.Getenv(name); *into == "" && into != &e.Statuses && into != &e.Orchestrator {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
	}
	whole := func(name string) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil || n <= 0 {
			errs = append(errs, fmt.Errorf("%s is %q; want a whole number above 0", name, os.Getenv(name)))
		}
		return n
	}
	e.CompletionsReceives = whole("COMPLETIONS_MAX_RECEIVES")
	e.MaxTasks = whole("MAX_TASKS_PER_JOB")
	e.StackMetrics = os.Getenv("METRICS") == "stack"
	e.Retention = time.Duration(whole("RETENTION_DAYS")) * 24 * time.Hour
	return e, errors.Join(errs...)
}

// Must returns the value, or ends the process after an error: a function with wrong settings can do nothing.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
