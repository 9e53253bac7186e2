package moe

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/exact"
	"github.com/drover-run/drover/shared/core/workflow"
)

// stepPrefix begins the name of a placeholder in a workflow file, for which moe's build inserted the states of an activity.
const stepPrefix = "Step:"

// ReadMachine reads a workflow file: a state machine with placeholders for activities. name is used where the file names no workflow.
func ReadMachine(name string, text []byte) (workflow.Workflow, []string, error) {
	var file struct {
		StartAt string                     `json:"StartAt"`
		States  map[string]json.RawMessage `json:"States"`
	}
	if err := exact.Decode(text, &file); err != nil {
		return workflow.Workflow{}, nil, err
	}
	if file.States == nil {
		return workflow.Workflow{}, nil, errors.New("it has no States")
	}
	m := machine{states: map[string]state{}}
	for _, key := range slices.Sorted(maps.Keys(file.States)) {
		if activity, is := strings.CutPrefix(key, stepPrefix); is {
			m.activities = append(m.activities, activity)
			continue
		}
		var s state
		if err := exact.Decode(file.States[key], &s); err != nil {
			return workflow.Workflow{}, nil, fmt.Errorf("state %s: %w", document.Shown(key), err)
		}
		m.states[key] = s
		if text, ok := exact.Text(s.Result); ok && s.ResultPath == "$.metadata.workflow" {
			name = text
		}
	}
	if len(m.activities) == 0 {
		return workflow.Workflow{}, nil, fmt.Errorf("it has no placeholder %s…, so it names no activity", stepPrefix)
	}
	if !workflow.ValidName(name) {
		return workflow.Workflow{}, nil, fmt.Errorf("%s cannot be the name of a workflow", document.Shown(name))
	}
	order, differs, err := m.walk(file.StartAt)
	if err != nil {
		return workflow.Workflow{}, nil, err
	}
	w := workflow.NewWorkflow(name)
	w.Activities = order
	for i, said := range differs {
		differs[i] = "workflows." + name + ": " + said
	}
	return w, differs, nil
}

type machine struct {
	activities []string
	states     map[string]state
}

type state struct {
	Type       string          `json:"Type"`
	Next       string          `json:"Next"`
	End        bool            `json:"End"`
	Result     json.RawMessage `json:"Result"`
	ResultPath string          `json:"ResultPath"`
	Resource   string          `json:"Resource"`
}

// walk follows the states from the first one, and returns the activities in their order.
func (m machine) walk(at string) (order, differs []string, err error) {
	seen := map[string]bool{}
	for at != "" && !seen[at] {
		seen[at] = true
		if activity, is := m.starts(at); is {
			order = append(order, activity)
			at = activity + "Complete"
			continue
		}
		s, known := m.states[at]
		if !known {
			return nil, nil, fmt.Errorf("state %s is missing", document.Shown(at))
		}
		switch s.Type {
		case "Pass", "Succeed":
		case "Task":
			if len(order) > 0 { // the one before the first activity initializes the row, which Drover does by itself
				differs = append(differs, fmt.Sprintf("the Task state %s is not carried over: make it a plugin", document.Shown(at)))
			}
		case "Wait":
			differs = append(differs, fmt.Sprintf("the Wait state %s is not carried over: activities follow one another at once", document.Shown(at)))
		default:
			return nil, nil, fmt.Errorf("state %s is a %s: a workflow is a list of activities; "+
				"write filters for what it chooses, or a state machine that starts workflows", document.Shown(at), document.ShownBare(s.Type))
		}
		at = s.Next
	}
	for _, activity := range m.activities {
		if !slices.Contains(order, activity) {
			return nil, nil, fmt.Errorf("no way leads from StartAt to activity %s", document.Shown(activity))
		}
		if !workflow.ValidPart(activity) {
			return nil, nil, fmt.Errorf("%s cannot be the name of an activity: want 1 to 128 of the characters A-Z a-z 0-9 _ . : -", document.Shown(activity))
		}
		failed := activity + "Error"
		if s, has := m.states[failed]; has && s.Type != "Fail" {
			differs = append(differs, fmt.Sprintf("the state %s is a %s and not carried over: after an error the run ends; "+
				"on_error: wait_all and post: always are what an activity can do about it",
				document.Shown(failed), document.ShownBare(s.Type)))
		}
	}
	slices.Sort(differs)
	return order, differs, nil
}

// starts returns the activity whose first state has this name.
func (m machine) starts(at string) (string, bool) {
	activity, is := strings.CutSuffix(at, "Start")
	return activity, is && slices.Contains(m.activities, activity)
}

// IsMachine reports whether a text is a workflow file, and not one with rows.
func IsMachine(text []byte) bool {
	members, _ := exact.Members(text)
	return slices.ContainsFunc(members, func(m exact.Member) bool { return m.Name == "States" })
}
