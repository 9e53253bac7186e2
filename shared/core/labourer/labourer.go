package labourer

import (
	"math"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/lazyregexp"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/core/retry"
	"github.com/drover-run/drover/shared/core/segment"
)

// The defaults of a labourer.
const (
	DefaultCap         = 1
	DefaultMaxAttempts = 3
	DefaultMaxDuration = 15 * time.Minute // Lambda's maximum
	DefaultCooldown    = 5 * time.Minute
)

// The limits of a configuration. They are far beyond reasonable values, and keep arithmetic and stored items within bounds.
const (
	MaxCap         = 1e9
	MaxMaxAttempts = 1000
	MaxSpan        = 14 * 24 * time.Hour // for any duration; as long as SQS keeps a message
	MaxMetrics     = 100                 // for one labourer; CloudWatch accepts 500 queries in one call
)

// Labourer holds a kind of worker: where its tasks go, how many run at once, and what happens to failed ones.
type Labourer struct {
	ID     string // [A-Za-z0-9_.:-]{1,128}
	Target Target

	MaxSimultaneousInvocations float64   // the cap, or the highest one, before health reduces it; 0 starts nothing
	Adaptive                   *Adaptive // how the cap is found; nil if it is fixed
	MaxAttempts                int       // starts of one task, 1 or more
	MaxDuration                time.Duration
	MaxDurationGiven           bool          // false if MaxDuration is the default; then a Lambda function's own timeout replaces it
	Cooldown                   time.Duration // MaxDuration + Cooldown = the lease
	Retry                      retry.Policy
	Heartbeat                  time.Duration // a running worker that is silent for longer is lost; 0 requires no heartbeats
	NotRetryable               []string      // error types that kill a task at once, sorted; nil if none
	GroupKey                   string        // payload attribute with the message group for a FIFO queue; "" for the labourer's id

	HealthMetrics map[string]ecology.Metric // by name; nil if none
	Coefficients  ecology.Coefficients
}

// New returns a labourer with all defaults and no target.
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

// slotsOfLane says for how many slots a labourer beyond a thousand gets a lane.
const slotsOfLane = 625

// Lanes returns over how many partition keys the leases of the labourer are spread: 0, all under one, up to a cap of 1,000. With tasks of a second such
// a labourer starts a thousand a second, and a key takes the writes of its leases. 16 lanes, the most, serve 10,000 a second: the keys then take two thirds
// of what they may.
func (l Labourer) Lanes() int {
	most := l.MaxSimultaneousInvocations
	if l.Adaptive != nil {
		most = max(most, float64(l.Adaptive.Max))
	}
	if most <= 1000 {
		return 0
	}
	return int(min(math.Ceil(most/slotsOfLane), segment.Lanes))
}

// Lease returns how long a task is leased to a worker before it counts as lost.
func (l Labourer) Lease() time.Duration { return l.MaxDuration + l.Cooldown }

// Subject returns what ecology.Assess needs to know of the labourer under its cap: the configured one, or the highest one of a cap that finds itself.
func (l Labourer) Subject() ecology.Subject { return l.Under(l.MaxSimultaneousInvocations, "") }

// Under returns what ecology.Assess needs to know of the labourer under a cap. why says why the cap is not just the configured one, "" if it is.
func (l Labourer) Under(limit float64, why string) ecology.Subject {
	return ecology.Subject{Cap: limit, CapReason: why, Coefficients: l.Coefficients, Metrics: l.HealthMetrics}
}

// Limited returns what ecology.Assess needs to know of the labourer under the cap that holds now: that of a pin, nil without one; or what was found, if
// the cap finds itself; or the configured one.
func (l Labourer) Limited(pin *queue.Pin, found adaptive.Found, now time.Time) ecology.Subject {
	switch {
	case pin.Holds(now):
		return l.Under(float64(pin.Cap), pin.Reason())
	case l.Adaptive == nil || l.Adaptive.Shadow:
		return l.Subject()
	case found.Cap == 0:
		return l.Under(float64(l.Adaptive.Min), "no cap was found yet")
	}
	return l.Under(float64(found.Cap), found.Reason)
}

// Target names where a labourer's tasks go. Exactly one field is set.
type Target struct {
	Lambda string `json:"lambda,omitempty"` // a function's ARN or name, with the alias or version if given
	SQS    string `json:"sqs,omitempty"`    // a queue's URL
	States string `json:"states,omitempty"` // a state machine's ARN
}

// Kind returns the JSON name of the field that is set: "lambda", "sqs", "states", or "" for the zero Target.
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

// EventLimit returns the largest event that the target accepts, in bytes: 256 KiB for a state machine, otherwise 1 MiB.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
func (t Target) EventLimit() int {
	if t.States != "" {
		return 256 << 10
	}
	return 1 << 20
}

// Address returns the ARN, name or URL of the target.
func (t Target) Address() string { return t.Lambda + t.SQS + t.States }

// Runs reports whether an execution of a state machine, given by ARN, may be the target's. Both must be the same machine, in any version or alias: an
// execution of a version or alias reports with the machine's own ARN.
func (t Target) Runs(machine string) bool {
	return t.States != "" && Unqualified(t.States) == Unqualified(machine)
}

// Function returns the name or ARN of the target's Lambda function, and separately its alias or version, or "" if there is none.
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

// FIFO reports whether the target is a FIFO queue, which requires a group and a deduplication id with each message. SQS remembers the id for five minutes:
// a start that is repeated later sends a second message
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html).
func (t Target) FIFO() bool {
	address, err := url.Parse(t.SQS)
	return err == nil && strings.HasSuffix(address.Path, ".fifo")
}

var (
	idPattern = lazyregexp.New(`^[A-Za-z0-9_.:-]{1,128}$`)

	// lambdaPattern matches a function's name, its partial or its full ARN, in the forms of Invoke
	// (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html). But the account may have any number of digits: sosw's own samples have ten. The
	// submatches are the function and its alias or version.
	lambdaPattern = lazyregexp.New(`^((?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d+:function:|(?:\d+:)?(?:function:)?)[A-Za-z0-9_-]{1,140})(?::(\$LATEST|[A-Za-z0-9_-]{1,128}))?$`)

	// statesPattern matches a state machine, its version or its alias (https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html).
	statesPattern = lazyregexp.New(`^arn:aws[a-z-]*:states:[a-z0-9-]+:\d+:stateMachine:[^\s:]{1,80}(:[^\s:]{1,80})?$`)
)

// ValidID reports whether a text has the form of a labourer's id.
func ValidID(text string) bool { return idPattern.MatchString(text) }

// queueName returns the last part of a queue's URL, or "" if there is none.
func queueName(address *url.URL) string {
	if name := path.Base(address.Path); name != "." && name != "/" {
		return name
	}
	return ""
}
