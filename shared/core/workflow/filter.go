package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/pattern"
)

// place says which plugins' filters are evaluated: those of a stage, in a run.
type place struct {
	Workflow string `json:"workflow"`
	Activity string `json:"activity"`
	Stage    string `json:"stage"`
	UID      string `json:"uid"`
	Run      int    `json:"run"`
}

// against returns what filters are matched against: the run's metadata, with the place in its member [Own].
func against(metadata json.RawMessage, at place) (pattern.Metadata, error) {
	text := append([]byte(`{"`+Own+`":`), document.Encode(at)...)
	if members := bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(metadata), []byte("{"))); len(members) > 1 { // more than "}"
		text = append(append(text, ','), members...)
	} else {
		text = append(text, '}')
	}
	read, err := pattern.Read(text)
	if err != nil {
		return read, fmt.Errorf("the run's metadata: %w", err)
	}
	return read, nil
}

// judge reports whether a filter matches, and if not, the leaf and the value that decided it. A nil filter matches everything.
func judge(filter json.RawMessage, metadata pattern.Metadata) (matches bool, reason string, err error) {
	if filter == nil {
		return true, "", nil
	}
	read, faults := pattern.Parse(filter)
	if err := faults.Err(); err != nil {
		return false, "", fmt.Errorf("the filter: %w", err)
	}
	verdict := read.Match(metadata)
	return verdict.Matches, verdict.Reason(), nil
}

// lint returns what makes a filter of a plugin in these activities match always or never.
func lint(filter json.RawMessage, stage Stage, activities []string) []pattern.Finding {
	read, faults := pattern.Parse(filter)
	if faults != nil {
		return nil
	}
	return read.Lint(pattern.Known{Path: Own + ".workflow"}, pattern.Known{Path: Own + ".activity", Values: activities},
		pattern.Known{Path: Own + ".stage", Values: []string{stage.String()}}, pattern.Known{Path: Own + ".uid"}, pattern.Known{Path: Own + ".run", Number: true})
}
