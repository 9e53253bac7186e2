package workflow

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

// Stage is one of the three parts of an activity.
type Stage int

// The stages of an activity, in their order.
const (
	Pre Stage = iota
	Parallel
	Post
)

// Stages lists the stages in their order.
var Stages = []Stage{Pre, Parallel, Post}

var stageNames = []string{"pre", "parallel", "post"}

// String returns the stage's name: pre, parallel or post.
func (s Stage) String() string { return stageNames[s] }

// Sequential reports whether the plugins of the stage run one by one.
func (s Stage) Sequential() bool { return s != Parallel }

// ParseStage returns the stage of this name.
func ParseStage(name string) (Stage, bool) {
	i := slices.Index(stageNames, name)
	return Stage(max(i, 0)), i >= 0
}

// Concurrency says what becomes of a start of a uid that has an active run.
type Concurrency string

// The policies of concurrency. Replace cancels the active run and the waiting ones, and begins when they have ended.
const (
	Reject  Concurrency = "reject"
	Queue   Concurrency = "queue"
	Replace Concurrency = "replace"
)

// OnError says what a mandatory plugin's error does to the rest of its stage.
type OnError string

// FailFast cancels the rest of the stage; WaitAll lets it end.
const (
	FailFast OnError = "fail_fast"
	WaitAll  OnError = "wait_all"
)

// PostWhen says when the stage post runs.
type PostWhen string

// OnSuccess runs post after pre and parallel without an error; Always runs it also after an error or a timeout.
const (
	OnSuccess PostWhen = "on_success"
	Always    PostWhen = "always"
)

// Envelope names the form of a worker's event.
type Envelope string

// Native is Drover's own form; Moe is that of @moe-tech/orchestrator.
const (
	Native Envelope = "drover"
	Moe    Envelope = "moe"
)

// Defaults and bounds of definitions.
const (
	DefaultSLA     = 15 * time.Minute
	DefaultTimeout = MaxSpan
	DefaultOrder   = 90
	MaxSpan        = 365 * 24 * time.Hour // of any duration: an execution of Step Functions lasts a year at most
	MaxActivities  = 100                  // of a workflow
	MaxTurns       = 256                  // plugins in one stage of an activity: they share a segment
	MaxOrder       = 1_000_000
)

// Workflow is an ordered list of activities, with the options of its runs.
type Workflow struct {
	Name           string
	Description    string
	Activities     []string
	SLA            time.Duration // a run that takes longer is reported once
	Timeout        time.Duration // of a whole run
	Concurrency    Concurrency
	MetadataSchema json.RawMessage // JSON Schema of a run's metadata, with its numbers as written; nil: any object
}

// NewWorkflow returns a workflow with all defaults and no activities.
func NewWorkflow(name string) Workflow {
	return Workflow{Name: name, SLA: DefaultSLA, Timeout: DefaultTimeout, Concurrency: Reject}
}

// Activity has the options of an activity.
type Activity struct {
	Name        string
	Description string
	Timeout     time.Duration // from its beginning to its end; 0: none
	OnError     OnError
	Post        PostWhen
}

// NewActivity returns an activity with all defaults.
func NewActivity(name string) Activity {
	return Activity{Name: name, OnError: FailFast, Post: OnSuccess}
}

// Plugin is a labourer that takes part in a stage of activities.
type Plugin struct {
	Name        string
	Description string
	Activities  []string // one or more, as written
	Stage       Stage
	Labourer    string
	Part                            // for every activity without an override
	Overrides   map[string]Override // by activity; nil: none
	GroupKey    string              // path into the metadata: the message group of a FIFO target; "": the uid
	Envelope    Envelope
}

// Part says how a plugin takes part in an activity.
type Part struct {
	Mandatory bool
	Order     int             // place in pre and post, ascending, then by name
	Filter    json.RawMessage // an event pattern as written; nil: every run
	Timeout   time.Duration   // from the start of its turn to its end; 0: none
	AlwaysRun bool            // runs again in a re-run although it was Complete
}

// Override replaces some of a plugin's options in one activity; nil keeps them.
type Override struct {
	Mandatory *bool
	Order     *int
	Filter    json.RawMessage
	Timeout   *time.Duration
	AlwaysRun *bool
}

// NewPlugin returns a plugin with all defaults: mandatory, with a labourer of its own name.
func NewPlugin(name string) Plugin {
	return Plugin{Name: name, Labourer: name, Part: Part{Mandatory: true, Order: DefaultOrder}, Envelope: Native}
}

// In returns how the plugin takes part in an activity.
func (p Plugin) In(activity string) Part {
	part, o := p.Part, p.Overrides[activity]
	if o.Mandatory != nil {
		part.Mandatory = *o.Mandatory
	}
	if o.Order != nil {
		part.Order = *o.Order
	}
	if o.Filter != nil {
		part.Filter = o.Filter
	}
	if o.Timeout != nil {
		part.Timeout = *o.Timeout
	}
	if o.AlwaysRun != nil {
		part.AlwaysRun = *o.AlwaysRun
	}
	return part
}

// Definitions holds what owners have defined, by name. Each owner applies a part of it.
type Definitions struct {
	Workflows  map[string]Workflow
	Activities map[string]Activity // those with options; others have the defaults
	Plugins    map[string]Plugin
}

// NewDefinitions returns empty definitions.
func NewDefinitions() Definitions {
	return Definitions{Workflows: map[string]Workflow{}, Activities: map[string]Activity{}, Plugins: map[string]Plugin{}}
}

// Over returns definitions in which those of d replace others of the same name.
func (d Definitions) Over(others Definitions) Definitions {
	out := NewDefinitions()
	for _, from := range []Definitions{others, d} {
		maps.Copy(out.Workflows, from.Workflows)
		maps.Copy(out.Activities, from.Activities)
		maps.Copy(out.Plugins, from.Plugins)
	}
	return out
}

// Without returns the definitions without one of a section: workflows, activities or plugins.
func (d Definitions) Without(section, name string) Definitions {
	out := d.Over(NewDefinitions())
	switch section {
	case "workflows":
		delete(out.Workflows, name)
	case "activities":
		delete(out.Activities, name)
	case "plugins":
		delete(out.Plugins, name)
	}
	return out
}

var (
	workflowName = lazyregexp.New(`^[A-Za-z0-9_.:-]+( [A-Za-z0-9_.:-]+)*$`)
	partName     = lazyregexp.New(`^[A-Za-z0-9_.:-]{1,128}$`) // of activities and plugins, as of labourers
)

// longestName bounds the bytes of a workflow's name.
const longestName = 128

// ValidName reports whether a workflow may have this name: 1 to 128 of A-Z a-z 0-9 _ . : - and single spaces within.
func ValidName(name string) bool { return len(name) <= longestName && workflowName.MatchString(name) }

// ValidPart reports whether an activity or a plugin may have this name: 1 to 128 of A-Z a-z 0-9 _ . : -.
func ValidPart(name string) bool { return partName.MatchString(name) }
