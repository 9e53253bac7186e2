// Package environment is what the stack's template hands to each function.
package environment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Environment is the stack's parts by the names that its template gave them.
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
			errs = append(errs, fmt.Errorf("%s is %q; a whole number above 0 would be right", name, os.Getenv(name)))
		}
		return n
	}
	e.MaxTasks = whole("MAX_TASKS_PER_JOB")
	e.Retention = time.Duration(whole("RETENTION_DAYS")) * 24 * time.Hour
	return e, errors.Join(errs...)
}

const (
	// attempts is how often a call is tried that AWS throttles or fails.
	attempts = 5
	// The waits in between are anything up to these, three seconds in all. The SDK's own, up to half a minute in all, outlast the functions.
	firstWait, longestWait = 200 * time.Millisecond, 2 * time.Second
)

// wait is how long to wait after so many attempts: full jitter.
func wait(attempt int, _ error) (time.Duration, error) {
	return rand.N(min(longestWait, firstWait<<max(attempt-1, 0))), nil
}

// AWS is the settings for clients: from the usual places, AWS_ENDPOINT_URL included.
func AWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.Backoff = attempts, retry.BackoffDelayerFunc(wait) })
	}))
	if err != nil {
		return cfg, fmt.Errorf("loading the AWS settings, %w", err)
	}
	return withFaults(cfg)
}

// Invocation is an id that no other invocation has.
func Invocation(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		return lc.AwsRequestID
	}
	return strconv.FormatInt(time.Now().UnixNano(), 36)
}

// Must is the value, or the end of the process: a function that is not wired as its template says can do nothing.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
