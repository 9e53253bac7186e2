// Package decision says what is decided about a labourer, on which numbers, and what binds it.
//
// There is one rule, [Snapshot.Decide]. The orchestrator acts on it. Its [Record] is what executions, logs, metrics, the CLI and the console
// show: none of them has a rule of its own.
package decision

import (
	"log/slog"
	"time"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/queue"
)

// Binding says why no more tasks of a labourer started.
type Binding string

const (
	None       Binding = "none"        // nothing: all that was due started
	NothingDue Binding = "nothing_due" // no task waits for a slot
	Paused     Binding = "paused"      // a person has paused the labourer
	Cap        Binding = "cap"         // every slot of the cap is taken, or the cap is 0
	Health     Binding = "health"      // health lowers what is desired below the cap, and no slot of that is free
	Target     Binding = "target"      // the target could not be reached: it rests, or one task at a time tries it
	Busy       Binding = "busy"        // another execution decides at this moment, or more than one claim is needed
)

// Bindings are all bindings.
var Bindings = []Binding{None, NothingDue, Paused, Cap, Health, Target, Busy}

// Record is a decision about a labourer. Its numbers are from before anything started.
//
// These hold: free = max(desired − running, 0); started ≤ free, but for slots that leases kept when the cap fell; if the binding is nothing_due,
// due = 0; if it is cap or health, no slot is left; if it is none, everything that was due started or, in a record of a reader, is about to.
type Record struct {
	At       time.Time                 `json:"at"` // UTC, to the millisecond
	Labourer string                    `json:"labourer_id"`
	Status   ecology.Status            `json:"status"`  // the worst of its metrics'
	Metrics  map[string]ecology.Status `json:"metrics"` // by name
	Cap      float64                   `json:"cap"`
	Desired  int                       `json:"desired"` // tasks that may be in hand by cap and health
	Running  int                       `json:"running"` // tasks in hand: started, or about to be
	Free     int                       `json:"free"`
	Due      int                       `json:"due"` // tasks that could start: in the queue, and in leases without a slot
	Binding  Binding                   `json:"binding"`
	Reason   string                    `json:"reason"`  // the binding, in a sentence for people
	Started  int                       `json:"started"` // 0 in a record of a reader, which starts nothing

	DueMore   bool       `json:"due_more,omitempty"`   // more tasks may be due: the orchestrator reads only the first entries
	OldestDue *time.Time `json:"oldest_due,omitempty"` // since when the first of the due tasks is due; nil if none is
	Evidence  *Evidence  `json:"evidence,omitempty"`   // of the binding; nil where the numbers say all
}

// Attrs returns the record as the attributes of one JSON log line, under the same names.
func (r Record) Attrs() []any {
	out := []any{slog.Time("at", r.At), slog.String("labourer_id", r.Labourer), slog.Int("status", int(r.Status)), slog.Any("metrics", r.Metrics),
		slog.Float64("cap", r.Cap), slog.Int("desired", r.Desired), slog.Int("running", r.Running), slog.Int("free", r.Free), slog.Int("due", r.Due),
		slog.String("binding", string(r.Binding)), slog.String("reason", r.Reason), slog.Int("started", r.Started)}
	if r.DueMore {
		out = append(out, slog.Bool("due_more", true))
	}
	if r.OldestDue != nil {
		out = append(out, slog.Time("oldest_due", *r.OldestDue))
	}
	if r.Evidence != nil {
		out = append(out, slog.Any("evidence", r.Evidence))
	}
	return out
}

// Logged names the log lines that hold records: it is their message.
const Logged = "decision"

// Evidence holds the facts behind a binding.
type Evidence struct {
	Metric  *Metric        `json:"metric,omitempty"`  // health: the metric that decides
	Holders []Holder       `json:"holders,omitempty"` // cap and health: the tasks that have held slots the longest, at most [HoldersShown]
	Trouble *queue.Trouble `json:"trouble,omitempty"` // target: why it could not be reached, and until when it rests
	Pause   *queue.Pause   `json:"pause,omitempty"`   // paused: the person and the time, if known
	Hold    *queue.Hold    `json:"hold,omitempty"`    // busy: the execution that decides, and until when others yield to it
}

// Metric holds the metric that decides a labourer's health.
type Metric struct {
	Name   string         `json:"name"`
	Status ecology.Status `json:"status"`
	// Value is nil if there is none: then Reason says why.
	Value      *float64 `json:"value,omitempty"`
	AgeSeconds *int64   `json:"age_seconds,omitempty"` // since CloudWatch was asked for the value
	// The value has to meet Threshold, by the operator, for a better status; nil if there is no better one.
	Threshold *float64         `json:"threshold,omitempty"`
	Operator  ecology.Operator `json:"operator,omitempty"`
	Reason    string           `json:"reason"`
}

// HoldersShown limits the holders in a record, as 500 records share the 256 KB of an execution's output.
const HoldersShown = 3

// Holder is a task that holds a slot.
type Holder struct {
	Task    string    `json:"task_id"`
	Job     string    `json:"job_id,omitempty"` // empty if its lease holds tasks of several jobs
	Attempt int       `json:"attempt"`
	Since   time.Time `json:"since"` // when its time began
}
