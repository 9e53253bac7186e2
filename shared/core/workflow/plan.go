package workflow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-run/drover/shared/core/segment"
)

// Subject holds what a run's plan depends on. It is written when the run begins, and does not change.
type Subject struct {
	Composition Composition
	UID         string
	Run         int // the run's number, from 1
	Metadata    json.RawMessage
	From        string // the activity that the run begins with; "": the first
	Kept        Kept   // what an earlier run completed and this one does not run again
}

// Kept holds the numbers of kept turns, by activity and stage.
type Kept map[Place]segment.Numbers

// Place names a stage of a workflow.
type Place struct {
	Activity int // its position in the workflow, from 0
	Stage    Stage
}

// String returns the place in a form that sorts in the order of a run: 002#1.
func (p Place) String() string { return fmt.Sprintf("%03d#%d", p.Activity, int(p.Stage)) }

// ParsePlace reads what [Place.String] wrote.
func ParsePlace(text string) (Place, error) {
	var p Place
	var stage int
	if n, err := fmt.Sscanf(text, "%03d#%d", &p.Activity, &stage); n != 2 || err != nil || stage < int(Pre) || stage > int(Post) || p.Activity < 0 {
		return Place{}, fmt.Errorf("place %.20q does not have the form <activity>#<stage>", text)
	}
	p.Stage = Stage(stage)
	if p.String() != text {
		return Place{}, fmt.Errorf("place %.20q does not have the form <activity>#<stage>", text)
	}
	return p, nil
}

// Ordinal returns the position of the place among all stages of a workflow.
func (p Place) Ordinal() int { return p.Activity*len(Stages) + int(p.Stage) }

// Next returns the place behind this one.
func (p Place) Next() Place {
	if p.Stage == Post {
		return Place{p.Activity + 1, Pre}
	}
	return Place{p.Activity, p.Stage + 1}
}

// Turn is a plugin's part in a stage.
type Turn struct {
	Number    int // the plugin's place in the order of the stage, from 0: also the number of its task in the segment
	Plugin    string
	Labourer  string
	Mandatory bool
	Order     int
	Timeout   time.Duration // 0: none
	GroupKey  string
	Envelope  Envelope
	Matches   bool
	Reason    string // why the filter does not match: the leaf and the value
	Kept      bool
}

// Runs reports whether the turn gets a task.
func (t Turn) Runs() bool { return t.Matches && !t.Kept }

// Plan holds the plan of one stage of a run: the same whenever it is made.
type Plan struct {
	Place

	Activity string
	Options  Activity
	Turns    []Turn // in the order of the stage; a turn's number is its index
}

// Plan returns the plan of a stage: its plugins in their order, and what their filters decide. The error says that the stored metadata or a
// stored filter cannot be read.
func (s Subject) Plan(at Place) (Plan, error) {
	name := s.Composition.Workflow.Activities[at.Activity]
	plan := Plan{Place: at, Activity: name, Options: s.Composition.Activities[name]}
	kept := s.Kept[at]
	for _, plugin := range slices.Sorted(maps.Keys(s.Composition.Plugins)) {
		p := s.Composition.Plugins[plugin]
		if p.Stage != at.Stage || !slices.Contains(p.Activities, name) {
			continue
		}
		part := p.In(name)
		plan.Turns = append(plan.Turns, Turn{Plugin: plugin, Labourer: p.Labourer, Mandatory: part.Mandatory, Order: part.Order, Timeout: part.Timeout,
			GroupKey: p.GroupKey, Envelope: p.Envelope})
	}
	slices.SortStableFunc(plan.Turns, func(a, b Turn) int { return cmp.Compare(a.Order, b.Order) })
	if len(plan.Turns) == 0 {
		return plan, nil
	}
	metadata, err := against(s.Metadata, place{s.Composition.Workflow.Name, name, at.Stage.String(), s.UID, s.Run})
	if err != nil {
		return plan, err
	}
	for i := range plan.Turns {
		t := &plan.Turns[i]
		t.Number, t.Kept = i, kept.Contains(i)
		filter := s.Composition.Plugins[t.Plugin].In(name).Filter
		if t.Matches, t.Reason, err = judge(filter, metadata); err != nil {
			return plan, fmt.Errorf("plugin %s: %w", t.Plugin, err)
		}
	}
	return plan, nil
}

// Running returns the numbers of the turns that get a task.
func (p Plan) Running() segment.Numbers { return p.numbers(Turn.Runs) }

// Keeping returns the numbers of the kept turns.
func (p Plan) Keeping() segment.Numbers { return p.numbers(func(t Turn) bool { return t.Kept }) }

// Mandatory returns the numbers of the turns that get a task and must succeed.
func (p Plan) Mandatory() segment.Numbers {
	return p.numbers(func(t Turn) bool { return t.Runs() && t.Mandatory })
}

// Fatal returns the numbers of the turns whose error ends the stage at once.
func (p Plan) Fatal() segment.Numbers {
	if p.Options.OnError != FailFast {
		return segment.Numbers{}
	}
	return p.Mandatory()
}

func (p Plan) numbers(are func(Turn) bool) segment.Numbers {
	var out segment.Numbers
	for _, t := range p.Turns {
		if are(t) {
			out = out.Union(segment.Of(t.Number))
		}
	}
	return out
}

// Segment returns the segment that holds the tasks of a stage of a run.
func Segment(run string, at Place) segment.ID { return segment.IDOf("run\x00"+run, at.Ordinal()) }

// Places returns the stages of the workflow in their order, also those before the activity that the run begins with.
func (s Subject) Places() []Place {
	var out []Place
	for a := range s.Composition.Workflow.Activities {
		for _, stage := range Stages {
			out = append(out, Place{a, stage})
		}
	}
	return out
}

// First returns the position of the activity that the run begins with.
func (s Subject) First() int { return max(0, slices.Index(s.Composition.Workflow.Activities, s.From)) }
