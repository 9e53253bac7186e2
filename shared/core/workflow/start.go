package workflow

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/trace"
)

// Start asks for a run: the detail of a StartWorkflow, or the input of an execution.
type Start struct {
	Workflow string          `json:"workflow"`
	UID      string          `json:"uid,omitempty"`      // "": that of the event or the execution
	Metadata json.RawMessage `json:"metadata,omitempty"` // nil: the last run's, or an empty object
	From     string          `json:"from,omitempty"`
	Override bool            `json:"metadata_override,omitempty"`
	StartID  string          `json:"start_id,omitempty"` // the idempotency key; "": the event's or execution's id

	Trace trace.Context `json:"-"` // of traceparent and tracestate, which make no difference between starts
}

const (
	longestID = 256 // of uid and start_id
)

// ReadStart reads a start. id is the event's or execution's, for what the start leaves out; uid likewise. Any error is a *Refusal.
func ReadStart(detail []byte, id, uid string) (Start, error) {
	var s Start
	if err := exact.Decode(detail, &s); err != nil {
		if wrong := (*exact.Error)(nil); errors.As(err, &wrong) && wrong.Path != "" {
			field, _, _ := strings.Cut(wrong.Path, ".")
			return s, refuse(field, "%s", wrong.Reason)
		}
		return s, refuse("workflow", "the start %s", err)
	}
	s.Trace = trace.Of(detail)
	if s.UID == "" {
		s.UID = uid
	}
	if s.StartID == "" {
		s.StartID = id
	}
	if string(s.Metadata) == "null" {
		s.Metadata = nil
	}
	switch {
	case s.Workflow == "":
		return s, refuse("workflow", "is missing; want the name of a workflow")
	case !ValidName(s.Workflow):
		return s, refuse("workflow", "%s is not the name of a workflow", document.Shown(s.Workflow))
	case faulty(s.UID) != "":
		return s, refuse("uid", "%s", faulty(s.UID))
	case faulty(s.StartID) != "":
		return s, refuse("start_id", "%s", faulty(s.StartID))
	}
	return s, nil
}

func faulty(id string) string {
	switch {
	case id == "":
		return "is empty"
	case len(id) > longestID:
		return fmt.Sprintf("has %d bytes; want at most %d", len(id), longestID)
	case strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "has a control character"
	}
	return ""
}

var runEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// RunID returns the id of the run that a start_id asks for. So the same start finds its own run, and the id is known before the run exists.
// With 100 bits two of a billion runs share one with a probability of about one in a trillion.
func RunID(startID string) string {
	sum := sha256.Sum256([]byte("start\x00" + startID))
	return "run-" + strings.ToLower(runEncoding.EncodeToString(sum[:]))[:20]
}

// Fingerprint tells a repeated start from another one with the same start_id.
func (s Start) Fingerprint() string {
	s.StartID = ""
	sum := sha256.Sum256(document.Encode(s))
	return hex.EncodeToString(sum[:16])
}

// Previous describes the run of a uid before the one that is asked for.
type Previous struct {
	Subject  Subject
	Head     Head
	Progress map[Place]Progress
}

// Keep says which turn of the previous run a kept turn continues.
type Keep struct {
	From, To       Place
	Number, Before int // of the turn, in this run and in the previous one
}

// Begin returns the subject of the run that is asked for, and its kept turns. previous is nil for the first run of a uid. The error is a
// *Refusal, unless a stored filter cannot be read.
func Begin(c Composition, s Start, previous *Previous) (Subject, []Keep, error) {
	w := c.Workflow
	if s.From != "" && !slices.Contains(w.Activities, s.From) {
		return Subject{}, nil, refuse("from", "the workflow %s has no activity %s; %s", w.Name, document.Shown(s.From), document.DidYouMean(s.From, w.Activities))
	}
	subject := Subject{Composition: c, UID: s.UID, Run: 1, Metadata: s.Metadata, From: s.From}
	if previous != nil {
		subject.Run = previous.Subject.Run + 1
		if s.Metadata == nil {
			subject.Metadata = previous.Subject.Metadata
		}
	}
	if subject.Metadata == nil {
		subject.Metadata = json.RawMessage("{}")
	}
	if err := CheckMetadata(subject.Metadata, w.MetadataSchema); err != nil {
		return Subject{}, nil, err
	}
	if previous == nil {
		return subject, nil, nil
	}
	if !s.Override && !SameMetadata(subject.Metadata, previous.Subject.Metadata) {
		return Subject{}, nil, refuse("metadata", "differs from that of run %d of this uid; want the same, or metadata_override", previous.Subject.Run)
	}
	keeps, err := keep(subject, *previous)
	if err != nil {
		return Subject{}, nil, err
	}
	subject.Kept = Kept{}
	for _, k := range keeps {
		subject.Kept[k.To] = subject.Kept[k.To].Union(segment.Of(k.Number))
	}
	return subject, keeps, nil
}

// keep returns the turns of the previous run that were Complete and do not run again.
func keep(s Subject, previous Previous) ([]Keep, error) {
	tree, err := previous.Subject.Tree(previous.Head, previous.Progress)
	if err != nil {
		return nil, err
	}
	type key struct {
		activity, plugin string
		stage            Stage
	}
	complete := map[key]Keep{}
	for _, a := range tree.Activities {
		for _, stage := range a.Stages {
			for _, t := range stage.Turns {
				if t.State == Complete {
					complete[key{a.Activity, t.Plugin, stage.Stage}] = Keep{From: stage.Place, Before: t.Number}
				}
			}
		}
	}
	var keeps []Keep
	for i, name := range s.Composition.Workflow.Activities {
		again := s.From != "" && i >= s.First()
		for _, stage := range Stages {
			plan, err := s.Plan(Place{i, stage})
			if err != nil {
				return nil, err
			}
			for _, t := range plan.Turns {
				k, was := complete[key{name, t.Plugin, stage}]
				always := s.Composition.Plugins[t.Plugin].In(name).AlwaysRun && i >= s.First()
				if was && !again && !always {
					k.To, k.Number = plan.Place, t.Number
					keeps = append(keeps, k)
				}
			}
		}
	}
	return keeps, nil
}

// Head returns the head of a run at its beginning. Its state is NotStarted while it waits for another run of its uid.
func (s Subject) Head(now time.Time) Head {
	return Head{At: Place{s.First(), Pre}, BegunAt: now, StartedAt: now, State: InProgress}
}
