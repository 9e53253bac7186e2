package labourer

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/retry"
)

// What a labourer has where its configuration says nothing.
const (
	DefaultCap         = 1
	DefaultMaxAttempts = 3
	DefaultMaxDuration = 15 * time.Minute // the longest that a Lambda may run
	DefaultCooldown    = 5 * time.Minute
)

// Bounds of what a configuration may ask for. They are far beyond sense, and keep arithmetic and stored items within theirs.
const (
	MaxCap         = 1e9
	MaxMaxAttempts = 1000
	MaxSpan        = 14 * 24 * time.Hour // of any duration; as long as a message may stay in a queue
	MaxMetrics     = 100                 // of one labourer; CloudWatch takes 500 queries in one call
)

// Labourer is a kind of worker: where its tasks go, how many at once, and what becomes of those that fail.
type Labourer struct {
	ID     string // [A-Za-z0-9_.:-]{1,128}
	Target Target

	MaxSimultaneousInvocations float64 // the cap, before health; 0 hands out nothing
	MaxAttempts                int     // starts of one task, 1 or more
	MaxDuration                time.Duration
	MaxDurationGiven           bool          // false: MaxDuration is the default, and a Lambda's own timeout is to be taken instead
	Cooldown                   time.Duration // MaxDuration + Cooldown = the lease
	Retry                      retry.Policy
	Heartbeat                  time.Duration // a running worker that is silent for longer is lost; 0 = none is asked for
	NotRetryable               []string      // error types that go to the dead at once, sorted; nil when none
	GroupKey                   string        // payload attribute that is the message group of a FIFO queue; "" = the labourer

	HealthMetrics map[string]ecology.Metric // by name; nil when none
	Coefficients  ecology.Coefficients
}

// New is a labourer with all defaults and no target.
func New(id string) Labourer {
	return Labourer{
		ID:                         id,
		MaxSimultaneousInvocations: DefaultCap,
		MaxAttempts:                DefaultMaxAttempts,
		MaxDuration:                DefaultMaxDuration,
		Cooldown:                   DefaultCooldown,
		Retry:                      retry.Default(),
		Coefficients:               ecology.DefaultCoefficients(),
	}
}

// Lease is how long a task is held for a worker before it counts as lost.
func (l Labourer) Lease() time.Duration { return l.MaxDuration + l.Cooldown }

// Subject is what ecology.Assess has to know of the labourer.
func (l Labourer) Subject() ecology.Subject {
	return ecology.Subject{Cap: l.MaxSimultaneousInvocations, Coefficients: l.Coefficients, Metrics: l.HealthMetrics}
}

// Target is where a labourer's tasks go: exactly one of the three.
type Target struct {
	Lambda string `json:"lambda,omitempty"` // a function's ARN or name, with its alias or version kept
	SQS    string `json:"sqs,omitempty"`    // a queue's URL
	States string `json:"states,omitempty"` // a state machine's ARN
}

// Kind is the field of the target that is set: "lambda", "sqs", "states", or "" for the zero Target.
func (t Target) Kind() string {
	switch {
	case t.Lambda != "":
		return "lambda"
	case t.SQS != "":
		return "sqs"
	case t.States != "":
		return "states"
	}
	return ""
}

// EventLimit is how many bytes of an event the target takes: 1 MiB, and 256 KiB where it is a state machine.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
func (t Target) EventLimit() int {
	if t.States != "" {
		return 256 << 10
	}
	return 1 << 20
}

// Address is the ARN, name or URL of the target, whichever kind it is.
func (t Target) Address() string { return t.Lambda + t.SQS + t.States }

// Runs tells whether an execution of a state machine, named by its ARN, may be the target's own: the machine is the same, whichever version
// or alias of it either names. An execution by a version or an alias tells of its end under the machine's own ARN.
func (t Target) Runs(machine string) bool {
	return t.States != "" && Unqualified(t.States) == Unqualified(machine)
}

// Function returns the name or ARN of the target's Lambda function, and its alias or version apart from it: "" when it names none.
func (t Target) Function() (function, qualifier string) {
	parts := lambdaPattern.FindStringSubmatch(t.Lambda)
	if parts == nil {
		return t.Lambda, ""
	}
	return parts[1], parts[2]
}

// Unqualified returns the ARN of a function or a state machine without its alias or version, which is the eighth field:
//
//	arn:<partition>:lambda:<region>:<account>:function:<name>[:<alias or version>]
//	arn:<partition>:states:<region>:<account>:stateMachine:<name>[:<alias or version>]
func Unqualified(arn string) string {
	fields := strings.SplitN(arn, ":", 8)
	return strings.Join(fields[:min(len(fields), 7)], ":")
}

// FIFO tells whether the target is a FIFO queue, which wants a group and a deduplication id with each message. SQS remembers the id for
// five minutes: a start that is repeated later is a second message
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html).
func (t Target) FIFO() bool {
	address, err := url.Parse(t.SQS)
	return err == nil && strings.HasSuffix(address.Path, ".fifo")
}

var (
	idPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

	// A function's name, its partial or its full ARN, as the API's Invoke takes them
	// (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html), but for the number of an account's digits: sosw's
	// own samples have ten.
	lambdaPattern = regexp.MustCompile(`^((?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d+:function:|(?:\d+:)?(?:function:)?)[A-Za-z0-9_-]{1,140})(?::(\$LATEST|[A-Za-z0-9_-]{1,128}))?$`)

	// A state machine, its version or its alias (https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html).
	statesPattern = regexp.MustCompile(`^arn:aws[a-z-]*:states:[a-z0-9-]+:\d+:stateMachine:[^\s:]{1,80}(:[^\s:]{1,80})?$`)
)

// queueName is the last part of a queue's URL, "" when there is none.
func queueName(address *url.URL) string {
	if name := path.Base(address.Path); name != "." && name != "/" {
		return name
	}
	return ""
}
