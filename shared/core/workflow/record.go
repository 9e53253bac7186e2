package workflow

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/event"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/core/trace"
)

// Record is a run's record. Its subject (metadata, what is kept) is stored beside it, as it is written once.
type Record struct {
	ID          string
	Workflow    string
	UID         string
	Run         int
	Version     int    // of the composition; 0 while the run waits for another one of its uid
	Fingerprint string // of the start: tells a repeated start from another one with the same start_id
	Execution   string // ARN
	Foreign     bool   // a user started the execution
	Stopped     bool   // the execution ended outside of Drover
	Token       string // of the state that waits for the run; "" until there is one
	TokenAt     Place  // the stage that the token's state shows
	Begins      bool   // it has waited, and that it begins may not be told yet
	Told        int    // activities whose end was published before this write
	Retired     bool   // ended, and all that follows from it is done
	Alert       Alert
	AlertedAt   time.Time
	RecordedAt  time.Time
	Trace       trace.Context // of the start
	Refused     *Refusal      // why no run began; with it there is no Head, unless the run has waited before
	By          string        // the event or execution that was refused; of a new record: whose refusal it replaces
	ExtendedAt  time.Time     // when the time to live of what is stored beside the record was extended; zero: never
	Head        Head
	Revision    int
}

// Alert says how far the one alert of an overdue run is.
type Alert string

// Alerting is written before the alert is sent, Alerted after it. An alert that is sent for longer than a few minutes was interrupted.
const (
	Alerting Alert = "alerting"
	Alerted  Alert = "alerted"
)

// Waiting reports whether the run waits for another one of its uid.
func (r Record) Waiting() bool { return r.Head.State == NotStarted }

// Event returns the run as its events show it.
func (r Record) Event() event.Run {
	e := event.Run{RunID: r.ID, Workflow: r.Workflow, UID: r.UID, Run: r.Run, DefinitionVersion: r.Version,
		State: string(r.Head.State), StartedAt: r.Head.StartedAt, Message: r.Head.Message}
	if r.Head.Ended() {
		at := r.Head.FinishedAt
		e.FinishedAt = &at
	} else {
		e.State, e.Message = string(InProgress), ""
	}
	return e
}

// View holds what an execution shows of its run, and what leads it to its next state.
type View struct {
	RunID      string         `json:"run_id"`
	Workflow   string         `json:"workflow"`
	UID        string         `json:"uid"`
	Run        int            `json:"run"`
	Version    int            `json:"definition_version"`
	Activity   string         `json:"activity"`
	Stage      string         `json:"stage"`
	State      State          `json:"state"`
	Next       string         `json:"next"` // pre, parallel, post, complete, failed, rejected
	Message    string         `json:"message"`
	Activities []activityView `json:"activities"`
}

type activityView struct {
	Activity string `json:"activity"`
	State    State  `json:"state"`
}

// View returns what the execution shows of the run.
func (r Record) View(s Subject) View {
	names := s.Composition.Workflow.Activities
	v := View{r.ID, r.Workflow, r.UID, r.Run, r.Version, "", r.Head.At.Stage.String(), r.Head.State, r.Head.At.Stage.String(), r.Head.Message, []activityView{}}
	if r.Head.At.Activity < len(names) { // a run that was dismissed has no composition
		v.Activity = names[r.Head.At.Activity]
	}
	for i, state := range r.Head.Activities {
		v.Activities = append(v.Activities, activityView{names[s.First()+i], state})
	}
	switch {
	case r.Head.State.Good():
		v.Next = "complete"
	case r.Head.Ended():
		v.Next = "failed"
		if v.Message == "" {
			v.Message = "the run was cancelled"
		}
	}
	return v
}

// Rejected returns what an execution shows whose start was refused.
func Rejected(s Start, why *Refusal) View {
	return View{Workflow: s.Workflow, UID: s.UID, State: "Rejected", Next: "rejected", Message: why.Error(), Activities: []activityView{}}
}

// Detail holds what is kept of a turn that ended.
type Detail struct {
	Place      Place
	Number     int
	TaskID     string
	Attempts   int
	StartedAt  time.Time // of the first attempt; zero if there was none
	FinishedAt time.Time
	Message    string
	Result     json.RawMessage
}

// longestMessage bounds the bytes of a turn's message.
const longestMessage = 1 << 10

// Bounded returns the message of a turn's last error, cut to what is kept.
func Bounded(kind, message string) string {
	text := kind
	if message != "" {
		text += ": " + message
	}
	if len(text) > longestMessage {
		text = strings.ToValidUTF8(text[:longestMessage], "") + "…"
	}
	return text
}

// Results holds what plugins returned, by activity and plugin. A plugin that returned nothing has null.
type Results map[string]map[string]json.RawMessage

// Results returns what a turn's worker gets of earlier plugins: the results of all turns that come before this one in the run, which have ended when
// it begins. So each attempt gets the same. plans returns the plans of the run's stages; details has the turns that ended.
func (s Subject) Results(plans func(Place) (Plan, error), of Place, number int, progress map[Place]Progress, details map[Place]map[int]Detail) (Results, error) {
	results := Results{}
	for _, at := range s.Places() {
		if at.Ordinal() > of.Ordinal() {
			break
		}
		earlier, err := plans(at)
		if err != nil {
			return nil, err
		}
		done := progress[at].Succeeded()
		if at == of { // what runs beside it is not there yet, or only by chance
			done = segment.Numbers{}
			if at.Stage.Sequential() && number > 0 {
				done = progress[at].Succeeded().Intersect(segment.Range(0, number-1))
			}
		}
		done = done.Union(earlier.Keeping())
		for _, t := range earlier.Turns {
			if !done.Contains(t.Number) {
				continue
			}
			if results[earlier.Activity] == nil {
				results[earlier.Activity] = map[string]json.RawMessage{}
			}
			result := details[at][t.Number].Result
			if len(result) == 0 {
				result = json.RawMessage("null")
			}
			results[earlier.Activity][t.Plugin] = result
		}
	}
	return results, nil
}

// Brief returns the attributes at the top level of the event of a turn's worker. If url is not empty, it stands there in place of the results.
func (s Subject) Brief(run string, plan Plan, number int, results Results, url string) json.RawMessage {
	brief := struct {
		UID        string          `json:"uid"`
		Workflow   string          `json:"workflow"`
		Run        int             `json:"run"`
		RunID      string          `json:"run_id"`
		Activity   string          `json:"activity"`
		Stage      string          `json:"stage"`
		Plugin     string          `json:"plugin"`
		Metadata   json.RawMessage `json:"metadata"`
		Results    *Results        `json:"results,omitempty"`
		ResultsURL string          `json:"results_url,omitempty"`
	}{s.UID, s.Composition.Workflow.Name, s.Run, run, plan.Activity, plan.Stage.String(), plan.Turns[number].Plugin, s.Metadata, &results, url}
	if url != "" {
		brief.Results = nil
	}
	return document.Encode(brief)
}

// ResultsKey returns the key of the object with the results that a turn gets. The turns of a parallel stage all get the same, so they share one.
func (p Plan) ResultsKey(run string, number int) string {
	key := "runs/" + run + "/" + p.Activity + "/" + p.Stage.String()
	if p.Stage.Sequential() {
		key += "/" + p.Turns[number].Plugin
	}
	return key + ".json"
}

// Group returns the message group of a FIFO target: the value at a path into the metadata: text as it is, another value as its JSON, the uid if there is none.
func (s Subject) Group(path string) string {
	if path == "" {
		return s.UID
	}
	value := s.Metadata
	for name := range strings.SplitSeq(path, ".") {
		var members map[string]json.RawMessage
		if exact.Decode(value, &members) != nil || len(members[name]) == 0 {
			return s.UID
		}
		value = members[name]
	}
	if text, ok := exact.Text(value); ok {
		return text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return s.UID
	}
	return compact.String()
}
