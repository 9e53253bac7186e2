package workflow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/drover-run/drover/shared/core/document"
)

// span is a duration that is written as text; 0 is absent.
type span time.Duration

func (s span) MarshalJSON() ([]byte, error) {
	return document.Encode(document.Brief(time.Duration(s))), nil
}

// Stored returns the workflow without its name as canonical JSON, with all defaults: the same text for workflows that mean the same.
func (w Workflow) Stored() []byte {
	return document.Encode(struct {
		Description    string          `json:"description,omitempty"`
		Activities     []string        `json:"activities"`
		SLA            span            `json:"sla"`
		Timeout        span            `json:"timeout"`
		Concurrency    Concurrency     `json:"concurrency"`
		MetadataSchema json.RawMessage `json:"metadata_schema,omitempty"`
	}{w.Description, w.Activities, span(w.SLA), span(w.Timeout), w.Concurrency, w.MetadataSchema})
}

// Stored returns the activity without its name, as [Workflow.Stored].
func (a Activity) Stored() []byte {
	return document.Encode(struct {
		Description string   `json:"description,omitempty"`
		Timeout     span     `json:"timeout,omitempty"`
		OnError     OnError  `json:"on_error"`
		Post        PostWhen `json:"post"`
	}{a.Description, span(a.Timeout), a.OnError, a.Post})
}

type storedPart struct {
	Mandatory *bool           `json:"mandatory,omitempty"`
	Order     *int            `json:"order,omitempty"`
	Filter    json.RawMessage `json:"filter,omitempty"`
	Timeout   *span           `json:"timeout,omitempty"`
	AlwaysRun *bool           `json:"always_run,omitempty"`
}

func (o Override) stored() storedPart {
	return storedPart{o.Mandatory, o.Order, o.Filter, (*span)(o.Timeout), o.AlwaysRun}
}

// Stored returns the plugin without its name, as [Workflow.Stored].
func (p Plugin) Stored() []byte {
	part := storedPart{Mandatory: &p.Mandatory, Order: &p.Order, Filter: p.Filter, AlwaysRun: &p.AlwaysRun}
	if p.Timeout > 0 {
		part.Timeout = (*span)(&p.Timeout)
	}
	overrides := make(map[string]storedPart, len(p.Overrides))
	for activity, o := range p.Overrides {
		overrides[activity] = o.stored()
	}
	return document.Encode(struct {
		Description string   `json:"description,omitempty"`
		Activities  []string `json:"activity"`
		Stage       string   `json:"stage"`
		Labourer    string   `json:"labourer"`
		storedPart
		Overrides map[string]storedPart `json:"overrides,omitempty"`
		GroupKey  string                `json:"group_key,omitempty"`
		Envelope  Envelope              `json:"envelope"`
	}{p.Description, p.Activities, p.Stage.String(), p.Labourer, part, overrides, p.GroupKey, p.Envelope})
}

// MarshalJSON returns what Stored returns.
func (w Workflow) MarshalJSON() ([]byte, error) { return w.Stored(), nil }

// MarshalJSON returns what Stored returns.
func (a Activity) MarshalJSON() ([]byte, error) { return a.Stored(), nil }

// MarshalJSON returns what Stored returns.
func (p Plugin) MarshalJSON() ([]byte, error) { return p.Stored(), nil }

// DecodeWorkflow reads what [Workflow.Stored] wrote. It ignores unknown fields, so that a version that is being replaced can read what its
// successor stored. Any other fault is an error that names the workflow.
func DecodeWorkflow(name string, stored []byte) (Workflow, error) {
	return decode(stored, "workflow", name, func(r reader, v document.Value) Workflow { return r.workflow(v, NewWorkflow(name)) })
}

// DecodeActivity reads what [Activity.Stored] wrote, as [DecodeWorkflow].
func DecodeActivity(name string, stored []byte) (Activity, error) {
	return decode(stored, "activity", name, func(r reader, v document.Value) Activity { return r.activity(v, NewActivity(name)) })
}

// DecodePlugin reads what [Plugin.Stored] wrote, as [DecodeWorkflow].
func DecodePlugin(name string, stored []byte) (Plugin, error) {
	return decode(stored, "plugin", name, func(r reader, v document.Value) Plugin { return r.plugin(v, NewPlugin(name)) })
}

func decode[T any](stored []byte, kind, name string, read func(reader, document.Value) T) (T, error) {
	var none T
	r := reader{&document.Reader{UnknownIgnored: true}}
	root, err := document.ParseJSON(stored)
	if err != nil {
		return none, fmt.Errorf("reading the stored %s %s: %w", kind, document.Shown(name), err)
	}
	v := document.Value{Node: root}
	r.CheckNames(v)
	out := read(r, v)
	if err := r.Errors.InOrder().Err(); err != nil {
		return none, fmt.Errorf("reading the stored %s %s: %w", kind, document.Shown(name), err)
	}
	return out, nil
}
