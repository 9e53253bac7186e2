package moe

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/drover-run/drover/shared/core/completion"
	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/core/workflow"
)

// OrchestratorError names the type of an error that a plugin states: the class of the package.
const OrchestratorError = "OrchestratorError"

// longestMessage bounds the bytes of a plugin's message. The package cuts it to 180 characters.
const longestMessage = 1 << 10

// Image is a row before or after a write: maps, texts, and numbers as json.Number.
type Image = map[string]any

// Fault says why a write in a row means nothing, and which record it changed.
type Fault struct {
	Record string // activities.<activity>.<stage>.<list>.<plugin>; "" for the row
	Reason string
}

// Ends returns the ends of attempts that a write tells of: those of the records that became Complete or Error. The same write gives the same ends, and
// a write that repeats a state gives none. A record that becomes something that moe's plugins never write, or whose task is unknown, is a fault.
func Ends(before, after Image) (ends []completion.Report, faults []Fault) {
	was := records(before)
	is := records(after)
	for _, at := range slices.SortedFunc(maps.Keys(is), place.compare) {
		if reflect.DeepEqual(was[at], is[at]) {
			continue
		}
		state, message, err := read(is[at])
		if err == nil {
			if stood, _, unread := read(was[at]); unread == nil && stood == state {
				continue // its message changed
			}
			var end *completion.Report
			if end, err = at.end(after, state, message); end != nil {
				ends = append(ends, *end)
			}
		}
		if err != nil {
			faults = append(faults, Fault{at.String(), err.Error()})
		}
	}
	return ends, faults
}

// place is where a record is in a row.
type place struct{ activity, stage, list, plugin string }

func (p place) String() string {
	path := Activities
	for _, name := range []string{p.activity, p.stage, p.list, p.plugin} {
		path = document.Join(path, name)
	}
	return path
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.activity, q.activity), cmp.Compare(p.stage, q.stage), cmp.Compare(p.list, q.list), cmp.Compare(p.plugin, q.plugin))
}

// records returns what is at the places of records.
func records(row Image) map[place]any {
	out := map[place]any{}
	for activity, stages := range members(row[Activities]) {
		for stage, lists := range members(stages) {
			for _, list := range Lists {
				for plugin, record := range members(members(lists)[list]) {
					out[place{activity, stage, list, plugin}] = record
				}
			}
		}
	}
	return out
}

func members(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// read returns what a record says.
func read(record any) (state workflow.State, message string, err error) {
	fields, is := record.(map[string]any)
	if !is {
		return "", "", fmt.Errorf("it is not a map with a state")
	}
	text, is := fields[State].(string)
	if !is {
		return "", "", fmt.Errorf("its state is not a text")
	}
	message, _ = fields[Message].(string)
	return workflow.State(text), message, nil
}

// end returns the end of the attempt that a record's new state tells of, nil if it is none.
func (p place) end(row Image, state workflow.State, message string) (*completion.Report, error) {
	switch state {
	case workflow.NotStarted, workflow.InProgress:
		return nil, nil
	case workflow.Complete, workflow.Error:
	default:
		return nil, fmt.Errorf("the state %s is none of a plugin's: want Not Started, In Progress, Complete or Error", document.Shown(string(state)))
	}
	own := members(row[Drover])
	if own == nil {
		return nil, fmt.Errorf("it became %s, and the row is not Drover's: it has no member drover", state)
	}
	stage, is := ParseStage(p.stage)
	begun, started := members(own[Tasks])[Turn{p.activity, stage, p.plugin}.Key()].(map[string]any)
	if !is || !started {
		return nil, fmt.Errorf("it became %s, and Drover has started no such plugin in this run: a plugin's name in Drover must be its pluginName%s", state, known(own))
	}
	return attempt(begun, state, message)
}

// known names the turns whose tasks a row knows.
func known(own map[string]any) string {
	keys := slices.Sorted(maps.Keys(members(own[Tasks])))
	if len(keys) == 0 {
		return ""
	}
	const most = 10
	more := ""
	if len(keys) > most {
		keys, more = keys[:most], ", …"
	}
	for i, key := range keys {
		keys[i] = document.ShownBare(key)
	}
	return "; it has started " + strings.Join(keys, ", ") + more
}

func attempt(of map[string]any, state workflow.State, message string) (*completion.Report, error) {
	id, _ := of[TaskID].(string)
	if _, err := task.ParseID(id); err != nil {
		return nil, fmt.Errorf("it became %s, and the row's task_id cannot be read: %w", state, err)
	}
	number, _ := of[AttemptNo].(json.Number)
	n, err := strconv.Atoi(number.String())
	if err != nil || n < 1 {
		return nil, fmt.Errorf("it became %s, and the row's attempt is not a number from 1", state)
	}
	r := &completion.Report{TaskID: id, Attempt: n, Kind: completion.Completed}
	if state == workflow.Error {
		if len(message) > longestMessage {
			message = strings.ToValidUTF8(message[:longestMessage], "")
		}
		r.Kind, r.Permanent, r.Error = completion.Failed, true, &task.Error{Type: OrchestratorError, Message: message}
	}
	return r, nil
}
