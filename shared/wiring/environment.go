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
	Tasks, Control, Jobs         string // tables
	Bus                          string
	JobsQueue, JobsDead          string // URLs
	Completions, CompletionsDead string // URLs
	StreamFailures               string // URL
	Archive                      string // bucket
	Backoff                      string // ARN of the backoff machine
	AlarmTopic                   string // ARN
	CompletionsReceives          int    // how often the completions queue delivers a message before it gives it up
	MaxTasks                     int
	Retention                    time.Duration
}

// Load reads the environment. The error names every variable that is missing or wrong.
func Load() (Environment, error) {
	var e Environment
	var errs []error
	for name, into := range map[string]*string{
		"STACK": &e.Stack, "TASKS_TABLE": &e.Tasks, "CONTROL_TABLE": &e.Control, "JOBS_TABLE": &e.Jobs, "EVENT_BUS": &e.Bus,
		"JOBS_QUEUE_URL": &e.JobsQueue, "JOBS_DEAD_LETTER_QUEUE_URL": &e.JobsDead,
		"COMPLETIONS_QUEUE_URL": &e.Completions, "COMPLETIONS_DEAD_LETTER_QUEUE_URL": &e.CompletionsDead,
		"STREAM_FAILURES_QUEUE_URL": &e.StreamFailures, "ARCHIVE_BUCKET": &e.Archive, "BACKOFF_STATE_MACHINE": &e.Backoff,
		"ALARM_TOPIC": &e.AlarmTopic,
	} {
		if *into = os.Getenv(name); *into == "" {
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
